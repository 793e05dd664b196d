//! `auth.test` (Slack docs: auth.test).

use serde_json::json;

use crate::slack::call::Call;
use crate::slack::refusal::{Answer, Refusal};

#[expect(clippy::unnecessary_wraps, reason = "has the shape of every method")]
pub(super) fn test(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let team = call.world.team(call.team());
    let (name, domain) = team.map_or(("", ""), |team| (team.name.as_str(), team.domain.as_str()));
    let user = call.world.users.get(&call.caller.user).map_or("", |user| user.name.as_str());
    let mut body = json!({
        "url": format!("https://{domain}.slack.com/"), "team": name, "user": user, "team_id": call.team(),
        "user_id": call.caller.user, "is_enterprise_install": call.caller.token.org_wide,
    });
    if let (Some(bot), Some(body)) = (&call.caller.bot_id, body.as_object_mut()) {
        body.insert("bot_id".to_owned(), json!(bot));
    }
    Ok(Answer::of(body))
}
