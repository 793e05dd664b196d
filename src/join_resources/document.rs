//! What Teleport needs so that a worker can join: token, bot and role as `tctl create` takes them; pure.

use std::fmt::Write as _;

/// The role of Teleport's guide, as its manifest has it.
const ACCESS_PLUGIN: &str = include_str!("../../manifests/access-plugin.yaml");
/// The releases from which on a token resource takes an issuer.
const OIDC_SINCE: &str = "17.7.3 or 18.1.5";

/// The names that go into the documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// Of the token resource.
    pub(super) token: String,
    /// Of the bot.
    pub(super) bot: String,
    /// Of the role that the bot takes on.
    pub(super) role: String,
    /// `NAMESPACE:NAME` of the worker's ServiceAccount.
    pub(super) service_account: String,
}

/// How Teleport is to check ServiceAccount tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// By these keys, which stay until they are replaced by hand.
    Keys {
        /// A JWKS.
        jwks: String,
    },
    /// By what the issuer publishes at this URL.
    Issuer {
        /// Its URL.
        issuer: String,
    },
    /// By asking the API server of the cluster that the Auth Service runs in.
    InCluster,
}

/// A cloud that rotates the keys of its clusters by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cloud {
    /// Amazon's.
    Eks,
    /// Google's.
    Gke,
    /// Microsoft's.
    Aks,
}

impl Cloud {
    /// Known by the issuer of its clusters' tokens.
    pub(super) fn of(issuer: &str) -> Option<Self> {
        let host = issuer.strip_prefix("https://")?.split('/').next()?;
        if host.starts_with("oidc.eks.") || host.starts_with("oidc-eks.") {
            Some(Self::Eks)
        } else if host == "container.googleapis.com" {
            Some(Self::Gke)
        } else if host.ends_with(".oic.prod-aks.azure.com") || host.ends_with(".oidc.prod-aks.azure.com") {
            Some(Self::Aks)
        } else {
            None
        }
    }

    /// What its users should know before they choose.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Eks => {
                "EKS replaces its signing keys every 7 days: let Teleport ask the issuer (type oidc). With static_jwks joining ends with the next rotation, and /openid/v1/jwks does not even hold the right keys: those are at <issuer>/keys"
            }
            Self::Gke => "GKE replaces its signing keys by itself: let Teleport ask the issuer (type oidc)",
            Self::Aks => {
                "AKS replaces its signing keys by itself: let Teleport ask the issuer (type oidc), which needs the cluster's OIDC issuer to be enabled"
            }
        }
    }
}

/// Prints the documents. `bot_resource`: whether this Teleport has bots as resources (15 and later).
pub(super) fn render(names: &Names, trust: &Trust, cloud: Option<Cloud>, bot_resource: bool) -> String {
    let Names { token, bot, role, service_account } = names;
    let mut text = format!("# Lets the ServiceAccount {service_account} join Teleport: tctl create -f <this file>\n");
    if let (Some(cloud), false) = (cloud, matches!(trust, Trust::Issuer { .. })) {
        let _ = writeln!(text, "# Careful: {}.", cloud.advice());
    }
    if let Trust::Issuer { .. } = trust {
        let _ =
            writeln!(text, "# Type oidc needs Teleport {OIDC_SINCE}, and an issuer that the Auth Service can reach.");
    }
    if !bot_resource {
        let _ = writeln!(text, "# Then make the bot: tctl bots add {bot} --roles={role} --token={token}");
    }
    let _ = writeln!(
        text,
        "# Leave the role out if the cluster has one of this name (tctl get role/{role}), as newer releases do."
    );
    text.push_str(&role_document(role));
    let _ = write!(
        text,
        "---\nkind: token\nversion: v2\nmetadata:\n  name: {}\nspec:\n  roles: [Bot]\n  bot_name: {}\n  join_method: kubernetes\n  kubernetes:\n",
        quoted(token),
        quoted(bot)
    );
    match trust {
        Trust::Keys { jwks } => {
            let _ = write!(text, "    type: static_jwks\n    static_jwks:\n      jwks: {}\n", quoted(jwks.trim()));
        }
        Trust::Issuer { issuer } => {
            let _ = write!(text, "    type: oidc\n    oidc:\n      issuer: {}\n", quoted(issuer));
        }
        Trust::InCluster => text.push_str("    type: in_cluster\n"),
    }
    let _ = writeln!(text, "    allow:\n    - service_account: {}", quoted(service_account));
    if bot_resource {
        let _ = write!(
            text,
            "---\nkind: bot\nversion: v1\nmetadata:\n  name: {}\nspec:\n  roles: [{}]\n",
            quoted(bot),
            quoted(role)
        );
    }
    text
}

