//! Who calls, and what the caller may do.

use super::error::Trace;
use super::role::{Role, Rule};
use super::state::State;

/// The identity behind a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    /// User name; `Nop` for a connection without a client certificate.
    pub(crate) user: String,
    /// Roles as the certificate names them.
    pub(crate) roles: Vec<String>,
    /// End of the certificate's validity, seconds since the epoch.
    pub(crate) expires: Option<i64>,
}

impl Caller {
    /// A connection without a client certificate: accepted, but without any right.
    pub(crate) fn nobody() -> Self {
        Self { user: "Nop".to_owned(), ..Self::default() }
    }
}

impl State {
    /// The caller's roles that exist.
    pub(crate) fn roles_of<'a>(&'a self, caller: &'a Caller) -> impl Iterator<Item = &'a Role> {
        caller.roles.iter().filter_map(|name| self.roles.get(name))
    }

    fn grants(&self, caller: &Caller, rules: impl Fn(&Role) -> &[Rule], kind: &str, verb: &str) -> bool {
        self.roles_of(caller).any(|role| rules(role).iter().any(|rule| rule.covers(kind, verb)))
    }

    pub(crate) fn explicitly_denied(&self, caller: &Caller, kind: &str, verb: &str) -> bool {
        self.grants(caller, |role| &role.denied, kind, verb)
    }

    /// Teleport's check of one verb on one kind.
    pub(crate) fn check(&self, caller: &Caller, kind: &str, verb: &str) -> Result<(), Trace> {
        let allowed = match self.permissions.get(&caller.user) {
            Some(rules) => rules.iter().any(|rule| rule.covers(kind, verb)),
            None => self.grants(caller, |role| &role.rules, kind, verb),
        };
        if allowed && !self.explicitly_denied(caller, kind, verb) {
            return Ok(());
        }
        Err(Trace::denied(format!("access denied to perform action {verb:?} on {kind:?}")))
    }

    /// The same for several verbs; the refusal names each that is missing.
    pub(crate) fn check_all(&self, caller: &Caller, kind: &str, verbs: &[&str]) -> Result<(), Trace> {
        let refusals = verbs.iter().filter_map(|verb| self.check(caller, kind, verb).err());
        let words: Vec<_> = refusals.map(|refusal| refusal.message).collect();
        if words.is_empty() { Ok(()) } else { Err(Trace::denied(words.join(", "))) }
    }

    /// Plugin data: a right on the resource's own kind counts as well.
    pub(crate) fn check_plugin_data(&self, caller: &Caller, kind: &str, verb: &str) -> Result<(), Trace> {
        self.check(caller, kind, verb).or_else(|_| self.check(caller, "access_plugin_data", verb))
    }
}

pub(crate) fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| pattern == "*" || pattern == name)
}
