//! A connector that is an agent of SPIRE, on a disk, with its configuration.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::peer::Peer;
use super::{DOMAIN, Fake, Real};

pub const ALIAS: &str = "spiffe://example.test/connector/edge-1";
pub const WORK: &str = "spiffe://example.test/work";

/// A server, an agent and the folders of both.
pub struct Site {
    pub peer: Box<dyn Peer>,
    home: tempfile::TempDir,
    shm: tempfile::TempDir,
}

impl Site {
    /// On the fake. An agent's certificate is good for so many seconds.
    pub fn fake(agent_ttl_s: u32) -> Self {
        Self::new(|home| Ok(Box::new(Fake::start(home, agent_ttl_s)))).unwrap()
    }

    /// On the real one, or why it cannot be had.
    pub fn real(agent_ttl_s: u32) -> Result<Self, String> {
        Self::new(|home| Ok(Box::new(Real::start(home, agent_ttl_s)?)))
    }

    fn new(peer: impl FnOnce(&Path) -> Result<Box<dyn Peer>, String>) -> Result<Self, String> {
        // On a disk: what is on tmpfs is no durable storage.
        let home = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
        let shm = tempfile::tempdir_in("/dev/shm").unwrap();
        for name in ["data", "originals"] {
            std::fs::create_dir(home.path().join(name)).unwrap();
        }
        let peer = peer(home.path())?;
        Ok(Self { peer, home, shm })
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn token_file(&self) -> PathBuf {
        self.shm.path().join("token")
    }

    pub fn secrets(&self) -> PathBuf {
        self.shm.path().join("secrets")
    }

    /// The target, as the configuration has it.
    pub fn target(&self, token_ttl: &str) -> Value {
        let token_file = self.token_file();
        json!({
            "workload": { "process": { "command": self.peer.command(self.home()), "pidfile": self.at("pid"), "log": self.at("agent.log"),
                "token_file": token_file, "token_arguments": ["-joinTokenFile", token_file] } },
            "storage": { "directory": { "path": self.at("data"), "originals": [self.at("originals")], "identity": "agent-data.json" } },
            "authority": { "spire-join-token": { "socket": self.peer.socket(), "trust_domain": DOMAIN, "alias": ALIAS,
                "agent_socket": self.at("agent.sock") } },
            "timing": { "observe": "500ms", "online_within": "20s", "stop_within": "5s", "pair_within": "6s", "token_ttl": token_ttl },
        })
    }

    /// The first enrolment, as an operator does it, and an entry below the agent. The agent is ended after it.
    pub fn enrol(&self) -> String {
        let token = self.peer.mint(60, Some(ALIAS));
        let id = format!("spiffe://{DOMAIN}/spire/agent/join_token/{token}");
        // In the server's own seconds the next name must be a later one.
        std::thread::sleep(Duration::from_millis(1_100));
        self.peer.entry(&id, WORK, ("unix", "uid:0"));
        self.attest(&token, "data");
        assert_eq!(self.peer.agents(), std::slice::from_ref(&id), "it attested");
        id
    }

    /// Starts an agent by hand with this token until it serves, or does not in time; ends it. Says whether it did.
    pub fn attest(&self, token: &str, _data: &str) -> bool {
        let file = self.shm.path().join("by-hand");
        std::fs::write(&file, token).unwrap();
        let words = self.peer.command(self.home());
        let log = std::fs::File::create(self.at("by-hand.log")).unwrap();
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg("-joinTokenFile")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap());
        let mut child = command.stderr(log).spawn().unwrap();
        drop(std::fs::remove_file(self.at("agent.sock")));
        let until = Instant::now() + Duration::from_secs(8);
        let serves = || std::os::unix::net::UnixStream::connect(self.at("agent.sock")).is_ok();
        while !serves() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        let served = serves();
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
        drop(child.wait());
        std::fs::remove_file(file).unwrap();
        served
    }

    /// Ends the agent as a power cut does.
    pub fn kill_agent(&self) {
        let Ok(bytes) = std::fs::read(self.at("pid")) else { return };
        let life: Value = serde_json::from_slice(&bytes).unwrap();
        let pid = i32::try_from(life["pid"].as_i64().unwrap()).unwrap();
        let is_agent = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
        while is_agent() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Takes the identity away; kept, it is among the originals, where it is returned.
    pub fn lose(&self, keep: Option<&str>) {
        self.kill_agent();
        match keep {
            Some(name) => std::fs::rename(self.at("data"), self.at("originals").join(name)).unwrap(),
            None => std::fs::remove_dir_all(self.at("data")).unwrap(),
        }
        std::fs::create_dir(self.at("data")).unwrap();
    }

    /// What of the identity does not change while an agent uses it.
    pub fn identity(&self) -> (Value, Vec<u8>) {
        let data: Value = std::fs::read(self.at("data/agent-data.json"))
            .map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
        (data["svid"].clone(), std::fs::read(self.at("data/keys.json")).unwrap_or_default())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.kill_agent();
    }
}
