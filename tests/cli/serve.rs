//! `recover serve`: alerts become runs once, questions are answered over HTTP, and a kill loses nothing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::served::Served;
use crate::{code, stderr};

const ALERT: &str = "ControlPlaneConnectorBootstrapFallbackSuspectedHigh";

/// As Alertmanager 0.25 sends it.
fn webhook(alerts: &[Value]) -> Value {
    json!({
        "receiver": "recover", "status": "firing", "alerts": alerts, "groupLabels": { "alertname": ALERT },
        "commonLabels": { "alertname": ALERT }, "commonAnnotations": {}, "externalURL": "http://alertmanager.example:9093",
        "version": "4", "groupKey": "{}:{alertname=\"x\"}", "truncatedAlerts": 0,
    })
}

fn firing(name: &str, target: &str, fingerprint: &str) -> Value {
    json!({
        "status": "firing", "labels": { "alertname": name, "target": target, "severity": "critical" },
        "annotations": { "summary": "the connector fell back to bootstrap" }, "startsAt": "2026-11-23T03:00:00.123Z",
        "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus.example/graph", "fingerprint": fingerprint,
    })
}

/// The sandbox with a lost identity, and this in its configuration.
fn lost(ask: bool, serve: &str) -> Sandbox {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let text = if ask { text.replace("reprovision = \"allow\"", "reprovision = \"ask\"") } else { text };
    std::fs::write(sandbox.config(), format!("{text}\n{serve}\n")).unwrap();
    sandbox
}

fn at_once() -> String {
    format!("[[serve.alert]]\nname = \"{ALERT}\"\nscenario = \"identity-loss\"\nstart = \"now\"")
}

