//! An issuer of JWTs outside of the cluster, whose signing key can be replaced.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::KeyPair;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;

pub const NAME: &str = "https://issuer.example.test";
pub const AUDIENCE: &str = "openbao";

pub struct Issuer {
    key: KeyPair,
}

impl Issuer {
    pub fn new() -> Self {
        Self { key: KeyPair::generate().unwrap() }
    }

    /// The public half, as OpenBao is told of it.
    pub fn pem(&self) -> String {
        self.key.public_key_pem()
    }

    /// A token for this node that is good for so many seconds.
    pub fn token(&self, node: &str, seconds: u64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims =
            json!({ "iss": NAME, "aud": AUDIENCE, "sub": subject(node), "iat": now, "nbf": now, "exp": now + seconds });
        let signed = format!("{}.{}", part(json!({ "alg": "ES256", "typ": "JWT" })), part(claims));
        let random = SystemRandom::new();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.key.serialize_der(), &random).unwrap();
        let signature = key.sign(&random, signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

pub fn subject(node: &str) -> String {
    format!("node:{node}")
}
