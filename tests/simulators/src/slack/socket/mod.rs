//! Socket Mode: tickets, connections, envelopes and their acknowledgements (Slack docs: Socket Mode).

mod connection;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::handle::Handle;
use super::hooks;
use super::refusal::Refusal;
use super::world::World;

pub(super) use self::connection::link;

/// What a connection is told to do.
#[derive(Clone, Debug)]
pub(super) enum Command {
    /// Send this text frame.
    Send(String),
    /// Send these bytes in a binary frame.
    SendBinary(Vec<u8>),
    /// Close properly, with this code.
    Close(u16),
    /// Vanish.
    Cut,
    /// Send nothing more, read nothing more, but stay.
    Stall,
    /// Send the next envelope twice.
    Duplicate,
}

pub(super) struct Connection {
    pub(super) app: String,
    commands: mpsc::UnboundedSender<Command>,
    /// Made to fail by a fault, so that what is lost on it is nobody's mistake.
    pub(super) spoilt: bool,
    /// The client vanished without a word; Slack has not noticed yet.
    ghost: bool,
}

/// What was delivered and how it was acknowledged.
#[derive(Clone, Debug, Serialize)]
pub struct Envelope {
    /// UUID.
    pub envelope_id: String,
    /// `interactive`, `events_api`, …
    pub kind: String,
    /// Number of the connection that it was sent to.
    pub connection: u64,
    /// Payload.
    pub payload: Value,
    /// When it was sent, microseconds since the epoch.
    pub sent: u64,
    /// How long the acknowledgement took, in microseconds.
    pub acknowledged_after: Option<u64>,
    /// Payload of the acknowledgement.
    pub answer: Option<Value>,
    /// What a fault has spoilt.
    #[serde(skip)]
    excused: bool,
}

impl Envelope {
    /// What a violation shows of it.
    fn body(&self) -> Value {
        let payload = &self.payload;
        json!({
            "envelope_id": self.envelope_id, "kind": self.kind, "type": payload.get("type"),
            "user": payload.pointer("/user/id"),
            "container": payload.get("container"), "actions": payload.get("actions"), "event": payload.get("event"),
        })
    }
}

#[derive(Default)]
pub(super) struct Sockets {
    tickets: HashMap<String, String>,
    connections: BTreeMap<u64, Connection>,
    last_connection: u64,
    envelopes: Vec<Envelope>,
}

/// Why a person's click does not arrive.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ClickError {
    /// There is no such message, or it was deleted.
    #[error("there is no such message")]
    NoMessage,
    /// There is no such modal, or it was closed.
    #[error("there is no open view with this id")]
    NoView,
    /// The message or the modal has no such element any more.
    #[error("there is no element with this action_id; there are {0:?}")]
    NoAction(Vec<String>),
    /// The person cannot see the message or is deactivated.
    #[error("this person cannot click there")]
    NoAccess,
    /// Interactivity is off in the app's settings: the person sees an error mark.
    #[error("interactivity is switched off in the app's settings")]
    NoInteractivity,
    /// No connection is open: the person sees an error mark.
    #[error("the app has no connection open")]
    NoConnection,
}

/// An acknowledgement larger than this is dropped silently.
const ACK_LIMIT: usize = 20 * 1024;

impl Sockets {
    pub(super) fn new_ticket(&mut self, app: &str) -> String {
        let ticket = format!("{:032x}", rand::random::<u128>());
        self.tickets.insert(ticket.clone(), app.to_owned());
        ticket
    }

    /// Takes the ticket, which works once.
    fn redeem(&mut self, ticket: &str) -> Option<String> {
        self.tickets.remove(ticket)
    }

    fn add(&mut self, app: &str) -> (u64, mpsc::UnboundedReceiver<Command>) {
        let (commands, receiver) = mpsc::unbounded_channel();
        self.last_connection += 1;
        let connection = Connection { app: app.to_owned(), commands, spoilt: false, ghost: false };
        self.connections.insert(self.last_connection, connection);
        (self.last_connection, receiver)
    }

    fn remove(&mut self, id: u64) {
        if self.connections.remove(&id).is_some_and(|connection| connection.spoilt) {
            self.excuse(id);
        }
    }

    /// What was delivered on a connection that our side ends is nobody's mistake.
    fn excuse(&mut self, id: u64) {
        let open = |envelope: &&mut Envelope| envelope.connection == id && envelope.acknowledged_after.is_none();
        self.envelopes.iter_mut().filter(open).for_each(|envelope| envelope.excused = true);
    }

    /// Numbers of an app's connections, ghosts included.
    pub(super) fn of_app(&self, app: &str) -> Vec<u64> {
        self.connections.iter().filter(|(_, connection)| connection.app == app).map(|(id, _)| *id).collect()
    }

    pub(super) fn envelopes(&self) -> &[Envelope] {
        &self.envelopes
    }

