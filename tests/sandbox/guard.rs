//! One sandbox for one test: its processes and its folder on tmpfs are gone when the test ends, however it ends.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::warden::Warden;

const PATIENCE: Duration = Duration::from_secs(15);

/// A sandbox that ends with the test.
pub(crate) struct Sandbox {
    /// Ends it, before the folder is removed.
    _warden: Warden,
    root: TempDir,
    dir: PathBuf,
}

/// Runs `recover`.
pub(crate) fn recover(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_recover")).args(args).output().expect("runs")
}

/// The exit code of a command that was not killed.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().expect("was not killed")
}

/// Asks until it is so, or for long enough.
pub(crate) fn eventually(limit: Duration, ask: impl Fn() -> bool) -> bool {
    let until = Instant::now() + limit;
    while Instant::now() < until {
        if ask() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    ask()
}

/// Whether a process lives and is not just waiting to be reaped.
pub(crate) fn lives(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|fields| !fields.is_empty() && !fields.starts_with(['Z', 'X']))
}

impl Sandbox {
    /// A directory in which nothing is yet.
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().expect("a temporary directory");
        let dir = root.path().join("sandbox");
        Self { _warden: Warden::of(root.path(), "sandbox"), root, dir }
    }

    /// A sandbox whose identity is lost.
    pub(crate) fn lost(args: &[&str]) -> Self {
        let sandbox = Self::new();
        sandbox.up();
        sandbox.run(&[&["lose-identity"], args].concat());
        sandbox
    }

    /// Its directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file outside of it.
    pub(crate) fn leak(&self) -> PathBuf {
        self.root.path().join("leaked")
    }

    /// A file in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A command of `recover sandbox` on it.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_recover"));
        command.arg("sandbox").args(args).arg("--dir").arg(&self.dir).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs such a command, which must succeed, and gives what it printed.
    pub(crate) fn run(&self, args: &[&str]) -> Value {
        let output = self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {} {errors}", output.status);
        serde_json::from_slice(&output.stdout).expect("prints one JSON object")
    }

    /// Brings it up.
    pub(crate) fn up(&self) -> Value {
        self.run(&["up"])
    }

    /// What really happened.
    pub(crate) fn ledger(&self) -> Value {
        self.run(&["ledger"])
    }

    /// The effects in the ledger, without calls that changed nothing.
    pub(crate) fn effects(&self) -> Vec<Value> {
        let mut ledger = self.ledger();
        let calls = ledger["calls"].as_array_mut().expect("a list");
        calls.iter_mut().map(|call| call["effect"].take()).filter(|effect| *effect != "none").collect()
    }

    /// The files of the sandbox in which a text stands.
    pub(crate) fn files_with(&self, text: &str) -> Vec<String> {
        let (mut folders, mut found) = (vec![self.dir.clone()], Vec::new());
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).expect("is a folder").flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if String::from_utf8_lossy(&fs::read(&path).expect("is readable")).contains(text) {
                    found.push(path.strip_prefix(&self.dir).expect("is inside").to_string_lossy().into_owned());
                }
            }
        }
        found
    }

    /// The connector's log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("connector.log")).expect("there is a log")
    }

    /// Waits for words in the connector's log.
    pub(crate) fn await_log(&self, words: &str) {
        assert!(eventually(PATIENCE, || self.log().contains(words)), "no {words:?} in {}", self.log());
    }

    /// The configuration.
    pub(crate) fn config(&self) -> toml::Table {
        toml::from_str(&fs::read_to_string(self.path("recover.toml")).expect("there is one")).expect("is TOML")
    }

    /// The control plane's address.
    pub(crate) fn base(&self) -> String {
        self.config()["target"]["edge-1"]["authority"]["http"]["base"].as_str().expect("is text").to_owned()
    }

    /// Where the connector looks for a token.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.config()["target"]["edge-1"]["workload"]["process"]["token_file"].as_str().expect("is text").into()
    }

    /// What the pid file of one of its processes says.
    pub(crate) fn pid_record(&self, name: &str) -> Value {
        let text = fs::read_to_string(self.path(&format!("run/{name}.pid"))).expect("there is a pid file");
        serde_json::from_str(&text).expect("is JSON")
    }

    /// The number of one of its processes.
    pub(crate) fn pid(&self, name: &str) -> i32 {
        i32::try_from(self.pid_record(name)["pid"].as_i64().expect("a number")).expect("fits")
    }

    /// Every live process that has the directory among its arguments.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let dir = self.dir.to_string_lossy().into_owned();
        let pids = fs::read_dir("/proc").expect("is there").flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let ours = |pid: &i32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains(&dir)
        };
        pids.filter(ours).filter(|pid| lives(*pid)).collect()
    }

    /// Kills one of its processes as a crash would.
    pub(crate) fn kill(&self, name: &str) {
        let pid = self.pid(name);
        let signalled = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        signalled.expect("was alive");
        assert!(eventually(PATIENCE, || !lives(pid)), "{name} survived");
    }

    /// Starts the connector anew.
    pub(crate) fn restart(&self) {
        self.kill("connector");
        self.up();
    }

    /// Starts the connector anew with a token.
    pub(crate) fn restart_with_token(&self, token: &str) {
        self.kill("connector");
        fs::write(self.token_file(), token).expect("is written");
        self.up();
    }

    /// What the control plane says of the connector. Faults on the status are met.
    pub(crate) fn status(&self) -> Value {
        self.admin("GET", "", None)
    }

    /// Waits until the control plane says so.
    pub(crate) fn await_status(&self, wanted: &str) {
        let so = eventually(PATIENCE, || self.status()["status"] == wanted);
        assert!(so, "not {wanted}: {} {}", self.status(), self.log());
    }

    /// Mints a token and gives its secret.
    pub(crate) fn mint(&self, label: &str) -> String {
        let token = self.admin("POST", "/tokens", Some(serde_json::json!({ "label": label, "ttl_s": 600 })));
        token["secret"].as_str().expect("has a secret").to_owned()
    }

    /// A request of an adapter that must be answered, and is not an error.
    pub(crate) fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, body) = self.ask(method, path, body, PATIENCE).expect("is answered");
        assert!((200..300).contains(&status), "{method} {path}: {status} {body}");
        body
    }

    /// A request of an adapter; nothing if the connection is closed or the reply does not come in time.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<Value>, limit: Duration) -> Option<(u16, Value)> {
        let base = self.base();
        let address = base.strip_prefix("http://").expect("is plain");
        let credential = fs::read_to_string(self.path("credential")).expect("exists");
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let mut stream = TcpStream::connect(address).expect("listens");
        stream.set_read_timeout(Some(limit)).expect("is set");
        let request = format!(
            "{method} /v1/connectors/edge-1{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             authorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
            credential.trim(),
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("is sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).ok()?;
        let (head, body) = reply.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1).expect("has a status").parse().expect("is a number");
        Some((status, serde_json::from_str(body).expect("is JSON")))
    }
}
