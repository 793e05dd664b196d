//! Texts that people write as recipients and that Slack cannot send to: what each is, and what to write instead. Pure.
//!
//! Slack answers all of them with `channel_not_found`, which sends people looking for a channel.

use crate::slack::text::shorten;

/// The letters before Slack's ids that are of no recipient (Slack docs: object types).
const OTHER_IDS: [(char, &str); 4] = [('S', "a user group"), ('B', "a bot"), ('A', "an app"), ('T', "a workspace")];
/// An id has at least so many characters after its letter.
const SHORTEST_ID: usize = 8;

/// What a text was most likely meant to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientMistake {
    /// Several recipients in one text.
    List(Vec<String>),
    /// A channel's or a person's address in a browser, with the id in it.
    Url(Option<String>),
    /// An e-mail address with a name or `mailto:` around it.
    Decorated(String),
    /// A mention as messages have it, with the id in it: `<#C0123ABCD|ops>`.
    Markup(String),
    /// `@here`, `@channel`, `@everyone`.
    Broadcast,
    /// `@alice`.
    Handle,
    /// The id of something that takes no messages.
    OtherId(&'static str),
    /// A name with capitals or spaces, and the name that Slack makes of it.
    Name(String),
}

impl RecipientMistake {
    /// Finds the mistake in what was written as one recipient; none if it can be one.
    pub fn find(text: &str) -> Option<Self> {
        let text = text.trim();
        let bare = text.strip_prefix('#').unwrap_or(text).trim();
        if let Some(inner) = bare.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
            return Some(markup(inner));
        }
        if bare.contains("://") || bare.contains("slack.com/") {
            return Some(Self::Url(id_in(bare)));
        }
        let parts: Vec<&str> = bare.split([',', ';', '\n']).map(str::trim).filter(|part| !part.is_empty()).collect();
        if parts.len() > 1 {
            return Some(Self::List(parts.into_iter().map(str::to_owned).collect()));
        }
        if let Some(address) = decorated(bare) {
            return Some(Self::Decorated(address.to_owned()));
        }
        if let Some(name) = bare.strip_prefix('@') {
            let everyone = ["here", "channel", "everyone"].contains(&name.to_lowercase().as_str());
            return Some(if everyone { Self::Broadcast } else { Self::Handle });
        }
        if bare.contains('@') {
            let several = bare.split_whitespace().filter(|word| word.contains('@')).count() > 1;
            return several.then(|| Self::List(bare.split_whitespace().map(str::to_owned).collect()));
        }
        if let Some((_, kind)) = OTHER_IDS.iter().find(|(letter, _)| is_id(bare, *letter)) {
            return Some(Self::OtherId(kind));
        }
        if "CGDUW".chars().any(|letter| is_id(bare, letter)) {
            return None;
        }
        let is_short_id = bare.len() > 1
            && bare.starts_with(['C', 'G', 'D', 'U', 'W'])
            && bare.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            && bare.bytes().any(|byte| byte.is_ascii_digit());
        if is_short_id {
            // Cut short, perhaps: what it was meant to be is not known.
            return None;
        }
        let name = bare.split_whitespace().collect::<Vec<_>>().join("-").to_lowercase();
        (name != bare).then_some(Self::Name(name))
    }

    /// What is wrong with it, as the predicate of a sentence about the text.
    pub fn problem(&self) -> String {
        match self {
            Self::List(_) => "holds several recipients in one text".to_owned(),
            Self::Url(_) => "is an address for a browser, not a recipient".to_owned(),
            Self::Decorated(_) => "has more in it than an e-mail address".to_owned(),
            Self::Markup(_) => "is a mention, not a recipient".to_owned(),
            Self::Broadcast => "mentions the members of a channel and is no recipient".to_owned(),
            Self::Handle => "is a handle, by which Slack takes no messages".to_owned(),
            Self::OtherId(kind) => format!("is the id of {kind}, which takes no messages"),
            Self::Name(_) => "is no channel's name: names have no capitals and no spaces".to_owned(),
        }
    }

    /// What to write instead.
    pub fn remedy(&self) -> String {
        match self {
            Self::List(parts) => {
                let shown: Vec<_> = parts.iter().take(3).map(|part| format!("{:?}", shorten(part, 40))).collect();
                let more = if parts.len() > 3 { ", …" } else { "" };
                format!("write a list: [{}{more}]", shown.join(", "))
            }
            Self::Url(Some(id)) | Self::Markup(id) => format!("write the id alone: {id}"),
            Self::Url(None) => "write the channel's name, or its id (C…), which the channel's details show".to_owned(),
            Self::Decorated(address) => format!("write the address alone: {}", shorten(address, 100)),
            Self::Broadcast => {
                "write the channel whose members are meant; a message there notifies those who follow it".to_owned()
            }
            Self::Handle => {
                "write the person's e-mail address, or the member id (U…), which the person's profile shows".to_owned()
            }
            Self::OtherId("a user group") => {
                "write a channel that the group's members are in, or the members' e-mail addresses as a list".to_owned()
            }
            Self::OtherId(_) => "write a channel's name or id (C…), or a person's e-mail address".to_owned(),
            Self::Name(name) => format!("write the name as Slack shows it: {}", shorten(name, 100)),
        }
    }
}

