//! From the checked configuration back to the file's sections.

use std::path::Path;

use crate::config::suggested_reviewers::DEFAULT_MAX;
use crate::config::{Config, IdentitySource, TokenSource, file};
use crate::teleport::identity::Credentials;

impl From<Config> for file::File {
    fn from(config: Config) -> Self {
        let Config { teleport, slack, role_to_recipients, suggested_reviewers, review, log, diag_addr, kubernetes } =
            config;
        let mut file = Self {
            teleport: file::Teleport {
                addr: Some(teleport.addr),
                ca_bundle: teleport.ca_bundle.as_deref().map(text),
                plugin_name: Some(teleport.plugin_name),
                user: teleport.user,
                ..file::Teleport::default()
            },
            slack: file::Slack {
                token: Some(token(slack.token)),
                recipients: None,
                api_url: Some(slack.api_url),
                ca_bundle: slack.ca_bundle.as_deref().map(text),
                team_id: slack.team_id,
            },
            role_to_recipients: role_to_recipients
                .iter()
                .map(|(role, recipients)| {
                    (role.to_owned(), file::OneOrMany(recipients.iter().map(ToString::to_string).collect()))
                })
                .collect(),
            suggested_reviewers: file::SuggestedReviewers {
                max: (suggested_reviewers.max != DEFAULT_MAX).then_some(suggested_reviewers.max),
                allowed_domains: Some(suggested_reviewers.allowed_domains)
                    .filter(|domains| !domains.is_empty())
                    .map(file::OneOrMany),
            },
            review: review.map_or_else(file::Review::default, |review| file::Review {
                enabled: Some(true),
                app_token: Some(token(review.app_token)),
                slack_user_id_trait: review.slack_user_id_trait,
                allow_email_username_match: Some(review.allow_email_match),
                reason: Some(review.reason.name().to_owned()),
            }),
            log: file::Log {
                output: Some(log.output.to_string()),
                severity: Some(log.severity.to_string()),
                format: Some(log.format.to_string()),
            },
            diag: file::Diag { addr: diag_addr },
            kubernetes: kubernetes.map(|object| file::Kubernetes {
                namespace: Some(object.namespace),
                name: Some(object.name),
                uid: object.uid,
            }),
        };
        match teleport.credentials {
            IdentitySource::Files(Credentials::IdentityFile(path)) => file.teleport.identity = Some(text(&path)),
            IdentitySource::Join(join) => {
                file.teleport.join_token = Some(join.token);
                file.teleport.join_token_path = Some(text(&join.token_path));
                file.teleport.join_role = Some(join.role);
                let pins: Vec<_> = join.ca_pins.iter().map(ToString::to_string).collect();
                file.teleport.join_ca_pins = (!pins.is_empty()).then_some(file::OneOrMany(pins));
            }
            IdentitySource::Files(Credentials::TlsFiles { certificate, key, cas }) => {
                file.teleport.client_crt = Some(text(&certificate));
                file.teleport.client_key = Some(text(&key));
                file.teleport.root_cas = Some(text(&cas));
            }
        }
        file
    }
}

fn token(source: TokenSource) -> String {
    match source {
        TokenSource::Inline(token) => token,
        TokenSource::File(path) => text(&path),
    }
}

// A path that came out of a TOML file is UTF-8.
fn text(path: &Path) -> String {
    path.display().to_string()
}