    fn command(&mut self, id: u64, command: Command) {
        if matches!(command, Command::Close(_)) {
            self.excuse(id);
        }
        if let Some(connection) = self.connections.get(&id) {
            // A connection that is going away takes no more commands.
            let _ = connection.commands.send(command);
        }
    }
}

impl World {
    /// Sends a payload to one connection of the app, which one is chance, and returns the envelope's id.
    pub(super) fn deliver(
        &mut self,
        app: &str,
        kind: &str,
        payload: Value,
        retry: Option<u64>,
    ) -> Result<String, ClickError> {
        let connections = self.sockets.of_app(app);
        let chosen = rand::random_range(0..connections.len().max(1));
        let connection = *connections.get(chosen).ok_or(ClickError::NoConnection)?;
        let random = rand::random::<u128>();
        let hex = format!("{random:032x}");
        let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
        let envelope_id = format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32));
        let answerable = kind == "slash_commands"
            || matches!(payload.get("type").and_then(Value::as_str), Some("view_submission" | "block_suggestion"));
        let mut frame = json!({
            "type": kind, "envelope_id": envelope_id, "accepts_response_payload": answerable, "payload": payload,
        });
        if let (Some(retry), Some(frame)) = (retry, frame.as_object_mut()) {
            frame.insert("retry_attempt".to_owned(), json!(retry));
            frame.insert("retry_reason".to_owned(), json!(if retry == 0 { "" } else { "timeout" }));
        }
        let excused = self.sockets.connections.get(&connection).is_some_and(|c| c.spoilt || c.ghost);
        self.sockets.envelopes.push(Envelope {
            envelope_id: envelope_id.clone(),
            kind: kind.to_owned(),
            connection,
            payload,
            sent: self.clock.now(),
            acknowledged_after: None,
            answer: None,
            excused,
        });
        self.sockets.command(connection, Command::Send(frame.to_string()));
        Ok(envelope_id)
    }

    /// A text frame from the app; the only thing it may say is an acknowledgement.
    fn acknowledge(&mut self, connection: u64, text: &str) {
        let now = self.clock.now();
        let flaw = |world: &mut Self, what: &str| {
            let start: String = text.chars().take(200).collect();
            world.violation("socket", what, json!(start));
        };
        if text.is_empty() {
            return;
        }
        let frame: Value = serde_json::from_str(text).unwrap_or_default();
        let Some(id) = frame.get("envelope_id").and_then(Value::as_str) else {
            return flaw(self, "a frame that is no acknowledgement");
        };
        if text.len() >= ACK_LIMIT {
            return flaw(self, "an acknowledgement of 20 KB or more is dropped");
        }
        let limit = u64::try_from(self.settings.socket.ack_within.as_micros()).unwrap_or(u64::MAX);
        let Some(envelope) = self.sockets.envelopes.iter_mut().find(|envelope| envelope.envelope_id == id) else {
            return flaw(self, "an acknowledgement of an unknown envelope");
        };
        if envelope.connection != connection {
            return flaw(self, "an acknowledgement on another connection than the envelope's");
        }
        let after = now.saturating_sub(envelope.sent);
        let (twice, late) = (envelope.acknowledged_after.is_some(), after > limit);
        if !twice && !late {
            envelope.acknowledged_after = Some(after);
            let answer = frame.get("payload").cloned();
            envelope.answer.clone_from(&answer);
            let (kind, payload) = (envelope.kind.clone(), envelope.payload.clone());
            if let Err(refused) = self.heed(&kind, &payload, &answer.unwrap_or_default(), now) {
                flaw(self, &refused);
            }
        } else if twice {
            flaw(self, "an envelope acknowledged twice");
        } else {
            flaw(self, "an acknowledgement after the deadline");
        }
    }

    /// Does what an acknowledgement asks for: the answer to the submission of a modal, or to a slash command. Others ask for nothing.
    fn heed(&mut self, kind: &str, payload: &Value, answer: &Value, now: u64) -> Result<(), String> {
        let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        if text("/type") == "view_submission" {
            let result = self.views.answer(text("/view/id"), answer, now);
            let said = |refusal: Refusal| format!("{} {:?}", refusal.error, refusal.messages);
            return result.map_err(|refusal| format!("the answer to a submission is refused: {}", said(refusal)));
        }
        if kind == "slash_commands" && answer.is_object() {
            let result = hooks::answer(self, text("/response_url"), answer);
            return result.map_err(|error| format!("the answer to a command is refused: {error}"));
        }
        Ok(())
    }

    /// The deadline of an envelope is over. Returns true when it has to be sent again, as events are.
    fn expire(&mut self, envelope_id: &str) -> bool {
        let Some(envelope) = self.sockets.envelopes.iter().find(|envelope| envelope.envelope_id == envelope_id) else {
            return false;
        };
        if envelope.acknowledged_after.is_some() {
            return false;
        }
        let spoilt = self.sockets.connections.get(&envelope.connection).is_some_and(|connection| connection.spoilt);
        let event = envelope.kind == "events_api";
        if !envelope.excused && !spoilt {
            let body = envelope.body();
            self.violation("socket", "an envelope was not acknowledged in time", body);
        }
        event
    }
}

