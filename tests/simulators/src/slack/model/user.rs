//! People and bots.

use serde::Serialize;
use serde_json::{Value, json};

/// What sort of account a user is (Slack docs: user object).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UserKind {
    /// A full member.
    Member,
    /// A workspace admin.
    Admin,
    /// A guest of several channels (`is_restricted`).
    Guest,
    /// A guest of one channel (`is_restricted` and `is_ultra_restricted`).
    SingleChannelGuest,
    /// A bot user of an app.
    Bot,
    /// Somebody of another organisation who shares no channel (`is_stranger`).
    Stranger,
}

/// A person or a bot.
#[derive(Clone, Debug, Serialize)]
pub struct User {
    /// `U…`, or `W…` on Enterprise Grid.
    pub id: String,
    /// Home team.
    pub team: String,
    /// Handle.
    pub name: String,
    /// Full name.
    pub real_name: String,
    /// Address; bots have none.
    pub email: Option<String>,
    /// Kind of account.
    pub kind: UserKind,
    /// Deactivated.
    pub deleted: bool,
}

impl User {
    /// A full member of the first team whose e-mail is `email`.
    pub fn member(id: &str, name: &str, email: &str) -> Self {
        Self {
            id: id.to_owned(),
            team: String::new(),
            name: name.to_owned(),
            real_name: name.to_owned(),
            email: Some(email.to_owned()),
            kind: UserKind::Member,
            deleted: false,
        }
    }

    /// The same person with another kind of account.
    #[must_use]
    pub fn kind(mut self, kind: UserKind) -> Self {
        self.kind = kind;
        if kind == UserKind::Bot {
            self.email = None;
        }
        self
    }

    /// The same person, deactivated.
    #[must_use]
    pub fn deactivated(mut self) -> Self {
        self.deleted = true;
        self
    }

    /// The same person with this full name.
    #[must_use]
    pub fn named(mut self, real_name: &str) -> Self {
        real_name.clone_into(&mut self.real_name);
        self
    }

    /// The same person, but of the team `team`.
    #[must_use]
    pub fn of_team(mut self, team: &str) -> Self {
        team.clone_into(&mut self.team);
        self
    }

    /// The API's user object; deactivated users have a reduced one (Slack docs: user object).
    pub(in crate::slack) fn object(&self, with_email: bool) -> Value {
        let mut profile = json!({
            "real_name": self.real_name, "real_name_normalized": self.real_name, "display_name": self.name,
            "display_name_normalized": self.name, "avatar_hash": "g0000", "team": self.team,
        });
        if let (true, Some(email), Some(profile)) = (with_email, &self.email, profile.as_object_mut()) {
            profile.insert("email".to_owned(), json!(email));
        }
        let mut user = json!({
            "id": self.id, "team_id": self.team, "name": self.name, "deleted": self.deleted, "profile": profile,
            "is_bot": self.kind == UserKind::Bot, "is_app_user": false, "updated": 1_700_000_000,
        });
        if let (false, Some(user)) = (self.deleted, user.as_object_mut()) {
            let guest = matches!(self.kind, UserKind::Guest | UserKind::SingleChannelGuest);
            for (name, value) in [
                ("real_name", json!(self.real_name)),
                ("color", json!("9f69e7")),
                ("tz", json!("Etc/UTC")),
                ("tz_label", json!("Coordinated Universal Time")),
                ("tz_offset", json!(0)),
                ("is_admin", json!(self.kind == UserKind::Admin)),
                ("is_owner", json!(false)),
                ("is_primary_owner", json!(false)),
                ("is_restricted", json!(guest)),
                ("is_ultra_restricted", json!(self.kind == UserKind::SingleChannelGuest)),
                ("is_email_confirmed", json!(self.email.is_some())),
                ("who_can_share_contact_card", json!("EVERYONE")),
            ] {
                user.insert(name.to_owned(), value);
            }
            if self.kind == UserKind::Stranger {
                user.insert("is_stranger".to_owned(), json!(true));
            }
        }
        user
    }
}
