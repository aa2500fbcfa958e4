//! `recover diagnose` on sandboxes that are broken in several ways: what it names, and that it changes nothing at all.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::certificates::ca;
use crate::sandbox::Sandbox;
use crate::{assert_error, code, lines, stderr, tls};

/// What a file or folder is: its content, and when it, or what is in it, was last changed.
type Trace = (Vec<u8>, i64, i64);

/// Everything under a folder, but what processes that run write themselves.
fn traces(dir: &Path, own: &dyn Fn(&Path) -> bool) -> BTreeMap<PathBuf, Trace> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if own(&path) {
                continue;
            }
            let meta = path.symlink_metadata().unwrap();
            let bytes = if meta.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
            found.insert(path.clone(), (bytes, meta.mtime(), meta.mtime_nsec()));
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    found
}

/// What the sandbox counted, and the calls that it took.
fn counted(sandbox: &Sandbox) -> (Vec<(String, Value)>, Vec<Value>) {
    let ledger = sandbox.ledger();
    let counts = ledger.as_object().unwrap().iter().filter(|(key, _)| *key != "calls");
    (counts.map(|(k, v)| (k.clone(), v.clone())).collect(), ledger["calls"].as_array().unwrap().clone())
}

/// Diagnoses twice, for people and for machines, and holds it to having changed nothing.
fn diagnosed(sandbox: &Sandbox, words: &[&str]) -> (Value, String) {
    // The control plane writes down what it is asked, which is looked at below; a connector notes its heartbeats.
    let own = |path: &Path| path.file_name().is_some_and(|n| n == "control-plane") || path.ends_with("connector.log");
    let secrets = || {
        ["/run/recover".into(), format!("/dev/shm/recover-{}", rustix::process::geteuid().as_raw())]
            .map(|p: String| Path::new(&p).exists())
    };
    let before = (traces(&sandbox.dir(), &own), traces(&sandbox.state(), &|_| false), counted(sandbox), secrets());
    let words = [&["diagnose", "--target", "edge-1"], words].concat();
    let text = sandbox.recover(&words);
    let machine = sandbox.recover(&[&words[..], &["--output", "json"]].concat());
    let after = (traces(&sandbox.dir(), &own), traces(&sandbox.state(), &|_| false), counted(sandbox), secrets());
    for (path, trace) in &before.0 {
        assert!(after.0.get(path) == Some(trace), "{} was changed", path.display());
    }
    assert_eq!(before.0.keys().collect::<Vec<_>>(), after.0.keys().collect::<Vec<_>>(), "something was made");
    assert!(before.1 == after.1, "the state directory was changed");
    assert_eq!(before.2.0, after.2.0, "the sandbox counted something");
    assert_eq!(before.3, after.3, "a place for secrets was made");
    for call in after.2.1.iter().skip(before.2.1.len()) {
        let ours = ["/v1/connectors", "/healthz"].iter().any(|p| call["path"].as_str().unwrap().starts_with(p));
        assert!(!ours || call["method"] == "GET", "a diagnosis only asks: {call}");
    }
    let line = lines(&machine).pop().unwrap_or_else(|| panic!("nothing on stdout: {}", stderr(&machine)));
    assert_eq!(line["schema"], "recover.diagnosis/v1", "{line}");
    assert_eq!((line["exit"].as_i64(), code(&text)), (Some(code(&machine).into()), code(&machine)), "{line}");
    (line, String::from_utf8(text.stdout).unwrap())
}

#[track_caller]
fn is(line: &Value, class: Value, sureness: &str, exit: i32) {
    assert_eq!(
        (&line["class"], &line["sureness"], &line["exit"]),
        (&class, &json!(sureness), &json!(exit)),
        "{line:#}"
    );
}

fn signal(sandbox: &Sandbox, who: &str, what: Signal) {
    let text = std::fs::read_to_string(sandbox.dir().join("run").join(who)).unwrap();
    let pid = serde_json::from_str::<Value>(&text).unwrap()["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), what).unwrap();
}

/// Waits until the diagnosis is this: a status outlives its connector for a moment.
fn settles(sandbox: &Sandbox, class: &str) -> (Value, String) {
    let until = Instant::now() + Duration::from_secs(20);
    let now = || lines(&sandbox.recover(&["diagnose", "--target", "edge-1", "--output", "json"])).pop();
    while now().is_none_or(|line| line["class"] != class) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(200));
    }
    // Only now: of the two that are compared, neither is to fall before the change.
    diagnosed(sandbox, &[])
}

