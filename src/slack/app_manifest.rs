//! The manifest of the Slack app: exactly the scopes and switches that a configuration needs. Pure.
//!
//! Sources: Slack's manifest schema v2 (unknown keys are refused; interactivity needs Socket Mode or a request URL; the Messages tab
//! is off in a new app) and the scopes of each Web API method that this program calls.

use reqwest::Url;
use serde::Serialize;

use crate::slack::error::DEFAULT_BOT;

/// Most characters of an app's name (manifest schema).
pub const LONGEST_NAME: usize = 35;

/// What a configuration makes use of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Messages go to channels.
    pub channels: bool,
    /// Recipients are checked before the first message, and a message whose answer was lost is looked for instead of sent again.
    pub look_ups: bool,
    /// Reviewers approve and deny in Slack.
    pub review: bool,
}

/// Whether the program can do without a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing works without it.
    Required,
    /// Everything is delivered without it; what it serves is left out.
    Recommended,
}

/// A scope of the bot token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Slack's name of it.
    pub name: &'static str,
    /// Whether the program can do without it.
    pub need: Need,
    /// What it is for.
    pub purpose: &'static str,
    serves: Serves,
}

/// The part of the work that takes a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Serves {
    Everything,
    LookUps,
    LookUpsInChannels,
}

const fn scope(name: &'static str, need: Need, serves: Serves, purpose: &'static str) -> Scope {
    Scope { name, need, purpose, serves }
}

/// Every scope that the program makes use of, in the order of Slack's own pages.
pub const SCOPES: &[Scope] = &[
    scope("channels:history", Need::Recommended, Serves::LookUpsInChannels, "find a message whose answer was lost"),
    scope("channels:read", Need::Recommended, Serves::LookUpsInChannels, "check channels before the first message"),
    scope("chat:write", Need::Required, Serves::Everything, "post and update messages"),
    scope("groups:history", Need::Recommended, Serves::LookUpsInChannels, "the same in private channels"),
    scope("groups:read", Need::Recommended, Serves::LookUpsInChannels, "the same for private channels"),
    scope("im:history", Need::Recommended, Serves::LookUps, "find a direct message whose answer was lost"),
    scope("im:write", Need::Recommended, Serves::LookUps, "learn where a direct message goes before it is sent"),
    scope("reactions:write", Need::Recommended, Serves::Everything, "mark decided requests with an emoji"),
    scope("users:read", Need::Required, Serves::Everything, "find people, and see who clicked"),
    scope("users:read.email", Need::Required, Serves::Everything, "find people by their e-mail addresses"),
];

/// The scope of the app-level token, which no manifest can make: Basic Information > App-Level Tokens.
pub const APP_TOKEN_SCOPE: &str = "connections:write";

impl Needs {
    /// The bot token's scopes.
    pub fn scopes(self) -> impl Iterator<Item = &'static Scope> {
        SCOPES.iter().filter(move |scope| match scope.serves {
            Serves::Everything => true,
            Serves::LookUps => self.look_ups,
            Serves::LookUpsInChannels => self.look_ups && self.channels,
        })
    }
}

/// An app's manifest, as Slack's schema names its parts.
#[derive(Clone, Debug, Serialize)]
pub struct Manifest {
    display_information: DisplayInformation,
    features: Features,
    oauth_config: OauthConfig,
    settings: Settings,
}

#[derive(Clone, Debug, Serialize)]
struct DisplayInformation {
    name: String,
    description: &'static str,
    background_color: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct Features {
    app_home: AppHome,
    bot_user: BotUser,
}

#[derive(Clone, Debug, Serialize)]
struct AppHome {
    home_tab_enabled: bool,
    messages_tab_enabled: bool,
    messages_tab_read_only_enabled: bool,
}

#[derive(Clone, Debug, Serialize)]
struct BotUser {
    display_name: String,
    always_online: bool,
}

#[derive(Clone, Debug, Serialize)]
struct OauthConfig {
    scopes: Scopes,
}

#[derive(Clone, Debug, Serialize)]
struct Scopes {
    bot: Vec<&'static str>,
}

#[derive(Clone, Debug, Serialize)]
struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    interactivity: Option<Interactivity>,
    org_deploy_enabled: bool,
    socket_mode_enabled: bool,
    token_rotation_enabled: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Interactivity {
    is_enabled: bool,
}

/// Why there is no manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Slack would refuse the name.
    #[error("an app's name has 1 to {LONGEST_NAME} characters, not {length}; choose another with --name")]
    Name {
        /// Its length in characters, without the spaces around it.
        length: usize,
    },
}

