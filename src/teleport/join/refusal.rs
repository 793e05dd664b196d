//! What a refused join means, and what to do about it; pure.
//!
//! The texts are those of Teleport 14.2.3 (tried) and of its source up to 18. A refusal of the ServiceAccount token arrives as HTTP
//! 500 there, so that the status alone says little.

use std::fmt;

use crate::teleport::join::service_account::Claims;

/// Why Teleport refuses to let this worker join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no such token resource, or its time is over.
    TokenMissing,
    /// The ServiceAccount token is for another audience than the cluster.
    AudienceWrong,
    /// No rule of the token resource allows this ServiceAccount.
    NotAllowed,
    /// The token resource does not hold the key that signed the ServiceAccount token.
    KeyUnknown,
    /// A lock is in force.
    Locked,
    /// The bot may not take the role, or the role does not exist.
    RoleMissing,
    /// Anything else.
    Other,
}

/// A refusal, with its remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Teleport refuses the join: {problem} (\"{}\"); {remedy}", one_line(text))]
pub struct Refusal {
    /// Its kind.
    pub reason: Reason,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub remedy: String,
    /// Teleport's words.
    pub text: String,
}

/// What the attempt was made with: the values that a remedy names.
#[derive(Clone, Debug)]
pub(super) struct Attempt<'a> {
    /// The name of the token resource.
    pub(super) token: &'a str,
    /// What the ServiceAccount token says of itself.
    pub(super) claims: &'a Claims,
    /// The cluster's name; empty when it is not known.
    pub(super) cluster: &'a str,
    /// The role to take on.
    pub(super) role: &'a str,
}

