//! etcd, and an API server for each node that encrypts with the provider of that node.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::node::{APISERVER, SOCKET_GROUP, as_user, give, is_root};
use super::process::{self, eventually};
use super::site::{NAME, Site};
use crate::openbao::{port, tls};
use crate::programs::programs;

/// Who may do everything, by this token. It is no secret on this host.
const ADMIN: &str = "token-of-the-admin";
const UP_WITHIN: Duration = Duration::from_secs(180);

pub struct Cluster {
    home: PathBuf,
    etcd: u16,
    servers: Vec<Server>,
    http: (tokio::runtime::Runtime, reqwest::Client),
}

struct Server {
    port: u16,
    home: PathBuf,
    socket: PathBuf,
    program: PathBuf,
}

/// The providers of an EncryptionConfiguration, in their order.
fn encryption(socket: &Path, providers: &[&str]) -> String {
    let one = |which: &&str| match *which {
        "kms" => {
            json!({ "kms": { "apiVersion": "v2", "name": NAME, "endpoint": format!("unix://{}", socket.display()), "timeout": "3s" } })
        }
        _ => json!({ "identity": {} }),
    };
    let providers: Vec<Value> = providers.iter().map(one).collect();
    let config = json!({ "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
        "resources": [{ "resources": ["secrets"], "providers": providers }] });
    serde_yaml_ng::to_string(&config).unwrap()
}

impl Cluster {
    /// Why it cannot be had here, if it cannot.
    pub fn there() -> Result<(), String> {
        programs()?;
        crate::packages::needed(&[("etcd", "etcd-server")])
    }

