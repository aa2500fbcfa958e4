//! Requests to an API as JSON, one after another.

use std::path::Path;
use std::time::Duration;

use reqwest::Client;
use serde_json::Value;
use tokio::runtime::Runtime;

/// An answer. What is no JSON is a string.
#[derive(Debug)]
pub struct Told {
    pub status: u16,
    pub body: Value,
}

impl Told {
    /// The body of an answer that says yes.
    pub fn done(self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {}", self.status, self.body);
        self.body
    }
}

pub struct Api {
    runtime: Runtime,
    client: Client,
    url: String,
    token: Option<String>,
}

impl Api {
    /// One that trusts this authority alone, as who has this token.
    pub fn new(url: &str, ca: &Path, token: &str) -> Self {
        let ca = reqwest::Certificate::from_pem(&std::fs::read(ca).unwrap()).unwrap();
        Self { token: Some(token.to_owned()), ..Self::made(url, [ca]) }
    }

    /// One without TLS.
    pub fn plain(url: &str) -> Self {
        Self::made(url, [])
    }

    fn made(url: &str, trusted: impl IntoIterator<Item = reqwest::Certificate>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = Client::builder()
            .pool_max_idle_per_host(0)
            .no_proxy()
            .tls_certs_only(trusted)
            .timeout(Duration::from_secs(30));
        Self { runtime, client: client.build().unwrap(), url: url.to_owned(), token: None }
    }

    /// The answer, or why there is none. A patch is a merge patch.
    pub fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Told, String> {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let kind = if method == reqwest::Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        self.sent(method, path, kind, body.map(Value::to_string))
    }

    /// Makes what a text in YAML says.
    pub fn make(&self, path: &str, yaml: &str) -> Value {
        self.sent(reqwest::Method::POST, path, "application/yaml", Some(yaml.to_owned())).unwrap().done()
    }

    fn sent(&self, method: reqwest::Method, path: &str, kind: &str, body: Option<String>) -> Result<Told, String> {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).header("content-type", kind);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        self.runtime.block_on(async {
            let answer = request.send().await.map_err(|e| e.to_string())?;
            let status = answer.status().as_u16();
            let text = answer.text().await.map_err(|e| e.to_string())?;
            Ok(Told { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
        })
    }

    pub fn get(&self, path: &str) -> Result<Told, String> {
        self.send("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.send("POST", path, Some(body)).unwrap().done()
    }

    pub fn patch(&self, path: &str, body: &Value) -> Value {
        self.send("PATCH", path, Some(body)).unwrap().done()
    }

    /// Deletes it, also if it is not there.
    pub fn delete(&self, path: &str) {
        let told = self.send("DELETE", path, None).unwrap();
        assert!(told.status < 300 || told.status == 404, "{told:?}");
    }
}
