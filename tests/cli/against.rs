//! A run beside the other side's own account of it: where they agree, and each way in which they do not.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::{assert_error, code, result, stderr};

fn run(sandbox: &Sandbox) -> String {
    let output = sandbox.recover(&["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"]);
    assert_eq!(result(&output)["verdict"], "recovered", "{}", stderr(&output));
    result(&output)["run"].as_str().unwrap().to_owned()
}

fn file(sandbox: &Sandbox, value: &Value) -> PathBuf {
    let path = sandbox.dir().join("theirs.json");
    std::fs::write(&path, value.to_string()).unwrap();
    path
}

fn compare(sandbox: &Sandbox, run: &str, theirs: &Value) -> (i32, Value) {
    let path = file(sandbox, theirs);
    let output = sandbox.recover(&["verify", run, "--output", "json", "--against", path.to_str().unwrap()]);
    let line: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
    assert_eq!((line["ok"] == true, line["exit"].as_i64()), (code(&output) == 0, output.status.code().map(i64::from)));
    (code(&output), line["compared"].clone())
}

/// The control plane's audit, asked for as anybody would.
fn audit(sandbox: &Sandbox) -> Value {
    let config = std::fs::read_to_string(sandbox.config()).unwrap();
    let host = config.split("base = \"http://").nth(1).unwrap().split('"').next().unwrap();
    let credential = std::fs::read_to_string(sandbox.dir().join("credential")).unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let request = format!(
        "GET /v1/connectors/edge-1/audit HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\nconnection: close\r\n\r\n",
        credential.trim()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    serde_json::from_str(reply.split_once("\r\n\r\n").unwrap().1).unwrap_or_else(|e| panic!("{e}: {reply}"))
}

fn count(compared: &Value, list: &str) -> usize {
    compared[list].as_array().unwrap().len()
}

#[test]
fn both_sides_agree_and_what_is_missing_on_either_is_named() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let run = run(&sandbox);
    let ledger = sandbox.ledger();
    let (exit, agreed) = compare(&sandbox, &run, &ledger);
    assert_eq!((exit, agreed["agreed"].as_u64() >= Some(2)), (0, true), "{agreed:#}");
    let (exit, by_audit) = compare(&sandbox, &run, &audit(&sandbox));
    assert_eq!((exit, &by_audit["agreed"]), (0, &agreed["agreed"]), "{by_audit:#}");

    let calls = ledger["calls"].as_array().unwrap();
    let without = |effect: &str| json!({ "calls": calls.iter().filter(|c| c["effect"] != effect).collect::<Vec<_>>() });
    for (effect, says) in [("minted", "was minted"), ("paired", "was paired")] {
        let (exit, missing) = compare(&sandbox, &run, &without(effect));
        assert_eq!((exit, count(&missing, "records_without_effect")), (4, 1), "{missing:#}");
        assert!(missing["records_without_effect"][0].as_str().unwrap().contains(says), "{missing:#}");
    }
    // Somebody else minted and paired in the middle of it.
    for effect in ["minted", "paired"] {
        let mut more = calls.clone();
        let mut other = calls.iter().find(|call| call["effect"] == effect).unwrap().clone();
        for name in ["accessor", "label", "serial"] {
            other[name] = json!("another");
        }
        more.push(other);
        let (exit, extra) = compare(&sandbox, &run, &json!({ "calls": more }));
        assert_eq!((exit, count(&extra, "effects_without_record")), (4, 1), "{extra:#}");
    }
    let path = file(&sandbox, &without("paired"));
    let told = sandbox.recover(&["verify", &run, "--against", path.to_str().unwrap()]);
    assert_error(&told, "RCV0049", 4);
    assert!(String::from_utf8_lossy(&told.stdout).contains("no effect  record "), "{}", stderr(&told));
    // A bundle is as good as the journal, and a file that is none is refused.
    let bundle = sandbox.dir().join("case.json");
    assert_eq!(code(&sandbox.recover(&["export", &run, "--out", bundle.to_str().unwrap()])), 0);
    assert_eq!(compare(&sandbox, bundle.to_str().unwrap(), &ledger).0, 0);
    std::fs::write(&path, "no log").unwrap();
    assert_error(&sandbox.recover(&["verify", &run, "--against", path.to_str().unwrap()]), "RCV0002", 64);
    assert_error(&sandbox.recover(&["verify", &run, "--against", "/nowhere"]), "RCV0002", 64);
}

