//! What arrived: every request that a server was sent, read from its bytes, against the contract as `docs/authority-http.md`
//! has it.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::config::HttpConfig;
use crate::fake::{Reply, Server};

pub(super) const CREDENTIAL: &str = "cr3d3ntial-canary";

static CA: std::sync::LazyLock<String> =
    std::sync::LazyLock::new(|| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem());

/// The authority as configured, and everywhere else that a request could be led to.
pub(super) struct Wire {
    pub(super) authority: Server,
    pub(super) elsewhere: Server,
    pub(super) dir: tempfile::TempDir,
    pub(super) memory: tempfile::TempDir,
}

impl Wire {
    /// `answer` is told where elsewhere is.
    pub(super) async fn new(
        credential: &str,
        answer: impl Fn(crate::fake::Asked, &str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let elsewhere = Server::new(|_| Reply::Json(200, r#"{"status":"ok"}"#.into())).await;
        let there = elsewhere.base.clone();
        let authority = Server::new(move |asked| answer(asked, &there)).await;
        let dir = tempfile::tempdir().unwrap();
        // One certificate instead of the system's two hundred, which take longer to read than all the rest.
        std::fs::write(dir.path().join("ca.pem"), &*CA).unwrap();
        let path = dir.path().join("credential");
        std::fs::write(&path, credential).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        Self { authority, elsewhere, dir, memory }
    }

    pub(super) fn config(&self, agent: &str) -> HttpConfig {
        HttpConfig {
            base: self.authority.base.parse().unwrap(),
            agent: agent.into(),
            org: None,
            ca: Some(self.dir.path().join("ca.pem")),
            credential: format!("file:{}", self.dir.path().join("credential").display()).parse().unwrap(),
            dialect: None,
        }
    }

    /// A folder in memory, for secrets.
    pub(super) fn memory(&self) -> std::path::PathBuf {
        self.memory.path().join("secrets")
    }

    /// The first thing that was sent and must not be, if there is one.
    pub(super) fn breach(&self, agent: &str) -> Option<String> {
        if let Some(first) = self.elsewhere.requests().first() {
            return Some(format!("it left its origin: {first}"));
        }
        let host = self.authority.base.trim_start_matches("http://");
        self.authority.requests().into_iter().find(|request| !of_the_contract(request, host, agent))
    }
}

fn of_the_contract(request: &str, host: &str, agent: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let mut lines = head.split("\r\n");
    let first: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, "HTTP/1.1"] = first[..] else { return false };
    let hosts: Vec<&str> = lines.filter_map(|line| line.strip_prefix("host: ")).collect();
    if hosts != [host] {
        return false;
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let keys: Vec<&str> =
        query.split('&').filter(|q| !q.is_empty()).map(|q| q.split('=').next().unwrap_or(q)).collect();
    let only = |known: &[&str]| keys.iter().all(|key| known.contains(key));
    if (method, path) == ("GET", "/healthz") {
        return keys.is_empty() && body.is_empty();
    }
    let Some(rest) = path.strip_prefix("/v1/connectors/").and_then(|rest| rest.strip_prefix(agent)) else {
        return false;
    };
    match (method, rest) {
        ("GET", "") => keys.is_empty() && body.is_empty(),
        ("GET", "/tokens") => only(&["label", "accessor", "cursor"]) && body.is_empty(),
        ("GET", "/audit") => only(&["since", "cursor"]) && body.is_empty(),
        ("GET", "/rights") => keys.is_empty() && body.is_empty(),
        // Nothing but a label and a length of time is ever written: no field of an identity, no setting.
        ("POST", "/tokens") => keys.is_empty() && fields(body) == ["label", "ttl_s"],
        ("POST", "/tokens/revoke") => keys.is_empty() && matches!(fields(body)[..], ["accessor" | "label"]),
        _ => false,
    }
}

fn fields(body: &str) -> Vec<&'static str> {
    let Ok(Value::Object(object)) = serde_json::from_str(body) else { return vec!["?"] };
    let known = ["accessor", "label", "ttl_s"];
    let mut names: Vec<_> =
        object.keys().map(|key| known.into_iter().find(|name| name == key).unwrap_or("?")).collect();
    names.sort_unstable();
    names
}

/// Runs what waits, on this thread.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn the_judge_knows_the_contract_from_what_is_not() {
    let request = |line: &str, body: &str| format!("{line} HTTP/1.1\r\nhost: 127.0.0.1:9\r\naccept: x\r\n\r\n{body}");
    let judged = |line: &str, body: &str| of_the_contract(&request(line, body), "127.0.0.1:9", "edge-1");
    assert!(judged("GET /v1/connectors/edge-1/tokens?label=x", ""));
    assert!(judged("POST /v1/connectors/edge-1/tokens", r#"{"label":"l","ttl_s":1}"#));
    for (line, body) in [
        ("GET /v1/connectors/edge-2", ""),
        ("PUT /v1/connectors/edge-1", ""),
        ("POST /v1/transit/keys/k", "{}"),
        ("POST /v1/connectors/edge-1/tokens", r#"{"label":"l","ttl_s":1,"serial":"s9"}"#),
        ("GET /v1/connectors/edge-1?exportable=true", ""),
    ] {
        assert!(!judged(line, body), "{line}");
    }
    assert!(!of_the_contract(&request("GET /healthz", ""), "127.0.0.1:10", "edge-1"), "another host");
}
