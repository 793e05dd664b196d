//! What a person did, as Slack tells it: `block_actions` and `view_submission` payloads. Pure; nothing in it is believed but who clicked.

use serde::Deserialize;
use serde_json::Value;

use crate::slack::message::review::{
    APPROVE, BLOCK, CHOICE_APPROVE, CHOICE_DENY, Choice, DECISION_BLOCK, DENY, ELEMENT, FORM, REASON_BLOCK, WITH_REASON,
};

/// An interaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interaction {
    /// A button was clicked.
    Click(Click),
    /// A form was submitted.
    Submission(Submission),
    /// A button or form that is not one of ours, with the person to tell.
    Unknown(Context),
    /// Nothing that a person waits for: a link, a closed form, an event.
    Nothing,
}

/// Who did it, where, and how to answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Id of the user; empty where the payload has none.
    pub user_id: String,
    /// The user's workspace.
    pub user_team_id: Option<String>,
    /// The app that it is for.
    pub app_id: Option<String>,
    /// The workspace that it comes from.
    pub team_id: Option<String>,
    /// The organization that it comes from.
    pub enterprise_id: Option<String>,
    /// The conversation.
    pub channel: Option<String>,
    /// The message.
    pub message_ts: Option<String>,
    /// The thread that the message is in.
    pub thread_ts: Option<String>,
    /// Where the person can be told something.
    pub response_url: Option<String>,
    /// Which permits to open a form, once and for 3 s.
    pub trigger_id: Option<String>,
}

/// A click on one of our buttons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Click {
    /// Who, and where.
    pub context: Context,
    /// Which button.
    pub button: Button,
    /// What the button carries: a request's id, if it is ours.
    pub value: String,
    /// By which the same click is known again.
    pub action_ts: String,
}

/// One of our buttons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Button {
    /// It decides.
    Decide(Choice),
    /// It opens a form.
    WithReason,
}

