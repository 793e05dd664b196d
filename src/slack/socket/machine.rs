//! When to connect, to ping, to replace a connection and to give one up. Pure: time and chance come in.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::slack::error::Class;
use crate::slack::socket::Failure;
use crate::slack::socket::frame::{Disconnect, Envelope, Frame};

/// A connection without `hello` for so long is no good.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// Our own pings: what they are not answered on is half-closed.
const PING_EVERY: Duration = Duration::from_secs(10);
/// A connection that says nothing for so long, not even a pong, is dead.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a replaced connection is kept: Slack may have chosen it for a click already, and ends it after 10 s by itself.
const RETIRE: Duration = Duration::from_secs(20);
/// How long Slack may take to answer our Close.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// A connection that served for so long ends a series of failures.
const HEALTHY: Duration = Duration::from_mins(2);
/// When the connections of others are counted again, as long as there are any: Slack tells the number at `hello` only.
const RECOUNT_FIRST: Duration = Duration::from_mins(5);
/// The same for later counts.
const RECOUNT: Duration = Duration::from_mins(30);

/// Between attempts.
const RETRY: Backoff = Backoff::doubling(Duration::from_secs(1), Duration::from_mins(1));
/// Between attempts when a person has to act first.
const RETRY_REFUSED: Backoff = Backoff::doubling(Duration::from_secs(15), Duration::from_mins(5));

const _: () = assert!(PING_EVERY.as_secs() * 2 < SILENCE.as_secs());

/// Names a connection; never used again.
pub type LinkId = u64;

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The WebSocket stands.
    Opened(LinkId),
    /// There is no WebSocket.
    Failed(LinkId, Failure),
    /// A text frame came.
    Text(LinkId, Frame),
    /// Any other sign of life: a ping, a pong, a binary frame.
    Heard(LinkId),
    /// The connection is over.
    Lost(LinkId),
    /// There is another app-level token.
    TokenChanged,
    /// End all connections.
    Stop,
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Ask Slack for an address and connect to it.
    Dial(LinkId),
    /// Send a ping.
    Ping(LinkId),
    /// Send Close.
    Close(LinkId),
    /// Let the socket go.
    Drop(LinkId),
    /// Hand an envelope on; it is acknowledged on this connection.
    Deliver(LinkId, Box<Envelope>),
}

/// Whether clicks arrive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Not yet.
    #[default]
    Connecting,
    /// They do.
    Up {
        /// The app, as Slack named it.
        app_id: Option<String>,
        /// Connections of the app that are not ours: of other workers, or of nobody any more.
        others: u32,
    },
    /// They do not.
    Down(Failure),
}

#[derive(Debug)]
enum Phase {
    Dialing,
    Opened,
    Up,
    Retiring,
    Closing,
}

#[derive(Debug)]
struct Link {
    phase: Phase,
    /// Since when it is in this phase.
    since: Instant,
    heard: Instant,
    pinged: Instant,
}

/// All connections of this worker.
#[derive(Debug)]
pub struct Machine {
    links: BTreeMap<LinkId, Link>,
    last: LinkId,
    /// Attempts that failed, and connections that soon broke, in a row.
    failures: u32,
    retry_at: Option<Instant>,
    recount_at: Option<Instant>,
    counted: bool,
    state: State,
    stopping: bool,
}

impl Machine {
    /// Without a connection; the first [`Input::Tick`] opens one.
    pub fn new(now: Instant) -> Self {
        Self {
            links: BTreeMap::new(),
            last: 0,
            failures: 0,
            retry_at: Some(now),
            recount_at: None,
            counted: false,
            state: State::Connecting,
            stopping: false,
        }
    }

    /// Whether clicks arrive.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether all connections are over after [`Input::Stop`].
    pub fn is_over(&self) -> bool {
        self.stopping && self.links.is_empty()
    }

    /// When to say [`Input::Tick`] next.
    pub fn wake(&self) -> Option<Instant> {
        let due = |link: &Link| match link.phase {
            Phase::Dialing => None,
            Phase::Opened => Some(link.since + HELLO_WITHIN),
            Phase::Up => Some((link.heard + SILENCE).min(link.pinged + PING_EVERY)),
            Phase::Retiring => Some(link.since + RETIRE),
            Phase::Closing => Some(link.since + CLOSE_WITHIN),
        };
        let links = self.links.values().filter_map(due);
        let dial = self.retry_at.filter(|_| self.wants_link());
        links.chain(dial).chain(self.recount_at).min()
    }

