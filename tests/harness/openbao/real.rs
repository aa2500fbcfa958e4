//! The real one: a server of its own on loopback, with storage by raft, unsealed with its one key, by plain HTTP and by TLS.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Peer, ROOT, tls};

const UP_WITHIN: Duration = Duration::from_secs(60);

pub struct Real {
    program: PathBuf,
    home: PathBuf,
    child: Mutex<Option<Child>>,
    address: SocketAddr,
    tls: SocketAddr,
    key: String,
}

fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], super::port()))
}

impl Real {
    /// Why it cannot be had, if it cannot. The certificate for TLS is `server.pem` with `server.key` in this folder; they are made if
    /// they are not there.
    pub fn start(home: &Path) -> Result<Self, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let bao = std::env::split_paths(&path).map(|folder| folder.join("bao")).find(|file| file.is_file());
        let program = bao.ok_or("bao is not on PATH")?;
        if !home.join("server.pem").exists() {
            tls::files(home, &tls::ca(home, "bao-ca"), "server", "127.0.0.1");
        }
        let (address, tls, cluster, other) = (free(), free(), free(), free());
        let config = format!(
            r#"storage "raft" {{ path = "{home}/raft" node_id = "one" }}
listener "tcp" {{ address = "{address}" cluster_address = "{cluster}" tls_disable = true }}
listener "tcp" {{ address = "{tls}" cluster_address = "{other}" tls_cert_file = "{home}/server.pem" tls_key_file = "{home}/server.key" }}
api_addr = "http://{address}"
cluster_addr = "https://{cluster}"
"#,
            home = home.display(),
        );
        std::fs::create_dir_all(home.join("raft")).unwrap();
        std::fs::write(home.join("bao.hcl"), config).unwrap();
        let mut real =
            Self { program, home: home.to_owned(), child: Mutex::new(None), address, tls, key: String::new() };
        real.run()?;
        let (status, told) = real.ask("PUT", "sys/init", "", json!({ "secret_shares": 1, "secret_threshold": 1 }));
        assert_eq!(status, 200, "{told}");
        real.key = told["keys_base64"][0].as_str().unwrap().to_owned();
        real.unseal();
        let first = told["root_token"].as_str().unwrap().to_owned();
        let token = json!({ "id": ROOT, "policies": ["root"], "no_parent": true });
        let (status, told) = real.ask("POST", "auth/token/create", &first, token);
        assert_eq!(status, 200, "{told}");
        Ok(real)
    }

    fn run(&self) -> Result<(), String> {
        let log = File::options().append(true).create(true).open(self.home.join("bao.log")).unwrap();
        let child = Command::new(&self.program)
            .args(["server", "-config"])
            .arg(self.home.join("bao.hcl"))
            .env("HOME", &self.home)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .map_err(|e| e.to_string())?;
        // Whoever cleans up after a test that was killed finds it by this.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        let start = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(19)?.parse::<u64>().ok());
        std::fs::write(self.home.join("pid"), json!({ "pid": child.id(), "start": start }).to_string()).unwrap();
        *self.child.lock().unwrap() = Some(child);
        let answers =
            || TcpStream::connect(self.address).is_ok() && self.ask("GET", "sys/seal-status", "", Value::Null).0 == 200;
        self.until("come up", answers)
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) -> Result<(), String> {
        let until = Instant::now() + UP_WITHIN;
        while !holds() {
            if Instant::now() > until {
                let log = std::fs::read_to_string(self.home.join("bao.log")).unwrap_or_default();
                return Err(format!("bao does not {what}: {log}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn ask(&self, method: &str, path: &str, token: &str, body: Value) -> (u16, Value) {
        let (status, bytes) =
            self.bytes(method, path, token, if body.is_null() { Vec::new() } else { body.to_string().into_bytes() });
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Whatever comes, with its status; 0 where nothing comes.
    fn bytes(&self, method: &str, path: &str, token: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client =
            reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(Duration::from_secs(30)).build().unwrap();
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = client.request(method, format!("http://{}/v1/{path}", self.address));
        let request = if token.is_empty() { request } else { request.header("x-vault-token", token) };
        let answer = async {
            let response = request.body(body).send().await?;
            Ok::<_, reqwest::Error>((response.status().as_u16(), response.bytes().await?.to_vec()))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(answer).unwrap_or_default()
    }

    fn is_active(&self) -> bool {
        self.ask("GET", "sys/health", "", Value::Null).0 == 200
    }
}

impl Peer for Real {
    fn name(&self) -> &'static str {
        "real"
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn tls_address(&self) -> Option<SocketAddr> {
        Some(self.tls)
    }

    fn unseal(&self) {
        let (status, told) = self.ask("POST", "sys/unseal", "", json!({ "key": self.key }));
        assert_eq!(status, 200, "{told}");
        self.until("become active", || self.is_active()).unwrap();
    }

    fn unseal_namespace(&self, name: &str) {
        panic!("the seal of namespace {name} is its parent's");
    }

    fn seals_namespaces(&self) -> bool {
        false
    }

    fn go_down(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn come_back(&self) {
        // Whoever is killed while he answers is asked again, and does again what he was asked for.
        let runs = self.child.lock().unwrap().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)));
        if !runs {
            self.run().unwrap();
        }
    }

    fn take_snapshot(&self, name: &str) {
        let (status, bytes) = self.bytes("GET", "sys/storage/raft/snapshot", ROOT, Vec::new());
        assert_eq!(status, 200);
        std::fs::write(self.home.join(format!("snapshot-{name}")), bytes).unwrap();
    }

    fn restore_snapshot(&self, name: &str) {
        let kept = std::fs::read(self.home.join(format!("snapshot-{name}"))).unwrap();
        let (status, told) = self.bytes("POST", "sys/storage/raft/snapshot", ROOT, kept);
        assert!(matches!(status, 200 | 204), "{status} {}", String::from_utf8_lossy(&told));
        self.until("serve what was restored", || self.is_active()).unwrap();
    }

    fn hide_version(&self, _: &str, key: &str, version: u64, _: bool) {
        panic!("the real one tells of version {version} of {key} whatever is asked of it");
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.go_down();
    }
}
