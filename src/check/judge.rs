//! From facts to findings; pure.

use jiff::SignedDuration;

use crate::check::facts::{Calls, Facts, IdentityFacts, Lookup, SlackFacts, TeleportFacts};
use crate::check::finding::{Finding, Part};
use crate::config::recipient::{Recipient, RoleToRecipients, WILDCARD};
use crate::slack::api::{Account, ChannelInfo};
use crate::slack::app_manifest::{Need, SCOPES};
use crate::slack::error::{Class, Error as SlackError, remedy};
use crate::slack::recipient_mistake::RecipientMistake;
use crate::teleport::dial::DialError;
use crate::teleport::error::{CallError, Kind};
use crate::teleport::right;

/// An identity that lives longer than this was signed by hand: nobody renews it in time.
const BY_HAND: SignedDuration = SignedDuration::from_hours(48);
/// When to warn of one that was signed by hand.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);
/// With this scope the bot may post in public channels that it is not in.
const POST_ANYWHERE: &str = "chat:write.public";

/// A request that does not exist, to be routed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imagined {
    /// Who asks.
    pub user: String,
    /// For which roles.
    pub roles: Vec<String>,
    /// Whom the requester suggests as reviewers.
    pub reviewers: Vec<String>,
}

/// Judges everything but the routing of an imagined request.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let failures = facts.config_failures.iter().map(|line| Finding::failure_line(Part::Configuration, line));
    let mut findings: Vec<_> = failures.collect();
    findings.extend(facts.config_warnings.iter().map(|line| {
        let (message, remedy) = line.split_once("; ").unwrap_or((line, ""));
        Finding::warning(Part::Configuration, message, remedy)
    }));
    match &facts.identity {
        Ok(found) => findings.push(identity(facts, found)),
        Err(line) => findings.push(Finding::failure_line(Part::Identity, line)),
    }
    if let (Some(found), Ok(identity)) = (&facts.teleport, &facts.identity) {
        teleport(&facts.tried.plugin_name, found, identity, &mut findings);
    }
    match &facts.token {
        Ok(None) => {}
        Ok(Some(warning)) => {
            let (message, remedy) = warning.split_once(": ").unwrap_or((warning, ""));
            findings.push(Finding::warning(Part::Slack, message, remedy));
        }
        Err(line) => findings.push(Finding::failure_line(Part::Slack, line)),
    }
    if let Some(found) = &facts.slack {
        slack(&facts.tried.api_url, &facts.tried.routes, found, &mut findings);
    }
    match &facts.socket_mode {
        None => {}
        Some(Ok(())) => findings.push(Finding::ok(Part::Slack, "the app-level token opens Socket Mode connections")),
        Some(Err(line)) => findings.push(Finding::failure_line(Part::Slack, line)),
    }
    if facts.tried.routes.all().is_empty() {
        findings.push(Finding::failure(
            Part::Recipients,
            "nobody is told: the map of recipients is empty",
            "add \"*\" with a channel to it (role_to_recipients, roleToRecipients)",
        ));
    } else if !facts.tried.routes.has_wildcard() {
        findings.push(Finding::warning(
            Part::Recipients,
            "no recipients serve the roles without an entry of their own",
            "add \"*\" to the map of recipients, unless requests for other roles are to reach nobody",
        ));
    }
    findings
}

fn identity(facts: &Facts, identity: &IdentityFacts) -> Finding {
    let IdentityFacts { user, cluster, roles, not_before, not_after } = identity;
    let who = format!("user {user} of cluster {cluster} (roles {})", roles.join(", "));
    let left = facts.now.duration_until(*not_after);
    let life = not_before.duration_until(*not_after);
    let sign = format!("sign a new one (tctl auth sign --user={user} --ttl=8760h), or let tbot renew it");
    if left <= SignedDuration::ZERO {
        return Finding::failure(Part::Identity, format!("the identity of {who} expired at {not_after}"), sign);
    }
    if facts.now < *not_before {
        let message = format!("the identity of {who} is not valid before {not_before}");
        return Finding::failure(
            Part::Identity,
            message,
            "check the clocks of this machine and of where it was signed",
        );
    }
    let is_overdue = if life > BY_HAND { left < SOON.min(life / 4) } else { left < life / 3 };
    if is_overdue {
        let remedy = if life > BY_HAND { sign } else { "look why tbot has not renewed it".to_owned() };
        return Finding::warning(Part::Identity, format!("the identity of {who} expires at {not_after}"), remedy);
    }
    Finding::ok(Part::Identity, format!("{who}, valid until {not_after}"))
}

