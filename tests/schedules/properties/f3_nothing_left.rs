//! F3: in the end no machine has anything left to do.

use super::Violation;
use crate::history::History;

pub fn check(history: &History) -> Vec<Violation> {
    let at = history.plan.end();
    let mut violations: Vec<_> = history
        .left
        .iter()
        .map(|machine| {
            let what = format!("{machine} is still at work");
            Violation { property: "F3", at, request: Some(machine.request), what }
        })
        .collect();
    if history.is_endless {
        let at = history.entries.last().map_or(at, |entry| entry.at);
        violations.push(Violation { property: "F3", at, request: None, what: "there is no end of events".to_owned() });
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::testing::{MACHINE, history};

    #[test]
    fn it_fires_for_a_machine_that_is_left_and_for_endless_work() {
        assert_eq!(check(&History { left: vec![MACHINE], ..history(Vec::new()) }).len(), 1);
        assert_eq!(check(&History { is_endless: true, ..history(Vec::new()) }).len(), 1);
    }

    #[test]
    fn it_does_not_fire_when_all_is_done() {
        assert!(check(&history(Vec::new())).is_empty());
    }
}
