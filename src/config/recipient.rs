//! Who is to be told about a request; pure.
//!
//! The rules are those of Teleport's guide "Access Requests with Slack": each requested role is looked up in
//! `role_to_recipients`, a role without an entry takes that of `"*"`, and suggested reviewers which are e-mail addresses
//! are added.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The entry of `role_to_recipients` that serves every role without an entry of its own.
pub const WILDCARD: &str = "*";

/// Slack's ids are upper-case letters and digits; shorter ones than this (kind letter excluded) are never handed out.
const SHORTEST_ID: usize = 8;

/// One place where a message can be sent, in a normal form: two spellings of the same place are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recipient {
    /// A channel's name, without the leading `#`.
    ChannelName(String),
    /// A channel's id (`C…` public, `G…` private).
    ChannelId(String),
    /// A direct message conversation's id (`D…`).
    DirectMessage(String),
    /// A user's id (`U…`, or `W…` in an Enterprise Grid).
    UserId(String),
    /// A user's e-mail address, in lower case: Slack compares addresses without regard to case.
    Email(String),
}

impl Recipient {
    /// Reads what a person wrote in `role_to_recipients`; `None` for an empty string.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if is_email(text) {
            return Some(Self::Email(text.to_lowercase()));
        }
        let name = text.strip_prefix('#').unwrap_or(text).trim();
        let mut characters = name.chars();
        let kind = characters.next()?;
        let rest = characters.as_str();
        let is_id =
            rest.len() >= SHORTEST_ID && rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        let name = name.to_owned();
        Some(match kind {
            'C' | 'G' if is_id => Self::ChannelId(name),
            'D' if is_id => Self::DirectMessage(name),
            'U' | 'W' if is_id => Self::UserId(name),
            _ => Self::ChannelName(name),
        })
    }

    /// Whether this text is a user's id.
    pub(crate) fn is_person(text: &str) -> bool {
        matches!(Self::parse(text), Some(Self::UserId(_)))
    }

    /// The id that it is written with, if it is.
    pub fn written_id(&self) -> Option<&str> {
        match self {
            Self::ChannelId(id) | Self::UserId(id) | Self::DirectMessage(id) => Some(id),
            Self::ChannelName(_) | Self::Email(_) => None,
        }
    }

    /// Whether another recipient, which is written in another form, may be the same place.
    pub fn may_be(&self, other: &Self) -> bool {
        use Recipient::{ChannelId, ChannelName, DirectMessage, Email, UserId};
        matches!(
            (self, other),
            (ChannelName(_), ChannelId(_))
                | (ChannelId(_), ChannelName(_))
                | (Email(_), UserId(_) | DirectMessage(_))
                | (UserId(_) | DirectMessage(_), Email(_))
                | (UserId(_), DirectMessage(_))
                | (DirectMessage(_), UserId(_))
        )
    }

    /// Of two recipients that may be one place: whether a post to this one shows the conversation of both.
    pub fn comes_before(&self, other: &Self) -> bool {
        let rank = |recipient: &Self| match recipient {
            Self::ChannelName(_) | Self::Email(_) => 0,
            Self::ChannelId(_) | Self::UserId(_) => 1,
            Self::DirectMessage(_) => 2,
        };
        rank(self) < rank(other)
    }

    /// A suggested reviewer: a user name of Teleport, which only an e-mail address ties to somebody in Slack.
    #[must_use]
    pub fn from_reviewer(user: &str) -> Option<Self> {
        let user = user.trim();
        is_email(user).then(|| Self::Email(user.to_lowercase()))
    }
}

/// As a person would write it: `#dba-oncall`, `C024BE91L`, `alice@example.com`.
impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ChannelName(name) if name.starts_with('@') => f.write_str(name),
            Self::ChannelName(name) => write!(f, "#{name}"),
            Self::ChannelId(text) | Self::DirectMessage(text) | Self::UserId(text) | Self::Email(text) => {
                f.write_str(text)
            }
        }
    }
}

/// A recipient as the one text that records, statuses and logs share: `#dba-oncall`, `C024BE91L`, `alice@example.com`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct RecipientKey(String);

impl RecipientKey {
    /// A key as it is stored.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The recipient that it stands for; none for keys that name a message of another program.
    pub fn recipient(&self) -> Option<Recipient> {
        Recipient::parse(&self.0).filter(|recipient| recipient.to_string() == self.0)
    }
}