fn teleport(plugin: &str, found: &TeleportFacts, identity: &IdentityFacts, findings: &mut Vec<Finding>) {
    let calls = match &found.connected {
        Ok(calls) => calls,
        Err(error) => {
            let finding = match error {
                DialError::Unreachable { advice, .. } => {
                    let line = error.to_string();
                    let message = line.strip_suffix(advice).map_or(line.as_str(), |rest| rest.trim_end_matches("; "));
                    Finding::failure(Part::Teleport, message, *advice)
                }
                error => Finding::failure_line(Part::Teleport, &error.to_string()),
            };
            findings.push(finding);
            return;
        }
    };
    let Calls { route, server, rules, watch, write, records, known_roles } = calls;
    match server {
        Err(error) => findings.push(refused(Part::Teleport, error, identity)),
        Ok(server) => {
            let message = format!("cluster {} ({}) answers {route}", server.cluster, server.version);
            findings.push(Finding::ok(Part::Teleport, message));
        }
    }
    for (way, outcome) in &found.ways {
        let said = match outcome {
            Ok(route) => format!("answers {route}"),
            Err(error) => format!("no: {error}"),
        };
        findings.push(Finding::ok(Part::Teleport, format!("tried {way}: {said}")));
    }
    let missing = rules.as_ref().map(right::Rules::missing).unwrap_or_default();
    if missing.is_empty() {
        let refusals: Vec<_> = [watch.as_ref().err(), write.as_ref().err(), records.as_ref().err()]
            .into_iter()
            .flatten()
            .filter(|error| error.is_denial() || error.kind == Kind::BadParameter)
            .map(|error| refused(Part::Rights, error, identity))
            .collect();
        if refusals.is_empty() {
            findings.push(Finding::ok(Part::Rights, "requests may be listed and read, and records written"));
        }
        findings.extend(refusals);
    } else {
        findings.push(Finding::failure(
            Part::Rights,
            format!(
                "the roles of user {} ({}) lack {}",
                identity.user,
                identity.roles.join(", "),
                right::in_words(&missing)
            ),
            "add it to the allow.rules of one of these roles: nothing is announced without it (manifests/teleport/)",
        ));
    }
    for (right, without) in rules.iter().flat_map(right::Rules::missing_optional) {
        findings.push(Finding::warning(
            Part::Rights,
            format!("the roles of user {} lack {right}: {without}", identity.user),
            "add it to the allow.rules of one of these roles, or leave it so",
        ));
    }
    for (role, _) in known_roles.iter().filter(|(_, exists)| !**exists) {
        findings.push(Finding::warning(
            Part::Recipients,
            format!("the role {role} has recipients and does not exist in Teleport"),
            "correct its name, unless it is to be made later",
        ));
    }
    if let Ok(records) = records {
        let finding = if records.foreign == 0 {
            Finding::ok(
                Part::Records,
                format!("{} pending requests, none announced by another program", records.pending),
            )
        } else {
            Finding::warning(
                Part::Records,
                format!(
                    "{} of {} pending requests were announced by another program under the name {plugin}",
                    records.foreign, records.pending
                ),
                "stop the official plugin before this one starts; what it has announced is kept up to date from then on",
            )
        };
        findings.push(finding);
    }
}

fn refused(part: Part, error: &CallError, identity: &IdentityFacts) -> Finding {
    let remedy = match error.missing_right() {
        Some(right) => format!("give the role of user {} {right}", identity.user),
        None if error.kind == Kind::NotFound => {
            format!("user {} or one of its roles is gone: create it again, and sign a new identity", identity.user)
        }
        None if error.message.contains("lock") => {
            "the user, its role or the whole cluster is locked: see `tctl get locks`".to_owned()
        }
        None if error.is_denial() || error.kind == Kind::BadParameter => format!(
            "give the role of user {} list and read on access_request, and update on access_plugin_data",
            identity.user
        ),
        None => "try again; see the log of Teleport's Auth Service if it lasts".to_owned(),
    };
    Finding::failure(part, error.to_string(), remedy)
}

