//! What waits for a person in `recover serve`: alerts that are dismissed, doubts, and runs that are resumed one by one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::served::Served;
use crate::{code, lines};

const ALERT: &str = "ControlPlaneConnectorBootstrapFallbackSuspectedHigh";

fn firing(fingerprint: &str) -> Value {
    json!({ "version": "4", "alerts": [{
        "status": "firing", "labels": { "alertname": ALERT, "target": "edge-1" }, "startsAt": "2026-11-23T03:00:00.123Z",
        "fingerprint": fingerprint,
    }] })
}

fn outcome(served: &Served, fingerprint: &str) -> Value {
    let reply = served.post("/alerts", &firing(fingerprint));
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["alerts"][0]["outcome"].clone()
}

#[test]
fn an_alert_that_is_dismissed_is_a_record_and_stays_so_however_often_it_is_sent() {
    let sandbox = Sandbox::up();
    let served = Served::start(&sandbox);
    assert_eq!(outcome(&served, "c0ffee"), "held");
    let held = served.get("/api/v1/alerts").json()["alerts"].clone();
    let path = format!("/api/v1/alerts/{}/dismiss", held[0]["id"].as_str().unwrap());
    assert_eq!(served.post(&path, &json!({})).status, 400, "it is journaled, so why");
    let done = served.post(&path, &json!({ "reason": "the connector is being replaced" }));
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(outcome(&served, "c0ffee"), "dismissed", "it goes on firing");
    assert_eq!(outcome(&served, "beef"), "held", "another one is another one");
    drop(served);
    let served = Served::start(&sandbox);
    assert_eq!(outcome(&served, "c0ffee"), "dismissed", "also after a restart");
    assert_eq!(served.get("/api/v1/alerts").json()["alerts"].as_array().unwrap().len(), 1);
    let all = lines(&sandbox.recover(&["journal", "notes", "--output", "json"]));
    let note = all.iter().find(|line| line["kind"] == "dismissed").unwrap_or_else(|| panic!("{all:?}"));
    assert_eq!(note["reason"], "the connector is being replaced");
    assert_eq!(note["data"]["alert"], ALERT);
    assert!(note["actor"]["via"].as_str().unwrap().starts_with("http, approve from 127.0.0.1"), "{note}");
    assert_eq!(code(&sandbox.recover(&["verify", "--all"])), 0);
}

#[test]
fn what_is_open_is_resumed_one_by_one() {
    let sandbox = Sandbox::up();
    // A second target with an agent of its own at the same control plane.
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let (head, target) = text.split_once("[target.edge-1]").unwrap();
    let second = target.replace("default = true\n", "").replace("\"edge-1\"", "\"edge-2\"");
    std::fs::write(sandbox.config(), format!("{head}[target.edge-1]{target}\n[target.edge-2]{second}")).unwrap();
    sandbox.lose(false);
    // Both stop at their first look, which takes long.
    sandbox.command(&["fault", "delay=3000", "--on", "status", "--times", "40"]);
    for (number, target) in ["edge-1", "edge-2"].into_iter().enumerate() {
        let mut child = sandbox.recovering(&["--scenario", "identity-loss", "--target", target]).spawn().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while lines(&sandbox.recover(&["list", "--output", "json"])).len() <= number {
            assert!(Instant::now() < until, "{target} is not begun");
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let served = Served::start(&sandbox);
    let executing = || {
        let metrics = served.get("/metrics").body;
        let line = metrics.lines().find_map(|line| line.strip_prefix("recover_runs_executing ")).unwrap().to_owned();
        line.parse::<u32>().unwrap()
    };
    let until = Instant::now() + Duration::from_secs(90);
    let mut most = 0;
    loop {
        let runs = served.runs();
        assert_eq!(runs.len(), 2, "{runs:?}");
        most = most.max(executing());
        if runs.iter().all(|run| run["status"] == "closed") {
            break;
        }
        assert!(Instant::now() < until, "{runs:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(most, 1, "one at a time");
}

#[test]
fn a_doubt_is_told_and_a_person_s_word_on_it_taken() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    // Killed while it pairs; and then nobody is there to ask what came of it.
    sandbox.command(&["fault", "delay=20000", "--on", "pair"]);
    let mut child = sandbox.recovering(&["--scenario", "identity-loss", "--target", "edge-1"]).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !String::from_utf8_lossy(&sandbox.recover(&["events"]).stdout).contains("pair …") {
        assert!(Instant::now() < until, "it does not pair");
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let text = std::fs::read_to_string(sandbox.dir().join("run/control-plane.pid")).unwrap();
    let pid = serde_json::from_str::<Value>(&text).unwrap()["pid"].as_i64().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();

    let served = Served::start(&sandbox);
    let run = served.runs()[0]["run"].as_str().unwrap().to_owned();
    let told = served.until(&run, "in-doubt");
    assert_eq!(told["status"]["doubt"]["step"], "pair", "{}", told["status"]);
    assert!(!told["status"]["doubt"]["why"].as_str().unwrap().is_empty());
    let path = format!("/api/v1/runs/{run}/resolve");
    let word = json!({ "step": "pair", "happened": false, "reason": "its ledger says that nothing came" });
    assert_eq!(served.post(&path, &json!({ "step": "pair", "happened": false })).status, 400, "why?");
    let said = served.post(&path, &word);
    assert_eq!(said.status, 200, "{}", said.body);
    let events = lines(&sandbox.recover(&["events", &run, "--output", "json"]));
    let resolved = events.iter().find(|event| event["kind"] == "resolved").unwrap_or_else(|| panic!("{events:?}"));
    assert_eq!(resolved["reason"], "its ledger says that nothing came");
}