impl Manifest {
    /// The manifest of an app of this name.
    pub fn new(name: &str, needs: Needs) -> Result<Self, ManifestError> {
        let name = name.trim();
        let length = name.chars().count();
        if !(1..=LONGEST_NAME).contains(&length) {
            return Err(ManifestError::Name { length });
        }
        Ok(Self {
            display_information: DisplayInformation {
                name: name.to_owned(),
                description: if needs.review {
                    "Announces Teleport access requests, to be approved or denied in Slack"
                } else {
                    "Announces Teleport access requests"
                },
                background_color: "#512fc9",
            },
            features: Features {
                app_home: AppHome {
                    home_tab_enabled: false,
                    messages_tab_enabled: true,
                    messages_tab_read_only_enabled: true,
                },
                bot_user: BotUser { display_name: bot_name(name), always_online: true },
            },
            oauth_config: OauthConfig { scopes: Scopes { bot: needs.scopes().map(|scope| scope.name).collect() } },
            settings: Settings {
                interactivity: needs.review.then_some(Interactivity { is_enabled: true }),
                org_deploy_enabled: false,
                socket_mode_enabled: needs.review,
                token_rotation_enabled: false,
            },
        })
    }

    /// The page that makes an app of this manifest: of Slack's site that belongs to the Web API at `api_url`.
    pub fn creation_link(&self, api_url: &str) -> Result<String, serde_json::Error> {
        let is_gov =
            Url::parse(api_url).is_ok_and(|url| url.host_str().is_some_and(|host| host.ends_with("slack-gov.com")));
        let page = if is_gov { "https://api.slack-gov.com/apps" } else { "https://api.slack.com/apps" };
        let json = serde_json::to_string(self)?;
        let link = Url::parse_with_params(page, [("new_app", "1"), ("manifest_json", &json)]);
        // A form's `+` for a space is not one everywhere.
        Ok(link.map_or_else(|_| page.to_owned(), |link| link.as_str().replace('+', "%20")))
    }
}

/// What people invite: lower case, no spaces.
fn bot_name(name: &str) -> String {
    let mut words = String::new();
    for character in name.chars().flat_map(char::to_lowercase) {
        if character.is_alphanumeric() || matches!(character, '_' | '.' | '-') {
            words.push(character);
        } else if !words.ends_with('-') {
            words.push('-');
        }
    }
    match words.trim_matches('-') {
        "" => DEFAULT_BOT.to_owned(),
        words => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ALL: Needs = Needs { channels: true, look_ups: true, review: false };

    fn manifest(needs: Needs) -> Value {
        serde_json::to_value(Manifest::new("Teleport", needs).unwrap()).unwrap()
    }

    #[test]
    fn the_least_is_what_a_message_to_a_person_takes() {
        let shown = manifest(Needs { channels: false, look_ups: false, review: false });
        let scopes = json!(["chat:write", "reactions:write", "users:read", "users:read.email"]);
        assert_eq!(shown["oauth_config"]["scopes"]["bot"], scopes);
        assert_eq!(shown["settings"]["socket_mode_enabled"], false);
        assert_eq!(shown["settings"].get("interactivity"), None);
    }

    #[test]
    fn channels_are_looked_at_only_where_messages_go_to_channels() {
        let people = manifest(Needs { channels: false, ..ALL })["oauth_config"]["scopes"]["bot"].clone();
        assert!(people.as_array().unwrap().contains(&json!("im:history")));
        assert!(!people.as_array().unwrap().contains(&json!("channels:history")));
        assert_eq!(manifest(ALL)["oauth_config"]["scopes"]["bot"].as_array().unwrap().len(), SCOPES.len());
    }

    #[test]
    fn review_switches_on_both_socket_mode_and_interactivity_and_takes_no_further_scope() {
        let shown = manifest(Needs { review: true, ..ALL });
        assert_eq!(shown["settings"]["interactivity"]["is_enabled"], true);
        assert_eq!(shown["settings"]["socket_mode_enabled"], true);
        assert_eq!(shown["oauth_config"], manifest(ALL)["oauth_config"]);
    }

    #[test]
    fn direct_messages_arrive_in_a_new_app() {
        assert_eq!(manifest(ALL)["features"]["app_home"]["messages_tab_enabled"], true);
    }

    #[test]
    fn a_name_that_slack_refuses_is_refused() {
        for name in ["", " ", &"x".repeat(36)] {
            let error = Manifest::new(name, ALL).unwrap_err().to_string();
            assert!(error.contains("--name"), "{error}");
        }
        assert!(Manifest::new(&"é".repeat(35), ALL).is_ok());
    }

    #[test]
    fn the_bot_is_named_as_people_invite_it() {
        assert_eq!(bot_name("Teleport Access (test)"), "teleport-access-test");
        assert_eq!(bot_name("***"), "teleport");
    }

    #[test]
    fn the_link_leads_to_the_site_of_the_workspace() {
        let manifest = Manifest::new("A & B", ALL).unwrap();
        let link = manifest.creation_link("https://slack.com/api/").unwrap();
        assert!(link.starts_with("https://api.slack.com/apps?new_app=1&manifest_json=%7B"), "{link}");
        assert!(!link.contains('+') && !link.contains(' '), "{link}");
        let url = Url::parse(&link).unwrap();
        let (_, json) = url.query_pairs().find(|(key, _)| key == "manifest_json").unwrap();
        let shown: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(shown["display_information"]["name"], "A & B");
        assert!(
            manifest.creation_link("https://slack-gov.com/api/").unwrap().starts_with("https://api.slack-gov.com/")
        );
    }
}
