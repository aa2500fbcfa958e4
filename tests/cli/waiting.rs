//! What waits for a person in `recover serve`: alerts that are dismissed, doubts, and runs that are resumed one by one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::served::Served;
use crate::{code, lines, result, stderr};

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

/// Configured so that the replacement is asked for, and nobody is waited for longer than this.
fn asks(sandbox: &Sandbox, within: &str) {
    sandbox.lose(false);
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let asks = format!("reprovision = \"ask\"\nanswer_within = {within:?}");
    std::fs::write(sandbox.config(), text.replace("reprovision = \"allow\"", &asks)).unwrap();
}

/// Whether the run ended as it does where nobody answers, and nothing was done.
fn is_expired(sandbox: &Sandbox, run: &str) -> bool {
    let events = lines(&sandbox.recover(&["events", run, "--output", "json"]));
    let expired =
        events.iter().filter(|event| event["label"].as_str().is_some_and(|label| label.ends_with(":expired"))).count();
    let closed = events.iter().find(|event| event["kind"] == "closed").unwrap_or_else(|| panic!("{events:?}"));
    assert_eq!(closed["verdict"], "given-up", "{closed}");
    assert_eq!(closed["reason"], "replacing the identity was not approved", "{closed}");
    let ledger = sandbox.ledger();
    assert_eq!((&ledger["mints"], &ledger["pairs"], &ledger["revokes"]), (&json!(0), &json!(0), &json!(0)), "{ledger}");
    expired == 1
}

#[test]
fn a_deadline_that_passes_while_it_is_served_has_its_consequence() {
    let sandbox = Sandbox::up();
    asks(&sandbox, "4s");
    let served = Served::start(&sandbox);
    let run = served.begin();
    let asked = served.until(&run, "operator-needed");
    assert!(asked.to_string().contains("nothing has been changed"), "what will come of it is said: {asked}");
    served.until(&run, "closed");
    assert!(is_expired(&sandbox, &run));
    let late = sandbox.recover(&["approve", &run, "--reason", "too late"]);
    assert_ne!(code(&late), 0, "a word that comes too late is not taken");
}

#[test]
fn a_deadline_that_passed_while_nobody_served_has_its_consequence_as_soon_as_somebody_does() {
    let sandbox = Sandbox::up();
    asks(&sandbox, "3s");
    let stopped = sandbox.recover(&["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"]);
    let line = result(&stopped);
    assert_eq!((code(&stopped), &line["verdict"]), (4, &json!("operator-needed")), "{line}");
    let run = line["run"].as_str().unwrap();
    std::thread::sleep(Duration::from_millis(3_500));
    let open = lines(&sandbox.recover(&["list", "--output", "json"]));
    assert_ne!(open[0]["status"], "closed", "nobody was there to do it: {open:?}");
    let served = Served::start(&sandbox);
    served.until(run, "closed");
    assert!(is_expired(&sandbox, run));
}

#[test]
fn a_cancel_is_confirmed_once_everything_is_as_it_was_found() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    sandbox.asks();
    let served = Served::start(&sandbox);
    let run = served.begin();
    served.until(&run, "operator-needed");
    // Another process executes it; the command waits for what comes of it all the same.
    let cancelled = sandbox.recover(&["cancel", &run, "--reason", "the wrong one", "--output", "json"]);
    assert_eq!(code(&cancelled), 2, "{}", stderr(&cancelled));
    let line = result(&cancelled);
    assert_eq!((&line["verdict"], &line["cancel"]), (&json!("cancelled"), &json!("confirmed")), "{line}");
    let shown = sandbox.recover(&["show", &run]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("cancel confirmed"), "{}", stderr(&shown));
    assert_eq!(sandbox.ledger()["pairs"], 0);
}

#[test]
fn what_is_found_done_is_adopted_with_who_resumed() {
    // On a busy machine the kill may come too late.
    assert!((0..5).any(|_| is_adopted()), "it was never killed between the pairing and its record");
}

