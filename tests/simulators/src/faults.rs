//! One vocabulary of faults for both simulators: usable from tests, from the demo page and over HTTP.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use tokio::sync::watch;

/// What goes wrong. The simulators apply those that make sense for them and refuse the rest when they are injected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Answer with an error of the service's own: a Slack error string, or a gRPC code name such as `unavailable`.
    Error {
        /// Slack's `error` string or the gRPC code in snake case.
        code: String,
        /// Human-readable part; gRPC only.
        #[serde(default)]
        message: String,
    },
    /// Refuse with HTTP 429 (Slack) or `RESOURCE_EXHAUSTED` (Teleport).
    RateLimited {
        /// Seconds for the `Retry-After` header; without it the header is missing.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// Refuse with HTTP 429 and a plain text, as old edges do; Slack only.
    RateLimitedText {
        /// As in [`Effect::RateLimited`].
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// Answer with this HTTP status and an HTML page, before any effect.
    ServerError {
        /// Status, 500 to 599.
        status: u16,
    },
    /// Let the call take effect, then answer with this HTTP status and an HTML page.
    ServerErrorAfter {
        /// Status, 500 to 599.
        status: u16,
    },
    /// Let the call take effect, then answer with an error of the service's own, such as `internal_error`.
    ErrorAfter {
        /// As in [`Effect::Error`].
        code: String,
    },
    /// Answer with a redirect to another place, before any effect; HTTP only.
    Redirect {
        /// Where to.
        location: String,
    },
    /// Let the call take effect and answer with status 200 and an HTML page; HTTP only.
    Html,
    /// Let the call take effect and add this much ballast to the answer; HTTP only.
    Huge {
        /// Size of the ballast.
        bytes: u64,
    },
    /// Let the call take effect and send the answer in small pieces; HTTP only.
    Drip {
        /// Time for all of it, in milliseconds.
        millis: u64,
    },
    /// Take the call and never answer; the connection stays open.
    Hang,
    /// Close the connection before the call has any effect.
    ResetBefore,
    /// Let the call take effect, then close the connection without an answer.
    AnswerLost,
    /// Answer correctly, but late.
    Slow {
        /// Delay in milliseconds.
        millis: u64,
    },
    /// Let the call take effect and answer with bytes that do not parse.
    Malformed,
    /// Answer a read from a state that is this old.
    StaleRead {
        /// Age of the state in milliseconds.
        millis: u64,
    },
    /// Break an open stream with a transport error.
    Cut,
    /// Keep a stream open but send nothing more on it.
    Stall,
    /// End a stream cleanly.
    End,
    /// Send the next event of a stream twice.
    Duplicate,
}

impl Effect {
    /// Its name in JSON.
    pub fn name(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value.get("effect").and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// A fault and when it applies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct Fault {
    /// Method it applies to: `chat.postMessage`, `WatchEvents`, or `*` for every method.
    pub method: String,
    /// What goes wrong.
    #[serde(flatten)]
    pub effect: Effect,
    /// Apply only to calls whose arguments contain this text: a channel's id, for example.
    #[serde(default)]
    pub only: Option<String>,
    /// Let this many calls pass first.
    #[serde(default)]
    pub skip: u32,
    /// Apply to this many calls; without it, until cleared or until `for_millis` have passed.
    #[serde(default)]
    pub count: Option<u32>,
    /// Apply for this long after the injection, in milliseconds.
    #[serde(default)]
    pub for_millis: Option<u64>,
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

/// Refuses properties that mean nothing: a misspelt `count` would let a fault last for good.
impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Map::deserialize(deserializer)?;
        let names: Vec<String> = map.keys().cloned().collect();
        let fault = Self::deserialize(Value::Object(map)).map_err(D::Error::custom)?;
        let known = serde_json::to_value(&fault).map_err(D::Error::custom)?;
        match names.iter().find(|name| known.get(name.as_str()).is_none()) {
            Some(name) => {
                Err(D::Error::custom(format!("unknown field `{name}` for the effect {}", fault.effect.name())))
            }
            None => Ok(fault),
        }
    }
}

impl Fault {
    /// A fault that applies to the next call of `method`, once.
    pub fn once(method: &str, effect: Effect) -> Self {
        Self { method: method.to_owned(), effect, only: None, skip: 0, count: Some(1), for_millis: None }
    }

    /// A fault that applies to the next `count` calls of `method`.
    pub fn times(method: &str, count: u32, effect: Effect) -> Self {
        Self { count: Some(count), ..Self::once(method, effect) }
    }

    /// A fault that applies to every call of `method` for `duration`.
    pub fn during(method: &str, duration: Duration, effect: Effect) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self { count: None, for_millis: Some(millis), ..Self::once(method, effect) }
    }

    /// A fault that applies to every call of `method` until it is cleared.
    pub fn always(method: &str, effect: Effect) -> Self {
        Self { count: None, ..Self::once(method, effect) }
    }

    /// The same, but only after `skip` calls have passed.
    #[must_use]
    pub fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// The same, but only for calls whose arguments contain `text`.
    #[must_use]
    pub fn only(mut self, text: &str) -> Self {
        self.only = Some(text.to_owned());
        self
    }

    fn matches(&self, method: &str) -> bool {
        self.method == "*" || self.method == method
    }
}

