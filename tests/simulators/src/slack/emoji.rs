//! Emoji names: the standard ones that a program is likely to use (Slack docs: emoji; names as in the Unicode short names).

/// Name and character.
const STANDARD: &[(&str, &str)] = &[
    ("+1", "👍"),
    ("-1", "👎"),
    ("100", "💯"),
    ("alarm_clock", "⏰"),
    ("ballot_box_with_check", "☑"),
    ("bell", "🔔"),
    ("bow", "🙇"),
    ("building_construction", "🏗"),
    ("bust_in_silhouette", "👤"),
    ("calendar", "📅"),
    ("clap", "👏"),
    ("clipboard", "📋"),
    ("clock1", "🕐"),
    ("cop", "👮"),
    ("crossed_swords", "⚔"),
    ("exclamation", "❗"),
    ("eyes", "👀"),
    ("fire", "🔥"),
    ("gear", "⚙"),
    ("grey_question", "❔"),
    ("heart", "❤"),
    ("heavy_check_mark", "✔"),
    ("heavy_exclamation_mark", "❗"),
    ("heavy_minus_sign", "➖"),
    ("heavy_multiplication_x", "✖"),
    ("heavy_plus_sign", "➕"),
    ("hourglass", "⌛"),
    ("hourglass_flowing_sand", "⏳"),
    ("information_source", "ℹ"),
    ("key", "🔑"),
    ("large_blue_circle", "🔵"),
    ("large_green_circle", "🟢"),
    ("large_red_square", "🟥"),
    ("large_yellow_circle", "🟡"),
    ("link", "🔗"),
    ("lock", "🔒"),
    ("lock_with_ink_pen", "🔏"),
    ("mailbox", "📫"),
    ("memo", "📝"),
    ("negative_squared_cross_mark", "❎"),
    ("no_entry", "⛔"),
    ("no_entry_sign", "🚫"),
    ("octagonal_sign", "🛑"),
    ("ok", "🆗"),
    ("ok_hand", "👌"),
    ("pray", "🙏"),
    ("question", "❓"),
    ("raised_hand", "✋"),
    ("raised_hands", "🙌"),
    ("recycle", "♻"),
    ("red_circle", "🔴"),
    ("robot_face", "🤖"),
    ("rocket", "🚀"),
    ("rotating_light", "🚨"),
    ("shield", "🛡"),
    ("sos", "🆘"),
    ("speech_balloon", "💬"),
    ("star", "⭐"),
    ("stopwatch", "⏱"),
    ("tada", "🎉"),
    ("thinking_face", "🤔"),
    ("thumbsdown", "👎"),
    ("thumbsup", "👍"),
    ("timer_clock", "⏲"),
    ("unlock", "🔓"),
    ("warning", "⚠"),
    ("wastebasket", "🗑"),
    ("wave", "👋"),
    ("white_check_mark", "✅"),
    ("white_circle", "⚪"),
    ("wrench", "🔧"),
    ("x", "❌"),
    ("zap", "⚡"),
];

/// A name that `reactions.add` accepts: without colons, with a skin tone at most.
pub(super) fn is_known(name: &str) -> bool {
    let base = match name.split_once("::") {
        Some((base, "skin-tone-2" | "skin-tone-3" | "skin-tone-4" | "skin-tone-5" | "skin-tone-6")) => base,
        Some(_) => return false,
        None => name,
    };
    STANDARD.iter().any(|(known, _)| *known == base)
}

/// All names with their characters, for drawing them.
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    STANDARD.iter().copied()
}

/// Turns emoji characters into `:name:`, which is how Slack stores them.
pub(super) fn to_names(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let mut out = text.to_owned();
    for (name, character) in STANDARD {
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
