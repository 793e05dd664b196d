//! What an error means for the person who reads the object's status: pure.

use std::io::ErrorKind;

use jiff::Timestamp;

use crate::config::paths;
use crate::crd::condition::Finding;
use crate::crd::reason::Reason;
use crate::slack::api::SettingsError;
use crate::slack::error::{Class, Error as SlackError};
use crate::teleport::dial::{DialError, Refusal, StepError};
use crate::teleport::error::{CallError, Kind};
use crate::teleport::identity::{Identity, IdentityError};
use crate::teleport::join::{JoinError, Reason as Refused};
use crate::worker::identity_source::SourceError;
use crate::worker::session::ConnectError;
use crate::worker::{Error, SLACK_BUNDLE, TELEPORT_BUNDLE};

/// An identity that cannot be loaded. A managed worker names the Secret, not the file it is mounted at.
pub(crate) fn of_identity(error: &IdentityError) -> Finding {
    match error {
        IdentityError::Read { path, source } if source.kind() == ErrorKind::NotFound => {
            let message = paths::origin(path).map_or_else(|| error.to_string(), |origin| origin.missing());
            Finding::new(Reason::IdentityMissing, message)
        }
        error => Finding::new(Reason::IdentityMalformed, error.to_string()),
    }
}

/// An identity that files do not hold, or that Teleport does not give.
pub(crate) fn of_source(error: &SourceError) -> Finding {
    match error {
        SourceError::Files(error) => of_identity(error),
        SourceError::Join(error) => of_join(error),
    }
}

/// A join that failed.
pub(crate) fn of_join(error: &JoinError) -> Finding {
    let reason = match error {
        JoinError::TokenFile(_) => Reason::TokenFileMissing,
        JoinError::Server(error) if error.is_distrust() => Reason::JoinUntrusted,
        JoinError::Server(_) | JoinError::Form { .. } | JoinError::Dial(_) | JoinError::Call(_) | JoinError::Key(_) => {
            Reason::JoinUnreachable
        }
        JoinError::WrongRole { .. } => Reason::JoinRoleMissing,
        JoinError::Address(_) | JoinError::Certificates(_) => Reason::JoinRefused,
        JoinError::Refused(refusal) => match refusal.reason {
            Refused::TokenMissing => Reason::JoinTokenMissing,
            Refused::AudienceWrong => Reason::JoinAudienceWrong,
            Refused::NotAllowed => Reason::JoinNotAllowed,
            Refused::KeyUnknown => Reason::JoinKeyUnknown,
            Refused::Locked => Reason::IdentityLocked,
            Refused::RoleMissing => Reason::JoinRoleMissing,
            Refused::Other => Reason::JoinRefused,
        },
    };
    Finding::new(reason, error.to_string())
}

/// A token that cannot be loaded, or that was refused.
pub(crate) fn of_token(error: &Error) -> Finding {
    match error {
        Error::File { path, source, .. } if source.kind() == ErrorKind::NotFound => {
            let message = paths::origin(path).map_or_else(|| error.to_string(), |origin| origin.missing());
            Finding::new(Reason::TokenMissing, message)
        }
        Error::Slack { error } => of_slack(error),
        Error::OtherWorkspace { .. } => Finding::new(Reason::WorkspaceChanged, error.to_string()),
        error => Finding::new(Reason::TokenMalformed, error.to_string()),
    }
}

/// A CA bundle that cannot be used, and the setting that names it; `None` if it is something else that cannot be used.
pub(crate) fn of_ca_bundle(error: &Error) -> Option<(&'static str, Finding)> {
    let finding = |reason| Finding::new(reason, error.to_string());
    match error {
        Error::File { key: key @ (TELEPORT_BUNDLE | SLACK_BUNDLE), path, source }
            if source.kind() == ErrorKind::NotFound =>
        {
            let message = paths::origin(path).map_or_else(|| error.to_string(), |origin| origin.missing());
            Some((key, Finding::new(Reason::CaBundleMissing, message)))
        }
        Error::File { key: key @ (TELEPORT_BUNDLE | SLACK_BUNDLE), .. }
        | Error::Unusable { key: key @ TELEPORT_BUNDLE, .. } => Some((key, finding(Reason::CaBundleMalformed))),
        Error::SlackSettings(SettingsError::CaBundle { .. }) => {
            Some((SLACK_BUNDLE, finding(Reason::CaBundleMalformed)))
        }
        _ => None,
    }
}

/// A call that Slack refused, or that did not get through.
pub(crate) fn of_slack(error: &SlackError) -> Finding {
    let reason = match error.class {
        Class::Auth if error.code == "missing_scope" => Reason::ScopeMissing,
        Class::Auth => Reason::TokenRefused,
        _ => Reason::SlackUnreachable,
    };
    Finding::new(reason, format!("{error}; {}", error.remedy()))
}

