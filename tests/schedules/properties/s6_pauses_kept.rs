//! S6: no call falls into a pause that its process knows of.

use std::collections::BTreeMap;

use slack_access_operator::slack::method;

use super::Violation;
use crate::history::{Happening, History};

pub fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut pauses = BTreeMap::new();
    for entry in &history.entries {
        match &entry.what {
            Happening::Limited { process, method, conversation, until } => {
                let pause = pauses.entry((*process, *method, conversation.clone())).or_insert(0);
                *pause = (*until).max(*pause);
            }
            Happening::Calls { process, method, conversation } => {
                let line = if *method == method::POST_MESSAGE { conversation.clone() } else { String::new() };
                let until = pauses.get(&(*process, *method, line)).copied().unwrap_or(0);
                if entry.at < until {
                    let what = format!("{process} calls {method} {conversation} before {until} ms");
                    violations.push(Violation { property: "S6", at: entry.at, request: None, what });
                }
            }
            _ => {}
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::testing::{ONE, history};

    fn story(again: u64) -> Vec<Violation> {
        let (method, conversation) = (method::POST_MESSAGE, "C1".to_owned());
        check(&history(vec![
            (1, Happening::Limited { process: ONE, method, conversation: conversation.clone(), until: 1_001 }),
            (again, Happening::Calls { process: ONE, method, conversation }),
        ]))
    }

    #[test]
    fn it_fires_inside_a_pause() {
        assert_eq!(story(1_000).len(), 1);
    }

    #[test]
    fn it_does_not_fire_after_it() {
        assert!(story(1_001).is_empty());
    }
}
