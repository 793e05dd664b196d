//! The oracle: what a message does to the people who get it, and whether hostile input got through.

use serde_json::Value;

use super::scan::{Piece, pieces, unescape};
use crate::slack::model::Message;

/// Somebody is notified.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Ping {
    /// `<@U…>`.
    User(String),
    /// `<!subteam^S…>`.
    Group(String),
    /// `here`, `channel` or `everyone`.
    Special(String),
}

/// A link that can be clicked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Link {
    /// Where it leads.
    pub url: String,
    /// What is shown instead, if anything is.
    pub label: Option<String>,
    /// Slack made it of plain text.
    pub automatic: bool,
    /// It is a button's.
    pub button: bool,
}

impl Link {
    /// Host name of the target, in lower case.
    pub fn host(&self) -> String {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#', '|']).next().unwrap_or_default();
        authority.rsplit('@').next().unwrap_or_default().to_ascii_lowercase()
    }
}

/// Everything that a message does.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Effects {
    /// Who is notified.
    pub pings: Vec<Ping>,
    /// What can be clicked.
    pub links: Vec<Link>,
    /// URLs of which a preview is shown.
    pub unfurls: Vec<String>,
    /// Emoji names.
    pub emoji: Vec<String>,
    /// Escaping that is missing or broken, and bytes that should not be there.
    pub flaws: Vec<String>,
    /// What is read, formatting characters included, one line per text.
    pub visible: String,
}

/// How a text is parsed.
#[derive(Clone, Copy)]
struct Rules {
    /// Plain URLs become links.
    urls: bool,
    /// `@here` and the like become mentions.
    words: bool,
}

impl Effects {
    /// Of a stored message: its blocks if it was sent with blocks, its text, and its attachments.
    pub fn of(message: &Message) -> Self {
        let mut effects = Self::default();
        let parse = message.parse.as_deref();
        let text = Rules { urls: parse != Some("none"), words: parse == Some("full") || message.link_names };
        effects.text(&message.sent_text, text);
        if !message.generated_blocks {
            for block in &message.blocks {
                effects.node(block);
            }
        }
        for attachment in &message.attachments {
            effects.attachment(attachment);
        }
        let previews = |link: &&Link| !link.button && message.unfurl_links;
        effects.unfurls = effects.links.iter().filter(previews).map(|link| link.url.clone()).collect();
        effects
    }

    /// Of one piece of mrkdwn as a section's text would show it.
    pub fn of_mrkdwn(text: &str, verbatim: bool) -> Self {
        let mut effects = Self::default();
        effects.text(text, Rules { urls: !verbatim, words: !verbatim });
        effects
    }