#[test]
fn a_mint_whose_reply_was_lost_is_explained() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    sandbox.command(&["fault", "drop-reply", "--on", "mint"]);
    let run = run(&sandbox);
    let ledger = sandbox.ledger();
    assert_eq!(ledger["mints"], 2);
    let (exit, compared) = compare(&sandbox, &run, &ledger);
    assert_eq!((exit, count(&compared, "explained")), (0, 1), "{compared:#}");
    let audit = audit(&sandbox);
    let (exit, compared) = compare(&sandbox, &run, &audit);
    assert_eq!((exit, count(&compared, "explained")), (0, 1), "{compared:#} {audit:#} {ledger:#}");
}

/// When a step of the run was done: its intent's time.
fn when(sandbox: &Sandbox, run: &str, step: &str) -> String {
    let events = crate::lines(&sandbox.recover(&["events", run, "--output", "json"]));
    let intent = events.iter().find(|event| event["kind"] == "intent" && event["step"] == step);
    intent.unwrap_or_else(|| panic!("no {step}"))["at"].as_str().unwrap().to_owned()
}

fn verify(sandbox: &Sandbox, run: &str, text: &str, more: &[&str]) -> (i32, Value) {
    let path = sandbox.dir().join("audit.log");
    std::fs::write(&path, text).unwrap();
    let words = [&["verify", run, "--output", "json", "--against", path.to_str().unwrap()], more].concat();
    let output = sandbox.recover(&words);
    let line: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
    (code(&output), line["compared"].clone())
}

/// As kube-apiserver's log backend writes it.
fn event(id: &str, stage: &str, user: &str, at: &str, verb: &str, uri: &str, code: u16) -> String {
    json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": id, "stage": stage, "requestURI": uri, "verb": verb,
        "user": { "username": user, "groups": ["system:authenticated"] }, "sourceIPs": ["10.0.0.7"], "userAgent": "recover/0.1",
        "objectRef": { "resource": "deployments", "namespace": "edge", "name": "connector", "apiGroup": "apps", "apiVersion": "v1" },
        "responseStatus": { "metadata": {}, "code": code }, "requestReceivedTimestamp": at, "stageTimestamp": at,
        "annotations": { "authorization.k8s.io/decision": "allow" },
    })
    .to_string()
}

const WE: &str = "system:serviceaccount:ops:recover";
const SCALE: &str = "/apis/apps/v1/namespaces/edge/deployments/connector/scale?fieldManager=recover";

