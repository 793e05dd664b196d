//! Joining Teleport with the worker's own ServiceAccount, without a Secret.

#![allow(unreachable_pub, reason = "the schema derive repeats each public struct inside a function")]

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How the worker joins Teleport: with the token of its own ServiceAccount (join method `kubernetes`), which Kubernetes makes and
/// renews. `slack-access-operator join-resources` prints what Teleport needs for it.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Join {
    /// The name of the token resource in Teleport. Not a secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[^\\\\s]+$')").message("must be the name of a token resource in Teleport, without spaces"))]
    pub token: String,
    /// The role that the worker takes on; the bot must be allowed to.
    #[serde(default = "Join::default_role")]
    #[schemars(length(min = 1, max = 253))]
    pub role: String,
    /// Whom the ServiceAccount token is for: the name of the Teleport cluster. Left out, it is the host of `teleport.address`. Empty
    /// means the API server's own audience, which token resources of type `in_cluster` want before Teleport 17.0.3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub audience: Option<String>,
    /// The authorities of an Auth Service at `teleport.address`, as `tctl status` prints them (`sha256:…`). Two while they are being
    /// rotated. A Proxy needs none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 71)))]
    #[x_kube(validation = Rule::new("self.all(pin, pin.matches('^sha256:[0-9a-fA-F]{64}$'))").message("a CA pin is sha256: and 64 hexadecimal digits, as tctl status prints it"))]
    pub ca_pins: Vec<String>,
}

impl Join {
    fn default_role() -> String {
        "access-plugin".to_owned()
    }
}
