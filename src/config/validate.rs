//! From the file's sections and the environment to a [`Config`], or to the first problem; pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize as _;

use crate::config::environment::Environment;
use crate::config::file::{self, KEYS};
use crate::config::join;
use crate::config::recipient::{Recipient, RoleToRecipients, WILDCARD};
use crate::config::suggested_reviewers::{DEFAULT_MAX, SuggestedReviewers, parse_domain};
use crate::config::syntax::{given, is_duration, is_host_and_port, is_path, with_brackets};
use crate::config::toml_source::{Place, Problem, Source, closest, one_line};
use crate::config::{
    Config, DEFAULT_ADDR, DEFAULT_API_URL, DEFAULT_PLUGIN_NAME, IdentitySource, Loaded, ReasonPolicy, Review, Slack,
    StatusObject, Teleport, TokenSource, Wildcard,
};
use crate::slack::recipient_mistake::RecipientMistake;
use crate::slack::token::{Token, TokenError};
use crate::telemetry::Log;
use crate::teleport::identity::Credentials;

/// What is known while the sections are judged one after the other.
struct Judge<'a> {
    source: Source<'a>,
    environment: &'a Environment,
    warnings: Vec<Problem>,
    misspelt: Vec<Misspelt>,
}

/// A setting or a section that nobody knows, and the one that it was probably meant to be.
struct Misspelt {
    place: Place,
    written: String,
    meant: String,
}

pub(super) fn parse(file: &str, text: &str, wildcard: Wildcard, environment: &Environment) -> Result<Loaded, Problem> {
    let source = Source::new(file, text, KEYS)?;
    let mut judge = Judge { source, environment, warnings: Vec::new(), misspelt: Vec::new() };
    let mut sections = judge.read()?;
    judge.apply_overrides(&mut sections);
    let file::File { teleport, slack, role_to_recipients, suggested_reviewers, review, log, diag, kubernetes } =
        sections;
    let config = Config {
        teleport: judge.teleport(teleport)?,
        role_to_recipients: judge.recipients(role_to_recipients, slack.recipients.as_ref(), wildcard)?,
        suggested_reviewers: judge.suggested_reviewers(suggested_reviewers)?,
        slack: judge.slack(slack)?,
        review: judge.review(review)?,
        log: judge.log(log)?,
        diag_addr: judge.diag(diag)?,
        kubernetes: judge.kubernetes(kubernetes)?,
    };
    Ok(Loaded { config, warnings: judge.warnings })
}

