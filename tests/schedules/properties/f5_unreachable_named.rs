//! F5: a recipient that cannot be reached is reported, by name.

use slack_access_operator::config::recipient::RecipientKey;
use slack_access_operator::delivery::effect::{Effect, Note};

use super::Violation;
use crate::history::{Happening, History};
use crate::plan::Act;

pub fn check(history: &History) -> Vec<Violation> {
    let stories = history.stories();
    let mut violations = Vec::new();
    for timed in &history.plan.acts {
        let Act::Request { request, suggested, .. } = &timed.act else { continue };
        let Some(story) = stories.get(request) else { continue };
        for text in suggested.iter().filter(|text| history.plan.place_of(text).is_none()) {
            let had_time = history.due(*request, 0, story).must;
            if had_time && !is_named(history, *request, text) {
                let what = format!("{text} cannot be reached, and that was never told");
                violations.push(Violation { property: "F5", at: timed.at, request: Some(*request), what });
            }
        }
    }
    violations
}

fn is_named(history: &History, request: usize, text: &str) -> bool {
    let key = RecipientKey::new(text);
    history.entries.iter().any(|entry| match &entry.what {
        Happening::Wants(
            machine,
            Effect::Report(Note::Failed { recipient, .. } | Note::NeverAnnounced { recipient, .. }),
        ) => machine.request == request && *recipient == key,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use slack_access_operator::delivery::effect::Untold;

    use super::*;
    use crate::plan::HOUR;
    use crate::properties::testing::{MACHINE, history, standing};
    use crate::teleport::Teleport;

    fn story(told: Option<Note>) -> Vec<Violation> {
        let mut teleport = Teleport::default();
        teleport.create(0, 8 * HOUR, 8 * HOUR, &[], 0);
        let made = teleport.request(0, 0).cloned().map(Box::new);
        let mut happenings = vec![(0, Happening::Changed { request: 0, now: made })];
        happenings.extend(told.map(|note| (1, Happening::Wants(MACHINE, Effect::Report(note)))));
        let mut history = history(happenings);
        if let Act::Request { suggested, .. } = &mut history.plan.acts[0].act {
            suggested.push("unknown@example.com".to_owned());
        }
        check(&history)
    }

    #[test]
    fn it_fires_for_a_recipient_that_is_passed_over_in_silence() {
        assert_eq!(story(None).len(), 1);
    }

    #[test]
    fn it_does_not_fire_for_one_that_is_named() {
        let recipient = RecipientKey::new("unknown@example.com");
        assert!(
            story(Some(Note::NeverAnnounced { recipient, standing: standing(), reason: Untold::Waiting })).is_empty()
        );
    }
}
