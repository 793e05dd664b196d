//! What an app is told of without anybody touching its messages: events and slash commands (Slack docs: Events API, slash commands).

use serde_json::{Value, json};

use super::handle::{Handle, find_channel, find_user};
use super::model::Message;
use super::socket::ClickError;

impl Handle {
    /// Sends an event of the Events API, such as `{"type": "app_mention", …}`, in the form that Slack gives it. Returns the first
    /// envelope's id.
    pub fn emit_event(&self, event: &Value) -> Result<String, ClickError> {
        let payload = self.write(|world| {
            let (id, time) = (world.new_id('E'), world.clock.now() / 1_000_000);
            let team = world.teams.first().map(|team| team.id.clone());
            let app = world.apps.values().next();
            json!({
                "type": "event_callback", "token": "deprecated-verification-token", "team_id": team, "event": event,
                "api_app_id": app.map(|app| &app.id), "event_id": id.replacen('E', "Ev", 1), "event_time": time,
                "is_ext_shared_channel": false,
                "authorizations": [{
                    "enterprise_id": null, "team_id": team, "user_id": app.map(|app| &app.bot_user), "is_bot": true,
                    "is_enterprise_install": false,
                }],
            })
        });
        self.send_event(payload)
    }

    /// A person (id, e-mail or handle) types a slash command, `/name`, into a channel. Returns the envelope's id.
    pub fn command(&self, user: &str, channel: &str, command: &str, text: &str) -> Result<String, ClickError> {
        let base = self.base().to_owned();
        let payload = self.write(|world| {
            let user = find_user(world, user).filter(|user| !user.deleted).cloned().ok_or(ClickError::NoAccess)?;
            let channel = find_channel(world, channel).ok_or(ClickError::NoMessage)?;
            let (channel, name) = (channel.id.clone(), channel.name.clone());
            let team = world.teams.first().cloned();
            let app = world.apps.values().next().cloned();
            let now = world.clock.now();
            // There is no message yet that an answer could replace.
            let bot = app.as_ref().map_or("", |app| app.bot_user.as_str());
            let source = Message::blank(&channel, "", bot, &user.team);
            let hook = world.hooks.open(&user.id, source, true, now);
            Ok::<_, ClickError>(json!({
                "token": "deprecated-verification-token", "team_id": team.as_ref().map(|team| &team.id),
                "team_domain": team.as_ref().map(|team| &team.domain), "channel_id": channel, "channel_name": name,
                "user_id": user.id, "user_name": user.name, "command": command, "text": text,
                "api_app_id": app.map(|app| app.id), "is_enterprise_install": "false",
                "response_url": format!("{base}/hooks/{hook}"),
                "trigger_id": world.views.new_trigger(&user.id, None, now),
            }))
        })?;
        self.deliver("slash_commands", payload, None)
    }
}