/// The role of the manifest, under another name; its comments go with it.
fn role_document(role: &str) -> String {
    let document = ACCESS_PLUGIN.split("\n---\n").next().unwrap_or_default();
    let body = document.split_once("kind: role").map_or(document, |(_, body)| body);
    format!("kind: role{}\n", body.trim_end().replace("name: access-plugin", &format!("name: {}", quoted(role))))
}

/// A scalar of YAML in single quotes.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn names() -> Names {
        Names {
            token: "slack-k8s".to_owned(),
            bot: "slack".to_owned(),
            role: "access-plugin".to_owned(),
            service_account: "teleport:slack-access-slack".to_owned(),
        }
    }

    fn documents(text: &str) -> Vec<Value> {
        text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
    }

    #[test]
    fn token_bot_and_role_belong_together() {
        let jwks = r#"{"keys":[{"kty":"RSA","kid":"it's"}]}"#.to_owned();
        let text = render(&names(), &Trust::Keys { jwks: jwks.clone() }, None, true);
        let [role, token, bot] = documents(&text).try_into().unwrap();
        assert_eq!((&role["kind"], &role["metadata"]["name"]), (&"role".into(), &"access-plugin".into()));
        assert!(role["spec"]["allow"]["rules"].as_array().unwrap().len() >= 2);
        assert_eq!((&token["kind"], &token["version"]), (&"token".into(), &"v2".into()));
        assert_eq!(token["spec"]["roles"][0], "Bot");
        assert_eq!(token["spec"]["kubernetes"]["static_jwks"]["jwks"], Value::from(jwks));
        assert_eq!(token["spec"]["kubernetes"]["allow"][0]["service_account"], "teleport:slack-access-slack");
        assert_eq!(token["spec"]["bot_name"], bot["metadata"]["name"]);
        assert_eq!(bot["spec"]["roles"][0], role["metadata"]["name"]);
    }

    #[test]
    fn a_release_without_bot_resources_gets_the_command_instead() {
        let text = render(&names(), &Trust::InCluster, None, false);
        assert_eq!(documents(&text).len(), 2);
        assert!(text.contains("tctl bots add slack --roles=access-plugin --token=slack-k8s"), "{text}");
    }

    #[test]
    fn where_a_cloud_rotates_the_keys_the_issuer_is_the_way() {
        for (issuer, cloud) in [
            ("https://oidc.eks.eu-west-1.amazonaws.com/id/ABC", Some(Cloud::Eks)),
            ("https://container.googleapis.com/v1/projects/p/locations/l/clusters/c", Some(Cloud::Gke)),
            ("https://eastus.oic.prod-aks.azure.com/tenant/cluster/", Some(Cloud::Aks)),
            ("https://kubernetes.default.svc.cluster.local", None),
            ("kubernetes/serviceaccount", None),
        ] {
            assert_eq!(Cloud::of(issuer), cloud, "{issuer}");
        }
        let issuer = "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC".to_owned();
        let good = render(&names(), &Trust::Issuer { issuer }, Some(Cloud::Eks), true);
        assert!(good.contains("type: oidc") && good.contains("17.7.3") && !good.contains("Careful"), "{good}");
        let keys = render(&names(), &Trust::Keys { jwks: "{}".to_owned() }, Some(Cloud::Eks), true);
        assert!(keys.contains("Careful: EKS replaces its signing keys"), "{keys}");
    }
}
