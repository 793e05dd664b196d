//! Emoji names: all that every workspace has (Slack docs: emoji). Names and characters are those of the npm package `emoji-datasource`
//! 16.0.0, which gathers its `short_names` from Slack.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Name and character, one a line, sorted. Where several names have one character, the first is the one that Slack stores, and the
/// others follow it. A variation selector at the end is left out.
const STANDARD: &str = include_str!("emoji.txt");

/// Asks for the coloured form of a character; texts have it or not.
const VARIATION: char = '\u{fe0f}';

/// The names by the first character, the longest first, so that a family is not taken for a man beside a woman.
static BY_FIRST: LazyLock<HashMap<char, Vec<(&'static str, &'static str)>>> = LazyLock::new(|| {
    let mut index: HashMap<char, Vec<_>> = HashMap::new();
    for (name, character) in all() {
        index.entry(character.chars().next().unwrap_or_default()).or_default().push((name, character));
    }
    // Stable, so that the name which is stored stays before the others.
    for names in index.values_mut() {
        names.sort_by_key(|(_, character)| Reverse(character.chars().count()));
    }
    index
});

/// A name that `reactions.add` accepts: without colons, with a skin tone at most.
pub(super) fn is_known(name: &str) -> bool {
    let base = match name.split_once("::") {
        Some((base, "skin-tone-2" | "skin-tone-3" | "skin-tone-4" | "skin-tone-5" | "skin-tone-6")) => base,
        Some(_) => return false,
        None => name,
    };
    all().any(|(known, _)| known == base)
}

/// All names with their characters, for drawing them.
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    STANDARD.lines().filter_map(|line| line.split_once(' '))
}

/// Turns emoji characters into `:name:`, which is how Slack stores them; a skin tone follows as a name of its own.
pub(super) fn to_names(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let mut candidates = BY_FIRST.get(&first).into_iter().flatten();
        let found = candidates.find_map(|(name, character)| Some((name, after(rest, character)?)));
        if let Some((name, (behind, tone))) = found {
            out.extend([":", name, ":"]);
            out.push_str(&tone.map(|tone| to_names(tone.encode_utf8(&mut [0; 4]))).unwrap_or_default());
            rest = behind;
        } else {
            out.push(first);
            rest = rest.strip_prefix(first).unwrap_or_default();
        }
    }
    out
}

/// What comes behind an emoji with which the text begins, and the skin tone in the middle of it.
fn after<'a>(text: &'a str, character: &str) -> Option<(&'a str, Option<char>)> {
    let (mut rest, mut tone) = (text.chars(), None);
    for wanted in character.chars().filter(|wanted| *wanted != VARIATION) {
        let mut next = rest.next()?;
        while next != wanted {
            match next {
                VARIATION => {}
                // Two people of different tones have no common name.
                '\u{1f3fb}'..='\u{1f3ff}' if tone.is_none_or(|tone| tone == next) => tone = Some(next),
                _ => return None,
            }
            next = rest.next()?;
        }
    }
    Some((rest.as_str().trim_start_matches(VARIATION), tone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_without_colons_and_with_skin_tones() {
        for (name, known) in [
            ("white_check_mark", true),
            ("thumbsup::skin-tone-3", true),
            ("partying_face", true),
            ("man-woman-girl-boy", true),
            ("flag-de", true),
            ("ok_woman::skin-tone-2", true),
            ("facepalm", false),
            (":x:", false),
            ("", false),
            ("no_such_emoji", false),
            ("x::skin-tone-9", false),
        ] {
            assert_eq!(is_known(name), known, "{name}");
        }
    }

    #[test]
    fn every_name_stands_in_the_list_once_and_comes_back_from_its_character() {
        let names: HashMap<_, _> = all().collect();
        assert_eq!((names.len(), all().count()), (1_972, 1_972));
        let characters: std::collections::HashSet<_> = names.values().collect();
        let stored = characters.iter().map(|character| to_names(character));
        let lost: Vec<_> = stored.filter(|name| !is_known(name.trim_matches(':'))).collect();
        assert_eq!(lost, Vec::<String>::new());
    }

    #[test]
    fn characters_become_names() {
        for (text, stored) in [
            ("✅ done ⚠️ ü", ":white_check_mark: done :warning: ü"),
            ("\u{26a0}", ":warning:"),
            ("👨‍👩‍👧‍👦 👨", ":man-woman-girl-boy: :man:"),
            ("🇩🇪🏳️‍🌈", ":de::rainbow-flag:"),
            ("1️⃣ of 10", ":one: of 10"),
            ("👍🏽 👩🏽‍💻", ":+1::skin-tone-4: :female-technologist::skin-tone-4:"),
        ] {
            assert_eq!(to_names(text), stored, "{text}");
        }
    }
}
