//! The fake's ways in: JWT, client certificate and AppRole, each checked as the real one checks it.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};

use super::key::now;
use super::transit::{Answer, errors};

/// A method that is mounted: its kind, its configuration and its roles.
#[derive(Clone, Default)]
pub struct Method {
    kind: String,
    config: Value,
    roles: BTreeMap<String, Value>,
    /// Secret ids that still work, by role.
    secrets: BTreeMap<String, Vec<(String, u64)>>,
}

/// What a login gives: policies, and for how many seconds.
pub type Granted = (Vec<String>, u64);

impl Method {
    pub fn of(kind: &str) -> Self {
        Self { kind: kind.to_owned(), ..Self::default() }
    }

    /// Everything below the mount but the login.
    pub fn answer(&mut self, method: &str, path: &str, body: &Value, serial: usize) -> Answer {
        match (method, path.split('/').collect::<Vec<_>>()[..].as_ref()) {
            ("POST", ["config"]) => {
                self.config = body.clone();
                (204, Value::Null)
            }
            ("POST", ["role" | "certs", name]) => {
                self.roles.insert((*name).to_owned(), body.clone());
                (204, Value::Null)
            }
            ("GET", ["role" | "certs", name]) => match self.roles.get(*name) {
                Some(role) => (200, json!({ "data": role })),
                None => errors(404, &[]),
            },
            ("GET", ["role", name, "role-id"]) => (200, json!({ "data": { "role_id": format!("role-{name}") } })),
            ("POST", ["role", name, "secret-id"]) => {
                let uses = self.roles.get(*name).and_then(|role| role["secret_id_num_uses"].as_u64()).unwrap_or(0);
                let secret = format!("secret-{serial}-{}", now());
                self.secrets.entry((*name).to_owned()).or_default().push((secret.clone(), uses));
                (
                    200,
                    json!({ "data": { "secret_id": secret, "secret_id_num_uses": uses, "secret_id_accessor": format!("of-{secret}") } }),
                )
            }
            _ => errors(404, &["unsupported path"]),
        }
    }

    pub fn login(&mut self, body: &Value, shown: &[CertificateDer<'static>]) -> Result<Granted, Answer> {
        let role = match self.kind.as_str() {
            "jwt" => self.jwt(body),
            "cert" => self.certificate(body, shown),
            _ => self.approle(body),
        };
        role.map_err(|why| errors(400, &[&why])).map(|role| {
            let policies = serde_json::from_value(role["token_policies"].clone()).unwrap_or_default();
            (policies, role["token_ttl"].as_u64().unwrap_or(3_600))
        })
    }

    fn jwt(&self, body: &Value) -> Result<Value, String> {
        let name = body["role"].as_str().unwrap_or_default();
        let role = self.roles.get(name).ok_or_else(|| format!("role {name:?} could not be found"))?;
        let token = body["jwt"].as_str().unwrap_or_default();
        let broken = || "error validating token: invalid JWT: malformed".to_owned();
        let (signed, signature) = token.rsplit_once('.').ok_or_else(broken)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| broken())?;
        let keys = self.config["jwt_validation_pubkeys"].as_array().cloned().unwrap_or_default();
        let verifies = |pem: &Value| {
            let text: String = pem.as_str().unwrap_or_default().lines().filter(|line| !line.starts_with('-')).collect();
            let der = STANDARD.decode(text).unwrap_or_default();
            // A P-256 key's point is the end of what describes it.
            let point = der.get(der.len().saturating_sub(65)..).unwrap_or_default();
            let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, point);
            key.verify(signed.as_bytes(), &signature).is_ok()
        };
        if !keys.iter().any(verifies) {
            return Err("error validating token: error verifying token signature: no known key successfully validated the token signature".into());
        }
        let claims = signed.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let claims: Value = claims.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(broken)?;
        let seconds = |name: &str| claims[name].as_f64().unwrap_or(0.0);
        // A minute and a half are allowed for clocks.
        if seconds("exp") + 150.0 < now() as f64 {
            return Err("error validating token: invalid expiration time (exp) claim: token is expired".into());
        }
        if seconds("nbf") - 150.0 > now() as f64 {
            return Err("error validating token: invalid not before (nbf) claim: token not yet valid".into());
        }
        let issuer = self.config["bound_issuer"].as_str().unwrap_or_default();
        if !issuer.is_empty() && claims["iss"] != *issuer {
            return Err("error validating token: invalid issuer (iss) claim".into());
        }
        let told = |value: &Value| match value.as_str() {
            Some(one) => vec![one.to_owned()],
            None => serde_json::from_value(value.clone()).unwrap_or_default(),
        };
        let (bound, audience) = (told(&role["bound_audiences"]), told(&claims["aud"]));
        if bound.is_empty() && !audience.is_empty() {
            return Err("audience claim found in JWT but no audiences bound to the role".into());
        }
        if !bound.is_empty() && !bound.iter().any(|one| audience.contains(one)) {
            return Err("error validating token: invalid audience (aud) claim: audience claim does not match any expected audience".into());
        }
        let subject = role["bound_subject"].as_str().unwrap_or_default();
        if !subject.is_empty() && claims["sub"] != *subject {
            return Err("error validating token: invalid subject (sub) claim".into());
        }
        Ok(role.clone())
    }

    fn certificate(&self, body: &Value, shown: &[CertificateDer<'static>]) -> Result<Value, String> {
        let (first, rest) = shown.split_first().ok_or("client certificate must be supplied")?;
        let wanted = body["name"].as_str().unwrap_or_default();
        let named = self.roles.iter().filter(|(name, _)| wanted.is_empty() || *name == wanted);
        for (_, role) in named {
            let mut roots = RootCertStore::empty();
            let pem = role["certificate"].as_str().unwrap_or_default();
            for root in CertificateDer::pem_slice_iter(pem.as_bytes()).flatten() {
                roots.add(root).unwrap();
            }
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let Ok(verifier) = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build() else {
                continue;
            };
            if verifier.verify_client_cert(first, rest, UnixTime::now()).is_ok() {
                return Ok(role.clone());
            }
        }
        Err("invalid certificate or no client certificate supplied".into())
    }

    fn approle(&mut self, body: &Value) -> Result<Value, String> {
        let refused = || "invalid role or secret ID".to_owned();
        let name = body["role_id"].as_str().and_then(|id| id.strip_prefix("role-")).ok_or_else(refused)?;
        let role = self.roles.get(name).cloned().ok_or_else(refused)?;
        let secrets = self.secrets.entry(name.to_owned()).or_default();
        let at = secrets.iter().position(|(secret, _)| body["secret_id"] == *secret.as_str()).ok_or_else(refused)?;
        match secrets[at].1 {
            0 => {}
            1 => drop(secrets.remove(at)),
            left => secrets[at].1 = left - 1,
        }
        Ok(role)
    }
}
