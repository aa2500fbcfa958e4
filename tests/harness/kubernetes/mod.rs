//! A Kubernetes of our own on loopback: etcd, kube-apiserver, and kube-controller-manager where it is wanted. There is no scheduler, no
//! kubelet and no network: what runs pods is up to the test.
//!
//! The two programs of Kubernetes come from `cargo xtask real`, which builds the pinned module in `tests/real/kubernetes`.
#![allow(dead_code, reason = "not every test binary needs all of a cluster")]

mod api;
mod kubelet;
mod ports;
mod ward;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::programs::programs;
pub use api::Api;
pub use kubelet::{CLASS, Kubelet, Node};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use ward::Ward;

use crate::packages;

/// Who may do everything, by this token.
const ADMIN: &str = "admin";
const UP_WITHIN: Duration = Duration::from_secs(90);

/// The controllers that a workload with storage needs. Those that watch nodes and expect heartbeats of them are left out.
const CONTROLLERS: &str = "deployment-controller,replicaset-controller,statefulset-controller,serviceaccount-controller,\
    serviceaccount-token-controller,persistentvolume-binder-controller,persistentvolumeclaim-protection-controller,\
    persistentvolume-protection-controller,garbage-collector-controller,namespace-controller,root-ca-certificate-publisher-controller";

/// What is wanted of a cluster.
#[derive(Clone, Default)]
pub struct Wanted {
    /// More arguments for the API server, such as `--encryption-provider-config=…`.
    pub apiserver: Vec<String>,
    /// Whether deployments become pods and claims get their volumes.
    pub controllers: bool,
    /// People besides the one who may do everything, each known by a token and allowed nothing until a role says so.
    pub users: Vec<String>,
}

/// A running cluster. It ends with the test, however that ends.
pub struct Cluster {
    wanted: Wanted,
    apiserver_at: u16,
    etcd_at: u16,
    // In the order in which they are ended.
    controllers: Option<Ward>,
    apiserver: Option<Ward>,
    _etcd: Ward,
    home: PathBuf,
}

impl Cluster {
    /// Starts one, or says why it cannot be had here.
    pub fn start(wanted: Wanted) -> Result<Self, String> {
        programs()?;
        packages::needed(&[("etcd", "etcd-server")])?;
        let home = tempfile::tempdir().map_err(|e| e.to_string())?.keep();
        let [etcd_at, peers_at, apiserver_at] = ports::free();
        let (clients, peers) = (format!("http://127.0.0.1:{etcd_at}"), format!("http://127.0.0.1:{peers_at}"));
        let etcd = packages::found("etcd").ok_or("etcd is not there")?;
        let words = [
            "--name=test".to_owned(),
            format!("--data-dir={}", home.join("etcd").display()),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=test={peers}"),
            // What is in it need not outlive the host.
            "--unsafe-no-fsync".to_owned(),
        ];
        let etcd = Ward::start(Path::new(&etcd), &words, &home.join("etcd.log"), Some(&home));
        make_files(&home, &wanted);
        let mut cluster = Self { wanted, apiserver_at, etcd_at, controllers: None, apiserver: None, _etcd: etcd, home };
        cluster.until("etcd", "etcd.log", |cluster| cluster.etcd("/v3/maintenance/status", &json!({})).is_ok())?;
        cluster.start_apiserver()?;
        if cluster.wanted.controllers {
            cluster.start_controllers()?;
        }
        Ok(cluster)
    }

    /// Ends the API server; etcd and the controllers stay.
    pub fn stop_apiserver(&mut self) {
        self.apiserver = None;
    }

    /// Ends the API server if there is one, and starts it with other arguments.
    pub fn restart_apiserver(&mut self, arguments: Vec<String>) -> Result<(), String> {
        self.wanted.apiserver = arguments;
        self.stop_apiserver();
        self.start_apiserver()
    }