    /// Takes what happened. `chance` is between 0 and 1.
    pub fn handle(&mut self, input: Input, now: Instant, chance: f64) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Opened(id) => self.enter(id, Phase::Opened, now),
            Input::Failed(id, failure) => {
                if self.links.remove(&id).is_some() {
                    self.failed(failure, now, chance);
                }
            }
            Input::Text(id, frame) => self.text(id, frame, now, chance, &mut effects),
            Input::Heard(id) => self.heard(id, now),
            Input::Lost(id) => self.lost(id, Failure::Lost, now, chance),
            Input::TokenChanged => {
                self.failures = 0;
                self.retry_at = Some(now);
                // What is under way was begun with the old token.
                let dialing: Vec<_> = self.in_phase(|phase| matches!(phase, Phase::Dialing | Phase::Opened));
                for id in dialing {
                    self.links.remove(&id);
                    effects.push(Effect::Drop(id));
                }
                self.replace(now, &mut effects);
            }
            Input::Stop => {
                self.stopping = true;
                self.recount_at = None;
                let ids: Vec<_> = self.links.keys().copied().collect();
                for id in ids {
                    self.end(id, now, &mut effects);
                }
            }
            Input::Tick => self.tick(now, chance, &mut effects),
        }
        if self.wants_link() && self.retry_at.is_none_or(|at| at <= now) {
            self.dial(now, &mut effects);
        }
        effects
    }

    fn text(&mut self, id: LinkId, frame: Frame, now: Instant, chance: f64, effects: &mut Vec<Effect>) {
        self.heard(id, now);
        let Some(link) = self.links.get(&id) else { return };
        match frame {
            Frame::Hello { app_id, connections } => {
                if !matches!(link.phase, Phase::Opened) {
                    return;
                }
                self.enter(id, Phase::Up, now);
                let old = self.in_phase(|phase| matches!(phase, Phase::Up)).into_iter().filter(|other| *other != id);
                for other in old.collect::<Vec<_>>() {
                    self.enter(other, Phase::Retiring, now);
                }
                let own = self.in_phase(|phase| matches!(phase, Phase::Up | Phase::Retiring | Phase::Closing)).len();
                let own = u32::try_from(own).unwrap_or(u32::MAX);
                let others = connections.unwrap_or_default().saturating_sub(own);
                let recount = if self.counted { RECOUNT } else { RECOUNT_FIRST };
                self.recount_at = (others > 0 && !self.stopping).then(|| now + recount);
                self.counted = others > 0;
                self.retry_at = None;
                self.state = State::Up { app_id, others };
            }
            Frame::Disconnect(Disconnect::Refresh) => {
                if matches!(link.phase, Phase::Up) {
                    self.enter(id, Phase::Retiring, now);
                } else if matches!(link.phase, Phase::Opened) {
                    self.lost(id, Failure::Lost, now, chance);
                    effects.push(Effect::Drop(id));
                }
            }
            Frame::Disconnect(Disconnect::Disabled) => {
                for id in std::mem::take(&mut self.links).into_keys() {
                    effects.push(Effect::Drop(id));
                }
                self.failed(Failure::Disabled, now, chance);
            }
            Frame::Disconnect(Disconnect::TooMany) => {
                self.links.remove(&id);
                effects.push(Effect::Drop(id));
                self.failed(Failure::TooMany, now, chance);
            }
            Frame::Envelope(envelope) => effects.push(Effect::Deliver(id, Box::new(envelope))),
            Frame::Unknown => {}
        }
    }

    fn tick(&mut self, now: Instant, chance: f64, effects: &mut Vec<Effect>) {
        let ids: Vec<_> = self.links.keys().copied().collect();
        for id in ids {
            let Some(link) = self.links.get_mut(&id) else { continue };
            match link.phase {
                Phase::Opened if now >= link.since + HELLO_WITHIN => {
                    effects.push(Effect::Drop(id));
                    self.lost(id, Failure::Silent, now, chance);
                }
                Phase::Up if now >= link.heard + SILENCE => {
                    effects.push(Effect::Drop(id));
                    self.lost(id, Failure::Silent, now, chance);
                }
                Phase::Up => {
                    if now >= link.pinged + PING_EVERY {
                        link.pinged = now;
                        effects.push(Effect::Ping(id));
                    }
                    if now >= link.since + HEALTHY {
                        self.failures = 0;
                    }
                }
                Phase::Retiring if now >= link.since + RETIRE => self.end(id, now, effects),
                Phase::Closing if now >= link.since + CLOSE_WITHIN => {
                    self.links.remove(&id);
                    effects.push(Effect::Drop(id));
                }
                Phase::Dialing | Phase::Opened | Phase::Retiring | Phase::Closing => {}
            }
        }
        if self.recount_at.is_some_and(|at| at <= now) {
            self.recount_at = None;
            self.replace(now, effects);
        }
    }

    /// Opens a connection beside the one that serves.
    fn replace(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let opening = !self.in_phase(|phase| matches!(phase, Phase::Dialing | Phase::Opened)).is_empty();
        if !self.stopping && !opening {
            self.dial(now, effects);
        }
    }

    fn dial(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.last += 1;
        self.retry_at = None;
        self.links.insert(self.last, Link { phase: Phase::Dialing, since: now, heard: now, pinged: now });
        effects.push(Effect::Dial(self.last));
    }

    /// Says goodbye: Slack must not choose this connection for a click any more.
    fn end(&mut self, id: LinkId, now: Instant, effects: &mut Vec<Effect>) {
        let Some(link) = self.links.get(&id) else { return };
        if matches!(link.phase, Phase::Dialing) {
            self.links.remove(&id);
            effects.push(Effect::Drop(id));
        } else if !matches!(link.phase, Phase::Closing) {
            self.enter(id, Phase::Closing, now);
            effects.push(Effect::Close(id));
        }
    }

    fn lost(&mut self, id: LinkId, failure: Failure, now: Instant, chance: f64) {
        let Some(link) = self.links.remove(&id) else { return };
        match link.phase {
            // Another one serves, or is on its way.
            Phase::Retiring | Phase::Closing => {}
            Phase::Up if now >= link.since + HEALTHY => {
                self.failures = 0;
                self.retry_at = Some(now + Duration::from_secs(1).mul_f64(chance.clamp(0.0, 1.0)));
                self.show(failure);
            }
            Phase::Dialing | Phase::Opened | Phase::Up => self.failed(failure, now, chance),
        }
    }

    fn failed(&mut self, failure: Failure, now: Instant, chance: f64) {
        self.failures = self.failures.saturating_add(1);
        let refused = match &failure {
            Failure::Call(error) => matches!(error.class, Class::Auth | Class::Config),
            Failure::Disabled | Failure::TooMany => true,
            Failure::Silent | Failure::Lost => false,
        };
        let backoff = if refused { RETRY_REFUSED } else { RETRY };
        let mut delay = backoff.delay(self.failures, chance);
        if let Failure::Call(error) = &failure {
            delay = delay.max(error.retry_after.unwrap_or_default());
        }
        self.retry_at = Some(now + delay);
        self.show(failure);
    }

    /// A failure to replace a connection that serves is no failure yet.
    fn show(&mut self, failure: Failure) {
        if self.in_phase(|phase| matches!(phase, Phase::Up)).is_empty() {
            self.state = State::Down(failure);
        }
    }

    fn wants_link(&self) -> bool {
        let serves = |link: &Link| matches!(link.phase, Phase::Dialing | Phase::Opened | Phase::Up);
        !self.stopping && !self.links.values().any(serves)
    }

    fn heard(&mut self, id: LinkId, now: Instant) {
        if let Some(link) = self.links.get_mut(&id) {
            link.heard = now;
        }
    }

    fn enter(&mut self, id: LinkId, phase: Phase, now: Instant) {
        if let Some(link) = self.links.get_mut(&id) {
            *link = Link { phase, since: now, heard: now, pinged: now };
        }
    }

    fn in_phase(&self, wanted: impl Fn(&Phase) -> bool) -> Vec<LinkId> {
        self.links.iter().filter(|(_, link)| wanted(&link.phase)).map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slack::error::Error;
    use crate::slack::method;

    /// A machine, its clock, and what it wanted last.
    struct World {
        machine: Machine,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            let now = Instant::now();
            Self { machine: Machine::new(now), now }
        }

        fn say(&mut self, input: Input) -> Vec<Effect> {
            self.machine.handle(input, self.now, 0.5)
        }

        /// Lets time pass, tick by tick as the machine wants them, and returns all that it did.
        fn pass(&mut self, time: Duration) -> Vec<Effect> {
            let end = self.now + time;
            let mut effects = Vec::new();
            while let Some(wake) = self.machine.wake().filter(|wake| *wake <= end) {
                self.now = self.now.max(wake);
                let done = self.say(Input::Tick);
                assert!(!done.is_empty() || self.machine.wake() != Some(wake), "a tick that changes nothing");
                effects.extend(done);
            }
            self.now = end;
            effects
        }

        fn hello(&mut self, id: LinkId, connections: u32) {
            assert_eq!(self.say(Input::Opened(id)), []);
            let frame = Frame::Hello { app_id: Some("A1".to_owned()), connections: Some(connections) };
            assert_eq!(self.say(Input::Text(id, frame)), []);
        }

        fn up() -> Self {
            let mut world = Self::new();
            assert_eq!(world.say(Input::Tick), [Effect::Dial(1)]);
            world.hello(1, 1);
            assert!(matches!(world.machine.state(), State::Up { others: 0, .. }));
            world
        }

        fn disconnect(&mut self, id: LinkId, reason: Disconnect) -> Vec<Effect> {
            self.say(Input::Text(id, Frame::Disconnect(reason)))
        }
    }

    fn refused(code: &str) -> Failure {
        Failure::Call(Box::new(Error::new(method::CONNECTIONS_OPEN, code, None)))
    }

    #[test]
    fn a_connection_serves_only_after_its_hello() {
        let mut world = World::new();
        world.say(Input::Tick);
        world.say(Input::Opened(1));
        assert_eq!(*world.machine.state(), State::Connecting);
        assert_eq!(world.pass(HELLO_WITHIN), [Effect::Drop(1)]);
        assert_eq!(*world.machine.state(), State::Down(Failure::Silent));
        assert_eq!(world.pass(Duration::from_secs(2)), [Effect::Dial(2)]);
    }

    #[test]
    fn a_warning_opens_another_connection_before_the_old_one_goes() {
        let mut world = World::up();
        assert_eq!(world.disconnect(1, Disconnect::Refresh), [Effect::Dial(2)]);
        assert!(matches!(world.machine.state(), State::Up { .. }), "the old one still serves");
        let late = Frame::Envelope(Envelope {
            id: "e".to_owned(),
            kind: "interactive".to_owned(),
            takes_answer: false,
            payload: serde_json::Value::Null,
        });
        assert!(
            matches!(world.say(Input::Text(1, late)).as_slice(), [Effect::Deliver(1, _)]),
            "a click on the old one"
        );
        world.hello(2, 2);
        assert!(matches!(world.machine.state(), State::Up { others: 0, .. }), "our own are not others");
        assert_eq!(world.say(Input::Lost(1)), [], "announced, and replaced");
        assert!(matches!(world.machine.state(), State::Up { .. }));
    }

    #[test]
    fn a_replaced_connection_that_slack_leaves_open_is_closed() {
        let mut world = World::up();
        world.disconnect(1, Disconnect::Refresh);
        world.hello(2, 2);
        let effects = world.pass(RETIRE + CLOSE_WITHIN);
        let ends: Vec<_> = effects.into_iter().filter(|effect| !matches!(effect, Effect::Ping(2))).collect();
        assert_eq!(ends, [Effect::Close(1), Effect::Drop(1)]);
    }

    #[test]
    fn silence_is_death_and_any_sign_of_life_is_not() {
        let mut world = World::up();
        for _ in 0..6 {
            assert_eq!(world.pass(PING_EVERY), [Effect::Ping(1)]);
            world.say(Input::Heard(1));
        }
        let effects = world.pass(SILENCE);
        assert!(effects.contains(&Effect::Drop(1)), "{effects:?}");
        assert_eq!(*world.machine.state(), State::Down(Failure::Silent));
    }

    #[test]
    fn the_delay_grows_until_a_connection_was_healthy_for_minutes() {
        let mut world = World::new();
        world.say(Input::Tick);
        let mut last = 1;
        let mut delays = Vec::new();
        for _ in 0..8 {
            world.hello(last, 1);
            assert_eq!(world.say(Input::Lost(last)), [], "no hot loop");
            let before = world.now;
            world.now = world.machine.wake().unwrap();
            delays.push(world.now - before);
            last += 1;
            assert_eq!(world.say(Input::Tick), [Effect::Dial(last)]);
        }
        assert!(delays.windows(2).all(|pair| pair[0] <= pair[1]), "{delays:?}");
        assert!(*delays.last().unwrap() >= Duration::from_secs(30), "a hello alone resets nothing: {delays:?}");
        world.hello(last, 1);
        for _ in 0..13 {
            world.pass(PING_EVERY);
            world.say(Input::Heard(last));
        }
        world.say(Input::Lost(last));
        assert!(world.machine.wake().unwrap() - world.now <= Duration::from_secs(1), "a healthy one was lost");
    }

    #[test]
    fn what_a_person_has_to_mend_is_not_tried_in_a_loop() {
        for failure in [refused("invalid_auth"), refused("missing_scope"), refused("not_allowed_token_type")] {
            let mut world = World::new();
            world.say(Input::Tick);
            world.say(Input::Failed(1, failure.clone()));
            assert_eq!(*world.machine.state(), State::Down(failure));
            assert_eq!(world.pass(Duration::from_secs(7)), []);
        }
        let mut world = World::up();
        assert_eq!(world.disconnect(1, Disconnect::Disabled), [Effect::Drop(1)]);
        assert_eq!(*world.machine.state(), State::Down(Failure::Disabled));
        assert_eq!(world.pass(Duration::from_secs(7)), []);
    }

    #[test]
    fn slacks_own_waiting_time_is_obeyed() {
        let mut world = World::new();
        world.say(Input::Tick);
        let mut error = Error::new(method::CONNECTIONS_OPEN, "ratelimited", None);
        error.retry_after = Some(Duration::from_secs(40));
        world.say(Input::Failed(1, Failure::Call(Box::new(error))));
        assert_eq!(world.pass(Duration::from_secs(39)), []);
        assert_eq!(world.pass(Duration::from_secs(1)), [Effect::Dial(2)]);
    }

    #[test]
    fn a_new_token_is_tried_at_once_and_the_old_connection_serves_meanwhile() {
        let mut world = World::up();
        assert_eq!(world.say(Input::TokenChanged), [Effect::Dial(2)]);
        world.say(Input::Failed(2, refused("invalid_auth")));
        assert!(matches!(world.machine.state(), State::Up { .. }), "a bad new token takes nothing away");
        assert_eq!(world.say(Input::TokenChanged), [Effect::Dial(3)]);
        world.hello(3, 2);
        let ends: Vec<_> = world.pass(RETIRE).into_iter().filter(|effect| matches!(effect, Effect::Close(_))).collect();
        assert_eq!(ends, [Effect::Close(1)]);
        let mut waiting = World::new();
        waiting.say(Input::Tick);
        waiting.say(Input::Failed(1, refused("invalid_auth")));
        assert_eq!(waiting.say(Input::TokenChanged), [Effect::Dial(2)]);
    }

    #[test]
    fn connections_of_others_are_counted_again() {
        let mut world = World::new();
        world.say(Input::Tick);
        world.hello(1, 3);
        assert!(matches!(world.machine.state(), State::Up { others: 2, .. }));
        let mut dialed = None;
        for _ in 0..31 {
            let effects = world.pass(PING_EVERY);
            world.say(Input::Heard(1));
            dialed = dialed.or(effects.into_iter().find(|effect| matches!(effect, Effect::Dial(_))));
        }
        assert_eq!(dialed, Some(Effect::Dial(2)));
        world.hello(2, 2);
        assert!(matches!(world.machine.state(), State::Up { others: 0, .. }), "they were gone");
    }

    #[test]
    fn the_end_is_said_to_slack() {
        let mut world = World::up();
        assert_eq!(world.say(Input::Stop), [Effect::Close(1)]);
        assert!(!world.machine.is_over());
        assert_eq!(world.pass(CLOSE_WITHIN), [Effect::Drop(1)]);
        assert!(world.machine.is_over());
        assert_eq!(world.machine.wake(), None);
    }

    #[test]
    fn the_eleventh_connection_waits() {
        let mut world = World::new();
        world.say(Input::Tick);
        world.say(Input::Opened(1));
        assert_eq!(world.disconnect(1, Disconnect::TooMany), [Effect::Drop(1)]);
        assert_eq!(*world.machine.state(), State::Down(Failure::TooMany));
        assert_eq!(world.pass(Duration::from_secs(7)), []);
    }
}