    fn text(&mut self, text: &str, rules: Rules) {
        self.note_characters(text);
        let mut line = String::new();
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => line.push_str(&unescape(text)),
                Piece::User(id) => {
                    line.push('@');
                    line.push_str(id);
                    self.pings.push(Ping::User(id.to_owned()));
                }
                Piece::Channel(id) => {
                    line.push('#');
                    line.push_str(id);
                }
                Piece::Group(id) => {
                    line.push('@');
                    line.push_str(id);
                    self.pings.push(Ping::Group(id.to_owned()));
                }
                Piece::Special(word) => {
                    line.push('@');
                    line.push_str(word);
                    self.pings.push(Ping::Special(word.to_owned()));
                }
                Piece::Date(fallback) => line.push_str(&unescape(fallback)),
                Piece::Link { url, label } => {
                    let url = unescape(url);
                    let label = label.map(unescape);
                    line.push_str(label.as_deref().unwrap_or(&url));
                    self.links.push(Link { url, label, automatic: false, button: false });
                }
                Piece::Bare(url) => {
                    line.push_str(&unescape(url));
                    if rules.urls {
                        self.links.push(Link { url: unescape(url), label: None, automatic: true, button: false });
                    }
                }
                Piece::BareSpecial(word) => {
                    line.push('@');
                    line.push_str(word);
                    if rules.words {
                        self.pings.push(Ping::Special(word.to_owned()));
                    }
                }
                Piece::Emoji(name) => {
                    line.push(':');
                    line.push_str(name);
                    line.push(':');
                    self.emoji.push(name.to_owned());
                }
                Piece::Flaw { what, text } => {
                    line.push_str(text);
                    self.flaws.push(format!("{what}: {text:?}"));
                }
            }
        }
        self.show(&line);
    }

    fn show(&mut self, line: &str) {
        if !line.is_empty() {
            self.visible.push_str(line);
            self.visible.push('\n');
        }
    }

    /// Control characters and those that turn the direction of writing.
    fn note_characters(&mut self, text: &str) {
        let bad = |c: &char| {
            (c.is_control() && !matches!(c, '\n' | '\t'))
                || matches!(*c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffd}')
        };
        if let Some(found) = text.chars().find(bad) {
            self.flaws.push(format!("character U+{:04X}", u32::from(found)));
        }
    }

    /// Looks for text objects, links and mentions anywhere in a block.
    fn node(&mut self, node: &Value) {
        match node {
            Value::Array(list) => list.iter().for_each(|child| self.node(child)),
            Value::Object(map) => {
                let kind = map.get("type").and_then(Value::as_str).unwrap_or_default();
                let flag = |name: &str| map.get(name).and_then(Value::as_bool).unwrap_or(false);
                let string = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default();
                match kind {
                    "mrkdwn" => {
                        let parsed = !flag("verbatim");
                        self.text(string("text"), Rules { urls: parsed, words: parsed });
                        return;
                    }
                    "plain_text" => {
                        let emoji = map.get("emoji").and_then(Value::as_bool).unwrap_or(true);
                        self.plain(string("text"), emoji);
                        return;
                    }
                    "button" => {
                        if let Some(url) = map.get("url").and_then(Value::as_str) {
                            let label = map.get("text").and_then(|text| text.get("text")).and_then(Value::as_str);
                            let label = label.map(str::to_owned);
                            self.links.push(Link { url: url.to_owned(), label, automatic: false, button: true });
                        }
                    }
                    "user" => self.pings.push(Ping::User(string("user_id").to_owned())),
                    "usergroup" => self.pings.push(Ping::Group(string("usergroup_id").to_owned())),
                    "broadcast" => self.pings.push(Ping::Special(string("range").to_owned())),
                    "link" => {
                        let label = map.get("text").and_then(Value::as_str).map(str::to_owned);
                        self.show(label.as_deref().unwrap_or(string("url")));
                        let url = string("url").to_owned();
                        self.links.push(Link { url, label, automatic: false, button: false });
                        return;
                    }
                    "text" => {
                        self.plain(string("text"), true);
                        return;
                    }
                    "markdown" => {
                        self.text(string("text"), Rules { urls: true, words: true });
                        return;
                    }
                    _ => {}
                }
                for child in map.values() {
                    if child.is_object() || child.is_array() {
                        self.node(child);
                    }
                }
            }
            _ => {}
        }
    }

    /// `plain_text` is not parsed, but emoji names in it are drawn.
    fn plain(&mut self, text: &str, emoji: bool) {
        self.note_characters(text);
        if emoji {
            let names = pieces(text).into_iter().filter_map(|piece| match piece {
                Piece::Emoji(name) => Some(name.to_owned()),
                _ => None,
            });
            self.emoji.extend(names);
        }
        self.show(text);
    }

    fn attachment(&mut self, attachment: &Value) {
        let rules = Rules { urls: true, words: false };
        for name in ["pretext", "text", "title", "footer"] {
            self.text(attachment.get(name).and_then(Value::as_str).unwrap_or_default(), rules);
        }
        if let Some(url) = attachment.get("title_link").and_then(Value::as_str) {
            self.links.push(Link { url: url.to_owned(), label: None, automatic: false, button: false });
        }
        if let Some(blocks) = attachment.get("blocks") {
            self.node(blocks);
        }
    }

    /// Panics unless nobody is pinged, escaping is intact, and every link leads to one of `hosts`.
    ///
    /// # Panics
    /// When hostile input got through.
    pub fn assert_harmless(&self, hosts: &[&str]) {
        let foreign: Vec<_> = self.links.iter().filter(|link| !hosts.contains(&link.host().as_str())).collect();
        let harmless = self.pings.is_empty() && self.flaws.is_empty() && self.unfurls.is_empty() && foreign.is_empty();
        assert!(
            harmless,
            "the message is not harmless: pings {:?}, foreign links {foreign:?}, previews {:?}, flaws {:?}",
            self.pings, self.unfurls, self.flaws
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hostile_mrkdwn_is_found_out() {
        for (text, pings, links, flaws) in [
            ("<!channel>", 1, 0, 0),
            ("@here please", 1, 0, 0),
            ("<@U1> <!subteam^S1>", 2, 0, 0),
            ("<https://evil.example|https://teleport.example>", 0, 1, 0),
            ("https://evil.example", 0, 1, 0),
            ("&lt;!channel&gt; R&amp;D", 0, 0, 0),
            ("R&D", 0, 0, 1),
            ("\u{202e}txt", 0, 0, 1),
        ] {
            let effects = Effects::of_mrkdwn(text, false);
            assert_eq!(
                (effects.pings.len(), effects.links.len(), effects.flaws.len()),
                (pings, links, flaws),
                "{text}"
            );
        }
    }

    #[test]
    fn verbatim_stops_plain_words_and_urls_but_not_brackets() {
        let effects = Effects::of_mrkdwn("@here https://x.example <!here>", true);
        assert_eq!(effects.pings, [Ping::Special("here".into())]);
        assert!(effects.links.is_empty());
    }

    #[test]
    fn plain_text_shows_what_it_says() {
        let mut effects = Effects::default();
        effects.node(
            &json!({"type": "header", "text": {"type": "plain_text", "text": "<!channel> & :x:", "emoji": false}}),
        );
        assert_eq!((effects.visible.as_str(), effects.pings.len(), effects.emoji.len()), ("<!channel> & :x:\n", 0, 0));
    }

    #[test]
    fn a_host_is_what_the_browser_would_visit() {
        let host = |url: &str| Link { url: url.into(), label: None, automatic: false, button: false }.host();
        assert_eq!(host("https://good.example@evil.example/x"), "evil.example");
        assert_eq!(host("https://Teleport.Example:443?x"), "teleport.example:443");
    }
}