impl Handle {
    /// Sends an event (Slack docs: Events API) to one connection of the first app; it is sent again up to three times while nobody
    /// acknowledges it. Returns the first envelope's id.
    pub fn send_event(&self, event: Value) -> Result<String, ClickError> {
        self.deliver("events_api", event, Some(0))
    }

    /// Delivers and watches the deadline.
    pub(super) fn deliver(&self, kind: &str, payload: Value, retry: Option<u64>) -> Result<String, ClickError> {
        let kept = payload.clone();
        let sent = self.write(|world| {
            let app = world.apps.keys().next().cloned().unwrap_or_default();
            world.deliver(&app, kind, payload, retry)
        })?;
        let (handle, id, kind) = (self.clone(), sent.clone(), kind.to_owned());
        let within = self.read(|world| world.settings.socket.ack_within);
        let stop = self.0.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(within) => {}
            }
            let again = handle.write(|world| world.expire(&id));
            if let Some(attempt) = retry.filter(|attempt| again && *attempt < 3) {
                // Nobody may be there any more.
                let _ = handle.deliver(&kind, kept, Some(attempt + 1));
            }
        });
        Ok(sent)
    }

    /// The envelopes so far, oldest first.
    pub fn envelopes(&self) -> Vec<Envelope> {
        self.read(|world| world.sockets.envelopes().to_vec())
    }

    /// How many Socket Mode connections are registered, ghosts included.
    pub fn open_sockets(&self) -> usize {
        self.read(|world| world.sockets.connections.len())
    }

    /// Tells all connections to go, as Slack does: `warning` (and the end follows), `refresh_requested`, `link_disabled` (which also
    /// switches Socket Mode off), or any other reason.
    pub fn disconnect_sockets(&self, reason: &str) {
        let frame = disconnect(reason);
        let (ids, wait) = self.write(|world| {
            if reason == "link_disabled" {
                world.apps.values_mut().for_each(|app| app.socket_mode = false);
            }
            let ids: Vec<_> = world.sockets.connections.keys().copied().collect();
            for id in &ids {
                world.sockets.command(*id, Command::Send(frame.clone()));
                if reason != "warning" {
                    world.sockets.command(*id, Command::Close(1000));
                }
            }
            (ids, world.settings.socket.warning_before_end)
        });
        if reason == "warning" {
            let (handle, stop) = (self.clone(), self.0.stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(wait) => handle.write(|world| {
                        for id in ids {
                            world.sockets.command(id, Command::Close(1000));
                        }
                    }),
                }
            });
        }
    }

    /// Sends a text frame as it is to all connections: unknown types, no JSON, nothing at all, a huge one.
    pub fn send_raw_frame(&self, text: &str) {
        self.command_all(&Command::Send(text.to_owned()));
    }

    /// Sends a binary frame to all connections.
    pub fn send_binary_frame(&self, bytes: &[u8]) {
        self.command_all(&Command::SendBinary(bytes.to_vec()));
    }

    fn command_all(&self, command: &Command) {
        self.write(|world| {
            let ids: Vec<_> = world.sockets.connections.keys().copied().collect();
            for id in ids {
                world.sockets.command(id, command.clone());
            }
        });
    }

    /// Strict mode at shutdown: a client acknowledges what it was given, and closes its sockets first.
    pub(super) fn note_loose_ends(&self) {
        self.write(|world| {
            let now = world.clock.now();
            let within = u64::try_from(world.settings.socket.ack_within.as_micros()).unwrap_or(u64::MAX);
            let spoilt =
                |world: &World, id: u64| world.sockets.connections.get(&id).is_some_and(|connection| connection.spoilt);
            let pending = world.sockets.envelopes.iter().filter(|envelope| {
                // Those that are older were noted when their time was over.
                let waiting = envelope.acknowledged_after.is_none() && now < envelope.sent.saturating_add(within);
                waiting && !envelope.excused && !spoilt(world, envelope.connection)
            });
            let pending: Vec<_> = pending.map(Envelope::body).collect();
            for body in pending {
                world.violation("socket", "an envelope was not acknowledged before the end", body);
            }
            let open = world.sockets.connections.values().filter(|c| !c.spoilt && !c.ghost).count();
            if open > 0 {
                world.violation("socket", "connections were left open at shutdown", json!(open));
            }
        });
    }
}

fn disconnect(reason: &str) -> String {
    json!({"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-1"}}).to_string()
}
