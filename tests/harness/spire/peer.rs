//! What a test asks of a SPIRE server besides what `recover` asks of it, and the real one.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::DOMAIN;

/// A server, with a kind of agent that goes with it.
pub trait Peer: Send + Sync {
    fn name(&self) -> &'static str;
    fn socket(&self) -> PathBuf;
    /// The command of its agent, whose data and socket are in this folder.
    fn command(&self, home: &Path) -> Vec<String>;
    /// A token made by hand, perhaps with a name for what comes of it.
    fn mint(&self, ttl_s: u32, alias: Option<&str>) -> String;
    fn entry(&self, parent: &str, id: &str, selector: (&str, &str));
    fn agents(&self) -> Vec<String>;
    /// Ids and parents.
    fn entries(&self) -> Vec<(String, String)>;
    /// Tokens that would work; `None` where the server does not tell.
    fn live_tokens(&self) -> Option<usize>;
    /// Whether a workload below the agent in this folder gets an identity; `None` where there are none.
    fn has_svid(&self, home: &Path) -> Option<bool>;
    /// Loses the next reply to a method; false where that cannot be had.
    fn lose_next_reply(&self, what: &'static str) -> bool;
}

/// On a machine that has much else to do.
const UP_WITHIN: Duration = Duration::from_secs(60);

/// The real server.
pub struct Real {
    child: Child,
    home: PathBuf,
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A port that was free a moment ago.
fn port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Real {
    /// Why it cannot be had, if it cannot.
    pub fn start(home: &Path, agent_ttl_s: u32) -> Result<Self, String> {
        let server = on_path("spire-server").ok_or("spire-server is not on PATH")?;
        on_path("spire-agent").ok_or("spire-agent is not on PATH")?;
        let (at, port) = (|name: &str| home.join(name).display().to_string(), port());
        std::fs::create_dir_all(home.join("server")).unwrap();
        let config = format!(
            r#"server {{
  bind_address = "127.0.0.1"
  bind_port = "{port}"
  socket_path = "{socket}"
  trust_domain = "{DOMAIN}"
  data_dir = "{data}"
  log_level = "WARN"
  agent_ttl = "{agent_ttl_s}s"
}}
plugins {{
  DataStore "sql" {{ plugin_data {{ database_type = "sqlite3" connection_string = "{data}/datastore.sqlite3" }} }}
  KeyManager "memory" {{ plugin_data {{}} }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
}}
"#,
            socket = at("server.sock"),
            data = at("server"),
        );
        std::fs::write(home.join("server.conf"), config).unwrap();
        let agent = format!(
            r#"agent {{
  data_dir = "{data}"
  server_address = "127.0.0.1"
  server_port = "{port}"
  socket_path = "{socket}"
  trust_domain = "{DOMAIN}"
  trust_bundle_path = "{bundle}"
  log_level = "INFO"
}}
plugins {{
  KeyManager "disk" {{ plugin_data {{ directory = "{data}" }} }}
  NodeAttestor "join_token" {{ plugin_data {{}} }}
  WorkloadAttestor "unix" {{ plugin_data {{}} }}
}}
"#,
            data = at("data"),
            socket = at("agent.sock"),
            bundle = at("bundle.pem"),
        );
        std::fs::write(home.join("agent.conf"), agent).unwrap();
        let log = File::create(home.join("server.log")).unwrap();
        let child = Command::new(server)
            .args(["run", "-config", &at("server.conf")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .map_err(|e| e.to_string())?;
        let mut real = Self { child, home: home.to_owned() };
        let until = Instant::now() + UP_WITHIN;
        while real.run(&["healthcheck"]).is_err() {
            if let Some(ended) = real.child.try_wait().map_err(|e| e.to_string())? {
                return Err(format!("spire-server ended with {ended}: {}", real.last_words()));
            }
            if Instant::now() > until {
                return Err(format!("spire-server does not come up: {}", real.last_words()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        std::fs::write(home.join("bundle.pem"), real.run(&["bundle", "show"])?).unwrap();
        Ok(real)
    }

    /// The error that it named first; what comes after follows from it, and what comes before is no error.
    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.home.join("server.log")).unwrap_or_default();
        let error = log.lines().find(|line| line.contains("level=error") || line.contains("level=fatal"));
        error.or(log.lines().last()).unwrap_or("it says nothing").to_owned()
    }

    fn run(&self, words: &[&str]) -> Result<String, String> {
        let mut command = Command::new("spire-server");
        let output = command.args(words).arg("-socketPath").arg(self.socket()).output().map_err(|e| e.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    fn json(&self, words: &[&str]) -> Value {
        let text = self.run(&[words, &["-output", "json"]].concat()).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn id(value: &Value) -> String {
    let word = |name: &str| value[name].as_str().unwrap().to_owned();
    format!("spiffe://{}{}", word("trust_domain"), word("path"))
}

fn listed(value: &Value, name: &str) -> Vec<Value> {
    value[name].as_array().cloned().unwrap_or_default()
}

impl Peer for Real {
    fn name(&self) -> &'static str {
        "real"
    }

    fn socket(&self) -> PathBuf {
        self.home.join("server.sock")
    }

    fn command(&self, home: &Path) -> Vec<String> {
        let program = on_path("spire-agent").unwrap().display().to_string();
        vec![program, "run".into(), "-config".into(), home.join("agent.conf").display().to_string()]
    }

    fn mint(&self, ttl_s: u32, alias: Option<&str>) -> String {
        let ttl = ttl_s.to_string();
        let mut words = vec!["token", "generate", "-ttl", &ttl];
        words.extend(alias.iter().flat_map(|alias| ["-spiffeID", *alias]));
        self.json(&words)["value"].as_str().unwrap().to_owned()
    }

    fn entry(&self, parent: &str, id: &str, (kind, value): (&str, &str)) {
        let selector = format!("{kind}:{value}");
        self.run(&["entry", "create", "-parentID", parent, "-spiffeID", id, "-selector", &selector]).unwrap();
    }

    fn agents(&self) -> Vec<String> {
        listed(&self.json(&["agent", "list"]), "agents").iter().map(|agent| id(&agent["id"])).collect()
    }

    fn entries(&self) -> Vec<(String, String)> {
        let entries = listed(&self.json(&["entry", "show"]), "entries");
        entries.iter().map(|entry| (id(&entry["spiffe_id"]), id(&entry["parent_id"]))).collect()
    }

    fn live_tokens(&self) -> Option<usize> {
        None
    }

    fn has_svid(&self, home: &Path) -> Option<bool> {
        let socket = home.join("agent.sock");
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            // An agent looks for its entries every few seconds.
            let mut command = Command::new("spire-agent");
            let output = command.args(["api", "fetch", "x509", "-socketPath"]).arg(&socket).output().ok()?;
            if output.status.success() || Instant::now() > until {
                return Some(output.status.success());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn lose_next_reply(&self, _what: &'static str) -> bool {
        false
    }
}