/// A submitted form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Who.
    pub context: Context,
    /// Id of the view.
    pub view_id: String,
    /// What we put into it.
    pub metadata: String,
    /// What was chosen in it.
    pub choice: Option<Choice>,
    /// What was written into it.
    pub reason: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Raw {
    #[serde(rename = "type")]
    kind: String,
    user: Option<RawUser>,
    api_app_id: Option<String>,
    team: Option<Id>,
    enterprise: Option<Id>,
    channel: Option<Id>,
    container: Option<Container>,
    message: Option<RawMessage>,
    response_url: Option<String>,
    trigger_id: Option<String>,
    actions: Vec<Action>,
    view: Option<View>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawUser {
    id: String,
    team_id: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Id {
    id: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Container {
    message_ts: Option<String>,
    channel_id: Option<String>,
    thread_ts: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawMessage {
    ts: Option<String>,
    thread_ts: Option<String>,
}

#[expect(clippy::struct_field_names, reason = "Slack's names")]
#[derive(Deserialize, Default)]
#[serde(default)]
struct Action {
    action_id: String,
    block_id: String,
    value: Option<String>,
    url: Option<String>,
    action_ts: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct View {
    id: String,
    callback_id: String,
    private_metadata: String,
    state: Option<Value>,
}

impl Interaction {
    /// Reads the payload of an envelope. What has another form than Slack documents is [`Interaction::Unknown`].
    pub fn parse(payload: &Value) -> Self {
        let Ok(raw) = Raw::deserialize(payload) else {
            // Whoever it was is told, where at least that can be read.
            let user_id = payload.pointer("/user/id").and_then(Value::as_str).unwrap_or_default().to_owned();
            return Self::Unknown(Context { user_id, ..Context::default() });
        };
        match raw.kind.as_str() {
            "block_actions" => click(raw),
            "view_submission" => submission(raw),
            _ => Self::Nothing,
        }
    }
}

fn context(raw: &mut Raw) -> Context {
    let id = |id: Option<Id>| id.map(|id| id.id).filter(|id| !id.is_empty());
    let user = raw.user.take().unwrap_or_default();
    let container = raw.container.take().unwrap_or_default();
    let message = raw.message.take().unwrap_or_default();
    Context {
        user_id: user.id,
        user_team_id: user.team_id.filter(|team| !team.is_empty()),
        app_id: raw.api_app_id.take().filter(|app| !app.is_empty()),
        team_id: id(raw.team.take()),
        enterprise_id: id(raw.enterprise.take()),
        channel: id(raw.channel.take()).or(container.channel_id),
        message_ts: message.ts.or(container.message_ts),
        thread_ts: message.thread_ts.or(container.thread_ts),
        response_url: raw.response_url.take(),
        trigger_id: raw.trigger_id.take(),
    }
}

fn click(mut raw: Raw) -> Interaction {
    let context = context(&mut raw);
    let mut actions = raw.actions;
    let (Some(action), true) = (actions.pop(), actions.is_empty()) else { return Interaction::Unknown(context) };
    if action.url.is_some() {
        return Interaction::Nothing;
    }
    let button = match action.action_id.as_str() {
        APPROVE => Button::Decide(Choice::Approve),
        DENY => Button::Decide(Choice::Deny),
        WITH_REASON => Button::WithReason,
        _ => return Interaction::Unknown(context),
    };
    if action.block_id != BLOCK {
        return Interaction::Unknown(context);
    }
    let value = action.value.unwrap_or_default();
    Interaction::Click(Click { context, button, value, action_ts: action.action_ts })
}

fn submission(mut raw: Raw) -> Interaction {
    let context = context(&mut raw);
    let Some(view) = raw.view.filter(|view| view.callback_id == FORM) else { return Interaction::Unknown(context) };
    let state = view.state.unwrap_or_default();
    let element = |block: &str| state.get("values")?.get(block)?.get(ELEMENT);
    let choice = element(DECISION_BLOCK).and_then(|element| element.pointer("/selected_option/value"));
    let reason = element(REASON_BLOCK).and_then(|element| element.get("value")).and_then(Value::as_str);
    Interaction::Submission(Submission {
        context,
        view_id: view.id,
        metadata: view.private_metadata,
        choice: match choice.and_then(Value::as_str) {
            Some(CHOICE_APPROVE) => Some(Choice::Approve),
            Some(CHOICE_DENY) => Some(Choice::Deny),
            _ => None,
        },
        reason: reason.unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payload() -> Value {
        json!({
            "type": "block_actions", "team": {"id": "T1", "domain": "x"}, "enterprise": null, "is_enterprise_install": "false",
            "user": {"id": "U1", "username": "bob", "team_id": "T1"}, "api_app_id": "A1", "token": "old",
            "container": {"type": "message", "message_ts": "1.1", "channel_id": "C1", "is_ephemeral": false},
            "trigger_id": "t", "channel": {"id": "C1", "name": "directmessage"}, "response_url": "https://hooks.slack.com/x",
            "message": {"ts": "1.1", "blocks": []}, "state": {"values": {}},
            "actions": [{"type": "button", "action_id": APPROVE, "block_id": BLOCK, "value": "r1", "action_ts": "2.2"}],
        })
    }

    fn changed(pointer: &str, value: Value) -> Interaction {
        let mut payload = payload();
        *payload.pointer_mut(pointer).unwrap() = value;
        Interaction::parse(&payload)
    }

    #[test]
    fn a_click_is_read_as_slack_writes_it() {
        let Interaction::Click(click) = Interaction::parse(&payload()) else { panic!("no click") };
        assert_eq!((click.button, click.value.as_str()), (Button::Decide(Choice::Approve), "r1"));
        let expected = Context {
            user_id: "U1".to_owned(),
            user_team_id: Some("T1".to_owned()),
            app_id: Some("A1".to_owned()),
            team_id: Some("T1".to_owned()),
            enterprise_id: None,
            channel: Some("C1".to_owned()),
            message_ts: Some("1.1".to_owned()),
            thread_ts: None,
            response_url: Some("https://hooks.slack.com/x".to_owned()),
            trigger_id: Some("t".to_owned()),
        };
        assert_eq!(click.context, expected);
    }

    #[test]
    fn what_is_forged_or_of_another_form_is_not_taken_for_a_click() {
        for (pointer, value) in [
            ("/actions/0/action_id", json!("approve_all")),
            ("/actions/0/block_id", json!("another")),
            ("/actions", json!([])),
            ("/actions", json!([{"action_id": APPROVE, "block_id": BLOCK}, {"action_id": DENY, "block_id": BLOCK}])),
            ("/actions", json!("approve_button")),
            ("/user", json!("U1")),
            ("/team", json!({"id": 7})),
        ] {
            let read = changed(pointer, value.clone());
            assert!(matches!(read, Interaction::Unknown(_)), "{pointer} {value}: {read:?}");
        }
        let Interaction::Unknown(context) = changed("/actions", json!(7)) else { panic!() };
        assert_eq!(context.user_id, "U1", "who clicked is told");
    }

    #[test]
    fn what_the_envelope_lacks_is_absent_and_nothing_else_takes_its_place() {
        for (pointer, of) in [("/user", "user"), ("/team", "team"), ("/api_app_id", "app")] {
            let Interaction::Click(click) = changed(pointer, Value::Null) else { panic!("{pointer}") };
            let Context { user_id, team_id, app_id, .. } = click.context;
            match of {
                "user" => assert_eq!(user_id, ""),
                "team" => assert_eq!(team_id, None),
                _ => assert_eq!(app_id, None),
            }
        }
    }

    #[test]
    fn no_person_waits_for_an_answer_to_a_link_or_an_event() {
        let link = json!([{"action_id": "x", "block_id": "y", "url": "https://example.com"}]);
        assert_eq!(changed("/actions", link), Interaction::Nothing);
        for kind in ["view_closed", "message", "of_a_newer_slack", ""] {
            assert_eq!(changed("/type", json!(kind)), Interaction::Nothing);
        }
        assert!(matches!(Interaction::parse(&Value::Null), Interaction::Unknown(_)));
    }

    #[test]
    fn a_form_is_read_with_its_choice_and_its_reason() {
        let form = |values: Value| {
            let mut payload = payload();
            payload["type"] = json!("view_submission");
            payload["view"] = json!({
                "id": "V1", "callback_id": FORM, "private_metadata": "m", "state": {"values": values},
            });
            Interaction::parse(&payload)
        };
        let filled = json!({
            DECISION_BLOCK: {ELEMENT: {"type": "radio_buttons", "selected_option": {"value": CHOICE_DENY}}},
            REASON_BLOCK: {ELEMENT: {"type": "plain_text_input", "value": "no"}},
        });
        let Interaction::Submission(read) = form(filled) else { panic!("no form") };
        assert_eq!((read.choice, read.reason.as_str(), read.metadata.as_str()), (Some(Choice::Deny), "no", "m"));
        let Interaction::Submission(empty) = form(json!({REASON_BLOCK: {ELEMENT: {"value": null}}})) else { panic!() };
        assert_eq!((empty.choice, empty.reason.as_str()), (None, ""));
    }
}
