//! What people do: click a button, submit or close a modal, react (Slack docs: `block_actions` and `view_submission` payloads).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::choice::{self, Scene};
use super::handle::{Handle, find_channel, find_user};
use super::model::{Channel, ChannelKind, Message, Reaction, User, UserKind};
use super::refusal::set;
use super::socket::ClickError;
use super::webhook;
use super::world::World;

/// What a person does with an element.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Press {
    /// Which element.
    pub action_id: String,
    /// What was chosen in it, as the payload's action says it: `{"selected_option": {…}}`, `{"selected_date": "2026-05-01"}`.
    #[serde(default)]
    pub chosen: Map<String, Value>,
    /// What all elements hold: `{block_id: {action_id: value object}}`.
    #[serde(default)]
    pub values: Map<String, Value>,
}

impl Press {
    /// Nothing is chosen: what stands in an element, or its first option, stands for the choice of a person.
    fn on(action_id: &str) -> Self {
        Self { action_id: action_id.to_owned(), ..Self::default() }
    }
}

/// Which version of a message a person has on their screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Screen {
    Now,
    /// As it was before the last so many changes.
    Stale(usize),
}

impl Handle {
    /// A person (id, e-mail or handle) clicks the element `action_id` of a message as it is now. Returns the envelope's id, or the empty
    /// text where the app is called over HTTP.
    pub fn click(&self, user: &str, channel: &str, ts: &str, action_id: &str) -> Result<String, ClickError> {
        self.press(user, channel, ts, &Press::on(action_id))
    }

    /// As [`Handle::click`], for elements in which something is chosen.
    pub fn press(&self, user: &str, channel: &str, ts: &str, press: &Press) -> Result<String, ClickError> {
        self.press_on(Screen::Now, user, channel, ts, press)
    }

    /// As [`Handle::click`], on a screen that shows the message as it was before its last `changes` changes.
    pub fn click_stale(
        &self,
        user: &str,
        channel: &str,
        ts: &str,
        action_id: &str,
        changes: usize,
    ) -> Result<String, ClickError> {
        self.press_on(Screen::Stale(changes), user, channel, ts, &Press::on(action_id))
    }

    fn press_on(
        &self,
        screen: Screen,
        user: &str,
        channel: &str,
        ts: &str,
        press: &Press,
    ) -> Result<String, ClickError> {
        let base = self.base().to_owned();
        let payload = self.write(|world| click_payload(world, &base, screen, user, channel, ts, press))?;
        self.interact(payload)
    }

    /// The person who has a modal open, or an app's Home tab, presses one of its elements.
    pub fn press_in_view(&self, view_id: &str, press: &Press) -> Result<String, ClickError> {
        let payload = self.write(|world| press_in_view_payload(world, view_id, press))?;
        self.interact(payload)
    }

    /// A person submits an open modal with these values: `{block_id: {action_id: value object}}`.
    pub fn submit_view(&self, view_id: &str, values: &Value) -> Result<String, ClickError> {
        let payload = self.write(|world| {
            world.views.forget_errors(view_id);
            view_payload(world, "view_submission", view_id, Some(values))
        })?;
        self.interact(payload)
    }

    /// A person closes an open modal; the app hears of it only if the view asked for that.
    pub fn close_view(&self, view_id: &str) -> Result<(), ClickError> {
        let (payload, tell) = self.write(|world| {
            let payload = view_payload(world, "view_closed", view_id, None)?;
            let closed = world.views.close(view_id);
            let tell = closed.is_some_and(|view| view.content.get("notify_on_close") == Some(&Value::Bool(true)));
            Ok((payload, tell))
        })?;
        if tell { self.interact(payload).map(drop) } else { Ok(()) }
    }

    /// The modals that are open: id, person, and the view as it was sent.
    pub fn open_views(&self) -> Vec<(String, String, Value)> {
        self.read(|world| {
            let views = world.views.all();
            views.map(|(id, view)| (id.clone(), view.user.clone(), Value::Object(view.content.clone()))).collect()
        })
    }

