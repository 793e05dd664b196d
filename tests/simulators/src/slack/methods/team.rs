//! What an app finds out about its surroundings (Slack docs: api.test, bots.info, emoji.list, team.info).

use serde_json::{Value, json};

use crate::slack::args::Args;
use crate::slack::call::Call;
use crate::slack::clock::ts;
use crate::slack::refusal::{Answer, Refusal};

/// `api.test` needs no token: it answers what it was asked, and fails with the argument `error` on demand.
pub(in crate::slack) fn echo(args: &Args) -> Result<Answer, Refusal> {
    let said = Value::Object(args.values().clone());
    match args.text("error")?.filter(|error| !error.is_empty()) {
        Some(error) => Err(Refusal::new(error.into_owned()).with("args", said)),
        None => Ok(Answer::of(json!({"args": said}))),
    }
}

pub(super) fn echo_call(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    echo(call.args)
}

pub(super) fn bot_info(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let id = call.args.text("bot")?.or(call.caller.bot_id.as_deref().map(Into::into)).unwrap_or_default();
    let app = call.world.apps.values().find(|app| app.bot_id == id).ok_or_else(|| Refusal::new("bot_not_found"))?;
    Ok(Answer::of(json!({"bot": {
        "id": app.bot_id, "deleted": false, "name": app.name, "updated": 1_700_000_000, "app_id": app.id,
        "user_id": app.bot_user, "icons": {"image_36": "", "image_48": "", "image_72": ""},
    }})))
}

/// Nobody has uploaded any; what belongs to which category is not known here.
pub(super) fn custom_emoji(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    call.args.flag("include_categories", false)?;
    Ok(Answer::of(json!({"emoji": {}, "cache_ts": ts(call.now)})))
}

pub(super) fn info(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let team = call.world.team(call.team()).ok_or_else(|| Refusal::new("team_not_found"))?;
    Ok(Answer::of(json!({"team": {
        "id": team.id, "name": team.name, "domain": team.domain, "email_domain": "",
        "url": format!("https://{}.slack.com/", team.domain), "icon": {"image_default": true},
    }})))
}
