//! Names with `*` for any characters, as an allow-list holds them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text to be equal to; each `*` in it stands for any characters, or none.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Pattern(String);

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pattern {
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
        let mut parts: Vec<&str> = parts.collect();
        let Some(last) = parts.pop() else { return rest.is_empty() };
        let Some(mut rest) = rest.strip_suffix(last) else { return false };
        // The earliest place of each part leaves the most room for the next.
        parts.into_iter().all(|part| match rest.split_once(part) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_and_nothing_else_does() {
        for (pattern, text, matches) in [
            ("slack.com", "slack.com", true),
            ("slack.com", "slackxcom", false),
            ("slack.com", "evil-slack.com", false),
            ("slack.com", "slack.com.evil.example", false),
            ("*", "", true),
            ("*.corp.example", "slack.corp.example", true),
            ("*.corp.example", "corp.example", false),
            ("*slack*", "my-slack-token", true),
            ("*slack*", "slack", true),
            ("*slack*", "database", false),
            ("a*b*c", "abbc", true),
            ("a*b*c", "ac", false),
            ("aa*aa", "aaa", false),
            ("", "x", false),
        ] {
            assert_eq!(Pattern::from(pattern).matches(text), matches, "{pattern} {text}");
        }
    }
}
