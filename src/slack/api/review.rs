//! The calls that a click takes: who clicked, a form, and words for one person.

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::slack::api::answer::Done;
use crate::slack::api::{Client, UserId, object};
use crate::slack::error::{Error, code};
use crate::slack::{MessageRef, method};

/// Hosts at which Slack takes answers to a click.
const RESPONSE_HOSTS: [&str; 2] = ["slack.com", "slack-gov.com"];

/// A Slack user, as far as it matters who clicked.
#[expect(clippy::struct_excessive_bools, reason = "Slack's own flags, each independent of the others")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// Id.
    pub id: String,
    /// Workspace.
    pub team_id: String,
    /// Deactivated.
    pub deleted: bool,
    /// A bot.
    pub is_bot: bool,
    /// A guest in several channels.
    pub is_restricted: bool,
    /// A guest in one channel.
    pub is_ultra_restricted: bool,
    /// Of another company, and in no channel with us.
    pub is_stranger: bool,
    /// Whether the address was confirmed; none where Slack does not say.
    pub is_email_confirmed: Option<bool>,
    /// What the person wrote about themselves.
    #[serde(rename = "profile")]
    details: Details,
    enterprise_user: Option<EnterpriseUser>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Details {
    email: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct EnterpriseUser {
    enterprise_id: Option<String>,
}

impl Profile {
    /// The e-mail address; none without the scope `users:read.email`.
    pub fn email(&self) -> Option<&str> {
        self.details.email.as_deref().map(str::trim).filter(|email| !email.is_empty())
    }

    /// The organization, `E…`, of a user of an Enterprise workspace.
    pub fn enterprise_id(&self) -> Option<&str> {
        self.enterprise_user.as_ref()?.enterprise_id.as_deref()
    }
}

impl Client {
    /// `users.info`.
    pub async fn user_profile(&self, user: &UserId) -> Result<Profile, Error> {
        let answer: Map<String, Value> =
            self.read(method::USER_INFO, user.as_str(), &[("user", user.as_str())]).await?;
        let profile = answer.get("user").cloned().unwrap_or_default();
        let malformed = |reason: &str| super::malformed(method::USER_INFO, user.as_str(), reason);
        let profile: Profile = serde_json::from_value(profile).map_err(|_| malformed("no user"))?;
        if profile.id == user.as_str() { Ok(profile) } else { Err(malformed("another user")) }
    }

    /// `bots.info`: the app that the bot token belongs to; none where Slack does not say.
    pub async fn app_of_bot(&self, bot_id: &str) -> Result<Option<String>, Error> {
        let answer: Map<String, Value> = self.read(method::BOT_INFO, bot_id, &[("bot", bot_id)]).await?;
        let app = answer.get("bot").and_then(|bot| bot.get("app_id")?.as_str());
        Ok(app.filter(|app| !app.is_empty()).map(str::to_owned))
    }

    /// `views.open`: shows a modal to the person who clicked, within 3 s of the click.
    pub async fn open_view(&self, trigger_id: &str, view: &Value) -> Result<(), Error> {
        let body = object(json!({"trigger_id": trigger_id, "view": view}));
        self.write::<Done>(method::OPEN_VIEW, "", body).await.map(drop)
    }

    /// `chat.postEphemeral`: words for one member of a channel. Slack delivers them where the person is at that moment.
    pub async fn post_ephemeral(
        &self,
        channel: &str,
        user: &UserId,
        text: &str,
        thread_ts: Option<&str>,
    ) -> Result<(), Error> {
        let mut body = object(json!({"channel": channel, "user": user.as_str(), "text": text, "parse": "none"}));
        if let Some(thread) = thread_ts {
            body.insert("thread_ts".to_owned(), json!(thread));
        }
        self.write::<Done>(method::POST_EPHEMERAL, channel, body).await.map(drop)
    }

    /// Words for the person who clicked, at the address that came with the click: it works for 30 minutes, also where the bot may not
    /// post. An address that is not Slack's is refused.
    pub async fn respond(&self, response_url: &str, text: &str, thread_ts: Option<&str>) -> Result<(), Error> {
        let transport = &self.shared.transport;
        let url = Url::parse(response_url).ok().filter(|url| is_slacks(url, transport.base()));
        let url =
            url.ok_or_else(|| Error::new(method::RESPONSE_URL, code::BAD_REQUEST, None).because("not Slack's"))?;
        let mut body: Map<String, Value> =
            object(json!({"response_type": "ephemeral", "replace_original": false, "text": text}));
        if let Some(thread) = thread_ts {
            body.insert("thread_ts".to_owned(), json!(thread));
        }
        let request = transport.post_elsewhere(url).json(&body);
        transport.execute(method::RESPONSE_URL, request).await.map(drop)
    }

    /// A direct message: the last way to tell a person something.
    pub async fn post_direct(&self, user: &UserId, text: &str) -> Result<MessageRef, Error> {
        let content = crate::slack::message::Content { text: text.to_owned(), ..Default::default() };
        let post = super::Post { channel: user.as_str().to_owned(), content, thread_ts: None };
        self.post_message(&post).await.map(|posted| posted.message)
    }
}

/// Over TLS at a host of Slack's, or at the very server that the Web API is at.
fn is_slacks(url: &Url, base: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let of_slack = RESPONSE_HOSTS.iter().any(|known| host == *known || host.ends_with(&format!(".{known}")));
    let same_server = url.scheme() == base.scheme()
        && host == base.host_str().unwrap_or_default()
        && url.port_or_known_default() == base.port_or_known_default();
    let without_user = url.username().is_empty() && url.password().is_none();
    without_user && (same_server || (of_slack && url.scheme() == "https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_go_to_slack_only() {
        let base: Url = "https://slack.com/api/".parse().unwrap();
        for url in ["https://hooks.slack.com/actions/T1/2/3", "https://hooks.slack-gov.com/x", "https://slack.com/x"] {
            assert!(is_slacks(&url.parse().unwrap(), &base), "{url}");
        }
        for url in [
            "http://hooks.slack.com/actions",
            "https://hooks.slack.com.evil.example/",
            "https://evilslack.com/",
            "https://169.254.169.254/latest",
            "https://x:y@hooks.slack.com/",
            "file:///etc/passwd",
        ] {
            assert!(!is_slacks(&url.parse().unwrap(), &base), "{url}");
        }
        let simulator: Url = "http://127.0.0.1:9000/api/".parse().unwrap();
        assert!(is_slacks(&"http://127.0.0.1:9000/hooks/1".parse().unwrap(), &simulator));
        assert!(!is_slacks(&"http://127.0.0.1:9001/hooks/1".parse().unwrap(), &simulator));
    }

    #[test]
    fn a_profile_is_read_as_slack_writes_it() {
        let profile: Profile = serde_json::from_value(json!({
            "id": "U1", "team_id": "T1", "deleted": false, "is_restricted": true, "is_email_confirmed": true,
            "profile": {"email": " bob@example.com ", "real_name": "Bob"}, "enterprise_user": {"enterprise_id": "E1"},
        }))
        .unwrap();
        assert_eq!((profile.email(), profile.enterprise_id()), (Some("bob@example.com"), Some("E1")));
        assert!(profile.is_restricted && !profile.is_bot);
    }
}
