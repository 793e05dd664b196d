//! `users.*` (Slack docs: users.info, users.list, users.lookupByEmail, users.profile.get).

use serde_json::{Value, json};

use super::page::Page;
use crate::slack::call::Call;
use crate::slack::model::{User, UserKind};
use crate::slack::refusal::{Answer, Refusal};

fn object(call: &Call<'_>, user: &User) -> Value {
    user.object(call.has_scope("users:read.email"))
}

/// A person by id whom the caller may see.
fn visible<'a>(call: &'a Call<'_>, id: &str) -> Result<&'a User, Refusal> {
    let user = call.world.users.get(id).ok_or_else(|| Refusal::new("user_not_found"))?;
    // People of other teams are seen only where a channel is shared; others are strangers.
    if user.team != call.team() && user.kind != UserKind::Stranger && !shares_channel(call, &user.id) {
        return Err(Refusal::new("user_not_visible"));
    }
    Ok(user)
}

pub(super) fn info(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let id = call.args.text_or_empty("user")?;
    let user = visible(call, &id)?;
    let with_email = call.has_scope("users:read.email") && user.email.is_some();
    let body = json!({"user": object(call, user)});
    if with_email {
        call.use_scope("users:read.email");
    }
    Ok(Answer::of(body))
}

/// The profile alone; without `user`, the caller's own.
pub(super) fn profile(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let id = call.args.text("user")?.map_or_else(|| call.caller.user.clone(), std::borrow::Cow::into_owned);
    let profile = object(call, visible(call, &id)?).get("profile").cloned().unwrap_or_default();
    if profile.get("email").is_some() {
        call.use_scope("users:read.email");
    }
    Ok(Answer::of(json!({"profile": profile})))
}

fn shares_channel(call: &Call<'_>, user: &str) -> bool {
    call.world.channels.values().any(|c| c.team == call.team() && c.members.contains(user))
}

pub(super) fn list(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    need_team(call)?;
    if !call.args.has("limit") {
        // Slack docs: pagination; large teams answer `limit_required`.
        call.flaw("users.list without limit");
    }
    let page = Page::read(call, "user", 1_000, 1_000)?;
    let users = call.world.users.values().filter(|user| user.team == call.team());
    let users = users.filter(|user| page.after.as_ref().is_none_or(|after| &user.id > after));
    let (users, next) = page.take("user", users, |user| user.id.clone());
    let members: Vec<_> = users.into_iter().map(|user| object(call, user)).collect();
    Ok(Answer::of(json!({
        "members": members, "cache_ts": call.now / 1_000_000, "response_metadata": {"next_cursor": next},
    })))
}

pub(super) fn lookup_by_email(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let email = call.args.required("email")?.trim().to_owned();
    let found = call.world.users.values().find(|user| {
        let visible = user.team == call.team() && !user.deleted && user.kind != UserKind::Stranger;
        visible && user.email.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(&email))
    });
    // Unknown and deactivated people are told apart by nothing.
    let user = found.ok_or_else(|| Refusal::new("users_not_found"))?;
    Ok(Answer::of(json!({"user": object(call, user)})))
}

/// Org-wide tokens have to name a team (Slack docs: org-ready apps).
pub(super) fn need_team(call: &Call<'_>) -> Result<(), Refusal> {
    if call.caller.token.org_wide && call.args.text_or_empty("team_id")?.is_empty() {
        return Err(Refusal::new("missing_argument").with("arg", "team_id"));
    }
    Ok(())
}