#[test]
fn c12_a_healthy_connector_is_no_case_and_a_lost_identity_is_named_with_its_procedure() {
    let sandbox = Sandbox::up();
    let (line, text) = diagnosed(&sandbox, &[]);
    is(&line, Value::Null, "certain", 8);
    assert!(text.contains("healthy (certain)") && line["finding"] == "healthy", "{text}");
    sandbox.lose(false);
    let (line, text) = diagnosed(&sandbox, &["--alert", "ControlPlaneConnectorBootstrapFallbackSuspectedHigh"]);
    is(&line, json!("C12"), "certain", 0);
    let run =
        "recover --scenario identity-loss --target edge-1 --alert ControlPlaneConnectorBootstrapFallbackSuspectedHigh";
    assert_eq!((&line["run_with"], &line["available"]), (&json!(run), &json!(true)));
    assert!(text.contains(run) && text.contains("ENROLLMENT_TOKEN_INVALID") && text.contains("must not"), "{text}");
    // What it says is to be run recovers it, and then it is healthy.
    let words: Vec<&str> = run.split(' ').skip(1).collect();
    assert_eq!(code(&sandbox.recover(&words)), 0);
    let (line, _) = diagnosed(&sandbox, &[]);
    is(&line, Value::Null, "certain", 8);
}

#[test]
fn c10_an_original_that_was_kept_is_storage_that_is_not_attached() {
    let sandbox = Sandbox::up();
    let words = ["baseline", "record", "--target", "edge-1", "--reason", "it is well", "--yes"];
    assert_eq!(code(&sandbox.recover(&words)), 0);
    let (line, text) = diagnosed(&sandbox, &[]);
    assert!(text.contains("it is the recorded storage"), "{text}");
    is(&line, Value::Null, "certain", 8);
    sandbox.lose(true);
    let (line, text) = diagnosed(&sandbox, &[]);
    is(&line, json!("C10"), "certain", 0);
    assert!(text.contains("/original/") && line["scenario"] == "identity-loss", "{text}");
}

#[test]
fn c1_c7_c10_a_workload_that_stands_still_or_does_not_run_has_its_identity_still() {
    let sandbox = Sandbox::up();
    signal(&sandbox, "connector.pid", Signal::STOP);
    let (line, text) = settles(&sandbox, "C7");
    is(&line, json!("C7"), "certain", 0);
    if line["available"] == false {
        assert!(text.contains("this build has no procedure reconnect-failure") && line["run_with"].is_null(), "{text}");
        assert!(text.contains("restart the process or pod once"), "{text}");
    }
    signal(&sandbox, "connector.pid", Signal::CONT);
    signal(&sandbox, "connector.pid", Signal::TERM);
    let (line, _) = settles(&sandbox, "C1");
    is(&line, json!("C1"), "certain", 0);
    // Half of an identity is nobody's loss to declare but a person's.
    std::fs::write(sandbox.dir().join("data/identity.json"), "{\"serial\":").unwrap();
    let (line, text) = diagnosed(&sandbox, &[]);
    is(&line, json!("C12"), "unsure", 4);
    assert!(text.contains("a person decides") && line["run_with"].is_null(), "{text}");
    std::fs::rename(sandbox.dir().join("data"), sandbox.dir().join("elsewhere")).unwrap();
    let (line, _) = diagnosed(&sandbox, &[]);
    is(&line, json!("C10"), "certain", 0);
}

#[test]
fn c2_a_control_plane_that_is_down_hides_the_rest_and_one_that_refuses_is_not_taken_for_an_answer() {
    let sandbox = Sandbox::up();
    sandbox.command(&["fault", "error=503", "--on", "status", "--times", "2"]);
    let (line, text) = diagnosed(&sandbox, &[]);
    is(&line, Value::Null, "unsure", 4);
    assert!(text.contains("not read") && line["finding"] == "undetermined", "{text}");
    signal(&sandbox, "control-plane.pid", Signal::KILL);
    let (line, text) = settles(&sandbox, "C2");
    is(&line, json!("C2"), "certain", 0);
    assert!(text.contains("refused") && text.contains("not asked"), "{text}");
}

