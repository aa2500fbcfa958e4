//! `recover serve` on a sandbox, and requests to it as plain text.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sandbox::Sandbox;

/// The served sandbox.
pub struct Served {
    pub child: Child,
    pub out: BufReader<ChildStdout>,
    pub address: String,
    pub token: String,
}

/// A reply.
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
}

impl Served {
    pub fn start(sandbox: &Sandbox) -> Self {
        let mut command = sandbox.recovering(&["serve", "--listen", "127.0.0.1:0", "--output", "json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("it does not serve: {said}");
        }
        let line: Value = serde_json::from_str(&line).unwrap();
        let address = line["url"].as_str().unwrap().trim_start_matches("http://").trim_end_matches('/').to_owned();
        let token = std::fs::read_to_string(line["token_file"].as_str().unwrap()).unwrap().trim().to_owned();
        Self { child, out, address, token }
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// A request as it stands, and what comes back until the other side is done.
    pub fn raw(&self, text: &str) -> Reply {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // One who is refused in the middle of a long body hears so all the same.
        drop(stream.write_all(text.as_bytes()));
        let mut bytes = Vec::new();
        drop(stream.read_to_end(&mut bytes));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default();
        Reply { status, head: head.to_owned(), body: unchunked(head, body) }
    }

    pub fn with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let host = if headers.to_lowercase().contains("host: ") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        let length = body.len();
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\n{host}Connection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n{headers}\r\n{body}"
        ))
    }

    pub fn get(&self, path: &str) -> Reply {
        self.with("GET", path, &[("Authorization", &format!("Bearer {}", self.token))], "")
    }

    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.with("POST", path, &[("Authorization", &format!("Bearer {}", self.token))], &body.to_string())
    }

    /// Begins the recovery of the sandbox's connector; the run.
    #[allow(dead_code, reason = "not every test binary begins one so")]
    pub fn begin(&self) -> String {
        let target = serde_json::json!({ "scenario": "identity-loss", "target": "edge-1" });
        self.post("/api/v1/runs", &target).json()["run"].as_str().unwrap().to_owned()
    }

    /// The status of a run, once it is that.
    pub fn until(&self, run: &str, status: &str) -> Value {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let told = self.get(&format!("/api/v1/runs/{run}")).json();
            if told["status"]["status"] == status {
                return told;
            }
            assert!(Instant::now() < until, "{run} is not {status}: {}", told["status"]);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn runs(&self) -> Vec<Value> {
        self.get("/api/v1/runs").json()["runs"].as_array().unwrap().clone()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn unchunked(head: &str, body: &str) -> String {
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return body.to_owned();
    }
    let (mut out, mut rest) = (String::new(), body);
    while let Some((size, more)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or_default();
        let Some(piece) = more.get(..size).filter(|piece| !piece.is_empty()) else { break };
        out.push_str(piece);
        rest = more.get(size + 2..).unwrap_or_default();
    }
    out
}