#[test]
fn an_alert_that_is_held_is_begun_by_a_person_and_its_question_answered() {
    let sandbox = lost(true, "");
    let served = Served::start(&sandbox);
    for _ in 0..2 {
        let reply = served.post("/alerts", &webhook(&[firing(ALERT, "edge-1", "c0ffee")]));
        assert_eq!(
            (reply.status, reply.json()["alerts"][0]["outcome"].clone()),
            (200, json!("held")),
            "{}",
            reply.body
        );
    }
    let held = served.get("/api/v1/alerts").json()["alerts"].clone();
    assert_eq!(held.as_array().unwrap().len(), 1, "twice is once");
    assert!(served.runs().is_empty(), "nothing is begun by itself");

    let id = held[0]["id"].as_str().unwrap();
    let begun = served.post(&format!("/api/v1/alerts/{id}/start"), &json!({}));
    assert_eq!(begun.status, 200, "{}", begun.body);
    let run = begun.json()["run"].as_str().unwrap().to_owned();
    let told = served.until(&run, "operator-needed");
    assert!(served.get("/api/v1/alerts").json()["alerts"].as_array().unwrap().is_empty());
    let question = told["status"]["question"]["id"].clone();
    let answer = |body: Value| served.post(&format!("/api/v1/runs/{run}/approve"), &body);
    assert_eq!(answer(json!({ "question": question, "choice": "approve" })).status, 400, "no reason");
    assert_eq!(answer(json!({ "question": "q999", "reason": "it is lost" })).status, 409, "another question");
    let approved = answer(json!({ "question": question, "reason": "it is lost, I looked" }));
    assert_eq!(approved.status, 200, "{}", approved.body);
    let told = served.until(&run, "closed");
    assert!(told["status"]["why"].as_str().unwrap().starts_with("recovered"), "{}", told["status"]);
    assert_eq!(sandbox.ledger()["pairs"], 1);
    // The alert goes on firing: it is the same request.
    let again = served.post("/alerts", &webhook(&[firing(ALERT, "edge-1", "c0ffee")]));
    assert_eq!(again.json()["alerts"][0]["run"], run.as_str(), "{}", again.body);
    // Who answered is in the record, and by what means.
    let report = served.get(&format!("/api/v1/runs/{run}/report"));
    assert!(report.body.contains("it is lost, I looked"));
    let out = std::str::from_utf8(&sandbox.recover(&["verify", "--all"]).stdout).unwrap().to_owned();
    assert!(!out.is_empty());
    let metrics = served.get("/metrics").body;
    for line in [
        "recover_alerts_total{outcome=\"held\"} 2",
        "recover_runs_closed_total{verdict=\"recovered\"} 1",
        "recover_runs_open 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[test]
fn serve_that_is_killed_in_the_middle_of_an_alert_loses_and_repeats_nothing() {
    for after_ms in [0, 20, 60, 150, 400] {
        let sandbox = lost(false, &at_once());
        let mut served = Served::start(&sandbox);
        let body = webhook(&[firing(ALERT, "edge-1", "c0ffee")]).to_string();
        let head = format!(
            "POST /alerts HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            served.address,
            served.token,
            body.len()
        );
        TcpStream::connect(&served.address).unwrap().write_all(head.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(after_ms));
        served.kill();
        // Nobody answered, so Alertmanager sends it again.
        let served = Served::start(&sandbox);
        let reply = served.post("/alerts", &webhook(&[firing(ALERT, "edge-1", "c0ffee")]));
        assert_eq!(reply.status, 200, "after {after_ms} ms: {}", reply.body);
        let runs = served.runs();
        assert_eq!(runs.len(), 1, "after {after_ms} ms: {runs:?}");
        let run = runs[0]["run"].as_str().unwrap();
        served.until(run, "closed");
        let ledger = sandbox.ledger();
        assert_eq!((&ledger["pairs"], &ledger["live_tokens"]), (&json!(1), &json!(0)), "after {after_ms} ms");
    }
}

#[test]
fn whoever_has_no_right_is_not_heard() {
    let sandbox = lost(true, "[serve.tokens]\nview = \"file:/VIEW\"\noperate = \"file:/OPERATE\"");
    let secret = |name: &str, token: &str| {
        let path = sandbox.dir().join(name);
        std::fs::write(&path, token).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let text = text
        .replace("/VIEW", &secret("view", "view-view-view-view"))
        .replace("/OPERATE", &secret("operate", "operate-operate-1"));
    std::fs::write(sandbox.config(), text).unwrap();
    let served = Served::start(&sandbox);
    let as_role = |token: &str, method: &str, path: &str, body: &str| {
        served.with(method, path, &[("Authorization", &format!("Bearer {token}"))], body).status
    };
    let run =
        served.post("/api/v1/runs", &json!({ "scenario": "identity-loss", "target": "edge-1" })).json()["run"].clone();
    let run = run.as_str().unwrap();
    let told = served.until(run, "operator-needed");
    let approve = json!({ "question": told["status"]["question"]["id"], "reason": "x" }).to_string();
    let path = format!("/api/v1/runs/{run}/approve");
    for (token, method, path, body, status) in [
        ("", "GET", "/api/v1/runs", "", 401),
        ("guess-guess-guess", "GET", "/api/v1/runs", "", 401),
        ("view-view-view-view", "GET", "/api/v1/runs", "", 200),
        ("view-view-view-view", "POST", "/alerts", "{}", 403),
        ("view-view-view-view", "POST", "/api/v1/runs", "{}", 403),
        ("operate-operate-1", "POST", "/api/v1/runs", "{}", 422),
        ("operate-operate-1", "POST", path.as_str(), approve.as_str(), 403),
        ("operate-operate-1", "POST", "/alerts", "{\"version\":\"3\",\"alerts\":[]}", 400),
    ] {
        assert_eq!(as_role(token, method, path, body), status, "{token} {method} {path}");
    }
    let host = |host: &str| served.with("GET", "/healthz", &[("Host", host)], "").status;
    assert_eq!((host(&served.address), host("evil.example")), (200, 421), "a page under a name of its own");
    let bearer = format!("Bearer {}", served.token);
    let origin = |origin: &str| {
        served.with("POST", "/api/v1/runs", &[("Authorization", &bearer), ("Origin", origin)], "{}").status
    };
    assert_eq!((origin(&format!("http://{}", served.address)), origin("http://evil.example")), (422, 403));
    let long = served.with("POST", "/alerts", &[("Authorization", &bearer)], &"x".repeat(10 << 20));
    assert_eq!(long.status, 413, "{}", long.head);

    // A session of the page acts only where the page says that it means to.
    let signed = served.with("POST", "/session", &[], &json!({ "token": served.token }).to_string());
    let cookie = signed.head.lines().find_map(|line| line.split_once("et-cookie: ")).unwrap().1;
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(served.with("GET", "/api/v1/runs", &[("Cookie", cookie)], "").status, 200);
    assert_eq!(served.with("POST", &path, &[("Cookie", cookie)], &approve).status, 403);
    assert_eq!(served.with("POST", &path, &[("Cookie", cookie), ("x-recover", "1")], &approve).status, 200);
    served.until(run, "closed");

    let page = served.with("GET", "/", &[], "");
    assert!(page.head.contains("default-src 'none'") && page.head.contains("nosniff"), "{}", page.head);
    assert!(
        !page.body.contains("<script>") && !page.body.contains("style=") && !page.body.contains("onclick"),
        "nothing inline"
    );
}

#[test]
fn elsewhere_than_on_loopback_it_needs_tls() {
    let sandbox = Sandbox::up();
    let refused = sandbox.recover(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(code(&refused), 64);
    assert!(stderr(&refused).contains("no TLS"), "{}", stderr(&refused));
}

#[test]
fn every_record_is_heard_while_it_happens_and_after_a_gap() {
    let sandbox = lost(true, "");
    let served = Served::start(&sandbox);
    let begun = served.post("/api/v1/runs", &json!({ "scenario": "identity-loss", "target": "edge-1" }));
    assert_eq!(begun.status, 202, "{}", begun.body);
    let run = begun.json()["run"].as_str().unwrap().to_owned();
    let listen = |after: &str| {
        let mut stream = TcpStream::connect(&served.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let head = format!(
            "GET /api/v1/runs/{run}/events HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n{after}\r\n",
            served.address, served.token
        );
        stream.write_all(head.as_bytes()).unwrap();
        BufReader::new(stream)
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("data: ").map(|data| serde_json::from_str::<Value>(data).unwrap()))
    };
    let mut heard = listen("");
    let told = served.until(&run, "operator-needed");
    let question = told["status"]["question"]["id"].clone();
    served.post(&format!("/api/v1/runs/{run}/approve"), &json!({ "question": question, "reason": "it is lost" }));
    let mut seqs = Vec::new();
    for record in heard.by_ref() {
        seqs.push(record["seq"].as_u64().unwrap());
        if record["kind"] == "closed" {
            break;
        }
    }
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "each once and in order");
    let after: Vec<u64> =
        listen("Last-Event-ID: 5\r\n").take(seqs.len() - 5).map(|record| record["seq"].as_u64().unwrap()).collect();
    assert_eq!(after, (6..=seqs.len() as u64).collect::<Vec<_>>(), "from there on");
}

#[test]
fn commands_are_clients_of_it_and_what_was_open_is_resumed() {
    let sandbox = lost(true, "");
    let stopped = sandbox.recover(&["--scenario", "identity-loss", "--target", "edge-1"]);
    assert_eq!(code(&stopped), 4, "{}", stderr(&stopped));
    let mut served = Served::start(&sandbox);
    let run = served.runs()[0]["run"].as_str().unwrap().to_owned();
    let until = Instant::now() + Duration::from_secs(10);
    while !served.get("/metrics").body.contains("recover_runs_executing 1") {
        assert!(Instant::now() < until, "it is not resumed");
        std::thread::sleep(Duration::from_millis(20));
    }
    let approved = sandbox.recover(&["approve", &run, "--reason", "at the terminal"]);
    assert_eq!(code(&approved), 0, "{}", stderr(&approved));
    served.until(&run, "closed");
    assert_eq!(sandbox.ledger()["pairs"], 1);
    served.signal();
    assert_eq!(served.child.wait().unwrap().code(), Some(0), "a stop that was asked for is no failure");
    let mut rest = String::new();
    served.out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "stdout carries data only");
}

#[test]
fn what_is_rehearsed_by_itself_can_be_watched() {
    let sandbox = Sandbox::up();
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    std::fs::write(sandbox.config(), format!("{text}\n[serve]\nrehearse_every = \"1h\"\n")).unwrap();
    let before = sandbox.ledger();
    let served = Served::start(&sandbox);
    let until = Instant::now() + Duration::from_secs(30);
    while !served.get("/metrics").body.contains("\nrecover_ready 1\n") {
        assert!(Instant::now() < until, "{}", served.get("/metrics").body);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(served.get("/metrics").body.contains("recover_rehearsal_age_seconds "));
    for effect in ["mints", "pairs", "revokes", "starts"] {
        assert_eq!(sandbox.ledger()[effect], before[effect], "{effect}: a rehearsal did something");
    }
}

/// Each in the time of one, in the end: 1,000 alerts at once, of which five hundred are one, and none is lost to a kill.
#[test]
fn a_thousand_alerts_at_once_are_kept_each_once() {
    let sandbox = lost(true, "");
    let mut served = Served::start(&sandbox);
    let alerts: Vec<Value> = (0..1_000).map(|n| firing(ALERT, "edge-1", &format!("{:04x}", n / 2))).collect();
    let body = webhook(&alerts);
    let begun = Instant::now();
    let reply = served.post("/alerts", &body);
    let took = begun.elapsed();
    assert_eq!(reply.status, 200, "{}", reply.head);
    let held = |served: &Served| served.get("/api/v1/alerts").json()["alerts"].as_array().unwrap().len();
    assert_eq!(held(&served), 500);
    // And in the middle of it: what was not answered is sent again, and is there once.
    let other: Vec<Value> = (0..1_000).map(|n| firing(ALERT, "edge-1", &format!("b{:04x}", n / 2))).collect();
    let (other, address) = (webhook(&other), served.address.clone());
    let head = format!(
        "POST /alerts HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{other}",
        served.token,
        other.to_string().len()
    );
    TcpStream::connect(&address).unwrap().write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(60));
    served.kill();
    let mut served = Served::start(&sandbox);
    let part = held(&served);
    assert!(part >= 500, "{part}");
    assert_eq!(served.post("/alerts", &other).status, 200);
    assert_eq!(held(&served), 1_000);
    println!("serve: 1,000 alerts at once were answered in {} ms", took.as_millis());
    served.kill();
    let served = Served::start(&sandbox);
    assert_eq!(held(&served), 1_000, "what was answered is there");
}

#[test]
fn the_interface_is_described_as_it_is() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/serve/openapi.json")).unwrap();
    let described: Value = serde_json::from_str(&text).unwrap();
    let code = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/serve/api.rs")).unwrap();
    let routes = code.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")?.split_once("\","));
    let mut seen = Vec::new();
    for (path, how) in routes {
        let in_api = code.find(&format!("\"{path}\", {}", how.trim())).unwrap()
            < code.find("    Router::new()\n        .route(\"/\"").unwrap();
        let path = if in_api { format!("/api/v1{path}") } else { path.to_owned() };
        for method in ["get", "post", "delete"] {
            let has = how.contains(&format!("{method}("));
            assert_eq!(described["paths"][&path].get(method).is_some(), has, "{method} {path}");
        }
        seen.push(path);
    }
    assert_eq!(described["paths"].as_object().unwrap().len(), seen.len());
}
