//! The settings for joining Teleport with a ServiceAccount token; pure.

use std::path::PathBuf;

use crate::config::file;
use crate::config::syntax::given;
use crate::teleport::join::{CaPin, DEFAULT_ROLE, Settings};

/// Where Kubernetes mounts a pod's own token, and where Teleport's `tbot` looks for it.
pub(super) const DEFAULT_TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// The keys of the TOML file beside `join_token`.
const DETAILS: [&str; 3] = ["join_token_path", "join_role", "join_ca_pins"];

/// A setting that cannot be used: its key, what is wrong, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) key: &'static str,
    pub(super) what: String,
    pub(super) remedy: &'static str,
}

/// What the file says about joining.
pub(super) struct Written {
    pub(super) token: Option<String>,
    pub(super) token_path: Option<PathBuf>,
    pub(super) role: Option<String>,
    pub(super) ca_pins: Option<file::OneOrMany>,
}

impl Written {
    /// The settings; none when the file does not ask for joining.
    pub(super) fn settings(self, path_of_environment: Option<PathBuf>) -> Result<Option<Settings>, Wrong> {
        let Self { token, token_path, role, ca_pins } = self;
        let given_details = [token_path.is_some(), given(role.clone()).is_some(), ca_pins.is_some()];
        let Some(token) = given(token) else {
            return match DETAILS.into_iter().zip(given_details).find(|(_, given)| *given) {
                Some((key, _)) => Err(Wrong {
                    key,
                    what: format!("teleport.{key} is set, and teleport.join_token is not"),
                    remedy: "set join_token to the name of the token resource in Teleport, or remove the setting",
                }),
                None => Ok(None),
            };
        };
        if token.contains(char::is_whitespace) {
            return Err(Wrong {
                key: "join_token",
                what: "teleport.join_token is no name of a token resource".to_owned(),
                remedy: "set it to the metadata.name of a token resource of join method kubernetes",
            });
        }
        let ca_pins = ca_pins.unwrap_or_default().0.iter().map(|pin| pin.parse::<CaPin>()).collect::<Result<_, _>>();
        let ca_pins = ca_pins.map_err(|error| Wrong {
            key: "join_ca_pins",
            what: format!("teleport.join_ca_pins: {error}"),
            remedy: "set it to what `tctl status` prints as CA pin, or remove it when the address is a Proxy's",
        })?;
        let token_path = token_path.or(path_of_environment).unwrap_or_else(|| PathBuf::from(DEFAULT_TOKEN_PATH));
        let role = given(role).unwrap_or_else(|| DEFAULT_ROLE.to_owned());
        Ok(Some(Settings { token, token_path, role, ca_pins }))
    }
}
