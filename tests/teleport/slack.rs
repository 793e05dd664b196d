//! The simulated Slack workspace of one test.

use simulators::slack::{BOT_TOKEN, Handle, Limits, Message, Server, default_workspace};

use crate::cluster::SOON;

/// A workspace; strict unless said otherwise.
pub(crate) struct Slack(Server);

impl Slack {
    pub(crate) async fn start() -> Self {
        Self(Server::start(default_workspace()).await.unwrap())
    }

    /// For programs that are not ours: what they do wrong is theirs, and what is limited they lose.
    pub(crate) async fn lenient() -> Self {
        let workspace = default_workspace().limits(Limits::off()).configure(|settings| settings.strict = false);
        Self(Server::start(workspace).await.unwrap())
    }

    pub(crate) fn url(&self) -> String {
        self.0.url()
    }

    pub(crate) fn token(&self) -> &'static str {
        BOT_TOKEN
    }

    /// All messages about a request in a channel or in the direct messages of a person.
    pub(crate) fn about(&self, place: &str, id: &str) -> Vec<Message> {
        let workspace = self.0.workspace();
        let mut messages =
            if place.contains('@') { workspace.direct_messages(place) } else { workspace.messages(place) };
        messages.retain(|message| message.thread_ts.is_none() && is_about(message, id));
        messages
    }

    /// Waits until the one message about a request in a place is as wanted.
    pub(crate) async fn until(&self, place: &str, id: &str, wanted: impl Fn(&Message) -> bool) -> Message {
        let reached = |_: &Handle| self.about(place, id).first().is_some_and(&wanted);
        let waited = self.0.workspace().wait_for(reached, SOON).await;
        let mut messages = self.about(place, id);
        assert!(waited.is_ok(), "{place}: {messages:?}\n{waited:?}");
        assert_eq!(messages.len(), 1, "{place}: {messages:?}");
        messages.remove(0)
    }

    /// Waits for the announcement of a request.
    pub(crate) async fn announced(&self, place: &str, id: &str) -> Message {
        self.until(place, id, |_| true).await
    }

    /// Waits until a message has this headline, and this reaction if there is to be one.
    pub(crate) async fn shows(&self, place: &str, id: &str, headline: &str, reaction: Option<&str>) -> Message {
        self.until(place, id, |message| {
            let reacted = reaction.is_none_or(|name| message.reactions.iter().any(|reaction| reaction.name == name));
            shown(message).contains(headline) && reacted
        })
        .await
    }

    /// Ends the workspace: nothing was done that real Slack would have refused or warned about.
    pub(crate) async fn finish(self) {
        self.0.shutdown().await;
        self.0.assert_no_violations();
    }
}

fn is_about(message: &Message, id: &str) -> bool {
    let payload = message.metadata.as_ref().map(|metadata| &metadata["event_payload"]["request_id"]);
    payload.is_some_and(|request| request == id) || shown(message).contains(id)
}

/// Everything that a person sees of a message.
pub(crate) fn shown(message: &Message) -> String {
    let blocks = message.blocks.iter().map(ToString::to_string);
    std::iter::once(message.text.clone()).chain(blocks).collect::<Vec<_>>().join("\n")
}