impl Attempt<'_> {
    fn service_account(&self) -> &str {
        self.claims.service_account().unwrap_or(&self.claims.subject)
    }

    /// What a refused join means.
    pub(super) fn join_refused(&self, text: &str) -> Refusal {
        let (reason, problem, remedy) = self.of_join(text);
        Refusal { reason, problem, remedy, text: text.to_owned() }
    }

    /// What it means that no certificate for the role was given.
    pub(super) fn role_refused(&self, user: &str, text: &str) -> Refusal {
        let Self { role, .. } = self;
        let bot = user.strip_prefix("bot-").unwrap_or(user);
        let (reason, problem, remedy) = if text.contains("lock targeting") {
            locked()
        } else if text.contains("is not found") {
            (
                Reason::RoleMissing,
                format!("the cluster has no role '{role}'"),
                "create it (`join-resources` prints it), or name another in `role`".to_owned(),
            )
        } else if text.contains("role impersonation") {
            (
                Reason::RoleMissing,
                format!("the bot '{bot}' may not take on the role '{role}'"),
                format!(
                    "add it to the bot: from Teleport 15 on under spec.roles of bot/{bot}; on 14 with `tctl bots rm {bot}` and `tctl bots add {bot} --roles={role} --token={}`",
                    self.token
                ),
            )
        } else {
            (
                Reason::Other,
                format!("it gives no certificate for the role '{role}'"),
                format!("check the bot '{bot}' and the role '{role}' (tctl get role/{role})"),
            )
        };
        Refusal { reason, problem, remedy, text: text.to_owned() }
    }

    fn of_join(&self, text: &str) -> (Reason, String, String) {
        let Self { token, claims, cluster, .. } = self;
        let has = |words: &str| text.contains(words);
        let account = self.service_account();
        if has("lock targeting") {
            return locked();
        }
        if has("invalid audience claim") || has("audience is not valid") {
            return (
                Reason::AudienceWrong,
                format!(
                    "the ServiceAccount token is for the audience '{}', and the cluster is '{cluster}'",
                    claims.audiences
                ),
                format!("set the audience of the join to '{cluster}' (spec.teleport.join.audience)"),
            );
        }
        if has("failed to validate token") && (has("audience") || has("invalid bearer token")) {
            return (
                Reason::AudienceWrong,
                format!("the API server does not accept the audience '{}' of the ServiceAccount token", claims.audiences),
                "token resources of type in_cluster want the API server's own audience before Teleport 17.0.3: set the audience of the join to \"\" (spec.teleport.join.audience)".to_owned(),
            );
        }
        if has("did not match any allow rules") {
            return (
                Reason::NotAllowed,
                format!("no rule of the token resource '{token}' allows the ServiceAccount '{account}'"),
                format!("add to spec.kubernetes.allow of token/{token}: - service_account: \"{account}\""),
            );
        }
        if has("parsing provided jwks") {
            return (
                Reason::KeyUnknown,
                format!("static_jwks of the token resource '{token}' is no JWKS"),
                renew_keys(token),
            );
        }
        if has("unsupported key type/format")
            || has("error in cryptographic primitive")
            || has("failed to verify signature")
        {
            return (
                Reason::KeyUnknown,
                format!(
                    "the token resource '{token}' does not hold the key that signed the ServiceAccount token (issuer {})",
                    claims.issuer
                ),
                renew_keys(token),
            );
        }
        if has("issuer does not match") {
            return (
                Reason::KeyUnknown,
                format!("the token resource '{token}' names another issuer than '{}'", claims.issuer),
                format!("set spec.kubernetes.oidc.issuer of token/{token} to '{}'", claims.issuer),
            );
        }
        if has("token is expired") || has("token not valid yet") || has("issued in the future") {
            return (
                Reason::Other,
                "the ServiceAccount token is out of its time".to_owned(),
                "compare the clocks of Teleport's Auth Service, of the node and of the API server: 10 seconds apart is the most"
                    .to_owned(),
            );
        }
        if has("projected pod bound") || has("with a TTL of less than") {
            return (
                Reason::Other,
                "the ServiceAccount token is not one of a projected volume, or lives too long".to_owned(),
                "mount a projected serviceAccountToken volume with expirationSeconds: 600".to_owned(),
            );
        }
        if has("token expired or not found") {
            return (
                Reason::TokenMissing,
                format!("the cluster has no token resource '{token}', or its time is over"),
                format!("create it (`join-resources` prints it), or look: tctl get token/{token}"),
            );
        }
        if has("does not allow") && has("role") {
            return (
                Reason::Other,
                format!("the token resource '{token}' is not one for a bot"),
                format!("give token/{token} roles: [Bot] and a bot_name"),
            );
        }
        if has("in-cluster Kubernetes config") {
            return (
                Reason::Other,
                format!(
                    "the token resource '{token}' is of type in_cluster, and Teleport's Auth Service does not run in Kubernetes"
                ),
                format!("set spec.kubernetes.type of token/{token} to static_jwks, or to oidc"),
            );
        }
        if has("only valid for the") || has("only supports method") {
            return (
                Reason::Other,
                format!("the token resource '{token}' is for another join method"),
                format!("set spec.join_method of token/{token} to kubernetes"),
            );
        }
        if text.trim() == "access denied" {
            return (
                Reason::Other,
                format!("the bot that the token resource '{token}' names does not exist"),
                format!("create it: tctl bots add <bot_name of token/{token}> --roles={} --token={token}", self.role),
            );
        }
        (
            Reason::Other,
            "of its own words only the following is known".to_owned(),
            format!("check the token resource and its bot: tctl get token/{token}"),
        )
    }
}

fn locked() -> (Reason, String, String) {
    (
        Reason::Locked,
        "an administrator's lock is in force".to_owned(),
        "look for it with `tctl get locks`; it ends by itself, or with `tctl rm lock/<name>`".to_owned(),
    )
}

fn renew_keys(token: &str) -> String {
    format!(
        "put this cluster's keys there (`join-resources` prints them; kubectl get --raw /openid/v1/jwks); where the cloud rotates them (EKS, GKE, AKS), make token/{token} of type oidc"
    )
}