#[test]
fn the_audit_log_of_a_kubernetes_api_server_is_compared_both_ways() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let run = run(&sandbox);
    let done = |step: &str, id: &str| {
        let at = when(&sandbox, &run, step);
        let stage = |stage, code| event(id, stage, WE, &at, "patch", SCALE, code);
        [stage("RequestReceived", 0), stage("ResponseComplete", 200)].join("\n")
    };
    let watch =
        event("w", "ResponseStarted", WE, &when(&sandbox, &run, "pair"), "watch", "/api/v1/pods?watch=true", 200);
    let all = [watch.clone(), done("stop", "1"), done("pair", "2"), done("restart", "3")].join("\n");
    let ours = &["--actor", WE, "--acts", "stop"];
    let (exit, compared) = verify(&sandbox, &run, &all, ours);
    assert_eq!((exit, &compared["agreed"]), (0, &json!(3)), "{compared:#}");

    // A stop that the server knows nothing of; without being told, nobody knows that a stop acts there each time.
    let without = [watch, done("pair", "2"), done("restart", "3")].join("\n");
    let (exit, compared) = verify(&sandbox, &run, &without, ours);
    let missing = compared["records_without_effect"].to_string();
    assert!(
        exit == 4 && count(&compared, "records_without_effect") == 1 && missing.contains("stop was done"),
        "{compared:#}"
    );
    assert_eq!(verify(&sandbox, &run, &without, &["--actor", WE]).0, 0);

    let look = when(&sandbox, &run, "observe");
    let claim = "/api/v1/namespaces/edge/persistentvolumeclaims/data";
    // What was refused changed nothing, what a controller does follows from it, and another path is not meant.
    let refused = event("5", "ResponseComplete", WE, &look, "delete", claim, 403);
    let follows = event(
        "6",
        "ResponseComplete",
        "system:serviceaccount:kube-system:replicaset-controller",
        &look,
        "create",
        "/api/v1/namespaces/edge/pods",
        201,
    );
    let (exit, compared) = verify(&sandbox, &run, &format!("{all}\n{refused}\n{follows}"), &["--path", "/apis/apps/"]);
    assert_eq!((exit, &compared["beside"]), (0, &json!(2)), "{compared:#}");
    let output = sandbox.recover(&["verify", &run, "--actor", WE]);
    assert_eq!(code(&output), 64, "who is meant says nothing without a log");
}

#[test]
fn the_log_of_openbao_s_audit_device_is_compared() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let run = run(&sandbox);
    // As a device of the kind `file` writes it; what is secret in it is an HMAC of the device's.
    let line = |kind: &str, id: &str, at: &str, operation: &str, path: &str, error: &str| {
        json!({
            "time": at, "type": kind, "error": error,
            "auth": {
                "accessor": "hmac-sha256:5f1c", "client_token": "hmac-sha256:9d02", "display_name": "approle", "entity_id": "0aa1-7c",
                "policies": ["default", "recover"], "token_policies": ["default", "recover"], "token_type": "service", "token_ttl": 3600,
            },
            "request": {
                "id": id, "client_id": "x", "client_token": "hmac-sha256:9d02", "client_token_accessor": "hmac-sha256:5f1c",
                "operation": operation, "mount_point": "transit/", "mount_type": "transit", "mount_class": "secret", "path": path,
                "namespace": { "id": "root" }, "remote_address": "10.0.0.7", "remote_port": 40_000,
                "data": { "min_decryption_version": 1 },
            },
            "response": if kind == "response" { json!({ "mount_type": "transit" }) } else { Value::Null },
        })
        .to_string()
    };
    let at = when(&sandbox, &run, "pair");
    let change = |id: &str, at: &str| {
        let path = "transit/keys/kms/config";
        [line("request", id, at, "update", path, ""), line("response", id, at, "update", path, "")].join("\n")
    };
    let used = line("response", "9", &at, "update", "transit/encrypt/kms", "");
    let (exit, compared) =
        verify(&sandbox, &run, &[used.clone(), change("1", &at)].join("\n"), &["--actor", "hmac-sha256:5f1c"]);
    assert_eq!((exit, &compared["agreed"]), (0, &json!(1)), "{compared:#}");
    let (exit, compared) = verify(&sandbox, &run, &[used, change("1", &at)].join("\n"), &["--actor", "somebody-else"]);
    assert_eq!((exit, &compared["agreed"], &compared["beside"]), (0, &json!(0), &json!(1)), "{compared:#}");
    // A step that is said to change something there, and has not.
    let (exit, compared) = verify(&sandbox, &run, &change("1", "2020-01-01T00:00:00Z"), &["--acts", "withdraw"]);
    assert_eq!((exit, count(&compared, "records_without_effect")), (4, 1), "{compared:#}");
    assert_eq!(compared["beside"], 1, "years before the run");
}