    /// Over Socket Mode, or to the app's request URL.
    fn interact(&self, payload: Value) -> Result<String, ClickError> {
        let (interactivity, socket_mode, request_url, secret) = self.read(|world| {
            let app = world.apps.values().next();
            app.map(|app| (app.interactivity, app.socket_mode, app.request_url.clone(), app.signing_secret.clone()))
                .unwrap_or_default()
        });
        if !interactivity {
            return Err(ClickError::NoInteractivity);
        }
        match request_url.filter(|_| !socket_mode) {
            Some(url) => {
                tokio::spawn(webhook::call(self.clone(), url, secret, payload));
                Ok(String::new())
            }
            None if socket_mode => self.deliver("interactive", payload, None),
            None => Err(ClickError::NoInteractivity),
        }
    }

    /// A person puts an emoji on a message, or takes it away again.
    pub fn react(&self, user: &str, channel: &str, ts: &str, emoji: &str) -> Result<(), ClickError> {
        self.write(|world| {
            let user = find_user(world, user).ok_or(ClickError::NoAccess)?.id.clone();
            let channel = find_channel(world, channel).ok_or(ClickError::NoMessage)?.id.clone();
            let message = world.change_message(&channel, ts).ok_or(ClickError::NoMessage)?;
            let Some(reaction) = message.reactions.iter_mut().find(|reaction| reaction.name == emoji) else {
                message.reactions.push(Reaction { name: emoji.to_owned(), users: vec![user] });
                return Ok(());
            };
            if reaction.users.contains(&user) {
                reaction.users.retain(|other| *other != user);
            } else {
                reaction.users.push(user);
            }
            message.reactions.retain(|reaction| !reaction.users.is_empty());
            Ok(())
        })
    }

    /// A person writes a message into a channel or a thread. Returns its `ts`.
    pub fn say(&self, user: &str, channel: &str, text: &str, thread_ts: Option<&str>) -> Result<String, ClickError> {
        self.write(|world| {
            let user = find_user(world, user).ok_or(ClickError::NoAccess)?;
            let (id, team) = (user.id.clone(), user.team.clone());
            let channel = find_channel(world, channel).ok_or(ClickError::NoMessage)?.id.clone();
            let ts = world.next_ts(&channel);
            let mut message = Message::blank(&channel, &ts, &id, &team);
            message.thread_ts = thread_ts.map(str::to_owned);
            super::methods::store_text(&mut message, text);
            let block_id = world.new_id('b');
            super::methods::generate_blocks(&mut message, &block_id);
            world.store(message);
            Ok(ts)
        })
    }
}

/// Makes the payload of a click, with all that it opens: a trigger and a response URL.
fn click_payload(
    world: &mut World,
    base: &str,
    screen: Screen,
    user: &str,
    channel: &str,
    ts_text: &str,
    press: &Press,
) -> Result<Value, ClickError> {
    let user = find_user(world, user).cloned().ok_or(ClickError::NoAccess)?;
    let channel = find_channel(world, channel).cloned().ok_or(ClickError::NoMessage)?;
    if user.deleted || user.kind == UserKind::Bot || !may_see(&channel, &user) {
        return Err(ClickError::NoAccess);
    }
    let ephemeral = world.ephemerals.iter().find(|shown| shown.message.ts == ts_text && shown.user == user.id);
    let ephemeral = ephemeral.map(|shown| shown.message.clone());
    let message = match &ephemeral {
        Some(message) => message.clone(),
        None => seen_message(&channel, ts_text, screen).ok_or(ClickError::NoMessage)?,
    };
    let now = world.clock.now();
    let scene = Scene { user: &user.id, channel: &channel.id, now };
    let (action, values) = choice::act(&message.blocks, press, &scene)?;
    let trigger = world.views.new_trigger(&user.id, None, now);
    let hook = world.hooks.open(&user.id, message.clone(), ephemeral.is_some(), now);
    let mut container = json!({
        "type": "message", "message_ts": message.ts, "channel_id": channel.id, "is_ephemeral": ephemeral.is_some(),
    });
    if let (Some(thread), Some(container)) = (&message.thread_ts, container.as_object_mut()) {
        container.insert("thread_ts".to_owned(), json!(thread));
    }
    let name = match channel.kind {
        ChannelKind::Im { .. } => "directmessage",
        ChannelKind::Private => "privategroup",
        ChannelKind::Public | ChannelKind::Mpim => &channel.name,
    };
    let mut payload = common(world, "block_actions", &user, message.app_id.as_deref());
    for (key, value) in [
        ("container", container),
        ("trigger_id", json!(trigger)),
        ("channel", json!({"id": channel.id, "name": name})),
        ("state", json!({"values": values})),
        ("response_url", json!(format!("{base}/hooks/{hook}"))),
        ("actions", json!([action])),
    ] {
        payload.insert(key.to_owned(), value);
    }
    // Ephemeral messages are not stored, so that there is nothing to send along.
    if ephemeral.is_none() {
        payload.insert("message".to_owned(), Value::Object(message.object(true)));
    }
    Ok(Value::Object(payload))
}

