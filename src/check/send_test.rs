//! Posts a marked message to each recipient and removes it again.

use serde_json::Value;

use crate::check::finding::{Finding, Part};
use crate::check::probe::patiently;
use crate::slack::api::{Client, Post};
use crate::slack::message::Content;

const TEXT: &str = "Test of slack-access-operator: access requests will be announced here. No request was made, nothing has \
                    to be done, and this message is removed at once.";

/// Sends to each place: its name for people, and what Slack takes as the channel.
pub(super) async fn send(client: &Client, places: Vec<(String, String)>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, channel) in places {
        let content = Content { text: TEXT.to_owned(), blocks: Value::Null, metadata: None };
        let post = Post { channel, content, thread_ts: None };
        let posted = match patiently(|| client.post_message(&post)).await {
            Ok(posted) => posted,
            Err(error) => {
                let remedy = client.remedy(&error);
                findings.push(Finding::failure(Part::Delivery, format!("no message reaches {name}: {error}"), remedy));
                continue;
            }
        };
        findings.push(match patiently(|| client.delete_message(&posted.message)).await {
            Ok(()) => Finding::ok(Part::Delivery, format!("a message reached {name} and was removed")),
            Err(error) => Finding::warning(
                Part::Delivery,
                format!("a message reached {name} and could not be removed: {error}"),
                "delete it by hand",
            ),
        });
    }
    findings
}