fn slack(api_url: &str, routes: &RoleToRecipients, found: &SlackFacts, findings: &mut Vec<Finding>) {
    let account = match &found.account {
        Ok(account) => account,
        Err(error) if error.is_elsewhere() => {
            findings.push(Finding::failure(
                Part::Slack,
                format!("{api_url} does not answer as Slack's Web API does: {error}"),
                "correct the address (api_url, apiUrl): it ends in /api/",
            ));
            return;
        }
        Err(error) => {
            findings.push(Finding::failure(Part::Slack, format!("{error} ({api_url})"), error.remedy()));
            return;
        }
    };
    findings.push(Finding::ok(Part::Slack, workspace(account)));
    findings.extend(scopes(account, routes));
    let by_name = routes.all().iter().any(|recipient| matches!(recipient, Recipient::ChannelName(_)));
    if account.is_enterprise_install && by_name {
        findings.push(Finding::warning(
            Part::Recipients,
            format!("the app is installed in a whole organization, and channels by name are looked up in workspace {} alone", account.team_id),
            "give the ids (C…) of channels of other workspaces",
        ));
    }
    findings.extend(found.recipients.iter().map(|(recipient, lookup)| judge_recipient(account, recipient, lookup)));
}

fn workspace(account: &Account) -> String {
    let Account { team, team_id, enterprise_id, is_enterprise_install, user, .. } = account;
    let organization = match enterprise_id {
        Some(id) if *is_enterprise_install => format!(", installed in the whole organization {id}"),
        Some(id) => format!(", of the organization {id}"),
        None => String::new(),
    };
    format!("workspace {team} ({team_id}{organization}), bot user @{user}")
}

/// Scopes that are missing. Slack does not always say which there are.
fn scopes(account: &Account, routes: &RoleToRecipients) -> Vec<Finding> {
    if account.scopes.is_empty() {
        return vec![Finding::warning(
            Part::Scopes,
            "Slack did not say which scopes the token has",
            "a proxy on the way may have removed the header X-OAuth-Scopes",
        )];
    }
    let has = |name: &str| account.scopes.iter().any(|scope| scope == name);
    let is_served = |name: &str| match name {
        "users:read" | "users:read.email" => {
            routes.all().iter().any(|recipient| matches!(recipient, Recipient::Email(_)))
        }
        _ => true,
    };
    let mut findings = Vec::new();
    for scope in SCOPES.iter().filter(|scope| !has(scope.name)) {
        let message = format!("the token lacks the scope {}: {}", scope.name, scope.purpose);
        let add = "add it under OAuth & Permissions, and reinstall the app";
        findings.push(if scope.need == Need::Required && is_served(scope.name) {
            Finding::failure(Part::Scopes, message, add)
        } else {
            Finding::warning(Part::Scopes, message, format!("{add}, or leave it so"))
        });
    }
    if findings.is_empty() {
        findings.push(Finding::ok(Part::Scopes, format!("all {} scopes in use are granted", SCOPES.len())));
    }
    findings
}

fn judge_recipient(account: &Account, recipient: &Recipient, lookup: &Lookup) -> Finding {
    let name = recipient.to_string();
    if let Some(mistake) = RecipientMistake::find(&name) {
        let bare = name.trim_start_matches('#');
        return Finding::failure(Part::Recipients, format!("{bare:?} {}", mistake.problem()), mistake.remedy());
    }
    match lookup {
        Lookup::Channel(info) => channel(account, &name, info),
        Lookup::Person(id) => Finding::ok(Part::Recipients, format!("{name} is {id}")),
        Lookup::NotListed if account.scopes.iter().any(|scope| scope == "groups:read") => Finding::failure(
            Part::Recipients,
            format!("{name} is no channel that the bot sees"),
            remedy("channel_not_found", &name, &account.user),
        ),
        Lookup::NotListed => Finding::warning(
            Part::Recipients,
            format!("{name} is no public channel; whether it is a private one is not known"),
            format!("check its name; in a private channel, invite the app (/invite @{})", account.user),
        ),
        Lookup::Refused(error) => recipient_refused(account, &name, error),
        Lookup::AsItIs => Finding::ok(Part::Recipients, format!("{name} is an id: messages are sent to it as it is")),
    }
}

