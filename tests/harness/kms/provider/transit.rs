//! The provider's side of OpenBao: it logs in, reads the key, encrypts and decrypts, and puts every refusal into a class.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::ledger;
use super::login;
use super::metrics::Metrics;
use super::profile::Profile;
use super::settings::Settings;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub class: &'static str,
    pub status: u16,
    pub operation: &'static str,
    /// Whether it was the login that failed.
    pub login: bool,
    pub local: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(local) = &self.local {
            return f.write_str(local);
        }
        write!(f, "openbao {} failed: {}", self.operation, self.class)?;
        if self.status > 0 { write!(f, " (status {})", self.status) } else { Ok(()) }
    }
}

impl Failure {
    /// What reports and readiness call it.
    pub fn shown(&self) -> &'static str {
        let refused = ["unauthenticated", "permission_denied", "invalid_request"].contains(&self.class);
        if self.login && (refused || self.local.is_some()) { "auth_failed" } else { self.class }
    }
}

struct Token {
    secret: String,
    until: Instant,
    lease: Duration,
}

pub struct Bao {
    client: Client,
    settings: Settings,
    token: Mutex<Option<Token>>,
    pub metrics: Metrics,
    /// Classes that came with the second generation.
    fine_classes: bool,
}

fn class_of(status: u16, said: &str) -> &'static str {
    if said.contains("sealed") {
        return "sealed";
    }
    if said.contains("message authentication failed") {
        return "decrypt_failed";
    }
    match status {
        400 => "invalid_request",
        401 => "unauthenticated",
        403 => "permission_denied",
        404 => "not_found",
        429 => "rate_limited",
        500.. => "unavailable",
        _ => "unknown",
    }
}

