//! Emoji names: the standard ones that a program is likely to use (Slack docs: emoji; names as in the Unicode short names).

/// Name and character, one a line. Where several names have one character, the first is the one that Slack stores.
const STANDARD: &str = include_str!("emoji.txt");

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

/// Turns emoji characters into `:name:`, which is how Slack stores them.
pub(super) fn to_names(text: &str) -> String {
    // The first emoji among the characters is ‼; accents come before it.
    if text.chars().all(|character| character < '\u{203c}') {
        return text.to_owned();
    }
    let mut out = text.to_owned();
    for (name, character) in all() {
        if out.contains(character) {
            let name = format!(":{name}:");
            // With the variation selector first, so that none is left behind.
            out = out.replace(&format!("{character}\u{fe0f}"), &name).replace(character, &name);
        }
    }
    out
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
            (":x:", false),
            ("", false),
            ("no_such_emoji", false),
            ("x::skin-tone-9", false),
        ] {
            assert_eq!(is_known(name), known, "{name}");
        }
    }

    #[test]
    fn characters_become_names() {
        assert_eq!(to_names("✅ done ⚠️ ü"), ":white_check_mark: done :warning: ü");
    }
}
