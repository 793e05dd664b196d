//! The worker's files on disk: configuration, identity and token, as somebody who installs it writes them.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::slack::{APP_TOKEN, BOT_TOKEN};
use crate::teleport::Cluster;

/// Who is told about which role.
pub(super) const ROUTES: [(&str, &[&str]); 3] = [
    ("*", &["access-requests"]),
    ("dba", &["dba-oncall", "bob@example.com"]),
    ("editor", &["access-requests", "security-private"]),
];

/// The trait that says who somebody is in Slack.
pub(super) const SLACK_USER_ID: &str = "slack_user_id";

/// How long an identity is valid that nobody wants to expire.
pub(super) const VALID: Duration = Duration::from_hours(24);

/// A directory of its own, removed in the end.
pub(super) struct Files(TempDir);

impl Files {
    pub(super) fn write(teleport: &Cluster, slack_api: &str) -> io::Result<Self> {
        let files = Self(tempfile::Builder::new().prefix("slack-access-demo-").tempdir()?);
        let identity = teleport.user_identity("slack-plugin", VALID).map_err(io::Error::other)?;
        identity.write_identity_file(files.identity())?;
        std::fs::write(files.token(), BOT_TOKEN)?;
        std::fs::write(files.app_token(), APP_TOKEN)?;
        let tokens = [files.token(), files.app_token()];
        let text = configuration(&teleport.addr().to_string(), &files.identity(), slack_api, &tokens);
        std::fs::write(files.configuration(), text)?;
        Ok(files)
    }

    pub(super) fn identity(&self) -> PathBuf {
        self.0.path().join("auth.pem")
    }

    pub(super) fn token(&self) -> PathBuf {
        self.0.path().join("slack-token")
    }

    fn app_token(&self) -> PathBuf {
        self.0.path().join("slack-app-token")
    }

    pub(super) fn configuration(&self) -> PathBuf {
        self.0.path().join("teleport-slack.toml")
    }
}

fn configuration(teleport: &str, identity: &Path, slack_api: &str, [token, app_token]: &[PathBuf; 2]) -> String {
    // A JSON string is a TOML string.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let path = |path: &Path| quoted(&path.to_string_lossy());
    let routes: Vec<String> = ROUTES
        .iter()
        .map(|(role, to)| {
            let to: Vec<String> = to.iter().map(|recipient| quoted(recipient)).collect();
            format!("{} = [{}]", quoted(role), to.join(", "))
        })
        .collect();
    format!(
        "[teleport]\naddr = {}\nidentity = {}\n\n[slack]\ntoken = {}\napi_url = {}\n\n[role_to_recipients]\n{}\n\n\
         [review]\nenabled = true\napp_token = {}\nslack_user_id_trait = \"{SLACK_USER_ID}\"\n\n\
         [log]\noutput = \"stderr\"\nseverity = \"INFO\"\n",
        quoted(teleport),
        path(identity),
        path(token),
        quoted(slack_api),
        routes.join("\n"),
        path(app_token),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_has_the_sections_of_the_guide() {
        let tokens = ["/t\"oken", "/app"].map(PathBuf::from);
        let text = configuration("127.0.0.1:3025", Path::new("/i d"), "http://127.0.0.1/api/", &tokens);
        let lines: Vec<_> = text.lines().collect();
        for line in [
            r#"addr = "127.0.0.1:3025""#,
            r#"identity = "/i d""#,
            r#"token = "/t\"oken""#,
            r#"app_token = "/app""#,
            r#""dba" = ["dba-oncall", "bob@example.com"]"#,
        ] {
            assert!(lines.contains(&line), "{line} is missing in\n{text}");
        }
    }
}
