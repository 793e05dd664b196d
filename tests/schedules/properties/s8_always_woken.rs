//! S8: no sleeping beauty. A machine that is not over has something under way, or a time to wake up. One that is cut off from
//! Teleport waits for the connection.

use super::Violation;
use crate::history::{Happening, History};

pub fn check(history: &History) -> Vec<Violation> {
    let sleeps = history.entries.iter().filter_map(|entry| match &entry.what {
        Happening::Rests { machine, wake: None, is_over: false, open: 0, is_connected: true, .. } => {
            let what = format!("{machine} waits for nothing and is not over");
            Some(Violation { property: "S8", at: entry.at, request: Some(machine.request), what })
        }
        _ => None,
    });
    sleeps.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::testing::{MACHINE, history};

    fn rests(wake: Option<u64>, is_over: bool, open: usize) -> Vec<Violation> {
        let rests = Happening::Rests { machine: MACHINE, wake, is_over, open, is_connected: true, was_tick: false };
        check(&history(vec![(1, rests)]))
    }

    #[test]
    fn it_fires_for_a_machine_that_waits_for_nothing() {
        assert_eq!(rests(None, false, 0).len(), 1);
    }

    #[test]
    fn it_does_not_fire_for_one_that_waits_or_is_over() {
        assert!(
            rests(Some(2), false, 0).is_empty() && rests(None, false, 1).is_empty() && rests(None, true, 0).is_empty()
        );
    }
}
