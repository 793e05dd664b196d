//! Holds the sockets that the machine asks for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info, warn};

use crate::slack::api::{AppClient, WebSocket};
use crate::slack::socket::Failure;
use crate::slack::socket::frame::{Envelope, Frame, acknowledgement};
use crate::slack::socket::machine::{Effect, Input, LinkId, Machine, State};

/// How long the call for an address and the handshake may take together.
const DIAL_WITHIN: Duration = Duration::from_secs(20);
/// How many signs of life may wait to be read.
const BACKLOG: usize = 64;

/// An envelope, and where it is acknowledged.
#[derive(Debug)]
pub struct Event {
    /// What Slack tells.
    pub envelope: Envelope,
    /// The way back.
    pub responder: Responder,
    /// When it was read.
    pub received: Instant,
}

/// Acknowledges an envelope on the connection that delivered it.
#[derive(Clone, Debug)]
pub struct Responder {
    envelope_id: String,
    link: mpsc::UnboundedSender<Command>,
}

impl Responder {
    /// Acknowledges; false where the connection is gone, so that Slack shows the person an error of its own.
    pub fn acknowledge(&self, answer: Option<&Value>) -> bool {
        let text = acknowledgement(&self.envelope_id, answer);
        self.link.send(Command::Text(text)).is_ok()
    }
}

/// What a socket is told to do.
#[derive(Debug)]
enum Command {
    Text(String),
    Ping,
    Close,
}

/// A socket, as long as it is held.
struct Link {
    commands: mpsc::UnboundedSender<Command>,
    _task: AbortOnDropHandle<()>,
}

/// Keeps a connection open until `stop`, then says goodbye to Slack. `tokens` tells that the client has another token.
pub async fn run(
    client: Arc<AppClient>,
    mut tokens: watch::Receiver<u64>,
    events: mpsc::UnboundedSender<Event>,
    states: watch::Sender<State>,
    stop: CancellationToken,
) {
    let (heard, mut hearing) = mpsc::channel(BACKLOG);
    let mut machine = Machine::new(std::time::Instant::now());
    let mut links: BTreeMap<LinkId, Link> = BTreeMap::new();
    let mut input = Input::Tick;
    let mut stopping = false;
    loop {
        for effect in machine.handle(input, Instant::now().into_std(), rand::random()) {
            match effect {
                Effect::Dial(id) => drop(links.insert(id, dial(id, client.clone(), heard.clone()))),
                Effect::Drop(id) => drop(links.remove(&id)),
                Effect::Ping(id) => command(&links, id, Command::Ping),
                Effect::Close(id) => command(&links, id, Command::Close),
                Effect::Deliver(id, envelope) => {
                    let Some(link) = links.get(&id) else { continue };
                    let responder = Responder { envelope_id: envelope.id.clone(), link: link.commands.clone() };
                    // Nobody reads any more only when the worker ends without having waited for this task.
                    let _ = events.send(Event { envelope: *envelope, responder, received: Instant::now() });
                }
            }
        }
        tell(&states, machine.state());
        if machine.is_over() {
            return;
        }
        let wake = machine.wake().map(Instant::from_std);
        input = tokio::select! {
            Some(input) = hearing.recv() => input,
            Ok(()) = tokens.changed(), if !stopping => Input::TokenChanged,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                Input::Stop
            }
            () = at(wake) => Input::Tick,
        };
        if let Input::Lost(id) | Input::Failed(id, _) = &input {
            links.remove(id);
        }
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn command(links: &BTreeMap<LinkId, Link>, id: LinkId, command: Command) {
    if let Some(link) = links.get(&id) {
        // A socket that is over says so itself.
        let _ = link.commands.send(command);
    }
}

fn tell(states: &watch::Sender<State>, state: &State) {
    let changed = states.send_if_modified(|known| {
        let changed = known != state;
        state.clone_into(known);
        changed
    });
    if !changed {
        return;
    }
    match state {
        State::Connecting => {}
        State::Up { app_id, others } => {
            info!(app_id, other_connections = others, "Connected to Slack's Socket Mode: clicks arrive");
        }
        State::Down(failure) => warn!(?failure, "No connection to Slack's Socket Mode: clicks do not arrive here"),
    }
}

fn dial(id: LinkId, client: Arc<AppClient>, heard: mpsc::Sender<Input>) -> Link {
    let (commands, orders) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        let dialed = timeout(DIAL_WITHIN, client.open_socket()).await;
        let last = match dialed {
            Ok(Ok(socket)) => {
                // The other end of this channel outlives every socket, but for the end of the process.
                let _ = heard.send(Input::Opened(id)).await;
                converse(id, socket, orders, &heard).await;
                Input::Lost(id)
            }
            Ok(Err(error)) => Input::Failed(id, Failure::Call(Box::new(error))),
            Err(_elapsed) => Input::Failed(id, Failure::Silent),
        };
        let _ = heard.send(last).await;
    });
    Link { commands, _task: AbortOnDropHandle::new(task) }
}

/// Until the socket is over.
async fn converse(
    id: LinkId,
    mut socket: WebSocket,
    mut orders: mpsc::UnboundedReceiver<Command>,
    heard: &mpsc::Sender<Input>,
) {
    loop {
        let sent = tokio::select! {
            message = socket.next() => {
                let input = match message {
                    Some(Ok(Message::Text(text))) => Input::Text(id, Frame::parse(&text)),
                    Some(Ok(Message::Close(_))) => continue,
                    Some(Ok(_)) => Input::Heard(id),
                    Some(Err(error)) => {
                        debug!(%error, "A Socket Mode connection broke");
                        return;
                    }
                    None => return,
                };
                if heard.send(input).await.is_err() {
                    return;
                }
                // The answer to a ping waits for the next write otherwise.
                socket.flush().await
            }
            order = orders.recv() => match order {
                Some(Command::Text(text)) => socket.send(Message::text(text)).await,
                Some(Command::Ping) => socket.send(Message::Ping(Bytes::new())).await,
                Some(Command::Close) => socket.close(None).await,
                None => return,
            },
        };
        if let Err(error) = sent {
            // Reading on tells how it ended; a broken socket ends the next reading.
            debug!(%error, "Cannot write to a Socket Mode connection");
        }
    }
}