/// Teleport wraps messages in lines and tabs.
fn one_line(text: &str) -> impl fmt::Display {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teleport::join::service_account::Audiences;

    fn claims() -> Claims {
        Claims {
            audiences: Audiences::One("teleport.example.com".to_owned()),
            issuer: "https://kubernetes.default.svc".to_owned(),
            subject: "system:serviceaccount:teleport:slack-access-slack".to_owned(),
            expires: None,
        }
    }

    fn attempt(claims: &Claims) -> Attempt<'_> {
        Attempt { token: "slack-k8s", claims, cluster: "example", role: "access-plugin" }
    }

    #[test]
    fn every_refusal_names_the_value_to_set() {
        use Reason::*;
        let claims = claims();
        for (text, reason, remedy) in [
            // Words of 14.2.3.
            (
                "validating jwt claims\n\tsquare/go-jose/jwt: validation failed, invalid audience claim (aud)",
                AudienceWrong,
                "audience of the join to 'example'",
            ),
            ("oidc: audience is not valid", AudienceWrong, "audience of the join to 'example'"),
            (
                "kubernetes failed to validate token: [invalid bearer token, token audiences [\"x\"] is invalid for the target audiences [\"y\"]]",
                AudienceWrong,
                "audience of the join to \"\"",
            ),
            (
                "kubernetes token did not match any allow rules",
                NotAllowed,
                "- service_account: \"teleport:slack-access-slack\"",
            ),
            ("square/go-jose: unsupported key type/format", KeyUnknown, "token/slack-k8s of type oidc"),
            ("square/go-jose: error in cryptographic primitive", KeyUnknown, "/openid/v1/jwks"),
            ("parsing provided jwks\n\tinvalid character", KeyUnknown, "/openid/v1/jwks"),
            ("oidc: issuer does not match", KeyUnknown, "'https://kubernetes.default.svc'"),
            ("validation failed, token is expired (exp)", Other, "clocks"),
            ("validation failed, token not valid yet (nbf)", Other, "clocks"),
            ("static_jwks joining requires the use of projected pod bound service account token", Other, "projected"),
            (
                "static_jwks joining requires the use of a service account token with a TTL of less than 30m0s",
                Other,
                "600",
            ),
            (
                "\"\" can not join the cluster with role \"Bot\", token expired or not found",
                TokenMissing,
                "tctl get token/slack-k8s",
            ),
            ("\"\" can not join the cluster, the token does not allow \"Bot\" role", Other, "roles: [Bot]"),
            ("access denied", Other, "tctl bots add"),
            ("lock targeting User:\"bot-slack\" is in force: maintenance", Locked, "tctl get locks"),
            ("failed to initialize in-cluster Kubernetes config", Other, "static_jwks"),
            ("this token is only valid for the iam join method but", Other, "join_method"),
            ("something new", Other, "tctl get token/slack-k8s"),
        ] {
            let refusal = attempt(&claims).join_refused(text);
            assert_eq!(refusal.reason, reason, "{text}");
            let line = refusal.to_string();
            assert!(line.contains(remedy), "{remedy} in {line}");
            assert!(!line.contains(['\n', '\t']), "{line}");
        }
    }

    #[test]
    fn a_refused_role_is_told_with_the_bot() {
        let claims = claims();
        let refused = |text| attempt(&claims).role_refused("bot-slack", text);
        let missing = refused("role access-plugin is not found");
        assert_eq!(missing.reason, Reason::RoleMissing);
        assert!(missing.to_string().contains("no role 'access-plugin'"), "{missing}");
        let denied = refused("user \"bot-slack\" has requested role impersonation for [\"access-plugin\"]");
        assert_eq!(denied.reason, Reason::RoleMissing);
        assert!(denied.to_string().contains("tctl bots add slack --roles=access-plugin --token=slack-k8s"), "{denied}");
        assert_eq!(refused("lock targeting Role:\"access-plugin\" is in force: x").reason, Reason::Locked);
        assert_eq!(refused("anything else").reason, Reason::Other);
    }
}
