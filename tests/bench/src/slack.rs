//! The Slack end: a workspace with twenty channels, and what arrived there.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use simulators::slack::{App, BOT_TOKEN, BOT_USER, Channel, Limits, Server, Token, User, Workspace, scopes};
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::cluster::REQUESTER;
use crate::requests::Micros;

/// Channels that requests are spread over.
pub(crate) const CHANNELS: usize = 20;

/// Id of a channel.
pub(crate) fn channel(number: usize) -> String {
    format!("C0BENCH{number:04}")
}

/// No limits: what the plugin itself can do.
pub(crate) fn unlimited() -> Limits {
    Limits::off()
}

/// One message a second and channel after a burst of three; nothing else is limited.
pub(crate) fn one_a_second() -> Limits {
    const PLENTY: u32 = 1_000_000;
    let per_method = ["users.lookupByEmail", "users.info", "auth.test", "conversations.list"];
    Limits {
        per_method: per_method.into_iter().map(|method| (method.to_owned(), PLENTY)).collect(),
        channel_burst: 3,
        workspace_per_minute: PLENTY,
        ..Limits::default()
    }
}

/// What became of a set of requests.
pub(crate) struct Outcome {
    /// Requests without a message.
    pub(crate) lost: usize,
    /// Messages beyond the first of a request.
    pub(crate) doubled: usize,
}

/// A running workspace.
pub(crate) struct Slack {
    pub(crate) server: Server,
}

impl Slack {
    pub(crate) async fn start(limits: Limits) -> Result<Self, Failure> {
        let requester = User::member("U0ALICE0001", "alice", REQUESTER).named("Alice Adams");
        let mut workspace = Workspace::new("T0BENCH", "Bench", "bench")
            .app(App::new("A0BENCH", "teleport", "B0BENCH", BOT_USER))
            .token(Token::bot(BOT_TOKEN, scopes::NOTIFY_AND_LOOK))
            .user(requester)
            .limits(limits)
            .configure(|settings| settings.journal_capacity = 100_000);
        for number in 0..CHANNELS {
            let channel = Channel::public(&channel(number), &format!("team-{number}"));
            workspace = workspace.channel(channel.members([BOT_USER]));
        }
        Ok(Self { server: Server::start(workspace).await? })
    }

    /// Waits until all requests have their message, or nobody has called Slack for so long that none will come.
    pub(crate) async fn settle(&self, ids: &[String]) -> Outcome {
        const LOOK: Duration = Duration::from_secs(1);
        /// After the last message: time for one too many.
        const AFTER: Duration = Duration::from_secs(2);
        /// Without a call: nothing more will come.
        const GIVEN_UP: Duration = Duration::from_secs(40);
        let slack = self.server.workspace();
        let (mut calls, mut since) = (slack.call_count(), Instant::now());
        loop {
            sleep(LOOK).await;
            let now = slack.call_count();
            if now != calls {
                (calls, since) = (now, Instant::now());
            }
            let outcome = self.outcome(ids);
            let patience = if outcome.lost == 0 { AFTER } else { GIVEN_UP };
            if since.elapsed() >= patience {
                return outcome;
            }
        }
    }

    fn outcome(&self, ids: &[String]) -> Outcome {
        let mut messages: HashMap<&str, usize> = ids.iter().map(|id| (id.as_str(), 0)).collect();
        for number in 0..CHANNELS {
            for message in self.server.workspace().messages(&channel(number)) {
                let texts = [message.sent_text.clone(), format!("{:?}{:?}", message.blocks, message.metadata)];
                let id = texts.iter().flat_map(|text| uuids(text)).find(|id| messages.contains_key(id));
                if let Some(count) = id.and_then(|id| messages.get_mut(id)).filter(|_| message.thread_ts.is_none()) {
                    *count += 1;
                }
            }
        }
        Outcome {
            lost: messages.values().filter(|count| **count == 0).count(),
            doubled: messages.values().map(|count| count.saturating_sub(1)).sum(),
        }
    }

    /// When the first message of each request was stored and acknowledged.
    pub(crate) fn stored(&self) -> HashMap<String, Micros> {
        let mut stored = HashMap::new();
        for call in self.server.workspace().calls("chat.postMessage") {
            let text = call.args.to_string();
            // The id may stand in the message more than once; nothing else in it looks like one.
            let id = uuids(&text).next().filter(|_| call.ok());
            if let Some(id) = id {
                stored.entry(id.to_owned()).or_insert(call.at + call.duration);
            }
        }
        stored
    }

    /// Calls made although a 429 had asked to wait.
    pub(crate) fn impatient_calls(&self) -> usize {
        // The simulation's own words, of a channel's limit as of a method's.
        const WORDS: &str = "although a 429 had asked to wait";
        let calls = self.server.workspace().journal();
        calls.iter().filter(|call| call.violations.iter().any(|violation| violation.contains(WORDS))).count()
    }
}

/// Everything in a text that has the shape of a request's id.
fn uuids(text: &str) -> impl Iterator<Item = &str> {
    const LENGTH: usize = 36;
    let distinct: HashSet<&str> = text
        .char_indices()
        .filter_map(|(at, _)| text.get(at..at + LENGTH))
        .filter(|word| {
            word.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            })
        })
        .collect();
    distinct.into_iter()
}