fn channel(account: &Account, name: &str, info: &ChannelInfo) -> Finding {
    let id = &info.id;
    let may_post = info.is_member || (!info.is_private && account.scopes.iter().any(|scope| scope == POST_ANYWHERE));
    if info.is_archived {
        let what = format!("{name} ({id}) is archived");
        return Finding::failure(Part::Recipients, what, remedy("is_archived", name, &account.user));
    }
    if !may_post {
        let what = format!("the bot is not in {name} ({id})");
        return Finding::failure(Part::Recipients, what, remedy("not_in_channel", name, &account.user));
    }
    if info.is_ext_shared {
        return Finding::warning(
            Part::Recipients,
            format!(
                "{name} ({id}) is shared with another company (Slack Connect): what is announced there leaves the company"
            ),
            "choose a channel of your own, unless this is wanted",
        );
    }
    let kind = if info.is_private { "private" } else { "public" };
    Finding::ok(Part::Recipients, format!("{name} is the {kind} channel {id}"))
}

fn recipient_refused(account: &Account, name: &str, error: &SlackError) -> Finding {
    let remedy = error.remedy_for(&account.user);
    match error.class {
        Class::Config | Class::Recipient => {
            Finding::failure(Part::Recipients, format!("{name}: {}", error.code), remedy)
        }
        // Whoever has an address is found by it alone; a channel is written to by its name.
        Class::Auth if name.contains('@') => Finding::failure(Part::Recipients, format!("{name}: {error}"), remedy),
        _ => Finding::warning(Part::Recipients, format!("{name} could not be looked up: {error}"), remedy),
    }
}