/// A failed attempt to connect.
pub(crate) fn of_connecting(error: &ConnectError) -> Finding {
    let reason = match error {
        ConnectError::Dial(DialError::Refused { refusal: Refusal::Expired, .. }) | ConnectError::Expired { .. } => {
            Reason::IdentityExpired
        }
        ConnectError::Dial(DialError::Refused { .. }) | ConnectError::TooEarly { .. } => Reason::IdentityRefused,
        ConnectError::Dial(DialError::Unreachable { failures, .. })
            if failures.iter().any(|failure| is_distrust(&failure.error)) =>
        {
            Reason::TeleportUntrusted
        }
        ConnectError::Refused { error, .. } if error.is_of_identity() => Reason::IdentityRefused,
        ConnectError::Refused { .. } | ConnectError::Lacks { .. } => Reason::PermissionMissing,
        ConnectError::Call(error) => return of_call(error),
        ConnectError::Dial(_) => Reason::TeleportUnreachable,
    };
    Finding::new(reason, error.to_string())
}

fn is_distrust(error: &StepError) -> bool {
    matches!(error, StepError::ForeignServer(_) | StepError::WebCertificate(_))
}

/// A refusal on a connection that stands: the identity has ended, its user is locked or gone, or a right is missing.
pub(crate) fn of_refusal(error: &CallError, identity: Option<&Identity>, now: Timestamp) -> Finding {
    match identity {
        Some(identity) if identity.is_expired(now) => {
            let (user, expires) = (identity.user(), identity.not_after());
            let message = format!(
                "the identity of user `{user}` expired at {expires}, and Teleport refuses it: sign a new one (tctl auth sign --user={user})"
            );
            Finding::new(Reason::IdentityExpired, message)
        }
        _ => of_call(error),
    }
}

/// A failed call on a connection that stood.
pub(crate) fn of_call(error: &CallError) -> Finding {
    match error.kind {
        Kind::AccessDenied if error.is_lock() => {
            let remedy = "remove the lock (`tctl get locks`, `tctl rm lock/<name>`)";
            Finding::new(Reason::IdentityRefused, format!("{error}; {remedy}"))
        }
        Kind::AccessDenied if error.is_of_identity() => {
            let remedy = "create the user or role again that is gone, or sign an identity of another user";
            Finding::new(Reason::IdentityRefused, format!("{error}; {remedy}"))
        }
        Kind::AccessDenied => Finding::new(
            Reason::PermissionMissing,
            match error.missing_right() {
                Some(right) => format!("{error}; give the plugin's role {right}"),
                None => format!(
                    "{error}; give the plugin's role list and read on access_request, and update on access_plugin_data"
                ),
            },
        ),
        _ => Finding::new(Reason::TeleportUnreachable, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use crate::worker::health::condition_reason::*;

    #[test]
    fn a_missing_mount_is_told_as_the_secret_that_it_stands_for() {
        let path = paths::Source::Secret("slack-bot-token".to_owned()).folder().join("token");
        let error = Error::File { key: "slack.token", path, source: io::Error::from(ErrorKind::NotFound) };
        let trouble = of_token(&error);
        assert_eq!(trouble.reason, Reason::TokenMissing);
        assert!(trouble.message.contains("Secret `slack-bot-token` does not exist or has no key `token`"));
    }

    #[test]
    fn a_missing_file_elsewhere_is_told_by_its_path() {
        let path = PathBuf::from("/etc/token");
        let error = Error::File { key: "slack.token", path, source: io::Error::from(ErrorKind::NotFound) };
        assert!(of_token(&error).message.contains("/etc/token"));
    }

    #[test]
    fn a_ca_bundle_is_told_with_the_part_that_it_is_for() {
        let path = paths::Source::ConfigMap("company-ca".to_owned()).folder().join("ca.crt");
        let missing = Error::File { key: TELEPORT_BUNDLE, path, source: io::Error::from(ErrorKind::NotFound) };
        let (key, trouble) = of_ca_bundle(&missing).unwrap();
        assert_eq!((key, trouble.reason), (TELEPORT_BUNDLE, Reason::CaBundleMissing));
        assert!(trouble.message.contains("ConfigMap `company-ca` does not exist or has no key `ca.crt`"));
        let broken = Error::SlackSettings(SettingsError::CaBundle { reason: "no PEM".to_owned() });
        assert_eq!(of_ca_bundle(&broken).unwrap().1.reason, Reason::CaBundleMalformed);
        let token = Error::File { key: "slack.token", path: "/t".into(), source: io::Error::from(ErrorKind::NotFound) };
        assert!(of_ca_bundle(&token).is_none());
    }

    #[test]
    fn slack_errors_are_told_with_their_remedy() {
        let revoked = of_slack(&SlackError::new("auth.test", "token_revoked", None));
        assert_eq!(revoked.reason, Reason::TokenRefused);
        assert!(revoked.message.contains("reinstall the app"), "{}", revoked.message);
        let down = of_slack(&SlackError::new("auth.test", "connect_failed", None));
        assert_eq!(down.reason, Reason::SlackUnreachable);
    }
}