/// Whether a run was killed while its connector paired; then what is found is adopted.
fn is_adopted() -> bool {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    // The connector pairs, and whoever waited to see it is gone by then.
    sandbox.command(&["fault", "delay=1800", "--on", "pair"]);
    let mut child = sandbox.recovering(&["--scenario", "identity-loss", "--target", "edge-1"]).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let soon = |what: &str, is: &dyn Fn() -> bool| {
        while !is() {
            assert!(Instant::now() < until, "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    soon("it does not pair", &|| sandbox.ledger()["pairs"] == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    soon("the connector keeps nothing", &|| sandbox.has_identity());
    let resumed = sandbox.recover(&["resume", "--output", "json"]);
    assert_eq!(sandbox.ledger()["pairs"], 1);
    if result(&resumed)["verdict"] != "recovered" {
        return false;
    }
    let run = result(&resumed)["run"].as_str().unwrap().to_owned();
    let events = lines(&sandbox.recover(&["events", &run, "--output", "json"]));
    let paired = events.iter().find(|event| event["label"] == "pair:paired").unwrap();
    if paired["probed"] != true {
        return false;
    }
    let report = sandbox.recover(&["report", &run, "--markdown"]);
    let text = String::from_utf8(report.stdout).unwrap();
    assert!(text.contains("paired, adopted: a probe found it done"), "{text}");
    true
}

/// What is due is begun once, however often and wherever in between it is killed.
#[test]
fn a_thousand_alerts_at_once_begin_each_due_run_once() {
    const TARGETS: usize = 4;
    let sandbox = Sandbox::up();
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let (head, target) = text.split_once("[target.edge-1]").unwrap();
    let mut text = format!("{head}[target.edge-1]{target}");
    for n in 2..=TARGETS {
        let other = target.replace("default = true\n", "").replace("\"edge-1\"", &format!("\"edge-{n}\""));
        text.push_str(&format!("\n[target.edge-{n}]{other}"));
    }
    let rule = format!("\n[[serve.alert]]\nname = {ALERT:?}\nscenario = \"identity-loss\"\nstart = \"now\"\n");
    std::fs::write(sandbox.config(), text + &rule).unwrap();
    sandbox.lose(false);
    let alerts: Vec<Value> = (0..1_000)
        .map(|n| {
            let mut alert = firing(&format!("f{}", n % TARGETS))["alerts"][0].clone();
            alert["labels"]["target"] = json!(format!("edge-{}", n % TARGETS + 1));
            alert
        })
        .collect();
    let body = json!({ "version": "4", "alerts": alerts });
    let mut served = Served::start(&sandbox);
    // In the middle of it: nobody is answered, and everything is sent again.
    let head = format!(
        "POST /alerts HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
        served.address,
        served.token,
        body.to_string().len()
    );
    std::io::Write::write_all(&mut std::net::TcpStream::connect(&served.address).unwrap(), head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(150));
    served.kill();
    let served = Served::start(&sandbox);
    let begun = Instant::now();
    let reply = served.post("/alerts", &body);
    println!("serve: 1,000 alerts that begin runs were answered in {} ms", begun.elapsed().as_millis());
    assert_eq!(reply.status, 200, "{}", reply.body);
    let outcomes = reply.json()["alerts"].clone();
    assert!(outcomes.as_array().unwrap().iter().all(|told| told["outcome"] == "begun"), "{outcomes}");
    let runs = served.runs();
    let mut targets: Vec<&str> = runs.iter().map(|run| run["target"].as_str().unwrap()).collect();
    targets.sort_unstable();
    assert_eq!(targets, ["edge-1", "edge-2", "edge-3", "edge-4"], "{runs:?}");
}

#[test]
fn a_run_that_nothing_comes_of_is_told_as_stuck_once() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let told = sandbox.dir().join("told");
    let hook = sandbox.dir().join("hook");
    std::fs::write(&hook, format!("#!/bin/sh\ncat >> {told:?}; echo >> {told:?}\n")).unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let more = format!(
        "\n[serve]\nresume = \"held\"\nstuck_after = \"1s\"\n\n[[hook]]\nname = \"pager\"\ncommand = [{hook:?}]\non = [\"stuck\"]\n"
    );
    std::fs::write(sandbox.config(), text + &more).unwrap();
    sandbox.command(&["fault", "delay=9000", "--on", "status"]);
    let mut child = sandbox.recovering(&["--scenario", "identity-loss", "--target", "edge-1"]).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while lines(&sandbox.recover(&["list", "--output", "json"])).is_empty() {
        assert!(Instant::now() < until, "it is not begun");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let served = Served::start(&sandbox);
    let run = served.runs()[0]["run"].as_str().unwrap().to_owned();
    let heard = || std::fs::read_to_string(&told).unwrap_or_default();
    while heard().is_empty() {
        assert!(Instant::now() < until, "nobody is told");
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(11));
    let heard: Vec<Value> = heard().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(heard.len(), 1, "once, though it is looked at again: {heard:?}");
    assert!(heard[0].to_string().contains(&run) && heard[0].to_string().contains("stuck"), "{heard:?}");
}

#[test]
fn a_baseline_is_recorded_beside_an_owner_that_serves() {
    let sandbox = Sandbox::up();
    let served = Served::start(&sandbox);
    let recorded = sandbox.recover(&["baseline", "record", "--target", "edge-1", "--yes", "--reason", "as installed"]);
    assert_eq!(code(&recorded), 0, "{}", stderr(&recorded));
    assert!(String::from_utf8_lossy(&recorded.stdout).contains("recorded: "), "{recorded:?}");
    let shown = sandbox.recover(&["baseline", "show", "--target", "edge-1", "--output", "json"]);
    let line: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(line["reason"], "as installed");
    assert!(served.get("/readyz").status == 200 && line["actor"]["uid"].is_number(), "{line}");
}
