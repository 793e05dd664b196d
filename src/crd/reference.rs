//! References to Secrets and ConfigMaps of the object's own namespace. They are mounted, never read by the operator.

#![allow(unreachable_pub, reason = "the schema derive repeats each public struct inside a function")]

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The schema of an object's name (RFC 1123 subdomain).
fn object_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    })
}

/// The schema of a key of a Secret's or ConfigMap's data.
fn key(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        // Not `.`, and nothing that begins with `..`.
        "pattern": "^[.]?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$",
    })
}

/// Where the identity file lies that `tctl auth sign` or `tbot` made.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The Secret that holds the identity file.
    pub secret_ref: IdentityKey,
}

/// A Secret's key that holds an identity file.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityKey {
    /// The Secret's name, in the namespace of this object.
    #[schemars(schema_with = "object_name")]
    pub name: String,
    /// The key in the Secret. Left out, `auth_id` is tried (the name that Teleport's guide uses) and then `identity` (the name
    /// that `tbot` uses).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "key")]
    pub key: Option<String>,
}

/// The three files that `tctl auth sign --format=tls` makes.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsFiles {
    /// The Secret that holds the three files.
    pub secret_ref: TlsSecret,
}

/// A Secret that holds a certificate, its key and the roots.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsSecret {
    /// The Secret's name, in the namespace of this object.
    #[schemars(schema_with = "object_name")]
    pub name: String,
    /// The key of the client certificate.
    #[serde(default = "TlsSecret::default_certificate_key")]
    #[schemars(schema_with = "key")]
    pub certificate_key: String,
    /// The key of the client certificate's private key.
    #[serde(default = "TlsSecret::default_private_key_key")]
    #[schemars(schema_with = "key")]
    pub private_key_key: String,
    /// The key of the certificates that Teleport's own certificate is checked with.
    #[serde(default = "TlsSecret::default_ca_key")]
    #[schemars(schema_with = "key")]
    pub ca_key: String,
}

impl TlsSecret {
    fn default_certificate_key() -> String {
        "auth.crt".to_owned()
    }

    fn default_private_key_key() -> String {
        "auth.key".to_owned()
    }

    fn default_ca_key() -> String {
        "auth.cas".to_owned()
    }
}

/// Where the Slack bot token lies.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SlackToken {
    /// The Secret that holds the bot token.
    pub secret_ref: TokenKey,
}

/// A Secret's key that holds a Slack bot token.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenKey {
    /// The Secret's name, in the namespace of this object.
    #[schemars(schema_with = "object_name")]
    pub name: String,
    /// The key in the Secret.
    #[serde(default = "TokenKey::default_key")]
    #[schemars(schema_with = "key")]
    pub key: String,
}

impl TokenKey {
    fn default_key() -> String {
        "token".to_owned()
    }
}

/// Where the Slack app-level token lies.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SlackAppToken {
    /// The Secret that holds the app-level token.
    pub secret_ref: AppTokenKey,
}

/// A Secret's key that holds a Slack app-level token.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppTokenKey {
    /// The Secret's name, in the namespace of this object.
    #[schemars(schema_with = "object_name")]
    pub name: String,
    /// The key in the Secret.
    #[serde(default = "AppTokenKey::default_key")]
    #[schemars(schema_with = "key")]
    pub key: String,
}

impl AppTokenKey {
    fn default_key() -> String {
        "appToken".to_owned()
    }
}

/// Certificates that are trusted in addition to the system's, for a server whose certificate a private authority signed.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.configMapRef) != has(self.secretRef)").message("exactly one of configMapRef and secretRef is needed"))]
pub struct CaBundle {
    /// A ConfigMap that holds the certificates (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapKey>,
    /// A Secret that holds the certificates (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKey>,
}

/// A ConfigMap's key that holds certificates.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKey {
    /// The ConfigMap's name, in the namespace of this object.
    #[schemars(schema_with = "object_name")]
    pub name: String,
    /// The key in the ConfigMap.
    #[serde(default = "default_ca_key")]
    #[schemars(schema_with = "key")]
    pub key: String,
}

/// A Secret's key that holds certificates.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// The Secret's name, in the namespace of this object.
    #[schemars(schema_with = "object_name")]
    pub name: String,
    /// The key in the Secret.
    #[serde(default = "default_ca_key")]
    #[schemars(schema_with = "key")]
    pub key: String,
}

fn default_ca_key() -> String {
    "ca.crt".to_owned()
}
