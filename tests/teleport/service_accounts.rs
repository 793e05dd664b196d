//! A Kubernetes API server's signing keys, as far as Teleport sees them: ServiceAccount tokens and their JWKS.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

/// What a ServiceAccount token says; the default is what a projected volume of 600 s gives.
pub(crate) struct Claims {
    pub(crate) audience: String,
    pub(crate) account: String,
    /// Seconds from now to the beginning and to the end of its validity.
    pub(crate) span: (i64, i64),
    pub(crate) bound_to_pod: bool,
}

impl Claims {
    pub(crate) fn new(audience: &str, account: &str) -> Self {
        Self { audience: audience.to_owned(), account: account.to_owned(), span: (0, 600), bound_to_pod: true }
    }
}

/// One cluster's signing key.
pub(crate) struct Signer {
    pair: EcdsaKeyPair,
    kid: String,
}

impl Signer {
    pub(crate) fn new(kid: &str) -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self { pair: EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap(), kid: kid.to_owned() }
    }

    /// What `kubectl get --raw /openid/v1/jwks` prints.
    pub(crate) fn jwks(&self) -> Value {
        let point = &self.pair.public_key().as_ref()[1..];
        let [x, y] = [&point[..32], &point[32..]].map(|half| BASE64_URL_SAFE_NO_PAD.encode(half));
        json!({"keys": [{"use": "sig", "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": self.kid, "x": x, "y": y}]})
    }

    pub(crate) fn sign(&self, claims: &Claims) -> String {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let (namespace, name) = claims.account.split_once(':').unwrap();
        let mut kubernetes = json!({
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": "7b2f7b0e-4f8e-4a8e-9d3a-0d1c2b3a4f5e"},
        });
        if claims.bound_to_pod {
            kubernetes["pod"] = json!({"name": "worker-1", "uid": "0d1c2b3a-4f5e-4a8e-9d3a-7b2f7b0e4f8e"});
        }
        let payload = json!({
            "aud": [claims.audience],
            "iss": "https://kubernetes.default.svc.cluster.local",
            "sub": format!("system:serviceaccount:{}", claims.account),
            "iat": now + claims.span.0,
            "nbf": now + claims.span.0,
            "exp": now + claims.span.1,
            "kubernetes.io": kubernetes,
        });
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&json!({"alg": "ES256", "kid": self.kid})), part(&payload));
        let signature = self.pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}
