//! Makes text that somebody else controls safe to show in Slack. Pure.
//!
//! Slack reads `& < >` as markup even inside code, and users, roles, resources and reasons come from people who may want a
//! message to ping, link or pretend. Lengths are UTF-16 units: Slack says "characters" and not which; this is the strictest
//! reading that its own editors use.

/// What shows that text was cut.
const ELLIPSIS: char = '…';
/// Looks like a backtick and is none; Slack has no way to escape one inside code.
const BACKTICK: &str = "ˋ";
/// Stands where nothing else would.
const EMPTY: &str = "(empty)";

/// Length in UTF-16 units.
pub fn len(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Drops what is not meant to be seen: control characters, bidirectional overrides, invisible and tag characters.
/// Every kind of line break becomes `\n`, a tab a space; the ends are trimmed.
pub fn clean(text: &str) -> String {
    collect(visible(text), usize::MAX)
}

/// Whether nothing is left to be seen of a text.
pub fn is_blank(text: &str) -> bool {
    visible(text).all(char::is_whitespace)
}

fn visible(text: &str) -> impl Iterator<Item = char> {
    let mut chars = text.chars().peekable();
    std::iter::from_fn(move || {
        loop {
            match chars.next()? {
                '\r' if chars.peek() == Some(&'\n') => {}
                '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}' => return Some('\n'),
                '\t' => return Some(' '),
                c if is_hidden(c) => {}
                c => return Some(c),
            }
        }
    })
}

/// The text trimmed, and read no further than `limit` units: inputs may be many times larger than what is shown.
fn collect(chars: impl Iterator<Item = char>, limit: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for c in chars.skip_while(|c| c.is_whitespace()) {
        out.push(c);
        used += c.len_utf16();
        if used > limit {
            return out;
        }
    }
    out.truncate(out.trim_end().len());
    out
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Replaces the three characters that Slack reads as markup.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push_escaped(&mut out, c);
    }
    out
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        c => out.push(c),
    }
}

fn escaped_len(c: char) -> usize {
    match c {
        '&' => 5,
        '<' | '>' => 4,
        c => c.len_utf16(),
    }
}

/// Escapes and cuts to at most `budget` UTF-16 units of escaped text, the ellipsis included; never inside an entity.
fn escape_within(text: &str, budget: usize) -> String {
    within(text, budget, escaped_len, push_escaped)
}

fn within(text: &str, budget: usize, size: impl Fn(char) -> usize, push: impl Fn(&mut String, char)) -> String {
    let mut out = String::new();
    let (mut used, mut fits_with_ellipsis) = (0, 0);
    for c in text.chars() {
        used += size(c);
        if used > budget {
            out.truncate(fits_with_ellipsis);
            if budget > 0 {
                out.push(ELLIPSIS);
            }
            return out;
        }
        push(&mut out, c);
        if used < budget {
            fits_with_ellipsis = out.len();
        }
    }
    out
}

/// One line of text for a place that is not markup (`plain_text`, logs), of at most `budget` units.
pub fn shorten(text: &str, budget: usize) -> String {
    within(&one_line(text, budget), budget, char::len_utf16, String::push)
}

/// One line of escaped text for mrkdwn, of at most `budget` units.
pub fn line(text: &str, budget: usize) -> String {
    escape_within(&one_line(text, budget), budget)
}

/// Cleaned text in which no address is made into a link. Only blocks can be told to leave addresses alone (`verbatim`);
/// a message's `text` cannot be relied on to. The colon becomes one that only looks like it; the length stays.
pub fn without_links(text: &str) -> String {
    text.replace("://", "∶//")
}

/// White space of every kind becomes single spaces.
fn one_line(text: &str, limit: usize) -> String {
    let mut after_space = false;
    let chars = visible(text).filter_map(|c| {
        let is_space = c.is_whitespace();
        let doubled = is_space && after_space;
        after_space = is_space;
        (!doubled).then_some(if is_space { ' ' } else { c })
    });
    collect(chars, limit)
}

/// One line in a code span, of at most `budget` units with its backticks: nothing inside is markup. Empty text is shown
/// as such.
pub fn code(text: &str, budget: usize) -> String {
    let budget = budget.saturating_sub(len("``"));
    let text = without_backticks(&one_line(text, budget));
    if text.is_empty() { EMPTY.to_owned() } else { format!("`{}`", escape_within(&text, budget)) }
}

/// Many lines in a code block, of at most `budget` units with its fences.
pub fn block(text: &str, budget: usize) -> String {
    let budget = budget.saturating_sub(len("```\n\n```"));
    let text = without_backticks(&collect(visible(text), budget));
    if text.is_empty() { EMPTY.to_owned() } else { format!("```\n{}\n```", escape_within(&text, budget)) }
}

fn without_backticks(text: &str) -> String {
    text.replace('`', BACKTICK)
}

