//! The catalogue of methods: names, tiers, scopes, and which of them read JSON bodies (Slack docs: methods).

mod apps;
mod auth;
mod chat;
mod content;
mod conversations;
mod history;
mod page;
mod reactions;
mod retired;
mod scheduled;
mod team;
mod usergroups;
mod users;
mod views;

use super::call::Call;
use super::limits::Tier::{self, Four, One, Special, Three, Two};
use super::refusal::{Answer, Refusal};

pub(super) use self::content::{generate_blocks, store_text};
pub(super) use self::retired::refuse as refuse_retired;
pub(super) use self::team::echo;

/// Which tokens a method takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    BotOrUser,
    Bot,
    AppLevel,
    /// Any or none: nobody looks.
    NoToken,
}

/// One method.
pub(super) struct Method {
    pub(super) name: &'static str,
    /// Sees the arguments of a JSON body.
    pub(super) json: bool,
    /// Only reads, so that stale reads make sense.
    pub(super) reads: bool,
    pub(super) takes: Takes,
    pub(super) tier: Tier,
    /// Any one of them is needed. Where the conversation's kind decides, the method itself looks again.
    pub(super) scopes: &'static [&'static str],
    pub(super) run: fn(&mut Call<'_>) -> Result<Answer, Refusal>,
}

const HISTORY: &[&str] = &["channels:history", "groups:history", "im:history", "mpim:history"];
const READ: &[&str] = &["channels:read", "groups:read", "im:read", "mpim:read"];
const LEAVE: &[&str] = &["channels:manage", "channels:write", "groups:write", "im:write", "mpim:write"];
const OPEN: &[&str] = &["im:write", "mpim:write", "channels:manage", "groups:write"];

const fn writes(
    name: &'static str,
    tier: Tier,
    scopes: &'static [&'static str],
    run: fn(&mut Call<'_>) -> Result<Answer, Refusal>,
) -> Method {
    Method { name, json: true, reads: false, takes: Takes::BotOrUser, tier, scopes, run }
}

const fn reads(
    name: &'static str,
    tier: Tier,
    scopes: &'static [&'static str],
    run: fn(&mut Call<'_>) -> Result<Answer, Refusal>,
) -> Method {
    Method { name, json: false, reads: true, takes: Takes::BotOrUser, tier, scopes, run }
}

static METHODS: &[Method] = &[
    Method { takes: Takes::NoToken, ..writes("api.test", Four, &[], team::echo_call) },
    Method { takes: Takes::AppLevel, ..writes("apps.connections.open", One, &["connections:write"], apps::open) },
    writes("auth.test", Special(600), &[], auth::test),
    reads("bots.info", Three, &["users:read"], team::bot_info),
    writes("chat.delete", Three, &["chat:write"], chat::delete),
    writes("chat.deleteScheduledMessage", Three, &["chat:write"], scheduled::delete),
    reads("chat.getPermalink", Special(600), &[], chat::permalink),
    Method { takes: Takes::Bot, ..writes("chat.postEphemeral", Four, &["chat:write"], chat::post_ephemeral) },
    writes("chat.postMessage", Special(300), &["chat:write"], chat::post_message),
    writes("chat.scheduleMessage", Three, &["chat:write"], scheduled::schedule),
    writes("chat.scheduledMessages.list", Three, &[], scheduled::list),
    writes("chat.update", Three, &["chat:write"], chat::update),
    Method { json: true, ..reads("conversations.history", Three, HISTORY, history::history) },
    reads("conversations.info", Three, READ, conversations::info),
    writes("conversations.join", Three, &["channels:join"], conversations::join),
    writes("conversations.leave", Three, LEAVE, conversations::leave),
    reads("conversations.list", Two, READ, conversations::list),
    reads("conversations.members", Four, READ, conversations::members),
    writes("conversations.open", Three, OPEN, conversations::open),
    reads("conversations.replies", Three, HISTORY, history::replies),
    reads("emoji.list", Two, &["emoji:read"], team::custom_emoji),
    writes("reactions.add", Three, &["reactions:write"], reactions::add),
    reads("reactions.get", Three, &["reactions:read"], reactions::get),
    reads("reactions.list", Two, &["reactions:read"], reactions::list),
    writes("reactions.remove", Two, &["reactions:write"], reactions::remove),
    reads("team.info", Three, &["team:read"], team::info),
    reads("usergroups.list", Two, &["usergroups:read"], usergroups::list),
    reads("usergroups.users.list", Two, &["usergroups:read"], usergroups::users),
    reads("users.conversations", Three, READ, conversations::of_user),
    reads("users.info", Four, &["users:read"], users::info),
    reads("users.list", Two, &["users:read"], users::list),
    reads("users.lookupByEmail", Three, &["users:read.email"], users::lookup_by_email),
    reads("users.profile.get", Four, &["users.profile:read"], users::profile),
    Method { takes: Takes::Bot, ..writes("views.open", Four, &[], views::open) },
    Method { takes: Takes::Bot, ..writes("views.publish", Four, &[], views::publish) },
    Method { takes: Takes::Bot, ..writes("views.push", Four, &[], views::push) },
    Method { takes: Takes::Bot, ..writes("views.update", Four, &[], views::update) },
];

/// The method of this name.
pub(super) fn find(name: &str) -> Option<&'static Method> {
    let index = METHODS.binary_search_by(|method| method.name.cmp(name)).ok()?;
    METHODS.get(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_its_name() {
        for method in METHODS {
            assert_eq!(find(method.name).map(|found| found.name), Some(method.name));
        }
        assert!(find("chat.postmessage").is_none());
    }
}