impl Bao {
    pub fn new(settings: &Settings, fine_classes: bool) -> Result<Self, String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .pool_max_idle_per_host(0)
            .timeout(settings.openbao.timeout.0);
        if let Some(file) = &settings.openbao.ca_cert_file {
            let pem = std::fs::read(file).map_err(|e| format!("read CA bundle: {}", e.kind()))?;
            let roots = reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| "CA bundle malformed")?;
            if roots.is_empty() {
                return Err("CA bundle has no certificate".into());
            }
            builder = builder.tls_certs_only(roots);
        } else if settings.openbao.address.starts_with("http:") {
            builder = builder.tls_certs_only([]);
        }
        if settings.auth.method == "cert"
            && let Ok(pem) = login::certificate(&settings.auth.cert.pkcs11)
            && let Ok(identity) = reqwest::Identity::from_pem(&pem)
        {
            builder = builder.identity(identity);
        }
        let client = builder.build().map_err(|e| format!("TLS configuration: {e}"))?;
        Ok(Self {
            client,
            settings: settings.clone(),
            token: Mutex::new(None),
            metrics: Metrics::default(),
            fine_classes,
        })
    }

    async fn send(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> Result<Value, Failure> {
        let of = &self.settings.openbao;
        ledger::note("openbao", &json!({ "method": method.as_str(), "path": path, "namespace": of.namespace }));
        let mut request = self.client.request(method, format!("{}/v1/{path}", of.address.trim_end_matches('/')));
        if !of.namespace.is_empty() {
            request = request.header("x-vault-namespace", &of.namespace);
        }
        if let Some(token) = token {
            request = request.header("x-vault-token", token);
        }
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let failed = |class, status| Failure { class, status, operation, login: token.is_none(), local: None };
        let answer = async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            Ok::<_, reqwest::Error>((status, response.bytes().await?))
        };
        let ended = match answer.await {
            Ok((200 | 204, bytes)) if bytes.is_empty() => Ok(Value::Null),
            Ok((200 | 204, bytes)) => serde_json::from_slice(&bytes).map_err(|_| failed("unknown", 200)),
            Ok((status, bytes)) => {
                let said = String::from_utf8_lossy(&bytes).to_lowercase();
                Err(failed(class_of(status, &said), status))
            }
            Err(e) if e.is_timeout() => Err(failed("timeout", 0)),
            Err(e) => {
                let text = chain(&e);
                let fine = if text.contains("certificate") || text.contains("tls") {
                    "tls_failed"
                } else if text.contains("dns") || text.contains("resolve") {
                    "dns_failed"
                } else {
                    "connection_failed"
                };
                Err(failed(if self.fine_classes { fine } else { "unavailable" }, 0))
            }
        };
        let status = ended.as_ref().err().map_or("ok", Failure::shown);
        self.metrics.count("openbao_kms_openbao_requests_total", &[("operation", operation), ("status", status)]);
        ended
    }

    /// A token that is good for a while: the one that is there, or a fresh one.
    pub async fn token(&self) -> Result<String, Failure> {
        if let Some(token) = &*self.token.lock().unwrap() {
            let before = self.settings.auth.login_before_token_expiry.0.min(token.lease / 2);
            if token.until.saturating_duration_since(Instant::now()) > before {
                return Ok(token.secret.clone());
            }
        }
        let auth = &self.settings.auth;
        let local =
            |operation, why| Failure { class: "auth_failed", status: 0, operation, login: true, local: Some(why) };
        let (operation, mount, body) = if auth.method == "cert" {
            login::certificate(&auth.cert.pkcs11).map_err(|why| local("cert_login", why))?;
            ("cert_login", &auth.cert.mount_path, json!({ "name": auth.cert.name }))
        } else {
            let jwt = login::jwt(&auth.jwt).map_err(|why| local("jwt_login", why))?;
            ("jwt_login", &auth.jwt.mount_path, json!({ "role": auth.jwt.role, "jwt": jwt }))
        };
        let told = self.send(operation, Method::POST, &format!("auth/{mount}/login"), None, &body).await;
        let status = told.as_ref().err().map_or("ok", Failure::shown);
        self.metrics.count("openbao_kms_auth_login_total", &[("status", status)]);
        let told = told?;
        let lease =
            Duration::from_secs(told["auth"]["lease_duration"].as_u64().unwrap_or(0)).max(Duration::from_secs(1));
        let secret = told["auth"]["client_token"].as_str().unwrap_or_default().to_owned();
        let kept = Token { secret: secret.clone(), until: Instant::now() + lease, lease };
        *self.token.lock().unwrap() = Some(kept);
        Ok(secret)
    }

    pub fn token_ttl_s(&self) -> f64 {
        let of = |token: &Token| token.until.saturating_duration_since(Instant::now()).as_secs_f64();
        self.token.lock().unwrap().as_ref().map_or(0.0, of)
    }

    async fn call(&self, operation: &'static str, method: Method, path: &str, body: Value) -> Result<Value, Failure> {
        let token = self.token().await?;
        let first = self.send(operation, method.clone(), path, Some(&token), &body).await;
        match first {
            // What the token was good for is over, perhaps: what is shown is read again, and shown once more.
            Err(Failure { class: "permission_denied", .. }) => {
                *self.token.lock().unwrap() = None;
                let token = self.token().await?;
                self.send(operation, method, path, Some(&token), &body).await
            }
            ended => ended,
        }
    }

    fn at(&self, what: &str) -> String {
        format!("{}/{what}", self.settings.transit.mount_path)
    }

    pub async fn profile(&self) -> Result<Profile, Failure> {
        let operation = "transit_metadata_read";
        let path = self.at(&format!("keys/{}", self.settings.transit.key_name));
        let told = self.call(operation, Method::GET, &path, Value::Null).await?;
        let failed = |_| Failure { class: "unknown", status: 200, operation, login: false, local: None };
        serde_json::from_value(told["data"].clone()).map_err(failed)
    }

    pub async fn upsert_disabled(&self) -> Result<bool, Failure> {
        let told = self.call("transit_disable_upsert_read", Method::GET, &self.at("config/keys"), Value::Null).await?;
        Ok(told["data"]["disable_upsert"] == json!(true))
    }

    pub async fn capabilities(&self, paths: &[String]) -> Result<Value, Failure> {
        let body = json!({ "paths": paths });
        let told = self.call("capabilities_self", Method::POST, "sys/capabilities-self", body).await?;
        Ok(told["data"].clone())
    }

    pub async fn encrypt(&self, plaintext: &[u8], aad: &[u8], version: u64) -> Result<Vec<u8>, Failure> {
        let path = self.at(&format!("encrypt/{}", self.settings.transit.key_name));
        let body = json!({ "plaintext": STANDARD.encode(plaintext), "associated_data": STANDARD.encode(aad), "key_version": version });
        let told = self.call("transit_encrypt", Method::POST, &path, body).await?;
        Ok(told["data"]["ciphertext"].as_str().unwrap_or_default().as_bytes().to_vec())
    }

    pub async fn decrypt(&self, ciphertext: &[u8], aad: &[u8]) -> Result<Vec<u8>, Failure> {
        let operation = "transit_decrypt";
        let path = self.at(&format!("decrypt/{}", self.settings.transit.key_name));
        let body =
            json!({ "ciphertext": String::from_utf8_lossy(ciphertext), "associated_data": STANDARD.encode(aad) });
        let told = self.call(operation, Method::POST, &path, body).await?;
        let failed = Failure { class: "unknown", status: 200, operation, login: false, local: None };
        STANDARD.decode(told["data"]["plaintext"].as_str().unwrap_or_default()).map_err(|_| failed)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string().to_lowercase();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {}", error.to_string().to_lowercase());
        cause = error.source();
    }
    text
}