/// The first of `items` that fit into `budget` units with `separator` between them, and "+3 more" for the rest. Takes no
/// more items than it needs.
pub fn list<I>(items: I, separator: &str, budget: usize) -> String
where
    I: IntoIterator<Item = String, IntoIter: ExactSizeIterator>,
{
    let items = items.into_iter();
    let count = items.len();
    let note = |shown: usize| format!("+{} more", count - shown);
    let mut out = String::new();
    let mut used = 0;
    // How many items, and how much text, leave room for the note about the rest.
    let mut fallback = (0, 0);
    for (index, item) in items.enumerate() {
        if used + len(separator) + len(&note(index)) <= budget {
            fallback = (index, out.len());
        }
        if index > 0 {
            out.push_str(separator);
            used += len(separator);
        }
        out.push_str(&item);
        used += len(&item);
        if used > budget {
            let (shown, end) = fallback;
            out.truncate(end);
            if shown > 0 {
                out.push_str(separator);
            }
            return out + &note(shown);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_three_markup_characters_are_escaped_once() {
        assert_eq!(escape("<!channel> & <@U1>"), "&lt;!channel&gt; &amp; &lt;@U1&gt;");
        assert_eq!(escape("&lt;"), "&amp;lt;");
    }

    #[test]
    fn hidden_characters_are_dropped_and_line_breaks_unified() {
        assert_eq!(clean("a\u{202e}b\0c\u{200b}\r\nd\re\u{2028}f\tg\u{7f}\u{9b}"), "abc\nd\ne\nf g");
        assert_eq!(clean("👩\u{200d}💻"), "👩\u{200d}💻", "a joined emoji stays joined");
    }

    #[test]
    fn cutting_never_splits_an_entity_or_a_surrogate_pair() {
        assert_eq!(line("ab<cd", 6), "ab…");
        assert_eq!(line("ab<cd", 7), "ab&lt;…");
        assert_eq!(line("ab<cd", 8), "ab&lt;cd");
        assert_eq!(line("a😀b", 3), "a…");
        assert_eq!(line("abc", 3), "abc");
        assert_eq!(line("abcd", 1), "…");
        assert_eq!(line("abcd", 0), "");
    }

    #[test]
    fn an_address_is_shown_but_cannot_be_clicked() {
        assert_eq!(without_links("see https://evil.example"), "see https∶//evil.example");
    }

    #[test]
    fn a_backtick_does_not_end_the_code_it_is_in() {
        assert_eq!(code("a` *b* `c", 100), "`aˋ *b* ˋc`");
        assert_eq!(block("```\n*Approved*", 100), "```\nˋˋˋ\n*Approved*\n```");
        assert_eq!(code("\u{200b} ", 100), "(empty)");
    }

    #[test]
    fn a_list_says_how_many_it_leaves_out() {
        let items: Vec<_> = (0..100).map(|n| format!("role-{n}")).collect();
        assert_eq!(list(items.clone(), ", ", 40), "role-0, role-1, role-2, role-3, +96 more");
        assert_eq!(list(items.clone(), ", ", 39), "role-0, role-1, role-2, +97 more");
        assert_eq!(list(items[..2].to_vec(), ", ", 14), "role-0, role-1");
        assert_eq!(list([], ", ", 14), "");
    }

    fn is_safe(text: &str) -> bool {
        let entities_whole =
            text.split('&').skip(1).all(|rest| ["amp;", "lt;", "gt;"].iter().any(|entity| rest.starts_with(entity)));
        entities_whole && !text.contains(['<', '>']) && !text.chars().any(|c| c != '\n' && is_hidden(c))
    }

    fn hostile() -> impl Strategy<Value = String> {
        prop_oneof![any::<String>(), "[<>&`*_~:@#!|a-c \\n\\r\\t\u{0}\u{202e}\u{feff}😀é]{0,300}",]
    }

    proptest! {
        #[test]
        fn whatever_comes_in_is_safe_and_within_its_budget(text in hostile(), budget in 10_usize..200) {
            for shown in [line(&text, budget), code(&text, budget), block(&text, budget)] {
                prop_assert!(is_safe(&shown), "{shown:?}");
                prop_assert!(len(&shown) <= budget, "{} > {budget}: {shown:?}", len(&shown));
            }
            let inside = code(&text, budget);
            prop_assert!(!inside.trim_matches('`').contains('`') && !inside.contains('\n'));
            prop_assert!(len(&shorten(&text, budget)) <= budget);
        }

        #[test]
        fn text_that_fits_is_shown_whole(text in "[a-z<>&]{1,50}") {
            prop_assert_eq!(line(&text, 1000), escape(&text));
        }

        #[test]
        fn a_list_stays_within_its_budget(items in prop::collection::vec("[a-z]{1,40}", 0..50), budget in 40_usize..300) {
            let shown = list(items.clone(), ", ", budget);
            prop_assert!(len(&shown) <= budget);
            prop_assert_eq!(shown == items.join(", "), len(&items.join(", ")) <= budget);
        }
    }
}