/// Who would be told about a request, and by which entry.
pub fn explain(routes: &RoleToRecipients, imagined: &Imagined) -> Vec<Finding> {
    let Imagined { user, roles, reviewers } = imagined;
    let selection = routes.select(roles, reviewers);
    let mut findings = Vec::new();
    for role in roles {
        let entry = routes
            .iter()
            .find(|(known, _)| known == role)
            .or_else(|| routes.iter().find(|(known, _)| *known == WILDCARD));
        if let Some((entry, recipients)) = entry {
            let recipients: Vec<_> = recipients.iter().map(ToString::to_string).collect();
            let by = if entry == role { "its own entry".to_owned() } else { format!("the entry {entry:?}") };
            findings.push(Finding::ok(Part::Routing, format!("role {role}: {} by {by}", recipients.join(", "))));
        }
    }
    let told = selection.recipients.iter().chain(&selection.reviewers);
    let recipients: Vec<_> = told.map(ToString::to_string).collect();
    let request =
        format!("a request of {user} for {}", if roles.is_empty() { "resources".to_owned() } else { roles.join(", ") });
    if recipients.is_empty() {
        findings.push(Finding::warning(
            Part::Routing,
            format!("{request} reaches nobody"),
            "give one of its roles, or \"*\", recipients",
        ));
    } else {
        findings.push(Finding::ok(Part::Routing, format!("{request} reaches {}", recipients.join(", "))));
        for role in selection.unrouted_roles {
            findings.push(Finding::ok(
                Part::Routing,
                format!("role {role} adds no recipients: neither it nor \"*\" has an entry"),
            ));
        }
    }
    for reviewer in selection.unaddressed_reviewers {
        findings.push(Finding::warning(
            Part::Routing,
            format!("the suggested reviewer {reviewer} is not told: the name is no e-mail address"),
            "suggest reviewers by the addresses that they have in Slack, or route the role to a channel that they read",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::check::finding::Severity;

    fn account(scopes: &[&str]) -> Account {
        Account {
            user: "gatekeeper".to_owned(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            ..Account::default()
        }
    }

    fn routes(recipients: &[&str]) -> RoleToRecipients {
        RoleToRecipients::new([("*".to_owned(), recipients.iter().filter_map(|text| Recipient::parse(text)).collect())])
    }

    fn texts(findings: &[Finding]) -> String {
        findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    fn facts(identity: IdentityFacts) -> Facts {
        Facts {
            now: "2026-12-01T12:00:00Z".parse().unwrap(),
            tried: crate::check::facts::Tried {
                addr: "a:1".to_owned(),
                api_url: "https://slack.com/api/".to_owned(),
                plugin_name: "slack".to_owned(),
                routes: routes(&["ops"]),
            },
            config_failures: Vec::new(),
            config_warnings: Vec::new(),
            identity: Ok(identity),
            teleport: None,
            token: Ok(None),
            slack: None,
            socket_mode: None,
        }
    }

    fn valid(from: &str, until: &str) -> IdentityFacts {
        let time = |text: &str| text.parse::<Timestamp>().unwrap();
        IdentityFacts {
            user: "access-plugin".to_owned(),
            cluster: "example".to_owned(),
            roles: vec!["access-plugin".to_owned()],
            not_before: time(from),
            not_after: time(until),
        }
    }

    #[test]
    fn an_identity_is_judged_by_who_renews_it() {
        for (from, until, severity, words) in [
            ("2026-12-01T11:50:00Z", "2026-12-01T12:50:00Z", Severity::Ok, "valid until"),
            ("2026-12-01T11:05:00Z", "2026-12-01T12:05:00Z", Severity::Warning, "why tbot has not renewed it"),
            ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", Severity::Ok, "valid until"),
            ("2026-01-01T00:00:00Z", "2026-12-05T00:00:00Z", Severity::Warning, "tctl auth sign"),
            ("2026-01-01T00:00:00Z", "2026-11-30T00:00:00Z", Severity::Failure, "expired at"),
            ("2026-12-02T00:00:00Z", "2026-12-03T00:00:00Z", Severity::Failure, "check the clocks"),
        ] {
            let facts = facts(valid(from, until));
            let finding = identity(&facts, facts.identity.as_ref().unwrap());
            assert_eq!(finding.severity, severity, "{finding}");
            assert!(finding.to_string().contains(words), "{finding}");
        }
    }

    #[test]
    fn a_channel_that_leaves_the_company_is_warned_of() {
        let info = ChannelInfo { id: "C1".to_owned(), is_member: true, is_ext_shared: true, ..ChannelInfo::default() };
        let finding = channel(&account(&[]), "#dba", &info);
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.to_string().contains("leaves the company"), "{finding}");
    }

    #[test]
    fn a_scope_is_demanded_where_a_recipient_needs_it() {
        let without_mail = account(&["chat:write"]);
        let failures = |routes: &RoleToRecipients| {
            let found = scopes(&without_mail, routes);
            found.into_iter().filter(|finding| finding.severity == Severity::Failure).count()
        };
        assert_eq!(failures(&routes(&["ops", "C024BE91L"])), 0);
        assert_eq!(failures(&routes(&["alice@example.com"])), 2);
        let all: Vec<_> = SCOPES.iter().map(|scope| scope.name).collect();
        assert!(texts(&scopes(&account(&all), &routes(&["ops"]))).starts_with("ok   scopes"));
    }

    #[test]
    fn an_app_of_a_whole_organization_looks_names_up_in_one_workspace() {
        let found = SlackFacts {
            account: Ok(Account {
                is_enterprise_install: true,
                enterprise_id: Some("E1".to_owned()),
                ..account(&["x"])
            }),
            recipients: Vec::new(),
        };
        let judged = |recipients: &[&str]| {
            let mut findings = Vec::new();
            slack("https://slack.com/api/", &routes(recipients), &found, &mut findings);
            texts(&findings)
        };
        assert!(judged(&["ops"]).contains("give the ids"), "{}", judged(&["ops"]));
        assert!(!judged(&["C024BE91L"]).contains("give the ids"));
        assert!(judged(&["ops"]).contains("installed in the whole organization E1"));
    }

    #[test]
    fn a_lock_is_not_taken_for_a_missing_right() {
        let error = CallError {
            method: "Ping",
            kind: Kind::AccessDenied,
            message: "lock targeting User:\"x\" is in force".to_owned(),
        };
        let finding = refused(Part::Teleport, &error, &valid("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"));
        assert!(finding.remedy.contains("tctl get locks"), "{finding}");
    }

    #[test]
    fn a_request_is_routed_by_the_entries_that_serve_its_roles() {
        let routes = RoleToRecipients::new([("dba".to_owned(), vec![Recipient::ChannelName("dba".to_owned())])]);
        let imagined = |roles: &[&str]| Imagined {
            user: "alice".to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            reviewers: Vec::new(),
        };
        assert!(texts(&explain(&routes, &imagined(&["dba", "dev"]))).contains("role dev adds no recipients"));
        assert!(texts(&explain(&routes, &imagined(&["dev"]))).contains("a request of alice for dev reaches nobody"));
    }
}
