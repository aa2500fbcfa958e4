//! A second person: whoever began a run does not approve it, and those who may only approve can do nothing else.
//!
//! Two people are two users here, so these tests need root; without it they say so.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sandbox::RECOVER;
use crate::{code, stderr};

const FIRST: u32 = 61_001;
const SECOND: u32 = 61_002;

/// A sandbox of the first person's.
struct Site {
    home: tempfile::TempDir,
    binary: PathBuf,
}

impl Site {
    fn new(policy: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || Command::new("setpriv").arg("--version").output().is_err() {
            println!("a second person: NOT RUN: it needs root and setpriv");
            return None;
        }
        let home = tempfile::tempdir().unwrap();
        // Where everybody may read it.
        let binary = home.path().join("recover");
        std::fs::copy(RECOVER, &binary).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(home.path(), mode).unwrap();
        let site = Self { home, binary };
        for folder in ["site", "approve"] {
            std::fs::create_dir(site.path(folder)).unwrap();
            std::os::unix::fs::chown(site.path(folder), Some(FIRST), Some(FIRST)).unwrap();
        }
        let dir = site.path("site/sandbox").display().to_string();
        for words in [&["sandbox", "up", "--dir", &dir][..], &["sandbox", "lose-identity", "--dir", &dir]] {
            let output = site.run(FIRST, words).output().unwrap();
            assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        }
        let config = site.config();
        let text =
            std::fs::read_to_string(&config).unwrap().replace("reprovision = \"allow\"", "reprovision = \"ask\"");
        let text = text.replace("[policy]\n", &format!("[policy]\n{policy}\n"));
        let approvals = format!("\n[approvals]\nsocket = {:?}\ngroup = \"{SECOND}\"\n", site.path("approve/socket"));
        std::fs::write(config, text + &approvals).unwrap();
        Some(site)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("site/sandbox/recover.toml")
    }

    /// The command of a person.
    fn run(&self, uid: u32, words: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        // The owner is of the group too: nobody gives a file to a group that is none of his.
        let groups = if uid == FIRST { format!("--groups={SECOND}") } else { "--clear-groups".into() };
        command.args([format!("--reuid={uid}"), format!("--regid={uid}"), groups, "--".into()]);
        command.arg(&self.binary).args(words).env("HOME", self.home.path()).current_dir("/");
        command
    }

    fn recover(&self, uid: u32, words: &[&str]) -> Output {
        self.run(uid, &[&["--config", self.config().to_str().unwrap()], words].concat()).output().unwrap()
    }

    /// A run that waits for a person.
    #[expect(clippy::zombie_processes, reason = "whoever asked for it waits for its end")]
    fn waiting(&self, more: &[&str]) -> (Child, String) {
        let config = self.config();
        let words = [
            "--config",
            config.to_str().unwrap(),
            "--scenario",
            "identity-loss",
            "--target",
            "edge-1",
            "--wait",
            "60s",
        ];
        let mut command = self.run(FIRST, &[&words, more].concat());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let status = self.recover(FIRST, &["status", "--output", "json"]);
            let line: Option<Value> =
                String::from_utf8_lossy(&status.stdout).lines().next().and_then(|line| serde_json::from_str(line).ok());
            if let Some(line) = line.filter(|line| line["status"] == "operator-needed") {
                return (child, line["run"].as_str().unwrap().to_owned());
            }
            assert!(Instant::now() < until, "it does not ask: {}", stderr(&status));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn pairs(&self) -> Value {
        let dir = self.path("site/sandbox").display().to_string();
        let output = self.run(FIRST, &["sandbox", "ledger", "--dir", &dir]).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["pairs"].clone()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let dir = self.path("site/sandbox").display().to_string();
        drop(self.run(FIRST, &["sandbox", "down", "--dir", &dir]).output());
    }
}

fn ended(mut child: Child) -> Option<i32> {
    child.wait().unwrap().code()
}

#[test]
fn whoever_began_it_does_not_approve_it_and_another_does() {
    let Some(site) = Site::new("second_person = true") else { return };
    // Not even `--yes` stands in for the other one.
    let (child, run) = site.waiting(&["--yes"]);
    let own = site.recover(FIRST, &["approve", &run, "--reason", "I am sure"]);
    assert_eq!(code(&own), 4, "{}", stderr(&own));
    assert!(stderr(&own).contains("RCV0050"), "{}", stderr(&own));
    // Root is everybody, so root is nobody else.
    let root = site.recover(0, &["approve", &run, "--reason", "I am root"]);
    assert!(stderr(&root).contains("RCV0050") || code(&root) == 64, "{}", stderr(&root));
    assert_eq!(site.pairs(), 0);

    let socket = site.path("approve/socket").display().to_string();
    let nobody = site.run(SECOND + 1, &["approve", &run, "--socket", &socket, "--reason", "x"]).output().unwrap();
    assert_ne!(code(&nobody), 0, "another group is not heard");
    let other = site.run(SECOND, &["approve", &run, "--socket", &socket, "--reason", "I looked too"]).output().unwrap();
    assert_eq!(code(&other), 0, "{}", stderr(&other));
    assert_eq!(ended(child), Some(0));
    assert_eq!(site.pairs(), 1);
    let events = site.recover(FIRST, &["report", &run, "--markdown"]);
    let text = String::from_utf8(events.stdout).unwrap();
    assert!(text.contains("I looked too") && text.contains(&SECOND.to_string()), "who it was is told: {text}");
}

#[test]
fn who_may_approve_can_do_nothing_else() {
    let Some(site) = Site::new("") else { return };
    let (child, run) = site.waiting(&[]);
    let socket = site.path("approve/socket");
    // What an approver could send who writes his own requests: to abandon, to start, as another user, with a target of his.
    for ask in [
        format!("{{\"abandon\":{{\"run\":\"{run}\",\"reason\":\"x\"}}}}"),
        format!("{{\"cancel\":{{\"run\":\"{run}\",\"reason\":\"x\"}}}}"),
        format!("{{\"resume\":{{\"run\":\"{run}\"}}}}"),
    ] {
        let told = said(&site, &socket, &ask);
        assert!(told.contains("questions are answered here"), "{ask}: {told}");
    }
    let told = said(
        &site,
        &socket,
        &format!(
            "{{\"answer\":{{\"run\":\"{run}\",\"question\":null,\"choice\":null,\"deny\":true,\"reason\":\"no\"}}}}"
        ),
    );
    assert!(told.contains("\"tell\":\"done\""), "{told}");
    assert_eq!(ended(child), Some(2), "denied, everything as found");
    assert_eq!(site.pairs(), 0);
    let events = site.recover(FIRST, &["report", &run, "--markdown"]);
    let text = String::from_utf8(events.stdout).unwrap();
    assert!(text.contains("user 0") || text.contains("uid 0"), "the kernel says who it was, not he: {text}");
}

/// One line to the socket and the first answer that comes back; as root, who may open any socket, under the name of another.
fn said(_: &Site, socket: &Path, ask: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    let actor = "{\"uid\":4242,\"login_uid\":4242,\"host\":\"x\",\"machine\":\"x\",\"boot\":\"x\",\"version\":\"x\"}";
    writeln!(stream, "{{\"v\":2,\"actor\":{actor},\"yes\":true,\"wait_ms\":null,\"target\":null,\"ask\":{ask}}}")
        .unwrap();
    // That it was read comes first.
    let mut told = BufReader::new(stream).lines().map(Result::unwrap);
    told.find(|line| !line.contains("\"taken\"")).unwrap_or_default()
}