impl Judge<'_> {
    /// Types are checked here; unknown keys become warnings.
    fn read(&mut self) -> Result<file::File, Problem> {
        let mut unknown = Vec::new();
        let mut ignored = |path: serde_ignored::Path<'_>| unknown.push(segments(&path));
        let deserializer = toml::de::Deserializer::from(self.source.content());
        let sections = file::File::deserialize(serde_ignored::Deserializer::new(deserializer, &mut ignored));
        let sections = sections.map_err(|error| self.wrong_type(&error))?;
        for path in unknown {
            self.unknown(&path);
        }
        Ok(sections)
    }

    fn wrong_type(&self, error: &toml::de::Error) -> Problem {
        let setting = error.span().and_then(|span| self.source.setting_at(&span)).unwrap_or_default();
        // The parser quotes the value: not where it may be a secret.
        let what = match setting.as_str() {
            "slack" | "review" => "not of the expected type, a table".to_owned(),
            "slack.token" | "review.app_token" => "not of the expected type, a string in double quotes".to_owned(),
            _ => one_line(error.message()),
        };
        let remedy = if setting.starts_with("role_to_recipients") {
            "write a role's recipients as \"x\" or [\"x\", \"y\"], and a role's name that has a dot in quotes"
        } else {
            "see the output of the `configure` command for each key's form"
        };
        Problem {
            place: self.source.position(error.span()),
            what: if setting.is_empty() { what } else { format!("{setting}: {what}") },
            remedy: remedy.to_owned(),
        }
    }

    fn unknown(&mut self, path: &[String]) {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let (place, written) = (self.source.place(&path), path.join("."));
        self.warnings.push(Problem {
            place: place.clone(),
            what: format!("unknown setting {written} is ignored"),
            remedy: meant(&path).map_or_else(
                || "remove it, or compare with the output of the `configure` command".to_owned(),
                |meant| format!("did you mean {meant}?"),
            ),
        });
        self.misspelt.extend(meant(&path).map(|meant| Misspelt { place, written, meant }));
    }

    fn apply_overrides(&mut self, sections: &mut file::File) {
        for (over, value) in self.environment.overrides() {
            if let Some(setting) = sections.text_setting(over.section, over.key) {
                *setting = Some(value.to_owned());
            }
        }
        // A whole form takes the place of the other one.
        let is_set = |key: &str| self.environment.origin("teleport", key).is_some();
        let teleport = &mut sections.teleport;
        match (is_set("identity"), ["client_crt", "client_key", "root_cas"].into_iter().any(is_set)) {
            (true, false) => (teleport.client_crt, teleport.client_key, teleport.root_cas) = (None, None, None),
            (false, true) => teleport.identity = None,
            _ => {}
        }
        let files = ["identity", "client_crt", "client_key", "root_cas"].into_iter().any(is_set);
        match (is_set("join_token"), files) {
            (true, false) => {
                teleport.identity = None;
                (teleport.client_crt, teleport.client_key, teleport.root_cas) = (None, None, None);
            }
            (false, true) => {
                (teleport.join_token, teleport.join_token_path) = (None, None);
                (teleport.join_role, teleport.join_ca_pins) = (None, None);
            }
            _ => {}
        }
        for (name, known) in self.environment.misspelt() {
            let place = Place::Variable(name.to_owned());
            self.warnings.push(Problem {
                place: place.clone(),
                what: "unknown setting is ignored".to_owned(),
                remedy: format!("did you mean {}?", known.variable),
            });
            let meant = format!("{}.{}", known.section, known.key);
            self.misspelt.push(Misspelt { place, written: name.to_owned(), meant });
        }
    }

    fn teleport(&mut self, section: file::Teleport) -> Result<Teleport, Problem> {
        let addr = match (given(section.addr), given(section.auth_server)) {
            (None, Some(auth_server)) => {
                self.deprecated("teleport", "auth_server", "rename it to addr");
                self.address("auth_server", auth_server)?
            }
            (addr, old) => {
                if old.is_some() {
                    self.deprecated("teleport", "auth_server", "remove it: addr is set too, and is used");
                }
                addr.map_or_else(|| Ok(DEFAULT_ADDR.to_owned()), |addr| self.address("addr", addr))?
            }
        };
        if let Some(interval) = given(section.refresh_identity_interval)
            && !is_duration(&interval)
        {
            return Err(self.problem(
                ("teleport", "refresh_identity_interval"),
                format!("teleport.refresh_identity_interval: '{interval}' is no duration"),
                "write a number and a unit, for instance 30s, 1m or 1h30m",
            ));
        }
        let identity = self.path("teleport", "identity", section.identity)?;
        if section.refresh_identity == Some(true) && identity.is_none() {
            self.warn(
                ("teleport", "refresh_identity"),
                "teleport.refresh_identity needs teleport.identity".to_owned(),
                "remove it: changed credential files of either form are read again anyway",
            );
        }
        let join = join::Written {
            token: section.join_token,
            token_path: self.path("teleport", "join_token_path", section.join_token_path)?,
            role: section.join_role,
            ca_pins: section.join_ca_pins,
        };
        let join = join
            .settings(self.environment.token_path())
            .map_err(|wrong| self.problem(("teleport", wrong.key), wrong.what, wrong.remedy))?;
        let tls_files = [
            self.path("teleport", "client_crt", section.client_crt)?,
            self.path("teleport", "client_key", section.client_key)?,
            self.path("teleport", "root_cas", section.root_cas)?,
        ];
        let credentials = match join {
            Some(_) if identity.is_some() || tls_files.iter().any(Option::is_some) => {
                return Err(self.problem(
                    ("teleport", self.overridden("teleport", &["join_token", "identity", "client_crt"])),
                    "configuration setting(s) join_token and identity, client_crt, client_key, root_cas are mutually exclusive"
                        .to_owned(),
                    "keep join_token to join with the ServiceAccount's token, or the files",
                ));
            }
            Some(join) => IdentitySource::Join(join),
            None => IdentitySource::Files(self.credentials(identity, tls_files)?),
        };
        Ok(Teleport {
            addr,
            credentials,
            ca_bundle: self.path("teleport", "ca_bundle", section.ca_bundle)?,
            user: given(section.user),
            plugin_name: given(section.plugin_name).unwrap_or_else(|| DEFAULT_PLUGIN_NAME.to_owned()),
        })
    }

    fn address(&mut self, key: &str, text: String) -> Result<String, Problem> {
        let place = ("teleport", key);
        let (host_and_port, default_port) = match text.strip_prefix("https://") {
            Some(rest) => {
                self.warn(place, format!("teleport.{key} is a URL"), "write it as HOST:PORT");
                (rest.trim_end_matches('/').to_owned(), Some(443))
            }
            None => (text, None),
        };
        let remedy = "write HOST:PORT, with port 3025 for an Auth Service and 443 or 3080 for a Proxy Service";
        let is_address = |text: &str| is_host_and_port(text) && !text.ends_with(":0");
        match (is_address(&host_and_port), default_port) {
            (true, _) => Ok(host_and_port),
            (false, Some(port)) if is_address(&format!("{host_and_port}:{port}")) => {
                Ok(format!("{host_and_port}:{port}"))
            }
            _ => Err(match with_brackets(&host_and_port) {
                Some(written) => self.problem(
                    place,
                    format!("teleport.{key}: '{host_and_port}' is an IPv6 address without brackets, or without a port"),
                    &format!("write {written}, with port 3025 for an Auth Service and 443 or 3080 for a Proxy Service"),
                ),
                None => self.problem(place, format!("teleport.{key}: '{host_and_port}' is no address"), remedy),
            }),
        }
    }

    fn credentials(
        &self,
        identity: Option<PathBuf>,
        [certificate, key, cas]: [Option<PathBuf>; 3],
    ) -> Result<Credentials, Problem> {
        match (identity, certificate, key, cas) {
            (Some(identity), None, None, None) => Ok(Credentials::IdentityFile(identity)),
            (None, Some(certificate), Some(key), Some(cas)) => Ok(Credentials::TlsFiles { certificate, key, cas }),
            (None, None, None, None) => Err(self.missing(
                ("teleport", "identity"),
                "missing required value teleport.identity".to_owned(),
                "set it to the file written by `tctl auth sign`, or set client_crt, client_key and root_cas to those \
                 of `tctl auth sign --format=tls`, or join_token to join with a Kubernetes ServiceAccount's token",
            )),
            (Some(_), ..) => Err(self.problem(
                ("teleport", self.overridden("teleport", &["identity", "client_crt", "client_key", "root_cas"])),
                "configuration setting(s) identity and client_crt, client_key, root_cas are mutually exclusive"
                    .to_owned(),
                "keep the one form that you have files for",
            )),
            (None, certificate, key, cas) => {
                let settings = [("client_crt", certificate), ("client_key", key), ("root_cas", cas)];
                let names = |wanted: bool| {
                    let names: Vec<&str> =
                        settings.iter().filter(|(_, value)| value.is_some() == wanted).map(|(name, _)| *name).collect();
                    names
                };
                let provided = names(true);
                Err(self.problem(
                    ("teleport", provided.first().copied().unwrap_or_default()),
                    format!(
                        "configuration setting(s) {} are provided but setting(s) {} are missing",
                        provided.join(", "),
                        names(false).join(", ")
                    ),
                    "set all three to the files of `tctl auth sign --format=tls`, or use identity",
                ))
            }
        }
    }

    fn slack(&mut self, section: file::Slack) -> Result<Slack, Problem> {
        let Some(token) = given(section.token) else {
            return Err(self.missing(
                ("slack", "token"),
                "missing required value slack.token".to_owned(),
                "set it to the app's bot token (xoxb-…) or to the absolute path of a file that holds it",
            ));
        };
        if !token.starts_with('/') {
            self.inline_token(&token)?;
        }
        Ok(Slack {
            token: if token.starts_with('/') { TokenSource::File(token.into()) } else { TokenSource::Inline(token) },
            api_url: match given(section.api_url) {
                Some(url) => self.api_url(url)?,
                None => DEFAULT_API_URL.to_owned(),
            },
            ca_bundle: self.path("slack", "ca_bundle", section.ca_bundle)?,
            team_id: given(section.team_id),
        })
    }

    /// A path. What cannot be one is most likely what the file should hold: it is not shown.
    fn path(&self, section: &str, key: &str, setting: Option<String>) -> Result<Option<PathBuf>, Problem> {
        let Some(text) = given(setting) else { return Ok(None) };
        if !is_path(&text) {
            return Err(self.problem(
                (section, key),
                format!("{section}.{key} holds the content of a file where its path belongs"),
                "write the content into a file that only this process's user can read, and set this to the file's path",
            ));
        }
        Ok(Some(text.into()))
    }

    /// A token in the file; what Slack would refuse in any case is told with its place.
    fn inline_token(&mut self, token: &str) -> Result<(), Problem> {
        let place = ("slack", "token");
        let wrong = match Token::new(token).check_bot_slot() {
            Ok(None) => return Ok(()),
            Ok(Some(_)) => {
                let remedy = "use the Bot User OAuth Token of the app's page \"OAuth & Permissions\", or the absolute path of a file that holds it";
                self.warn(place, "slack.token does not look like a bot token (xoxb-…)".to_owned(), remedy);
                return Ok(());
            }
            Err(TokenError::WrongKind(kind)) => format!("slack.token holds the wrong kind of token: {kind}"),
            Err(TokenError::Quoted) => "slack.token has quotes around it that are not part of it".to_owned(),
            Err(TokenError::Encoded) => "slack.token is encoded in base64".to_owned(),
            Err(TokenError::Prefixed) => "slack.token has something before the token that is not part of it".to_owned(),
            Err(TokenError::Empty | TokenError::Malformed) => {
                "slack.token has spaces or other characters that no token has".to_owned()
            }
        };
        Err(self.problem(
            place,
            wrong,
            "use the Bot User OAuth Token (xoxb-…) of the app's page \"OAuth & Permissions\"",
        ))
    }

    fn api_url(&self, mut url: String) -> Result<String, Problem> {
        let is_base = url.parse::<http::Uri>().is_ok_and(|uri| {
            let plain = uri.authority().is_some_and(|authority| {
                let has_sane_port = authority.as_str() == authority.host() || authority.port().is_some();
                has_sane_port && !authority.as_str().contains('@')
            });
            matches!(uri.scheme_str(), Some("http" | "https")) && plain && uri.query().is_none()
        });
        if !is_base {
            // It is not shown: it may hold a password.
            return Err(self.problem(
                ("slack", "api_url"),
                "slack.api_url is no base URL of a Web API".to_owned(),
                "write it like https://slack.com/api/, without user, password and query",
            ));
        }
        if !url.ends_with('/') {
            url.push('/');
        }
        Ok(url)
    }

    fn recipients(
        &mut self,
        mut section: BTreeMap<String, file::OneOrMany>,
        deprecated: Option<&file::OneOrMany>,
        wildcard: Wildcard,
    ) -> Result<RoleToRecipients, Problem> {
        if let Some(file::OneOrMany(recipients)) = deprecated {
            if section.is_empty() {
                self.deprecated("slack", "recipients", "move the list to role_to_recipients.\"*\"");
                section.insert(WILDCARD.to_owned(), file::OneOrMany(recipients.clone()));
            } else {
                self.deprecated("slack", "recipients", "remove it: role_to_recipients is set too, and is used");
            }
        }
        let is_empty = section.is_empty();
        let entries: Vec<_> = section.into_iter().map(|(role, listed)| (self.role(&role, &listed.0), role)).collect();
        let map = RoleToRecipients::new(entries.into_iter().map(|(recipients, role)| (role, recipients)));
        let missing = match wildcard {
            Wildcard::Required if is_empty => "missing required value role_to_recipients.",
            Wildcard::Required if !map.has_wildcard() => "missing required value role_to_recipients[*].",
            _ => return Ok(map),
        };
        Err(self.missing(
            ("role_to_recipients", WILDCARD),
            missing.to_owned(),
            "add \"*\" = \"some-channel\" under [role_to_recipients] for roles without an entry of their own",
        ))
    }

    /// A role's recipients in the written order, each once.
    fn role(&mut self, role: &str, listed: &[String]) -> Vec<Recipient> {
        let setting = ("role_to_recipients", role);
        let mut recipients = Vec::new();
        for text in listed {
            match Recipient::parse(text) {
                None => {
                    self.warn(setting, format!("an empty recipient of role '{role}' is ignored"), "remove it");
                }
                Some(recipient) if recipients.contains(&recipient) => {
                    self.warn(setting, format!("role '{role}' names {recipient} more than once"), "keep one of them");
                }
                Some(recipient) => {
                    if let Some(mistake) = RecipientMistake::find(text) {
                        let what = format!("role '{role}': {text:?} {}", mistake.problem());
                        self.warn(setting, what, &mistake.remedy());
                    }
                    recipients.push(recipient);
                }
            }
        }
        if listed.is_empty() {
            self.warn(setting, format!("role '{role}' has no recipients"), "add some, or remove it: \"*\" serves it");
        }
        recipients
    }

    fn suggested_reviewers(&self, section: file::SuggestedReviewers) -> Result<SuggestedReviewers, Problem> {
        let listed = section.allowed_domains.map(|file::OneOrMany(domains)| domains).unwrap_or_default();
        let allowed_domains: Result<Vec<_>, Problem> = listed
            .iter()
            .map(|text| {
                parse_domain(text).ok_or_else(|| {
                    self.problem(
                        ("suggested_reviewers", "allowed_domains"),
                        format!("suggested_reviewers.allowed_domains: '{text}' is no domain"),
                        "write what stands behind the @ of the addresses, for instance example.com",
                    )
                })
            })
            .collect();
        Ok(SuggestedReviewers { max: section.max.unwrap_or(DEFAULT_MAX), allowed_domains: allowed_domains? })
    }

    /// The official plugin's block, and `reason`. It has no effect unless `enabled` is true.
    fn review(&mut self, section: file::Review) -> Result<Option<Review>, Problem> {
        if section.enabled != Some(true) {
            if section.enabled.is_none() && given(section.app_token).is_some() {
                self.warn(
                    ("review", "app_token"),
                    "review.app_token has no effect: review.enabled is not set".to_owned(),
                    "set enabled = true under [review], or remove the section",
                );
            }
            return Ok(None);
        }
        let Some(app_token) = given(section.app_token) else {
            return Err(self.missing(
                ("review", "app_token"),
                "missing required value review.app_token".to_owned(),
                "set it to an app-level token (xapp-…, scope connections:write) or to the absolute path of a file that holds it, or set enabled = false",
            ));
        };
        let slack_user_id_trait = given(section.slack_user_id_trait);
        let allow_email_match = section.allow_email_username_match.unwrap_or_default();
        if slack_user_id_trait.is_none() && !allow_email_match {
            return Err(self.missing(
                ("review", "slack_user_id_trait"),
                "missing required value review.slack_user_id_trait".to_owned(),
                "set it to the Teleport trait that holds a reviewer's Slack user id, for instance \"slack_user_id\", or set allow_email_username_match = true",
            ));
        }
        let reason = match given(section.reason) {
            None => ReasonPolicy::default(),
            Some(written) => {
                let known = ReasonPolicy::NAMES.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(&written));
                known.map(|(_, policy)| policy).ok_or_else(|| {
                    let what = format!("review.reason: '{written}' is none of the known words");
                    self.problem(("review", "reason"), what, "use never, optional, onDeny or always")
                })?
            }
        };
        let app_token = if app_token.starts_with('/') {
            TokenSource::File(app_token.into())
        } else {
            self.inline_app_token(&app_token)?;
            TokenSource::Inline(app_token)
        };
        Ok(Some(Review { app_token, slack_user_id_trait, allow_email_match, reason }))
    }

    /// An app-level token in the file; what Slack would refuse in any case is told with its place.
    fn inline_app_token(&mut self, token: &str) -> Result<(), Problem> {
        const REMEDY: &str = "use an app-level token (xapp-…) with the scope connections:write of the app's page \"Basic Information\", or the absolute path of a file that holds it";
        let place = ("review", "app_token");
        match Token::new(token).check_app_slot() {
            Ok(None) => {}
            Ok(Some(_)) => {
                self.warn(place, "review.app_token does not look like an app-level token (xapp-…)".to_owned(), REMEDY);
            }
            Err(error) => return Err(self.problem(place, format!("review.app_token: {error}"), REMEDY)),
        }
        Ok(())
    }

    fn log(&self, section: file::Log) -> Result<Log, Problem> {
        let severity = given(section.severity).unwrap_or_default();
        let severity = severity.parse().map_err(|error: crate::telemetry::UnsupportedSeverity| {
            self.problem(("log", "severity"), error.to_string(), "use ERROR, WARN, INFO or DEBUG")
        })?;
        let format = given(section.format).unwrap_or_default();
        let format = format.parse().map_err(|error: crate::telemetry::UnsupportedFormat| {
            self.problem(("log", "format"), error.to_string(), "use text or json")
        })?;
        let Ok(output) = given(section.output).unwrap_or_default().parse();
        Ok(Log { output, severity, format })
    }

    fn diag(&self, section: file::Diag) -> Result<Option<String>, Problem> {
        match given(section.addr) {
            Some(addr) if !is_host_and_port(&addr) && !is_host_and_port(&format!("all{addr}")) => Err(self.problem(
                ("diag", "addr"),
                format!("diag.addr: '{addr}' is no address"),
                "write HOST:PORT, for instance 127.0.0.1:3000",
            )),
            addr => Ok(addr),
        }
    }

    fn kubernetes(&self, section: Option<file::Kubernetes>) -> Result<Option<StatusObject>, Problem> {
        let Some(section) = section else { return Ok(None) };
        let missing = |key: &'static str| {
            self.problem(
                ("kubernetes", key),
                format!("missing required value kubernetes.{key}"),
                "set it, or remove the section: it is written by the operator",
            )
        };
        Ok(Some(StatusObject {
            namespace: given(section.namespace).ok_or_else(|| missing("namespace"))?,
            name: given(section.name).ok_or_else(|| missing("name"))?,
            uid: given(section.uid),
        }))
    }

    fn deprecated(&mut self, section: &str, key: &str, remedy: &str) {
        self.warn((section, key), format!("{section}.{key} is deprecated"), remedy);
    }

    fn warn(&mut self, setting: (&str, &str), what: String, remedy: &str) {
        let problem = self.problem(setting, what, remedy);
        self.warnings.push(problem);
    }

    /// A setting is not there. If something looks like a misspelling of it, that is pointed at.
    fn missing(&self, (section, key): (&str, &str), what: String, remedy: &str) -> Problem {
        let setting = format!("{section}.{key}");
        match self.misspelt.iter().find(|found| found.meant == section || found.meant == setting) {
            Some(Misspelt { place, written, meant }) => {
                Problem { place: place.clone(), what, remedy: format!("did you mean {meant} by {written}?") }
            }
            None => self.problem((section, key), what, remedy),
        }
    }

    /// The first of the keys that the environment sets; the first of all when it sets none.
    fn overridden<'k>(&self, section: &str, keys: &[&'k str]) -> &'k str {
        let set = keys.iter().find(|key| self.environment.origin(section, key).is_some());
        set.or(keys.first()).copied().unwrap_or_default()
    }

    fn problem(&self, (section, key): (&str, &str), what: String, remedy: &str) -> Problem {
        let place = match self.environment.origin(section, key) {
            Some(variable) => Place::Variable(variable.to_owned()),
            None => self.source.place(&[section, key]),
        };
        Problem { place, what, remedy: remedy.to_owned() }
    }
}