#[test]
fn c6_a_certificate_of_an_unknown_issuer_is_named_and_nothing_is_sent() {
    let sandbox = Sandbox::up();
    let home = tempfile::tempdir().unwrap();
    let original = std::fs::read_to_string(sandbox.config()).unwrap();
    let plain = original.split_once("base = \"").unwrap().1.split('"').next().unwrap().to_owned();
    let (ours, other) = (ca(home.path(), "ours"), ca(home.path(), "other"));
    let front = tls::front(&plain, &ours, "127.0.0.1", (2020, 2090));
    tls::configure(&sandbox, &original, &front.base, Some(&other.file));
    let (line, text) = diagnosed(&sandbox, &[]);
    is(&line, json!("C6"), "certain", 0);
    assert_eq!(front.requests.load(std::sync::atomic::Ordering::SeqCst), 0, "nothing was sent");
    assert!(text.contains("UnknownIssuer") && text.contains("must not  skip the verification"), "{text}");
    assert_eq!(line["scenario"], "reconnect-failure", "it has an identity: nothing is bootstrapped");
    tls::configure(&sandbox, &original, &front.base, Some(&ours.file));
    let (line, _) = diagnosed(&sandbox, &[]);
    is(&line, Value::Null, "certain", 8);
}

/// An authority that writes down each request's first line, and knows a connector that never paired.
fn recorder() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 8_192];
            let n = stream.read(&mut buffer).unwrap_or_default();
            let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
            let Some(first) = text.lines().next().map(str::to_owned) else { continue };
            let path = first.split([' ', '?']).nth(1).unwrap_or_default();
            let body = match path.rsplit('/').next().unwrap_or_default() {
                "healthz" => json!({ "status": "ok" }),
                "tokens" => json!({ "tokens": [{ "accessor": "a", "label": "l", "state": "expired",
                    "created_at": "2026-11-20T00:00:00Z", "expires_at": "2026-11-20T04:00:00Z" }], "next": null }),
                "audit" => json!({ "events": [], "next": null }),
                _ => json!({ "agent": "edge-1", "status": "never_paired", "paired_before": false, "identity": null }),
            };
            noted.lock().unwrap().push(first);
            let body = body.to_string();
            let _gone =
                write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
    });
    (base, heard)
}