/// Members see everything; others see public channels.
fn may_see(channel: &Channel, user: &User) -> bool {
    let full = !matches!(user.kind, UserKind::Guest | UserKind::SingleChannelGuest);
    // People of another organisation see the channels that are shared with them.
    channel.members.contains(&user.id)
        || (channel.kind == ChannelKind::Public && full && (user.team == channel.team || channel.ext_shared))
}

fn seen_message(channel: &Channel, ts: &str, screen: Screen) -> Option<Message> {
    let stored = channel.messages.get(ts)?;
    match screen {
        Screen::Now => stored.deleted.is_none().then(|| stored.now.clone()),
        Screen::Stale(changes) => Some(stored.version(changes).clone()),
    }
}

/// What all interaction payloads have in common.
fn common(world: &World, kind: &str, user: &User, app: Option<&str>) -> Map<String, Value> {
    let app = app.and_then(|id| world.apps.get(id)).or_else(|| world.apps.values().next());
    let home = world.teams.first();
    let org = world.tokens.values().any(|token| token.org_wide);
    let team = home.map(|team| json!({"id": team.id, "domain": team.domain}));
    let fields = BTreeMap::from([
        ("type", json!(kind)),
        ("user", json!({"id": user.id, "username": user.name, "name": user.name, "team_id": user.team})),
        ("api_app_id", json!(app.map(|app| &app.id))),
        ("token", json!("deprecated-verification-token")),
        ("team", if org { Value::Null } else { json!(team) }),
        ("enterprise", if org { json!({"id": "E0SIMULATED", "name": "Simulated Org"}) } else { Value::Null }),
        ("is_enterprise_install", json!(org)),
    ]);
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Slack docs: `block_actions` of a view; there is no message, and hence no response URL.
fn press_in_view_payload(world: &mut World, view_id: &str, press: &Press) -> Result<Value, ClickError> {
    let view = world.views.get(view_id).cloned().ok_or(ClickError::NoView)?;
    let user = world.users.get(&view.user).cloned().ok_or(ClickError::NoAccess)?;
    let now = world.clock.now();
    let home = world.channels.values().find(|channel| channel.members.contains(&user.id));
    let scene = Scene { user: &user.id, channel: home.map_or("", |channel| &channel.id), now };
    let (action, values) = choice::act(view.blocks(), press, &scene)?;
    let mut payload = common(world, "block_actions", &user, Some(&view.app));
    let mut object = world.view_object(view_id, &user.team);
    set(&mut object, "state", json!({"values": values}));
    let trigger = world.views.new_trigger(&user.id, Some(view_id), now);
    for (key, value) in [
        ("container", json!({"type": "view", "view_id": view_id})),
        ("trigger_id", json!(trigger)),
        ("view", object),
        ("actions", json!([action])),
    ] {
        payload.insert(key.to_owned(), value);
    }
    Ok(Value::Object(payload))
}

fn view_payload(world: &mut World, kind: &str, view_id: &str, values: Option<&Value>) -> Result<Value, ClickError> {
    let view = world.views.modal(view_id).cloned().ok_or(ClickError::NoView)?;
    let user = world.users.get(&view.user).cloned().ok_or(ClickError::NoAccess)?;
    let now = world.clock.now();
    let mut payload = common(world, kind, &user, Some(&view.app));
    let mut object = world.view_object(view_id, &user.team);
    if let Some(filled) = values {
        let values = choice::values(view.blocks(), filled.as_object().unwrap_or(&Map::new()));
        set(&mut object, "state", json!({"values": values}));
        let trigger = world.views.new_trigger(&user.id, Some(view_id), now);
        payload.insert("trigger_id".to_owned(), json!(trigger));
        payload.insert("response_urls".to_owned(), json!([]));
    } else {
        payload.insert("is_cleared".to_owned(), json!(false));
    }
    payload.insert("view".to_owned(), object);
    Ok(Value::Object(payload))
}
