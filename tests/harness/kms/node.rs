//! One control-plane node: its provider with everything that belongs to it on the disk.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::call::{CallFailure, call};
use super::process::{self, eventually};
use super::provider;
use super::wire::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, StatusRequest, StatusResponse, method,
};
use super::{AUDIENCE, ISSUER, NAME, subject};
use crate::openbao::port;

/// Whom the provider runs as, the group of its socket, and whom the API server runs as. Numbers that no system gives out.
pub const PROVIDER: u32 = 64_201;
pub const SOCKET_GROUP: u32 = 64_210;
pub const APISERVER: u32 = 64_202;

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The words that start a program as this user; without root, as whoever runs the test.
pub fn as_user(uid: u32, words: Vec<String>) -> Vec<String> {
    if !is_root() {
        return words;
    }
    let own = [format!("--reuid={uid}"), format!("--regid={uid}"), format!("--groups={SOCKET_GROUP}")];
    std::iter::once("/usr/bin/setpriv".to_owned()).chain(own).chain(words).collect()
}

/// Gives a file to somebody, with this mode; without root the mode alone is set.
pub fn give(path: &Path, uid: u32, gid: u32, mode: u32) {
    if is_root() {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// What the provider of a node is configured with besides what is its own.
#[derive(Clone)]
pub struct Around {
    pub openbao: String,
    pub ca: PathBuf,
    pub namespace: String,
    pub auth: &'static str,
    pub generation: &'static str,
}

pub struct Node {
    pub name: String,
    home: PathBuf,
    pub health: u16,
    pub metrics: u16,
    runtime: tokio::runtime::Runtime,
}

impl Node {
    /// Everything is on the disk; nothing runs.
    pub fn new(site: &Path, name: &str, around: &Around) -> Self {
        let home = site.join(name);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let node = Self { name: name.to_owned(), home, health: port(), metrics: port(), runtime };
        for folder in ["", "run", "state", "backup", "account"] {
            fs::create_dir_all(node.at(folder)).unwrap();
        }
        give(&node.at("run"), PROVIDER, SOCKET_GROUP, 0o2750);
        give(&node.at("state"), PROVIDER, PROVIDER, 0o750);
        give(&node.at("account"), PROVIDER, PROVIDER, 0o755);
        node.program(around.generation, "v0.2.0", false);
        fs::write(node.config(), serde_yaml_ng::to_string(&node.configured(around)).unwrap()).unwrap();
        give(&node.config(), 0, PROVIDER, 0o640);
        node
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.at("config.yaml")
    }

    pub fn socket(&self) -> PathBuf {
        self.at("run/kms.sock")
    }

    pub fn state(&self) -> PathBuf {
        self.at("state/key-registry.json")
    }

    pub fn checkpoint(&self) -> PathBuf {
        provider::checkpoint_path(&self.state())
    }

    /// The provider's program: the test binary, told what it is. A version with a bug authenticates something else than the others do.
    pub fn program(&self, generation: &str, version: &str, bug: bool) -> PathBuf {
        let path = self.at("bao-kms-provider");
        let binary = self.home.parent().unwrap().join("program");
        let bug = if bug { format!("export {}=1\n", provider::BUG) } else { String::new() };
        let script = format!(
            "#!/bin/sh\nexport {}={generation}\nexport {}={version}\n{bug}export {}=${{{}:-{}}}\nexec {} {} \"$@\"\n",
            provider::GENERATION,
            provider::VERSION,
            provider::LEDGER,
            provider::LEDGER,
            self.at("account/ledger").display(),
            binary.display(),
            provider::WORD,
        );
        fs::write(&path, script).unwrap();
        give(&path, 0, 0, 0o755);
        path
    }

    fn configured(&self, around: &Around) -> Value {
        let auth = if around.auth == "jwt" {
            json!({ "method": "jwt", "jwt": { "mountPath": "jwt", "role": format!("kms-{}", self.name), "jwtFile": self.at("identity.jwt"),
                "minRemainingTtl": "5s", "clockSkewLeeway": "5s", "expectedIssuer": ISSUER, "expectedAudience": [AUDIENCE],
                "expectedSubject": subject(&self.name) } })
        } else {
            json!({ "method": "cert", "cert": { "mountPath": "cert", "name": "kms", "minRemainingTtl": "1h", "pkcs11": {
                "certificateFile": self.at("client.pem"), "modulePath": self.at("module.json"), "tokenLabel": "kms",
                "keyLabel": "client", "pinFile": self.at("pin") } } })
        };
        json!({
            "configVersion": "v1alpha1",
            "server": { "socketPath": self.socket(), "socketMode": "0660",
                "socketGroup": if is_root() { SOCKET_GROUP.to_string() } else { String::new() },
                "metricsAddress": format!("127.0.0.1:{}", self.metrics), "healthAddress": format!("127.0.0.1:{}", self.health) },
            "openbao": { "address": around.openbao, "namespace": around.namespace, "caCertFile": around.ca, "timeout": "2s",
                "instanceId": "bao-1" },
            "auth": auth,
            "transit": { "mountPath": "transit", "keyName": "kms", "keyIdScope": { "providerName": NAME, "clusterId": "cluster-1",
                "transitMountId": "transit-1", "keyLineageId": "lineage-1" } },
            "bootstrap": { "graceTimeout": "2s", "retryInterval": "300ms" },
            "status": { "probeInterval": "300ms", "deepProbeInterval": "600ms", "statusMaxStaleness": "5s" },
            "state": { "path": self.state() },
            "rotation": { "mode": "observed", "activationDelay": "1s", "requireStableObservationCount": 2, "rejectVersionRollback": true },
        })
    }

    /// What starts the provider, word by word.
    pub fn command(&self) -> Vec<String> {
        let own = [self.at("bao-kms-provider"), "serve".into(), "--config".into(), self.config()];
        as_user(PROVIDER, own.iter().map(|word| word.display().to_string()).collect())
    }

    pub fn pidfile(&self) -> PathBuf {
        self.at("provider.pid")
    }

    pub fn start(&self) {
        process::start(&self.command(), &self.at("provider.log"), &self.pidfile());
    }

    pub fn stop(&self) {
        process::signal(&self.pidfile(), Signal::SIGTERM);
    }

    pub fn kill(&self) {
        process::signal(&self.pidfile(), Signal::SIGKILL);
    }

    /// From now on Encrypt goes on with the key from before the last promotion, until the provider is started anew.
    pub fn races(&self) {
        process::signal(&self.pidfile(), Signal::SIGUSR1);
    }

    pub fn restart(&self) {
        self.stop();
        self.start();
    }

    pub fn runs(&self) -> bool {
        process::running(&self.pidfile()).is_some()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.at("provider.log")).unwrap_or_default()
    }

    /// Runs a command of the provider's as its own user; the exit code, and what it printed as JSON.
    pub fn run(&self, words: &[&str]) -> (i32, Value) {
        let program = self.at("bao-kms-provider").display().to_string();
        let words = words.iter().map(|word| (*word).to_owned());
        self.ran(as_user(PROVIDER, std::iter::once(program).chain(words).collect()))
    }

    /// One of its reports about this node's configuration.
    pub fn report(&self, command: &str, more: &[&str]) -> (i32, Value) {
        let config = self.config().display().to_string();
        self.run(&[&[command, "--config", &config, "--output", "json"], more].concat())
    }

    /// `probe`, as the API server's user.
    pub fn probe(&self) -> (i32, Value) {
        let socket = self.socket().display().to_string();
        let program = self.at("bao-kms-provider").display().to_string();
        let words = [program.as_str(), "probe", "--socket", &socket, "--output", "json"].map(str::to_owned);
        self.ran(as_user(APISERVER, words.to_vec()))
    }

    fn ran(&self, words: Vec<String>) -> (i32, Value) {
        // Reports have an account of their own: whoever runs them may write nowhere near the state.
        let mut command = std::process::Command::new(&words[0]);
        let output = command.args(&words[1..]).env(provider::LEDGER, "/dev/null").output().unwrap();
        let told = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code().unwrap_or(-1), told)
    }

    fn get(&self, port: u16, path: &str) -> Option<(u16, String)> {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let status = text.split(' ').nth(1)?.parse().ok()?;
        Some((status, text.split_once("\r\n\r\n")?.1.to_owned()))
    }

    /// The status of `/ready` and its body.
    pub fn ready(&self) -> (u16, Value) {
        let (status, body) = self.get(self.health, "/ready").unwrap_or_default();
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    pub fn metrics(&self) -> String {
        self.get(self.metrics, "/metrics").unwrap_or_default().1
    }

    /// What one metric says, all its labels together.
    pub fn metric(&self, name: &str) -> f64 {
        let metrics = self.metrics();
        let lines = metrics.lines().filter(|line| line.starts_with(name) && !line.starts_with('#'));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    pub fn becomes_ready(&self) {
        let ready = eventually(Duration::from_secs(30), || self.ready().0 == 200);
        assert!(ready, "{} does not become ready: {:?} {}", self.name, self.ready(), self.log());
    }

    /// Waits until `/ready` says no, for whatever reason: which one is named first depends on what its probes were at.
    pub fn becomes_unready(&self) {
        let came = eventually(Duration::from_secs(60), || self.ready().0 == 503);
        assert!(came, "{}: it is ready still: {:?} {}", self.name, self.ready(), self.log());
    }

    /// Waits until `/ready` names this reason.
    pub fn becomes_unready_for(&self, reason: &str) {
        let named = || self.ready().1["reasons"].as_array().is_some_and(|all| all.iter().any(|one| one == reason));
        assert!(
            eventually(Duration::from_secs(60), named),
            "{}: no {reason}: {:?} {}",
            self.name,
            self.ready(),
            self.log()
        );
    }

    pub fn status(&self) -> Result<StatusResponse, CallFailure> {
        self.runtime.block_on(call(&self.socket(), method::STATUS, &StatusRequest {}))
    }

    pub fn encrypt(&self, plaintext: &[u8]) -> Result<EncryptResponse, CallFailure> {
        let asked = EncryptRequest { plaintext: plaintext.to_vec(), uid: "test".into() };
        self.runtime.block_on(call(&self.socket(), method::ENCRYPT, &asked))
    }

    pub fn decrypt(&self, of: &EncryptResponse) -> Result<Vec<u8>, CallFailure> {
        let EncryptResponse { ciphertext, key_id, annotations } = of.clone();
        let asked = DecryptRequest { ciphertext, uid: "test".into(), key_id, annotations };
        let told: DecryptResponse = self.runtime.block_on(call(&self.socket(), method::DECRYPT, &asked))?;
        Ok(told.plaintext)
    }

    /// Copies state and checkpoint from another place, byte for byte, as their owner.
    pub fn restore_pair(&self, state: &Path) {
        for (from, to) in [(state.to_owned(), self.state()), (provider::checkpoint_path(state), self.checkpoint())] {
            fs::copy(from, &to).unwrap();
            give(&to, PROVIDER, PROVIDER, 0o640);
        }
    }

    /// Puts a copy of the pair among the backups.
    pub fn back_up(&self) {
        for path in [self.state(), self.checkpoint()] {
            fs::copy(&path, self.at("backup").join(path.file_name().unwrap())).unwrap();
        }
    }

    /// Everything that the provider wrote down of what it did.
    pub fn ledger(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.at("account/ledger")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
