//! Cuts mrkdwn into its pieces: plain text, mentions, links, emoji, and what is wrong with it.

use serde_json::{Value, json};

/// One piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    /// `<@U…>`.
    User(&'a str),
    /// `<#C…>`.
    Channel(&'a str),
    /// `<!subteam^S…>`.
    Group(&'a str),
    /// `<!here>`, `<!channel>`, `<!everyone>`.
    Special(&'a str),
    /// `<!date^…|fallback>`: the fallback.
    Date(&'a str),
    /// `<url|label>`.
    Link {
        url: &'a str,
        label: Option<&'a str>,
    },
    /// A URL that stands in the text without brackets.
    Bare(&'a str),
    /// `@here` and the like without brackets.
    BareSpecial(&'a str),
    /// `:name:`.
    Emoji(&'a str),
    /// Something that careful escaping would have prevented.
    Flaw {
        what: &'static str,
        text: &'a str,
    },
}

const SPECIALS: [&str; 4] = ["here", "channel", "everyone", "group"];

/// Cuts a text into pieces, in order and without gaps but for brackets.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut plain = 0;
    let mut word_start = true;
    while let Some(first) = rest.get(plain..).and_then(|tail| tail.chars().next()) {
        let Some((before, here)) = rest.split_at_checked(plain) else { break };
        let found = match first {
            '<' => Some(bracket(here)),
            '>' if plain == 0 && (pieces.is_empty() || before.ends_with('\n')) => None,
            '&' => entity(here),
            ':' => emoji(here),
            'h' | 'H' if word_start => bare_url(here),
            '@' if word_start => bare_special(here),
            _ => None,
        };
        if let Some((piece, length)) = found {
            if !before.is_empty() {
                pieces.push(Piece::Text(before));
            }
            pieces.push(piece);
            rest = here.get(length..).unwrap_or_default();
            plain = 0;
            word_start = true;
        } else {
            plain += first.len_utf8();
            word_start = !first.is_alphanumeric();
        }
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    pieces
}

fn bracket(here: &str) -> (Piece<'_>, usize) {
    let Some(end) = here.find('>') else {
        let length = here.find('\n').unwrap_or(here.len());
        let text = here.get(..length).unwrap_or(here);
        return (Piece::Flaw { what: "a < that nothing closes", text }, length);
    };
    let inner = here.get(1..end).unwrap_or_default();
    let (target, label) = match inner.split_once('|') {
        Some((target, label)) => (target, Some(label)),
        None => (inner, None),
    };
    let piece = if let Some(user) = target.strip_prefix('@') {
        Piece::User(user)
    } else if let Some(channel) = target.strip_prefix('#') {
        Piece::Channel(channel)
    } else if let Some(group) = target.strip_prefix("!subteam^") {
        Piece::Group(group)
    } else if target.starts_with("!date^") {
        Piece::Date(label.unwrap_or_default())
    } else if let Some(special) = target.strip_prefix('!') {
        Piece::Special(special.split('^').next().unwrap_or(special))
    } else if is_url(target) {
        Piece::Link { url: target, label }
    } else {
        Piece::Flaw { what: "raw < and > that are no link and no mention", text: inner }
    };
    (piece, end + 1)
}

fn is_url(text: &str) -> bool {
    ["http://", "https://", "mailto:", "tel:", "slack://"].iter().any(|scheme| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)) && text.len() > scheme.len()
    })
}

/// `None` for the three entities that Slack knows, a flaw for any other `&`.
fn entity(here: &str) -> Option<(Piece<'_>, usize)> {
    if ["&amp;", "&lt;", "&gt;"].iter().any(|entity| here.starts_with(entity)) {
        return None;
    }
    let cut = ["&amp;", "&lt;", "&gt;"].iter().any(|entity| entity.starts_with(here));
    let what = if cut && here.len() > 1 { "an entity that was cut" } else { "an & that was not escaped" };
    Some((Piece::Flaw { what, text: here.get(..1).unwrap_or(here) }, 1))
}

fn emoji(here: &str) -> Option<(Piece<'_>, usize)> {
    let name = here.get(1..)?;
    let end = name.find(':').filter(|end| *end > 0)?;
    let name = name.get(..end)?;
    let valid = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '+'));
    (valid && name.chars().any(|c| c.is_ascii_alphabetic() || c == '1')).then_some((Piece::Emoji(name), end + 2))
}

fn bare_url(here: &str) -> Option<(Piece<'_>, usize)> {
    let lower = here.get(..8).unwrap_or(here).to_ascii_lowercase();
    let scheme = if lower.starts_with("https://") {
        8
    } else if lower.starts_with("http://") {
        7
    } else {
        return None;
    };
    let end = here.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '|' | '"')).unwrap_or(here.len());
    let url = here.get(..end)?.trim_end_matches(['.', ',', ')', ']', '!', '?', ';', ':', '\'', '*', '_', '~', '`']);
    (url.len() > scheme).then_some((Piece::Bare(url), url.len()))
}

