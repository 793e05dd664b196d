//! Channel names and the ids that they were first seen with; pure.
//!
//! In Slack a channel can be renamed, and its old name can then be given to another. A name that is configured means the
//! channel that had it when the worker first looked: messages stay there, and the move is reported.

use std::collections::BTreeMap;
use std::fmt;

/// A configured name is no longer that of its channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The configured name, without `#`.
    pub name: String,
    /// The channel that had the name first, where messages go.
    pub pinned: String,
    /// What that channel is called now, if it is known.
    pub now_called: Option<String>,
    /// The channel that has the name now, if there is one.
    pub taken_by: Option<String>,
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, pinned, now_called, taken_by } = self;
        write!(f, "#{name} was the channel {pinned}")?;
        match now_called {
            Some(now_called) => write!(f, ", which is now called #{now_called}")?,
            None => write!(f, ", which is no longer called so")?,
        }
        if let Some(taken_by) = taken_by {
            write!(f, "; the name now belongs to {taken_by}")?;
        }
        write!(f, ". Messages still go to {pinned}; configure the id of the channel that you mean")
    }
}

/// Names by the ids that they are pinned to.
#[derive(Debug, Default)]
pub(super) struct Pins(BTreeMap<String, Pin>);

#[derive(Debug)]
struct Pin {
    id: String,
    moved: Option<Moved>,
}

impl Pins {
    pub(super) fn id(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|pin| pin.id.as_str())
    }

    /// The channel `id` is called `name` now. Returns whether that changes what is known of a move.
    pub(super) fn observe(&mut self, name: &str, id: &str) -> bool {
        let mut changed = false;
        for (pinned_name, pin) in &mut self.0 {
            let before = pin.moved.clone();
            match (pinned_name == name, pin.id == id) {
                (true, true) => pin.moved = None,
                (true, false) => pin.moved(pinned_name).taken_by = Some(id.to_owned()),
                (false, true) => pin.moved(pinned_name).now_called = Some(name.to_owned()),
                (false, false) => {}
            }
            changed |= before != pin.moved;
        }
        changed
    }

    /// From now on `name` means the channel `id`, unless it is pinned already.
    pub(super) fn pin(&mut self, name: &str, id: &str) {
        self.0.entry(name.to_owned()).or_insert_with(|| Pin { id: id.to_owned(), moved: None });
    }

    /// The moves that are known, by name.
    pub(super) fn moved(&self) -> impl Iterator<Item = &Moved> {
        self.0.values().filter_map(|pin| pin.moved.as_ref())
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Pin {
    fn moved(&mut self, name: &str) -> &mut Moved {
        let Self { id, moved } = self;
        moved.get_or_insert_with(|| Moved {
            name: name.to_owned(),
            pinned: id.clone(),
            now_called: None,
            taken_by: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_with_its_first_channel_and_the_move_is_reported_once() {
        let mut pins = Pins::default();
        pins.pin("access-07", "C1");
        assert!(!pins.observe("access-07", "C1"));
        pins.pin("access-07", "C2");
        assert!(pins.observe("access-07", "C2"), "the name has moved");
        assert!(!pins.observe("access-07", "C2"), "that is known already");
        assert!(pins.observe("old-access-07", "C1"), "and what the first channel is called now");
        assert_eq!(pins.id("access-07"), Some("C1"));
        let moved: Vec<_> = pins.moved().cloned().collect();
        let expected = Moved {
            name: "access-07".to_owned(),
            pinned: "C1".to_owned(),
            now_called: Some("old-access-07".to_owned()),
            taken_by: Some("C2".to_owned()),
        };
        assert_eq!(moved, [expected]);
        let text = moved[0].to_string();
        assert!(
            text.contains("now called #old-access-07; the name now belongs to C2. Messages still go to C1"),
            "{text}"
        );
    }

    #[test]
    fn a_channel_that_has_its_name_back_is_not_moved() {
        let mut pins = Pins::default();
        pins.pin("ops", "C1");
        pins.observe("ops-old", "C1");
        assert_eq!(pins.moved().count(), 1);
        assert!(pins.observe("ops", "C1"));
        assert_eq!(pins.moved().count(), 0);
    }
}