/// What stands between `<` and `>`.
fn markup(inner: &str) -> RecipientMistake {
    let target = inner.split('|').next().unwrap_or_default();
    match target.chars().next() {
        Some('#' | '@') => RecipientMistake::Markup(target.get(1..).unwrap_or_default().to_owned()),
        Some('!') if target.starts_with("!subteam") => RecipientMistake::OtherId("a user group"),
        Some('!') => RecipientMistake::Broadcast,
        _ if target.contains("://") => RecipientMistake::Url(id_in(target)),
        _ => RecipientMistake::Decorated(target.trim_start_matches("mailto:").to_owned()),
    }
}

/// The first id of a channel or a person in an address for a browser.
fn id_in(url: &str) -> Option<String> {
    let words = url.split(|c: char| !c.is_ascii_alphanumeric());
    let mut ids = words.filter(|word| "CGDUW".chars().any(|letter| is_id(word, letter)));
    ids.next().map(str::to_owned)
}

/// The address in `Alice <alice@example.com>` or `mailto:alice@example.com`.
fn decorated(text: &str) -> Option<&str> {
    if let Some(address) = text.strip_prefix("mailto:") {
        return Some(address);
    }
    let (_, rest) = text.split_once('<')?;
    let (address, _) = rest.split_once('>')?;
    address.contains('@').then_some(address)
}

fn is_id(text: &str, letter: char) -> bool {
    text.strip_prefix(letter).is_some_and(|rest| {
        rest.len() >= SHORTEST_ID
            && rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            && rest.bytes().any(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_recipient_is_answered_with_what_to_write_instead() {
        for (text, problem, remedy) in [
            ("ops, dba", "several recipients", r#"write a list: ["ops", "dba"]"#),
            ("#ops,#dba", "several recipients", r##"write a list: ["ops", "#dba"]"##),
            ("a@example.com; b@example.com", "several", r#"["a@example.com", "b@example.com"]"#),
            ("a@example.com b@example.com", "several", r#"["a@example.com", "b@example.com"]"#),
            ("https://acme.slack.com/archives/C0123ABCD", "for a browser", "write the id alone: C0123ABCD"),
            ("acme.slack.com/archives/C0123ABCD/p1650", "for a browser", "C0123ABCD"),
            ("https://app.slack.com/client/T0123ABCD/C0123ABCE", "for a browser", "alone: C0123ABCE"),
            ("https://acme.slack.com/", "for a browser", "its id (C…)"),
            ("Alice <alice@example.com>", "more in it", "the address alone: alice@example.com"),
            ("mailto:alice@example.com", "more in it", "the address alone: alice@example.com"),
            ("<mailto:alice@example.com|alice>", "more in it", "the address alone: alice@example.com"),
            ("<#C0123ABCD|ops>", "a mention", "the id alone: C0123ABCD"),
            ("<@U0123ABCD>", "a mention", "the id alone: U0123ABCD"),
            ("<!here>", "mentions the members", "the channel whose members"),
            ("@here", "mentions the members", "the channel whose members"),
            ("#@channel", "mentions the members", "the channel whose members"),
            ("@alice", "a handle", "e-mail address"),
            ("S0123ABCD", "the id of a user group", "the members' e-mail addresses"),
            ("<!subteam^S0123ABCD>", "the id of a user group", "a channel that the group's members are in"),
            ("B0123ABCD", "the id of a bot", "a channel's name or id"),
            ("Access Requests", "no capitals", "as Slack shows it: access-requests"),
        ] {
            let mistake = RecipientMistake::find(text).unwrap();
            assert!(mistake.problem().contains(problem), "{text}: {}", mistake.problem());
            assert!(mistake.remedy().contains(remedy), "{text}: {}", mistake.remedy());
        }
    }

    #[test]
    fn what_slack_can_send_to_is_no_mistake() {
        for text in [
            "access-requests",
            "#access-requests",
            "C0123ABCD",
            "C0123",
            "#G0123ABCD",
            "D0123ABCD",
            "W0123ABCD",
            "alice@example.com",
            "über@example.com",
            "日本",
            "ops_2",
            "",
        ] {
            assert_eq!(RecipientMistake::find(text), None, "{text}");
        }
    }
}