struct Injected {
    id: u64,
    fault: Fault,
    since: Instant,
}

impl Injected {
    fn end(&self) -> Option<Instant> {
        self.fault.for_millis.map(|millis| self.since + Duration::from_millis(millis))
    }

    fn expired(&self) -> bool {
        self.fault.count == Some(0) || self.end().is_some_and(|end| end <= Instant::now())
    }
}

#[derive(Default)]
struct State {
    next_id: u64,
    injected: Vec<Injected>,
}

/// The faults that are injected into one simulator. Clones share them.
#[derive(Clone, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
    changes: watch::Sender<u64>,
}

impl Faults {
    /// None yet. Whoever waits for changes of the simulator is woken when they change.
    pub(crate) fn of(changes: watch::Sender<u64>) -> Self {
        Self { state: Arc::default(), changes }
    }

    fn read<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.injected.retain(|injected| !injected.expired());
        look(&mut state)
    }

    fn write<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = self.read(change);
        self.tell();
        result
    }

    fn tell(&self) {
        self.changes.send_modify(|number| *number += 1);
    }

    /// Adds a fault and returns its number, by which it can be removed.
    pub fn inject(&self, fault: Fault) -> u64 {
        self.write(|state| {
            state.next_id += 1;
            let id = state.next_id;
            state.injected.push(Injected { id, fault, since: Instant::now() });
            id
        })
    }

    /// Removes one fault; false when there is none of this number.
    pub fn remove(&self, id: u64) -> bool {
        self.write(|state| {
            let before = state.injected.len();
            state.injected.retain(|injected| injected.id != id);
            state.injected.len() != before
        })
    }

    /// Removes all faults.
    pub fn clear(&self) {
        self.write(|state| state.injected.clear());
    }

    /// The faults still in force, with their numbers, oldest first.
    pub fn list(&self) -> Vec<(u64, Fault)> {
        self.read(|state| state.injected.iter().map(|injected| (injected.id, injected.fault.clone())).collect())
    }

    /// When the next of them ends by itself.
    pub fn next_end(&self) -> Option<Instant> {
        self.read(|state| state.injected.iter().filter_map(Injected::end).min())
    }

    /// The effect for the next call of `method`, if any: the oldest matching fault, which this call uses up by one.
    pub fn take(&self, method: &str) -> Option<Effect> {
        self.take_if(method, |_| true)
    }

    /// As [`Faults::take`], but only among the effects that `applies` accepts at this place. Faults for some arguments only do not apply.
    pub fn take_if(&self, method: &str, applies: impl Fn(&Effect) -> bool) -> Option<Effect> {
        self.take_for(method, String::new, applies)
    }

    /// As [`Faults::take_if`], for a call with these arguments, which are only made into text if a fault asks for them.
    pub fn take_for(
        &self,
        method: &str,
        args: impl Fn() -> String,
        applies: impl Fn(&Effect) -> bool,
    ) -> Option<Effect> {
        let effect = self.read(|state| {
            let fits = |fault: &Fault| {
                fault.matches(method)
                    && applies(&fault.effect)
                    && fault.only.as_ref().is_none_or(|text| args().contains(text))
            };
            for Injected { fault, .. } in &mut state.injected {
                if !fits(fault) {
                    continue;
                }
                if fault.skip > 0 {
                    fault.skip -= 1;
                    continue;
                }
                if let Some(count) = &mut fault.count {
                    *count -= 1;
                }
                return Some(fault.effect.clone());
            }
            None
        })?;
        self.tell();
        Some(effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_fault_is_used_up_after_the_calls_it_skips() {
        let faults = Faults::default();
        faults.inject(Fault::times("a", 2, Effect::Hang).after(1));
        let seen: Vec<_> = (0..4).map(|_| faults.take("a").is_some()).collect();
        assert_eq!(seen, [false, true, true, false]);
        assert!(faults.list().is_empty());
    }

    #[test]
    fn a_fault_of_another_method_is_left_alone() {
        let faults = Faults::default();
        faults.inject(Fault::once("a", Effect::Hang));
        assert_eq!(faults.take("b"), None);
        assert_eq!(faults.take("a"), Some(Effect::Hang));
    }

    #[test]
    fn whoever_waits_is_told_when_a_fault_comes_is_used_up_and_goes() {
        let changes = watch::Sender::new(0);
        let faults = Faults::of(changes.clone());
        let id = faults.inject(Fault::always("a", Effect::Hang));
        faults.inject(Fault::once("b", Effect::Hang));
        assert_eq!(*changes.borrow(), 2);
        assert!(faults.take("c").is_none());
        assert_eq!(*changes.borrow(), 2, "nothing happened");
        assert!(faults.take("b").is_some());
        assert!(faults.remove(id));
        assert_eq!(*changes.borrow(), 4);
        assert!(faults.list().is_empty());
    }

    #[test]
    fn a_fault_for_a_while_says_when_it_ends() {
        let faults = Faults::default();
        faults.inject(Fault::always("a", Effect::Hang));
        assert_eq!(faults.next_end(), None);
        let before = Instant::now();
        faults.inject(Fault::during("a", Duration::from_mins(1), Effect::Hang));
        let begin = faults.next_end().unwrap().checked_sub(Duration::from_mins(1)).unwrap();
        assert!(begin >= before && begin <= Instant::now());
    }

    #[test]
    fn json_names_the_method_and_the_effect_side_by_side() {
        let fault: Fault =
            serde_json::from_str(r#"{"method":"*","effect":"server_error","status":503,"count":3}"#).unwrap();
        assert_eq!(fault, Fault::times("*", 3, Effect::ServerError { status: 503 }));
        let back: Fault = serde_json::from_value(serde_json::to_value(&fault).unwrap()).unwrap();
        assert_eq!(back, fault);
    }

    #[test]
    fn a_misspelt_property_is_refused_by_name() {
        for (json, expected) in [
            (r#"{"method":"*","effect":"hang","cuont":3}"#, "unknown field `cuont` for the effect hang"),
            (r#"{"method":"*","effect":"hang","millis":3}"#, "unknown field `millis`"),
            (r#"{"method":"*","effect":"slow"}"#, "missing field `millis`"),
            (r#"{"method":"*","effect":"sulk"}"#, "unknown variant `sulk`"),
        ] {
            let error = serde_json::from_str::<Fault>(json).unwrap_err().to_string();
            assert!(error.contains(expected), "{json}: {error}");
        }
    }
}
