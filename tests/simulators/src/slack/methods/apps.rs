//! `apps.connections.open` (Slack docs: Socket Mode).

use serde_json::json;

use crate::slack::call::Call;
use crate::slack::refusal::{Answer, Refusal};

pub(super) fn open(call: &mut Call<'_>) -> Result<Answer, Refusal> {
    let app = call.caller.token.app.clone();
    // Switched off in the app's settings.
    if !call.app().is_some_and(|app| app.socket_mode) {
        return Err(Refusal::new("forbidden_team"));
    }
    let ticket = call.world.sockets.new_ticket(&app);
    let base = call.base.replacen("http", "ws", 1);
    Ok(Answer::of(json!({"url": format!("{base}/link/?ticket={ticket}&app_id={app}")})))
}
