//! Whether Teleport takes reviews from this plugin, and what to do where it does not. Pure.

use crate::crd::condition::Finding;
use crate::crd::reason::Reason;
use crate::teleport::client::Server;
use crate::teleport::review::ReviewRights;

/// The first release that takes reviews which a plugin submits for users.
const SINCE: (u32, u32) = (18, 11);

/// Judges a server by what it says of itself and of the plugin's role.
pub(super) fn judge(server: &Server, rights: &ReviewRights) -> Result<String, Finding> {
    let failed = |reason, message: String| Err(Finding::new(reason, message));
    if !server.web_reviews {
        let message = "this Teleport cluster has no reviews of access requests: they are a feature of Teleport Enterprise. Messages \
                       have no buttons; set review.enabled to false"
            .to_owned();
        return failed(Reason::ReviewsUnsupported, message);
    }
    let speaks_for = rights.submit_for_users.as_deref();
    if speaks_for.is_some_and(<[String]>::is_empty) {
        let version = &server.version;
        if is_older(version) {
            let message = format!(
                "Teleport {version} takes no reviews that a plugin submits for users: upgrade it to 18.11 or newer. Messages have \
                 no buttons until then"
            );
            return failed(Reason::TeleportTooOld, message);
        }
        let message = "the plugin's role may not submit reviews: give it review_requests.submit_for_users (see \
                       manifests/access-plugin-with-review.yaml). Messages have no buttons until then"
            .to_owned();
        return failed(Reason::ReviewPermissionMissing, message);
    }
    if !rights.lists_users {
        let message = "the plugin's role may not look up who clicked: give it list and read on user (see \
                       manifests/access-plugin-with-review.yaml). Messages have no buttons until then"
            .to_owned();
        return failed(Reason::ReviewPermissionMissing, message);
    }
    let mut message = match speaks_for {
        Some(users) if users.iter().any(|user| user == "*") => "reviews are possible for every user".to_owned(),
        Some(users) => format!("reviews are possible for {} users", users.len()),
        None => "reviews are possible, as far as Teleport tells".to_owned(),
    };
    if !rights.lists_locks {
        message.push_str("; locked users are not recognised: give the role list and read on lock");
    }
    Ok(message)
}

fn is_older(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < SINCE,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(version: &str, web_reviews: bool) -> Server {
        Server {
            cluster: "example".to_owned(),
            version: version.to_owned(),
            proxy_public_addr: String::new(),
            web_reviews,
        }
    }

    fn rights(users: Option<&[&str]>, lists_users: bool, lists_locks: bool) -> ReviewRights {
        let submit_for_users = users.map(|users| users.iter().map(|&user| user.to_owned()).collect());
        ReviewRights { submit_for_users, lists_users, lists_locks }
    }

    #[test]
    fn what_does_not_work_is_told_with_the_remedy() {
        for (server, rights, expected, words) in [
            (server("18.11.0", false), rights(Some(&["*"]), true, true), Reason::ReviewsUnsupported, "Enterprise"),
            (server("18.10.9", true), rights(Some(&[]), true, true), Reason::TeleportTooOld, "18.11"),
            (server("17.5.0-dev", true), rights(Some(&[]), true, true), Reason::TeleportTooOld, "upgrade"),
            (
                server("18.11.0", true),
                rights(Some(&[]), true, true),
                Reason::ReviewPermissionMissing,
                "submit_for_users",
            ),
            (server("19.0.0", true), rights(Some(&["bob"]), false, true), Reason::ReviewPermissionMissing, "on user"),
        ] {
            let trouble = judge(&server, &rights).unwrap_err();
            assert_eq!(trouble.reason, expected);
            assert!(trouble.message.contains(words), "{}", trouble.message);
        }
    }

    #[test]
    fn what_works_says_for_whom_and_what_is_missing() {
        let said = |rights: &ReviewRights| judge(&server("18.11.0", true), rights).unwrap();
        assert_eq!(said(&rights(Some(&["*"]), true, true)), "reviews are possible for every user");
        assert!(said(&rights(Some(&["a", "b"]), true, false)).contains("2 users; locked users are not recognised"));
        assert!(said(&rights(None, true, true)).contains("as far as Teleport tells"));
    }

    #[test]
    fn a_role_that_speaks_for_users_is_believed_whatever_the_version() {
        let backported = judge(&server("17.9.0", true), &rights(Some(&["*"]), true, true));
        assert!(backported.is_ok());
    }
}
