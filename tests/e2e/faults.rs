//! What can be wrong, and that `kubectl get sap` alone tells somebody who has never seen the project what to do about it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use simulators::slack::TokenState;

use crate::journey::{Journey, condition};

/// How one thing goes wrong and is mended.
struct Fault {
    /// For people.
    what: &'static str,
    /// What has to be in the message that `kubectl get sap` shows.
    says: &'static [&'static str],
    breaks: Act,
    mends: Act,
}

/// Something that a user, Teleport's administrator or Slack's does.
enum Act {
    /// A merge patch of the object.
    Patch(&'static str),
    /// A line of a shell.
    Shell(&'static str),
    /// The object as the sample has it.
    Sample,
    /// On Teleport or Slack.
    Outside(fn(&Journey)),
    /// An identity with so many seconds to live.
    Identity(u64),
    /// The Secret of the identity, made from this.
    IdentitySecret(&'static str),
    /// No Secret of the identity any more.
    NoIdentitySecret,
}

const DAY: u64 = 24 * 60 * 60;

const FAULTS: &[Fault] = &[
    Fault {
        what: "a channel that does not exist",
        says: &["no-such-channel"],
        breaks: Act::Patch(r#"{"spec":{"roleToRecipients":{"dba":["no-such-channel"]}}}"#),
        mends: Act::Sample,
    },
    Fault {
        what: "a channel that the bot was not invited to",
        says: &["invite", "random"],
        breaks: Act::Patch(r#"{"spec":{"roleToRecipients":{"dba":["random"]}}}"#),
        mends: Act::Outside(|journey| journey.outside.slack.workspace().invite("random", simulators::slack::BOT_USER)),
    },
    Fault {
        what: "a revoked token",
        says: &["token_revoked", "new bot token"],
        breaks: Act::Outside(|journey| {
            journey.outside.slack.workspace().set_token_state("xoxb-second-token", TokenState::Revoked);
            // It cannot be announced now, and is when the token works again.
            journey.outside.request("access", &["access-requests"]);
        }),
        mends: Act::Outside(|journey| {
            journey.outside.slack.workspace().set_token_state("xoxb-second-token", TokenState::Active);
        }),
    },
    Fault { what: "an expired identity", says: &["expired"], breaks: Act::Identity(5), mends: Act::Identity(DAY) },
    Fault {
        what: "a Teleport that cannot be reached",
        says: &["teleport.example.com:444"],
        breaks: Act::Patch(r#"{"spec":{"teleport":{"address":"teleport.example.com:444"}}}"#),
        mends: Act::Sample,
    },
    Fault {
        what: "a missing permission in Teleport",
        says: &["access_request"],
        breaks: Act::Outside(|journey| {
            journey.outside.teleport.set_permissions("slack-plugin", Some(Vec::new()));
            journey.outside.teleport.cut_streams();
        }),
        mends: Act::Outside(|journey| journey.outside.teleport.set_permissions("slack-plugin", None)),
    },
    Fault {
        what: "a missing Secret",
        says: &["teleport-slack-identity"],
        breaks: Act::NoIdentitySecret,
        mends: Act::IdentitySecret("--from-file=auth_id=auth.pem"),
    },
    Fault {
        what: "a wrong key in the Secret",
        says: &["teleport-slack-identity", "auth_id"],
        breaks: Act::IdentitySecret("--from-file=wrong=auth.pem"),
        mends: Act::IdentitySecret("--from-file=auth_id=auth.pem"),
    },
    Fault {
        what: "a missing CA bundle",
        says: &["ConfigMap `company-ca`", "`ca.crt`"],
        breaks: Act::Patch(r#"{"spec":{"teleport":{"caBundle":{"configMapRef":{"name":"company-ca"}}}}}"#),
        mends: Act::Patch(r#"{"spec":{"teleport":{"caBundle":null}}}"#),
    },
    Fault {
        what: "a pod that no node takes",
        says: &["node(s) didn't match", "the worker of the earlier configuration goes on"],
        breaks: Act::Patch(r#"{"spec":{"workload":{"nodeSelector":{"pool":"none"}}}}"#),
        mends: Act::Patch(r#"{"spec":{"workload":{"nodeSelector":null}}}"#),
    },
    Fault {
        what: "an image that cannot be pulled",
        says: &["ghcr.io/slackaccess/no-such-image:1"],
        // The policy allows the operator's own image only, until its administrator says otherwise.
        breaks: Act::Shell(
            "helm upgrade slack-access-operator charts/slack-access-operator -n teleport --set 'policy.images={ghcr.io/slackaccess/*}' --wait && \
             kubectl patch sap slack --type=merge -p '{\"spec\":{\"workload\":{\"image\":\"ghcr.io/slackaccess/no-such-image:1\"}}}'",
        ),
        mends: Act::Patch(r#"{"spec":{"workload":{"image":null}}}"#),
    },
];

impl Act {
    async fn happen(&self, journey: &Journey) {
        match self {
            Self::Patch(patch) => journey.patch(patch).await,
            Self::Shell(line) => drop(journey.shell(line).await),
            Self::Sample => drop(journey.shell("kubectl apply -f manifests/sample.yaml").await),
            Self::Outside(act) => act(journey),
            Self::Identity(seconds) => {
                journey.sign_identity(Duration::from_secs(*seconds));
                journey.put_secret("teleport-slack-identity", "--from-file=auth_id=auth.pem").await;
            }
            Self::IdentitySecret(from) => journey.put_secret("teleport-slack-identity", from).await,
            Self::NoIdentitySecret => drop(journey.shell("kubectl delete secret teleport-slack-identity").await),
        }
    }
}

pub(crate) async fn whatever_is_wrong_is_said_in_one_line_and_heals_when_mended(journey: Arc<Journey>) {
    for fault in FAULTS {
        fault.breaks.happen(&journey).await;
        let mut shown = Value::Null;
        journey
            .until(&format!("{}: a message with {:?}", fault.what, fault.says), async || {
                shown = condition(&journey.plugin().await, "Ready");
                let message = shown["message"].as_str().unwrap_or_default();
                shown["status"] != "True" && fault.says.iter().all(|word| message.contains(word))
            })
            .await;
        println!("  {}: {} {}", fault.what, shown["reason"], shown["message"]);
        fault.mends.happen(&journey).await;
        journey.until_condition("Ready", "True").await;
    }
    journey.shell("kubectl apply -f manifests/sample.yaml").await;
    journey.until_condition("Ready", "True").await;
    journey.outside.works("access", &["access-requests"]).await;
}