impl From<&Recipient> for RecipientKey {
    fn from(recipient: &Recipient) -> Self {
        Self(recipient.to_string())
    }
}

impl fmt::Display for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for RecipientKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The guide's map: role → recipients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleToRecipients(BTreeMap<String, Vec<Recipient>>);

/// What [`RoleToRecipients::select`] found for one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Those of the roles: sorted, each once.
    pub recipients: Vec<Recipient>,
    /// Suggested reviewers who are not among them: sorted, each once.
    pub reviewers: Vec<Recipient>,
    /// Requested roles that have no entry while `"*"` has none either.
    pub unrouted_roles: Vec<String>,
    /// Suggested reviewers that are no e-mail address, so that nobody can be found in Slack for them.
    pub unaddressed_reviewers: Vec<String>,
}

impl RoleToRecipients {
    /// A map in which a role's own order is kept and roles without recipients do not exist.
    pub fn new(entries: impl IntoIterator<Item = (String, Vec<Recipient>)>) -> Self {
        Self(entries.into_iter().filter(|(_, recipients)| !recipients.is_empty()).collect())
    }

    /// Role and recipients, sorted by role.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Recipient])> {
        self.0.iter().map(|(role, recipients)| (role.as_str(), recipients.as_slice()))
    }

    /// Every recipient that is named anywhere, once, sorted: those whose reachability can be known before any request.
    #[must_use]
    pub fn all(&self) -> Vec<Recipient> {
        self.0.values().flatten().collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// Whether `"*"` has recipients.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.0.contains_key(WILDCARD)
    }

    /// Who is told about a request for `roles` whose author suggested `reviewers`.
    pub fn select<R: AsRef<str>, S: AsRef<str>>(&self, roles: &[R], reviewers: &[S]) -> Selection {
        let mut recipients = BTreeSet::new();
        let mut unrouted_roles = BTreeSet::new();
        let mut unaddressed_reviewers = BTreeSet::new();
        let mut suggested = BTreeSet::new();
        if roles.is_empty() {
            // For resources alone: no role has recipients of its own.
            recipients.extend(self.0.get(WILDCARD).into_iter().flatten().cloned());
        }
        for role in roles.iter().map(AsRef::as_ref) {
            match self.0.get(role).or_else(|| self.0.get(WILDCARD)) {
                Some(found) => recipients.extend(found.iter().cloned()),
                None => {
                    unrouted_roles.insert(role.to_owned());
                }
            }
        }
        for reviewer in reviewers.iter().map(AsRef::as_ref) {
            match Recipient::from_reviewer(reviewer) {
                Some(recipient) => {
                    suggested.insert(recipient);
                }
                None => {
                    unaddressed_reviewers.insert(reviewer.to_owned());
                }
            }
        }
        Selection {
            reviewers: suggested.into_iter().filter(|reviewer| !recipients.contains(reviewer)).collect(),
            recipients: recipients.into_iter().collect(),
            unrouted_roles: unrouted_roles.into_iter().collect(),
            unaddressed_reviewers: unaddressed_reviewers.into_iter().collect(),
        }
    }
}

/// Whether the whole text is a bare address, as Go's `net/mail` (which the official plugin asks) sees it: `a@b` is one,
/// `Alice <a@b>` and quoted local parts are not.
fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| is_dot_atom(local) && is_dot_atom(domain))
}

/// RFC 5322 `dot-atom-text`, with characters outside ASCII allowed as `net/mail` does.
fn is_dot_atom(text: &str) -> bool {
    let is_atom_character = |c: char| {
        if c.is_ascii() { c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) } else { !c.is_control() }
    };
    text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atom_character))
}

#[cfg(test)]
mod tests {
    use crate::config::recipient::*;

    fn map(entries: &[(&str, &[&str])]) -> RoleToRecipients {
        RoleToRecipients::new(entries.iter().map(|(role, recipients)| {
            ((*role).to_owned(), recipients.iter().filter_map(|text| Recipient::parse(text)).collect())
        }))
    }

    fn told(map: &RoleToRecipients, roles: &[&str], reviewers: &[&str]) -> Vec<String> {
        let Selection { recipients, reviewers, .. } = map.select(roles, reviewers);
        recipients.iter().chain(&reviewers).map(ToString::to_string).collect()
    }