/// The setting or section that an unknown one was probably meant to be: a close one, or one that stands in the wrong section.
fn meant(path: &[&str]) -> Option<String> {
    let of_section = |section: &str| KEYS.iter().find(|(name, _)| *name == section).map_or(&[][..], |(_, keys)| *keys);
    let elsewhere = |key: &str| {
        // What the operator writes is nobody's typing mistake.
        let (section, _) = KEYS.iter().find(|(section, keys)| *section != "kubernetes" && keys.contains(&key))?;
        Some(format!("{section}.{key}"))
    };
    match path {
        [name] => closest(name, KEYS.iter().map(|(name, _)| *name)).map(str::to_owned).or_else(|| elsewhere(name)),
        [section, key] => closest(key, of_section(section).iter().copied())
            .map(|key| format!("{section}.{key}"))
            .or_else(|| elsewhere(key)),
        _ => None,
    }
}

fn segments(path: &serde_ignored::Path<'_>) -> Vec<String> {
    use serde_ignored::Path;
    let (parent, own) = match path {
        Path::Root => return Vec::new(),
        Path::Seq { parent, index } => (parent, Some(index.to_string())),
        Path::Map { parent, key } => (parent, Some(key.clone())),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => (parent, None),
    };
    let mut segments = segments(parent);
    segments.extend(own);
    segments
}