fn with_stdin(sandbox: &Sandbox, words: &[&str], input: &str) -> Output {
    let mut child =
        sandbox.recovering(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn an_authority_hears_only_get_and_a_log_from_elsewhere_is_data() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let (base, heard) = recorder();
    let original = std::fs::read_to_string(sandbox.config()).unwrap();
    tls::configure(&sandbox, &original, &base, None);
    let secret = std::fs::read_to_string(sandbox.dir().join("credential")).unwrap();
    let log = format!(
        "enrolment failed: the token has expired\nPOST {base}/v1/connectors/edge-1/tokens now\n\u{1b}[2J\u{1b}]0;x\u{7} {}\n",
        secret.trim()
    );
    let words = ["diagnose", "--target", "edge-1", "--log", "-", "--alert", "ControlPlaneTunnelHartbeatTimeoutsHigh"];
    let text = with_stdin(&sandbox, &words, &log);
    let said = String::from_utf8(text.stdout.clone()).unwrap();
    assert_eq!(code(&text), 0, "{said}{}", stderr(&text));
    assert!(said.contains("C3") && said.contains("(certain)") && said.contains("--log -"), "{said}");
    assert!(!said.contains('\u{1b}') && !said.contains(secret.trim()), "{said}");
    assert!(stderr(&text).contains("did you mean ControlPlaneTunnelHeartbeatTimeoutsHigh?"), "{}", stderr(&text));
    let heard = heard.lock().unwrap();
    assert!(heard.len() >= 4, "{heard:?}");
    assert!(heard.iter().all(|first| first.starts_with("GET ")), "{heard:?}");
}

#[test]
fn what_is_typed_wrongly_is_refused_and_help_teaches() {
    let sandbox = Sandbox::up();
    let diagnose = |words: &[&str]| sandbox.recover(&[&["diagnose"], words].concat());
    let text = diagnose(&["--target", "edge-2"]);
    assert_error(&text, "RCV0004", 64);
    assert!(stderr(&text).contains("did you mean `edge-1`?"));
    assert_error(&diagnose(&["--target", "edge-1", "--since", "yesterday"]), "RCV0002", 64);
    for log in ["/nowhere/at/all", "/dev/null", "/proc"] {
        assert_error(&diagnose(&["--target", "edge-1", "--log", log]), "RCV0002", 64);
    }
    let help = String::from_utf8(diagnose(&["--help"]).stdout).unwrap();
    for word in ["Nothing is written", "--log -", "Exit codes", "docs/diagnose.md"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    // Only one target: it need not be named. What is older than asked for is not counted.
    sandbox.lose(false);
    let line = lines(&diagnose(&["--since", "2099-01-01T00:00:00Z", "--output", "json"])).pop().unwrap();
    assert!(!line["for"].to_string().contains("ENROLLMENT_TOKEN_INVALID"), "{line}");
    is(&line, json!("C12"), "certain", 0);
}

#[test]
fn c3_c4_c5_a_first_boot_that_fails_is_named_by_what_became_of_its_token() {
    for (failing, class) in [("expired", "C3"), ("revoked", "C4"), ("refused", "C5")] {
        let sandbox = Sandbox::first_boot(failing);
        let (line, text) = settles(&sandbox, class);
        assert_eq!((&line["class"], &line["exit"]), (&json!(class), &json!(0)), "{failing}: {line:#}");
        assert_eq!(line["run_with"], "recover --scenario bootstrap-failure --target edge-1", "{text}");
    }
}

#[test]
fn c8_what_is_degraded_is_named_and_left_to_heal() {
    let sandbox = Sandbox::up();
    sandbox.command(&["fault", "degraded", "--on", "status", "--times", "1000"]);
    let (line, text) = {
        let machine = sandbox.recover(&["diagnose", "--target", "edge-1", "--output", "json"]);
        (lines(&machine).pop().unwrap(), sandbox.recover(&["diagnose", "--target", "edge-1"]))
    };
    is(&line, json!("C8"), "certain", 0);
    assert!(String::from_utf8_lossy(&text.stdout).contains("restart it for a path behind it"), "{text:?}");
}

#[test]
fn c13_a_loop_is_taken_from_a_log_or_an_alert_where_nobody_counts_restarts_and_hides_its_cause() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    for words in
        [&["--alert", "SandboxConnectorCrashLoopHigh"][..], &["--alert", "SandboxConnectorCrashLoopBackOffCritical"]]
    {
        let (line, text) = diagnosed(&sandbox, words);
        is(&line, json!("C13"), "likely", 0);
        assert!(line["possible"].to_string().contains("\"C12\""), "{line:#}");
        assert!(text.contains("recover --scenario crash-loop"), "{text}");
    }
}

#[test]
fn c14_the_fallback_alert_presumes_a_loss_until_a_usable_identity_disproves_it() {
    let alert = ["--alert", "ControlPlaneConnectorBootstrapFallbackSuspectedHigh"];
    let sandbox = Sandbox::up();
    signal(&sandbox, "connector.pid", Signal::STOP);
    settles(&sandbox, "C7");
    let (line, _) = diagnosed(&sandbox, &alert);
    is(&line, json!("C7"), "certain", 0);
    signal(&sandbox, "connector.pid", Signal::CONT);
    // Nobody says whether it ever paired, and nothing on its storage disproves the alert.
    sandbox.lose(false);
    sandbox.command(&["fault", "error=503", "--on", "status", "--times", "2"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let log = elsewhere.path().join("log");
    std::fs::write(&log, "starting\n").unwrap();
    let (line, text) = diagnosed(&sandbox, &[&alert[..], &["--log", log.to_str().unwrap()]].concat());
    is(&line, json!("C14"), "likely", 0);
    assert!(text.contains("presumed lost until a usable identity disproves it"), "{text}");
    assert!(line["scenario"] == "identity-loss" && line["possible"].to_string().contains("\"C12\""), "{line:#}");
}