    /// Everything is up, and each node's API server is ready.
    pub fn start(site: &Site) -> Result<Self, String> {
        let program = programs()?.join("kube-apiserver");
        crate::packages::needed(&[("etcd", "etcd-server")])?;
        let home = site.at("kubernetes");
        fs::create_dir_all(&home).unwrap();
        let ca = tls::ca(&home, "ca");
        tls::files(&home, &ca, "server", "127.0.0.1");
        let accounts = rcgen::KeyPair::generate().unwrap();
        fs::write(home.join("accounts.key"), accounts.serialize_pem()).unwrap();
        fs::write(home.join("accounts.pub"), accounts.public_key_pem()).unwrap();
        fs::write(home.join("tokens.csv"), format!("{ADMIN},admin,admin,\"system:masters\"\n")).unwrap();
        fs::write(home.join("admin.token"), ADMIN).unwrap();
        for name in ["server.pem", "server.key", "accounts.key", "accounts.pub", "tokens.csv"] {
            give(&home.join(name), APISERVER, APISERVER, 0o600);
        }
        give(&home.join("admin.token"), 0, 0, 0o600);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Certificate::from_pem(&fs::read(&ca.file).unwrap()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([client]).timeout(Duration::from_secs(30));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let servers = site.nodes.iter().map(|node| {
            let server =
                Server { port: port(), home: node.at("apiserver"), socket: node.socket(), program: program.clone() };
            fs::create_dir_all(server.home.join("certs")).unwrap();
            give(&server.home.join("certs"), APISERVER, APISERVER, 0o700);
            server
        });
        let cluster = Self { etcd: port(), servers: servers.collect(), http: (runtime, client.build().unwrap()), home };
        cluster.start_etcd()?;
        for node in 0..cluster.servers.len() {
            cluster.encrypts(node, &["kms"]);
            fs::copy(cluster.encryption_config(node), cluster.at(node, "recorded.yaml")).unwrap();
            fs::copy(cluster.encryption_config(node), cluster.at(node, "without-identity.yaml")).unwrap();
            cluster.start_server(node);
            cluster.becomes_ready(node)?;
        }
        Ok(cluster)
    }

    fn start_etcd(&self) -> Result<(), String> {
        let program = crate::packages::found("etcd").ok_or("etcd is not there")?;
        let (clients, peers) = (format!("http://127.0.0.1:{}", self.etcd), format!("http://127.0.0.1:{}", port()));
        let words = [
            program,
            "--name=test".to_owned(),
            format!("--data-dir={}", self.home.join("etcd").display()),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=test={peers}"),
        ];
        process::start(&words, &self.home.join("etcd.log"), &self.home.join("etcd.pid"));
        let up = || self.of_etcd("/v3/kv/range", &json!({ "key": STANDARD.encode("x") })).0 == 200;
        if eventually(UP_WITHIN, up) { Ok(()) } else { Err("etcd does not come up".into()) }
    }

    pub fn at(&self, node: usize, name: &str) -> PathBuf {
        self.servers[node].home.join(name)
    }

    pub fn encryption_config(&self, node: usize) -> PathBuf {
        self.at(node, "encryption.yaml")
    }

    /// Writes the node's EncryptionConfiguration with these providers. Its API server does not look by itself.
    pub fn encrypts(&self, node: usize, providers: &[&str]) {
        let path = self.encryption_config(node);
        fs::write(&path, encryption(&self.servers[node].socket, providers)).unwrap();
        // There is no key in it, and the provider's `doctor` reads it too.
        give(&path, 0, 0, 0o644);
    }

    /// What starts a node's API server, word by word.
    pub fn command(&self, node: usize) -> Vec<String> {
        let server = &self.servers[node];
        let at = |name: &str| self.home.join(name).display().to_string();
        let words = vec![
            server.program.display().to_string(),
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", server.port),
            format!("--tls-cert-file={}", at("server.pem")),
            format!("--tls-private-key-file={}", at("server.key")),
            format!("--cert-dir={}", server.home.join("certs").display()),
            format!("--token-auth-file={}", at("tokens.csv")),
            "--authorization-mode=RBAC".to_owned(),
            "--service-cluster-ip-range=10.213.9.0/24".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", at("accounts.pub")),
            format!("--service-account-signing-key-file={}", at("accounts.key")),
            // With a loopback address the usual one complains for ever.
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--encryption-provider-config={}", self.encryption_config(node).display()),
        ];
        as_user(APISERVER, words)
    }

    pub fn pidfile(&self, node: usize) -> PathBuf {
        self.at(node, "pid")
    }

    pub fn start_server(&self, node: usize) {
        process::start(&self.command(node), &self.at(node, "log"), &self.pidfile(node));
    }

    pub fn stop_server(&self, node: usize) {
        process::signal(&self.pidfile(node), Signal::SIGTERM);
    }

    /// Without what it had in memory: keys that were decrypted once, too.
    pub fn restart_server(&self, node: usize) -> Result<(), String> {
        self.stop_server(node);
        self.start_server(node);
        self.becomes_ready(node)
    }

    pub fn becomes_ready(&self, node: usize) -> Result<(), String> {
        if eventually(UP_WITHIN, || self.get(node, "/readyz").0 == 200) {
            return Ok(());
        }
        let log = fs::read_to_string(self.at(node, "log")).unwrap_or_default();
        Err(format!(
            "kube-apiserver of node {node} does not become ready: {:?} {}",
            self.get(node, "/readyz"),
            tail(&log)
        ))
    }

    pub fn url(&self, node: usize) -> String {
        format!("https://127.0.0.1:{}", self.servers[node].port)
    }

    fn send(&self, method: &str, url: &str, body: Option<&Value>) -> (u16, Value) {
        let (runtime, client) = &self.http;
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = client.request(method, url).header("content-type", "application/json");
        // etcd refuses whoever shows it a token that it does not know.
        if url.starts_with("https:") {
            request = request.bearer_auth(ADMIN);
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = async {
            let answer = request.send().await?;
            Ok::<_, reqwest::Error>((answer.status().as_u16(), answer.text().await?))
        };
        let (status, text) = runtime.block_on(answer).unwrap_or_default();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub fn get(&self, node: usize, path: &str) -> (u16, Value) {
        self.send("GET", &format!("{}{path}", self.url(node)), None)
    }

    /// Writes a secret through a node's API server, and says whether it was taken.
    pub fn write(&self, node: usize, name: &str, says: &str) -> (u16, Value) {
        let body = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "data": { "says": STANDARD.encode(says) } });
        let all = format!("{}/api/v1/namespaces/default/secrets", self.url(node));
        let made = self.send("POST", &all, Some(&body));
        if made.0 == 409 { self.send("PUT", &format!("{all}/{name}"), Some(&body)) } else { made }
    }

    /// What a secret says, or what is said instead.
    pub fn read(&self, node: usize, name: &str) -> Result<String, (u16, Value)> {
        let (status, told) = self.get(node, &format!("/api/v1/namespaces/default/secrets/{name}"));
        let says = told["data"]["says"].as_str().and_then(|text| STANDARD.decode(text).ok());
        says.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or((status, told))
    }

    fn of_etcd(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send("POST", &format!("http://127.0.0.1:{}{path}", self.etcd), Some(body))
    }

    pub fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd)
    }

    /// What etcd has of a secret.
    pub fn stored(&self, name: &str) -> Vec<u8> {
        let key = STANDARD.encode(format!("/registry/secrets/default/{name}"));
        let (_, told) = self.of_etcd("/v3/kv/range", &json!({ "key": key }));
        STANDARD.decode(told["kvs"][0]["value"].as_str().unwrap_or_default()).unwrap_or_default()
    }

    /// Whether etcd has it encrypted by the provider.
    pub fn is_encrypted(&self, name: &str) -> bool {
        self.stored(name).starts_with(format!("k8s:enc:kms:v2:{NAME}:").as_bytes())
    }

    pub fn ca(&self) -> PathBuf {
        self.home.join("ca.pem")
    }

    pub fn token(&self) -> PathBuf {
        self.home.join("admin.token")
    }

    pub fn log(&self, node: usize) -> String {
        fs::read_to_string(self.at(node, "log")).unwrap_or_default()
    }

    /// Whom the API servers run as, for a configuration.
    pub fn user(&self) -> (String, Vec<String>) {
        if is_root() {
            (APISERVER.to_string(), vec![SOCKET_GROUP.to_string()])
        } else {
            (nix::unistd::geteuid().to_string(), vec![])
        }
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in 0..self.servers.len() {
            process::signal(&self.pidfile(node), Signal::SIGKILL);
        }
        process::signal(&self.home.join("etcd.pid"), Signal::SIGKILL);
    }
}
