//! The rights that the plugin's role gives in Teleport, and those that are missing. Pure.
//!
//! Teleport does not refuse to list access requests to an identity that may not: it leaves out those of others
//! (`ServerWithRoles.GetAccessRequests` of its `lib/auth`). So the role itself is read, which every identity may do with
//! the roles that it holds.

use std::fmt;

/// A verb on a kind of resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// Such as `list`.
    pub verb: String,
    /// Such as `access_request`.
    pub kind: String,
}

impl Right {
    /// This verb on this kind.
    pub fn new(verb: &str, kind: &str) -> Self {
        Self { verb: verb.to_owned(), kind: kind.to_owned() }
    }

    /// The right that Teleport names when it refuses a call (`lib/services/role.go`).
    pub fn in_refusal(message: &str) -> Option<Self> {
        let (_, rest) = message.split_once("access denied to perform action \"")?;
        let (verb, rest) = rest.split_once('"')?;
        let (kind, _) = rest.strip_prefix(" on \"")?.split_once('"')?;
        Some(Self::new(verb, kind).granted_best())
    }

    /// The right to ask for in the place of this one. Whoever may list and read requests may do so with plugin data, so
    /// that a refusal of the latter comes from the lack of the former.
    fn granted_best(self) -> Self {
        match (&*self.verb, &*self.kind) {
            ("list" | "read", "access_plugin_data") => Self { kind: "access_request".to_owned(), ..self },
            _ => self,
        }
    }
}

/// `list on access_request`.
impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.verb, self.kind)
    }
}

/// Several rights in one sentence: `list and read on access_request, and update on access_plugin_data`.
pub fn in_words(rights: &[Right]) -> String {
    let mut kinds: Vec<(&str, Vec<&str>)> = Vec::new();
    for right in rights {
        match kinds.iter_mut().find(|(kind, _)| *kind == right.kind) {
            Some((_, verbs)) => verbs.push(&right.verb),
            None => kinds.push((&right.kind, vec![&right.verb])),
        }
    }
    let parts: Vec<_> = kinds.iter().map(|(kind, verbs)| format!("{} on {kind}", verbs.join(" and "))).collect();
    parts.join(", and ")
}

/// Allows or denies verbs on kinds of resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Kinds; `*` for all.
    pub kinds: Vec<String>,
    /// Verbs; `*` for all.
    pub verbs: Vec<String>,
}

impl Rule {
    fn covers(&self, right: &Right) -> bool {
        let has = |list: &[String], wanted: &str| list.iter().any(|item| item == wanted || item == "*");
        has(&self.kinds, &right.kind) && has(&self.verbs, &right.verb)
    }
}

/// What roles allow and deny. Rules with a `where` count as allowing: whether they do depends on the resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// `allow.rules`.
    pub allow: Vec<Rule>,
    /// `deny.rules`.
    pub deny: Vec<Rule>,
}

impl Rules {
    /// Adds those of another role of the same user.
    pub fn extend(&mut self, other: Self) {
        self.allow.extend(other.allow);
        self.deny.extend(other.deny);
    }

    fn allows(&self, right: &Right) -> bool {
        self.allow.iter().any(|rule| rule.covers(right)) && !self.deny.iter().any(|rule| rule.covers(right))
    }

    /// The rights without which nothing can be announced, as far as they are missing.
    pub fn missing(&self) -> Vec<Right> {
        let mut missing: Vec<_> = ["list", "read"].map(|verb| Right::new(verb, "access_request")).into();
        missing.retain(|right| !self.allows(right));
        let update = Right::new("update", "access_plugin_data");
        // Older roles have it on the requests themselves, and Teleport still takes it.
        if !self.allows(&update) && !self.allows(&Right::new("update", "access_request")) {
            missing.push(update);
        }
        missing
    }

    /// The rights that serve parts of the messages, as far as they are missing, and what is left out without each.
    pub fn missing_optional(&self) -> Vec<(Right, &'static str)> {
        let optional = [(Right::new("read", "role"), "messages do not show the logins that a requested role gives")];
        optional.into_iter().filter(|(right, _)| !self.allows(right)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[(&str, &[&str])], deny: &[(&str, &[&str])]) -> Rules {
        let rules = |list: &[(&str, &[&str])]| {
            let rule = |(kind, verbs): &(&str, &[&str])| Rule {
                kinds: vec![(*kind).to_owned()],
                verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            };
            list.iter().map(rule).collect()
        };
        Rules { allow: rules(allow), deny: rules(deny) }
    }

    #[test]
    fn only_what_is_missing_is_named() {
        type Rights<'a> = &'a [(&'a str, &'a [&'a str])];
        let cases: [(Rights<'_>, Rights<'_>, &str); 7] = [
            (&[("access_request", &["list", "read"]), ("access_plugin_data", &["update"])], &[], ""),
            (&[("access_request", &["list", "read", "update"])], &[], ""),
            (&[("*", &["*"])], &[], ""),
            (&[("access_request", &["list", "read", "watch"])], &[], "update on access_plugin_data"),
            (
                &[("access_request", &["read"]), ("access_plugin_data", &["list", "read", "update"])],
                &[],
                "list on access_request",
            ),
            (&[], &[], "list and read on access_request, and update on access_plugin_data"),
            (&[("*", &["*"])], &[("access_request", &["list"])], "list on access_request"),
        ];
        for (allow, deny, missing) in cases {
            assert_eq!(in_words(&rules(allow, deny).missing()), missing, "{allow:?} {deny:?}");
        }
    }

    #[test]
    fn a_refusal_is_answered_with_the_right_that_mends_it() {
        for (message, right) in [
            (r#"access denied to perform action "update" on "access_plugin_data""#, "update on access_plugin_data"),
            (r#"rpc: access denied to perform action "list" on "access_plugin_data""#, "list on access_request"),
            (r#"access denied to perform action "read" on "role""#, "read on role"),
        ] {
            assert_eq!(Right::in_refusal(message).unwrap().to_string(), right);
        }
        assert_eq!(Right::in_refusal("access denied"), None);
    }
}
