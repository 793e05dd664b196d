//! Words for one person: tried in several ways, since each may be closed.

use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, error};

use crate::slack::api::{Client, UserId};
use crate::slack::error::Error;
use crate::slack::interaction::Context;
use crate::slack::text;

/// Most units of the words; what Slack takes of a message for one person is about 4,000 bytes.
const LONGEST: usize = 1_200;
/// How often all ways are tried.
const ROUNDS: u32 = 3;
/// The longest time between two rounds.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Between rounds when Slack does not say how long to wait.
const WAIT: Duration = Duration::from_secs(2);

/// Tells the person something that nobody else sees. False where no way was open.
pub(super) async fn tell(slack: &Client, context: &Context, words: &str) -> bool {
    let user = UserId::new(&context.user_id);
    let words = text::escape(&text::shorten(words, LONGEST));
    let thread = context.thread_ts.as_deref();
    for round in 1..=ROUNDS {
        let mut wait = WAIT;
        let mut note = |way: &'static str, error: &Error| {
            debug!(way, %error, slack_user = %user, "Cannot tell a person this way");
            wait = wait.max(error.retry_after.unwrap_or_default());
        };
        // Works wherever the click was made, and takes no right.
        if let Some(url) = &context.response_url {
            match slack.respond(url, &words, thread).await {
                Ok(()) => return true,
                Err(error) => note("response_url", &error),
            }
        }
        if let Some(channel) = &context.channel {
            match slack.post_ephemeral(channel, &user, &words, thread).await {
                Ok(()) => return true,
                Err(error) => note("ephemeral", &error),
            }
        }
        match slack.post_direct(&user, &words).await {
            Ok(_) => return true,
            Err(error) => note("direct", &error),
        }
        if round < ROUNDS {
            sleep(wait.min(LONGEST_WAIT)).await;
        }
    }
    error!(slack_user = %user, "Cannot tell a person what became of a click");
    false
}
