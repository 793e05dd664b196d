//! S4: of the official plugin's keys `messages` only grows, `reviews_count` never falls and `resolution` is set once, but that `EXPIRED` may become a decision; no record
//! is larger than Teleport takes.

use std::collections::BTreeSet;

use super::Violation;
use crate::history::{Happening, History};

pub fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for entry in &history.entries {
        let Happening::Stored { request, before, after, .. } = &entry.what else { continue };
        let text = |data: &slack_access_operator::access_request::PluginData, key: &str| {
            data.get(key).cloned().unwrap_or_default()
        };
        let mut fails = |what: String| {
            violations.push(Violation { property: "S4", at: entry.at, request: Some(*request), what });
        };
        let list = |data| {
            text(data, "messages")
                .split(',')
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect::<BTreeSet<_>>()
        };
        if !list(&after.data).is_superset(&list(&before.data)) {
            fails(format!("messages {:?} became {:?}", text(&before.data, "messages"), text(&after.data, "messages")));
        }
        let count = |data| text(data, "reviews_count").parse().unwrap_or(0_u64);
        if count(&after.data) < count(&before.data) {
            fails(format!("reviews_count fell from {} to {}", count(&before.data), count(&after.data)));
        }
        let (old, new) = (text(&before.data, "resolution"), text(&after.data, "resolution"));
        // That a request is gone is all that a worker may know of its end; another one may know how it was decided.
        if !old.is_empty() && old != new && old != "EXPIRED" {
            fails(format!("resolution {old} became {new:?}"));
        }
        if after.data.values().map(String::len).sum::<usize>() > 1_000_000 {
            fails("the record is larger than 1,000,000 bytes".to_owned());
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::history::{Author, Stored};
    use crate::properties::testing::{ONE, history};

    fn write(before: &[(&str, &str)], after: &[(&str, &str)]) -> Vec<Violation> {
        let version = |pairs: &[(&str, &str)]| {
            let data = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            Rc::new(Stored { data, ..Stored::default() })
        };
        let (before, after) = (version(before), version(after));
        check(&history(vec![(1, Happening::Stored { request: 0, by: Author::Worker(ONE), began: 0, before, after })]))
    }

    #[test]
    fn it_fires_for_what_is_lost() {
        assert_eq!(write(&[("messages", "C1/1.5,C2/2.5")], &[("messages", "C1/1.5")]).len(), 1);
        assert_eq!(write(&[("reviews_count", "2")], &[]).len(), 1);
        assert_eq!(write(&[("resolution", "DENIED")], &[("resolution", "APPROVED")]).len(), 1);
    }

    #[test]
    fn it_does_not_fire_for_what_is_added() {
        let all = [("messages", "C1/1.5,C2/2.5"), ("reviews_count", "2"), ("resolution", "DENIED")];
        assert!(write(&[("messages", "C1/1.5"), ("reviews_count", "1")], &all).is_empty());
    }
}