    /// Starts the API server without waiting for it, which is for one that cannot become ready.
    pub fn begin_apiserver(&mut self) {
        let at = |name: &str| self.home.join(name).display().to_string();
        let mut words = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_at),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.apiserver_at),
            format!("--tls-cert-file={}", at("server.pem")),
            format!("--tls-private-key-file={}", at("server.key")),
            format!("--cert-dir={}", at("certs")),
            format!("--token-auth-file={}", at("tokens.csv")),
            "--authorization-mode=RBAC".to_owned(),
            "--service-cluster-ip-range=10.213.9.0/24".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", at("accounts.pub")),
            format!("--service-account-signing-key-file={}", at("accounts.key")),
            // With a loopback address the usual one complains for ever.
            "--endpoint-reconciler-type=none".to_owned(),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            format!("--kubelet-certificate-authority={}", at("ca.pem")),
        ];
        words.extend(self.wanted.apiserver.iter().cloned());
        let program = programs().unwrap_or_default().join("kube-apiserver");
        self.apiserver = Some(Ward::start(&program, &words, &self.home.join("apiserver.log"), None));
    }

    fn start_apiserver(&mut self) -> Result<(), String> {
        self.begin_apiserver();
        let api = self.api();
        self.until("kube-apiserver", "apiserver.log", |_| api.get("/readyz").is_ok_and(|told| told.status == 200))
    }

    fn start_controllers(&mut self) -> Result<(), String> {
        let kubeconfig = self.kubeconfig("controllers", ADMIN, "default");
        let words = [
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--controllers={CONTROLLERS}"),
            format!("--service-account-private-key-file={}", self.home.join("accounts.key").display()),
            format!("--root-ca-file={}", self.ca().display()),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ];
        let program = programs()?.join("kube-controller-manager");
        self.controllers = Some(Ward::start(&program, &words, &self.home.join("controllers.log"), None));
        // A pod is refused until its account is there.
        let api = self.api();
        let account = "/api/v1/namespaces/default/serviceaccounts/default";
        self.until("kube-controller-manager", "controllers.log", |_| {
            api.get(account).is_ok_and(|told| told.status == 200)
        })
    }

    fn until(&self, what: &str, log: &str, holds: impl Fn(&Self) -> bool) -> Result<(), String> {
        let until = Instant::now() + UP_WITHIN;
        while !holds(self) {
            if Instant::now() > until {
                let log = std::fs::read_to_string(self.home.join(log)).unwrap_or_default();
                return Err(format!("{what} does not come up: {}", log.lines().last().unwrap_or_default()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The folder with everything of it, logs too (`apiserver.log`, `controllers.log`, `etcd.log`). It goes with the cluster.
    pub fn home(&self) -> &Path {
        &self.home
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.apiserver_at)
    }

    /// The certificate of the authority that signed the API server's.
    pub fn ca(&self) -> PathBuf {
        self.home.join("ca.pem")
    }

    /// A certificate with its key, by the same authority, for 127.0.0.1: two files in PEM.
    pub fn server_files(&self) -> (PathBuf, PathBuf) {
        (self.home.join("server.pem"), self.home.join("server.key"))
    }

    /// The API, by one who may do everything.
    pub fn api(&self) -> Api {
        self.api_of(ADMIN)
    }

    /// The API, by somebody of [`Wanted::users`].
    pub fn api_of(&self, user: &str) -> Api {
        Api::new(&self.url(), &self.ca(), &token_of(user))
    }

    /// A kubeconfig of somebody's, as a file of this name.
    pub fn kubeconfig(&self, name: &str, user: &str, namespace: &str) -> PathBuf {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": { "server": self.url(), "certificate-authority": self.ca() } }],
            "users": [{ "name": "test", "user": { "token": token_of(user) } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test", "namespace": namespace } }],
        });
        let path = self.home.join(format!("{name}.kubeconfig"));
        // JSON is YAML.
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// Asks etcd itself, by its gateway for JSON: `/v3/kv/range` and its likes. Keys and values are in base64.
    pub fn etcd(&self, path: &str, body: &Value) -> Result<Value, String> {
        let told = Api::plain(&format!("http://127.0.0.1:{}", self.etcd_at)).send("POST", path, Some(body))?;
        if told.status == 200 { Ok(told.body) } else { Err(format!("etcd: {}: {}", told.status, told.body)) }
    }

    /// What etcd has under this very key.
    pub fn etcd_value(&self, key: &str) -> Option<Vec<u8>> {
        use base64::Engine as _;
        let base64 = base64::engine::general_purpose::STANDARD;
        let told = self.etcd("/v3/kv/range", &json!({ "key": base64.encode(key) })).ok()?;
        base64.decode(told["kvs"][0]["value"].as_str()?).ok()
    }

    /// What the API server last wrote of itself.
    pub fn apiserver_log(&self) -> String {
        std::fs::read_to_string(self.home.join("apiserver.log")).unwrap_or_default()
    }
}

/// Tokens are no secret here: whoever is on this host could read the file too.
fn token_of(user: &str) -> String {
    format!("token-of-{user}-{}", std::process::id())
}

/// Certificates, keys and tokens.
fn make_files(home: &Path, wanted: &Wanted) {
    let write = |name: &str, text: &str| std::fs::write(home.join(name), text).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "test");
    write("ca.pem", &params.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let mut server = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    server.distinguished_name.push(rcgen::DnType::CommonName, "server");
    write("server.pem", &server.signed_by(&key, &issuer).unwrap().pem());
    write("server.key", &key.serialize_pem());
    let accounts = KeyPair::generate().unwrap();
    write("accounts.key", &accounts.serialize_pem());
    write("accounts.pub", &accounts.public_key_pem());
    let user = |user: &str, groups: &str| format!("{},{user},{user}{groups}\n", token_of(user));
    let users: String = wanted.users.iter().map(|name| user(name, "")).collect();
    write("tokens.csv", &(user(ADMIN, ",\"system:masters\"") + &users));
}
