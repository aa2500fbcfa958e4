//! A thousand alerts at once: how soon they are answered, what is kept of them, and what a kill in the middle loses.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Row;

const ALERTS: usize = 1_000;
const TARGETS: usize = 4;
/// By the default map it waits for a person.
const WAITS: &str = "SandboxConnectorCrashLoopHigh";
/// By the rule below it begins a run.
const DUE: &str = "ControlPlaneConnectorBootstrapFallbackSuspectedHigh";

/// A sandbox that is taken down again.
struct Sandbox {
    recover: PathBuf,
    dir: PathBuf,
}

impl Sandbox {
    fn up(dir: PathBuf) -> Self {
        let sandbox = Self { recover: crate::profile().join("recover"), dir };
        sandbox.command("up");
        sandbox.command("lose-identity");
        // Targets with agents of their own at the same control plane.
        let path = sandbox.dir.join("recover.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let (head, target) = text.split_once("[target.edge-1]").unwrap();
        let others: String = (2..=TARGETS)
            .map(|n| {
                let other = target.replace("default = true\n", "").replace("\"edge-1\"", &format!("\"edge-{n}\""));
                format!("\n[target.edge-{n}]{other}")
            })
            .collect();
        let rule = format!("\n[[serve.alert]]\nname = {DUE:?}\nscenario = \"identity-loss\"\nstart = \"now\"\n");
        std::fs::write(&path, format!("{head}[target.edge-1]{target}{others}{rule}")).unwrap();
        sandbox
    }

    fn command(&self, verb: &str) {
        let output = Command::new(&self.recover).args(["sandbox", verb, "--dir"]).arg(&self.dir).output().unwrap();
        assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn serve(&self) -> Served {
        let mut command = Command::new(&self.recover);
        command.arg("--config").arg(self.dir.join("recover.toml"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--output", "json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        let address = line["url"].as_str().unwrap().trim_start_matches("http://").trim_end_matches('/').to_owned();
        let token = std::fs::read_to_string(line["token_file"].as_str().unwrap()).unwrap().trim().to_owned();
        Served { child, address, token }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        _ = Command::new(&self.recover).args(["sandbox", "down", "--dir"]).arg(&self.dir).output();
    }
}

struct Served {
    child: Child,
    address: String,
    token: String,
}

impl Served {
    fn text(&self, method: &str, path: &str, body: &str) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            self.token,
            body.len()
        )
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(self.text(method, path, body).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(body).unwrap()
    }

    /// What came of each, and how long the answer took.
    fn post(&self, body: &str) -> (Vec<String>, Duration) {
        let begun = Instant::now();
        let told = self.ask("POST", "/alerts", body);
        let took = begun.elapsed();
        let told = told["alerts"].as_array().unwrap().iter();
        (told.map(|one| one["outcome"].as_str().unwrap().to_owned()).collect(), took)
    }

    fn held(&self) -> usize {
        self.ask("GET", "/api/v1/alerts", "")["alerts"].as_array().unwrap().len()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn payload(name: &str, fingerprint: impl Fn(usize) -> String) -> String {
    let alerts: Vec<Value> = (0..ALERTS)
        .map(|n| {
            json!({ "status": "firing", "startsAt": "2026-11-23T03:00:00.123Z", "fingerprint": fingerprint(n),
                "labels": { "alertname": name, "target": format!("edge-{}", n % TARGETS + 1) } })
        })
        .collect();
    json!({ "version": "4", "alerts": alerts }).to_string()
}

pub fn all(dir: &Path) -> Vec<Row> {
    let sandbox = Sandbox::up(dir.join("alerts"));
    let served = sandbox.serve();
    let (told, waits) = served.post(&payload(WAITS, |n| format!("{n:04x}")));
    let all_held = told.iter().all(|outcome| outcome == "held") && served.held() == ALERTS;

    let due = payload(DUE, |n| format!("f{}", n % TARGETS));
    let (told, begins) = served.post(&due);
    let runs = |served: &Served| {
        let told = served.ask("GET", "/api/v1/runs", "");
        let runs = told["runs"].as_array().unwrap().clone();
        let targets: BTreeSet<String> = runs.iter().map(|run| run["target"].as_str().unwrap().to_owned()).collect();
        (runs.len(), targets.len())
    };
    let all_begun = told.iter().all(|outcome| outcome == "begun") && runs(&served) == (TARGETS, TARGETS);

    // Nobody is answered, and Alertmanager sends everything again.
    let mut served = served;
    let other = payload(WAITS, |n| format!("b{n:04x}"));
    let (mut kept, mut begun_once, mut cut) = (Vec::new(), true, 0);
    for after in [5, 20, 60] {
        let other = other.replace("\"b", &format!("\"{after}b"));
        for body in [&other, &due] {
            let text = served.text("POST", "/alerts", body);
            TcpStream::connect(&served.address).unwrap().write_all(text.as_bytes()).unwrap();
        }
        std::thread::sleep(Duration::from_millis(after));
        drop(served);
        let before = std::fs::read_dir(sandbox.dir.join("state/alerts")).unwrap().count();
        served = sandbox.serve();
        served.post(&other);
        served.post(&due);
        begun_once &= runs(&served) == (TARGETS, TARGETS);
        let now = served.held();
        cut += usize::from(before < now);
        kept.push(now);
    }
    let none_lost = kept == [2 * ALERTS, 3 * ALERTS, 4 * ALERTS];
    drop(served);
    vec![
        Row {
            what: "1,000 different alerts at once are kept, and answered",
            measured: format!("{} ms, all kept: {all_held}", waits.as_millis()),
            wanted: "≤ 1 s",
            reached: all_held && waits <= Duration::from_secs(1),
        },
        Row {
            what: "1,000 alerts at once begin 4 due runs once each",
            measured: format!("{} ms, once each: {all_begun}", begins.as_millis()),
            wanted: "≤ 1 s",
            reached: all_begun && begins <= Duration::from_secs(1),
        },
        Row {
            what: "the same, killed after 5, 20 and 60 ms and sent again",
            measured: format!("{kept:?} held, {cut} of 3 cut short, runs once each: {begun_once}"),
            wanted: "none lost",
            reached: none_lost && begun_once,
        },
    ]
}