fn bare_special(here: &str) -> Option<(Piece<'_>, usize)> {
    let word = here.get(1..)?;
    let end = word.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(word.len());
    let word = word.get(..end)?;
    SPECIALS.contains(&word).then_some((Piece::BareSpecial(word), end + 1))
}

/// The text as Slack stores it: plain URLs are put into brackets.
pub(in crate::slack) fn as_stored(text: &str) -> String {
    if !text.contains("http") && !text.contains("HTTP") {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    for piece in pieces(text) {
        let Piece::Bare(url) = piece else { continue };
        // Every piece is a part of `text`, in order; the first match at or after the last one is this piece.
        let Some(start) = bare_position(rest, url) else { continue };
        let Some((before, after)) = rest.split_at_checked(start) else { continue };
        out.push_str(before);
        out.push('<');
        out.push_str(url);
        out.push('>');
        rest = after.get(url.len()..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Where `url` stands in `text` as itself, outside of brackets.
fn bare_position(text: &str, url: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.find(url)?;
        let before = text.get(..at)?;
        let open = before.rfind('<').is_some_and(|open| !before.get(open..).unwrap_or_default().contains('>'));
        if !open {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Undoes the three escapes.
pub(super) fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// The elements of the `rich_text_section` that Slack makes of a text.
pub(in crate::slack) fn rich_text_elements(text: &str) -> Vec<Value> {
    let mut elements: Vec<Value> = Vec::new();
    for piece in pieces(text) {
        let element = match piece {
            Piece::Text(text) | Piece::Date(text) | Piece::Flaw { text, .. } => {
                json!({"type": "text", "text": unescape(text)})
            }
            Piece::User(id) => json!({"type": "user", "user_id": id}),
            Piece::Channel(id) => json!({"type": "channel", "channel_id": id}),
            Piece::Group(id) => json!({"type": "usergroup", "usergroup_id": id}),
            Piece::Special(range) => json!({"type": "broadcast", "range": range}),
            Piece::Link { url, label: None } | Piece::Bare(url) => json!({"type": "link", "url": unescape(url)}),
            Piece::Link { url, label: Some(label) } => {
                json!({"type": "link", "url": unescape(url), "text": unescape(label)})
            }
            Piece::BareSpecial(word) => json!({"type": "text", "text": format!("@{word}")}),
            Piece::Emoji(name) => json!({"type": "emoji", "name": name}),
        };
        elements.push(element);
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_into_what_a_client_acts_on() {
        for (text, expected) in [
            ("hi <@U1>!", vec![Piece::Text("hi "), Piece::User("U1"), Piece::Text("!")]),
            ("<!channel>", vec![Piece::Special("channel")]),
            ("<!subteam^S1|x>", vec![Piece::Group("S1")]),
            ("<https://a.example|b>", vec![Piece::Link { url: "https://a.example", label: Some("b") }]),
            (
                "see https://a.example/x.",
                vec![Piece::Text("see "), Piece::Bare("https://a.example/x"), Piece::Text(".")],
            ),
            ("@here", vec![Piece::BareSpecial("here")]),
            ("me@here.example", vec![Piece::Text("me@here.example")]),
            (":x: 10:30:00", vec![Piece::Emoji("x"), Piece::Text(" 10:30:00")]),
            ("&lt;!channel&gt;", vec![Piece::Text("&lt;!channel&gt;")]),
            (
                "a & b",
                vec![
                    Piece::Text("a "),
                    Piece::Flaw { what: "an & that was not escaped", text: "&" },
                    Piece::Text(" b"),
                ],
            ),
            (
                "x&am",
                vec![Piece::Text("x"), Piece::Flaw { what: "an entity that was cut", text: "&" }, Piece::Text("am")],
            ),
            ("<b>", vec![Piece::Flaw { what: "raw < and > that are no link and no mention", text: "b" }]),
            ("a <@U1", vec![Piece::Text("a "), Piece::Flaw { what: "a < that nothing closes", text: "<@U1" }]),
        ] {
            assert_eq!(pieces(text), expected, "{text}");
        }
    }

    #[test]
    fn plain_urls_are_stored_in_brackets_and_others_left_alone() {
        let text = "a https://x.example <https://x.example|y> https://x.example, z";
        assert_eq!(as_stored(text), "a <https://x.example> <https://x.example|y> <https://x.example>, z");
    }
}