    #[test]
    fn each_spelling_is_understood_as_what_it_names() {
        use Recipient::{ChannelId, ChannelName, DirectMessage, Email, UserId};
        let cases = [
            ("access-requests", ChannelName("access-requests".into())),
            ("#access-requests", ChannelName("access-requests".into())),
            ("  spaced ", ChannelName("spaced".into())),
            ("Cat", ChannelName("Cat".into())),
            ("C024BE91L", ChannelId("C024BE91L".into())),
            ("#C024BE91L", ChannelId("C024BE91L".into())),
            ("G012AB3CDEF", ChannelId("G012AB3CDEF".into())),
            ("C024be91l", ChannelName("C024be91l".into())),
            ("D024BE91L", DirectMessage("D024BE91L".into())),
            ("U024BE91L", UserId("U024BE91L".into())),
            ("W024BE91L", UserId("W024BE91L".into())),
            ("Alice@Example.com", Email("alice@example.com".into())),
            ("a@b", Email("a@b".into())),
            ("über@example.com", Email("über@example.com".into())),
            ("Bob <b@example.com>", ChannelName("Bob <b@example.com>".into())),
            ("a..b@example.com", ChannelName("a..b@example.com".into())),
            ("a@b@c", ChannelName("a@b@c".into())),
            ("@alice", ChannelName("@alice".into())),
        ];
        for (text, expected) in cases {
            assert_eq!(Recipient::parse(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn nothing_is_no_recipient() {
        for text in ["", "  ", "#", " # "] {
            assert_eq!(Recipient::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back_as_the_same_recipient() {
        for text in ["ops", "C024BE91L", "D024BE91L", "W024BE91L", "Alice@Example.com", "@alice", "日本"] {
            let recipient = Recipient::parse(text).unwrap();
            assert_eq!(Recipient::parse(&recipient.to_string()), Some(recipient));
        }
    }

    #[test]
    fn a_role_with_an_entry_does_not_reach_the_wildcard() {
        let map = map(&[("*", &["admins"]), ("dba", &["dba-oncall", "alice@example.com"])]);
        assert_eq!(told(&map, &["dba"], &[]), ["#dba-oncall", "alice@example.com"]);
        assert_eq!(told(&map, &["editor"], &[]), ["#admins"]);
        assert_eq!(told(&map, &["editor", "dba"], &[]), ["#admins", "#dba-oncall", "alice@example.com"]);
    }

    #[test]
    fn a_request_without_roles_reaches_the_wildcard() {
        let map = map(&[("dba", &["dba-team"]), ("*", &["ops"])]);
        assert_eq!(told(&map, &[], &[]), ["#ops"]);
    }

    #[test]
    fn a_role_with_an_empty_entry_takes_the_wildcards() {
        let map = map(&[("*", &["admins"]), ("dba", &[])]);
        assert_eq!(told(&map, &["dba"], &[]), ["#admins"]);
    }

    #[test]
    fn two_spellings_of_one_place_are_told_once() {
        let map = map(&[("*", &["#ops", "alice@example.com"]), ("dba", &["ops"])]);
        assert_eq!(told(&map, &["dba", "x"], &["ALICE@example.com"]), ["#ops", "alice@example.com"]);
    }

    #[test]
    fn suggested_reviewers_without_an_address_are_reported_and_not_taken_for_channels() {
        let selection = map(&[("*", &["ops"])]).select(&["editor"], &["bob@example.com", "carol"]);
        assert_eq!(selection.unaddressed_reviewers, ["carol"]);
        assert_eq!((selection.recipients.len(), selection.reviewers.len()), (1, 1));
    }

    #[test]
    fn a_role_that_reaches_nobody_is_named() {
        let selection = map(&[("dba", &["ops"])]).select(&["dba", "editor"], &[] as &[&str]);
        assert_eq!(selection.unrouted_roles, ["editor"]);
        assert_eq!(selection.recipients.len(), 1);
    }

    #[test]
    fn the_order_does_not_depend_on_the_order_of_roles() {
        let map = map(&[("a", &["z", "b"]), ("b", &["y", "a"])]);
        assert_eq!(told(&map, &["a", "b"], &[]), told(&map, &["b", "a"], &[]));
    }
}
