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
