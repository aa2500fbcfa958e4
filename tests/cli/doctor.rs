//! `doctor` and `rehearse`: each thing that keeps a run from beginning is found beforehand, and nothing is changed by looking.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::{assert_error, code, recover, stderr};

const DOCTOR: &[&str] = &["doctor", "--output", "json"];
const REHEARSE: &[&str] = &["rehearse", "--target", "edge-1", "--output", "json"];

fn found(sandbox: &Sandbox, words: &[&str]) -> (i32, Value) {
    let output = sandbox.recover(words);
    let value = crate::lines(&output).pop().unwrap_or_else(|| panic!("{}", stderr(&output)));
    assert_eq!(value["exit"].as_i64(), output.status.code().map(i64::from));
    (code(&output), value)
}

/// How the checks of a name came out.
fn is(found: &Value, check: &str) -> Vec<String> {
    let all = found["checks"].as_array().unwrap().iter().filter(|c| c["check"] == check);
    all.map(|c| c["is"].as_str().unwrap().to_owned()).collect()
}

/// Exactly these are bad.
fn bad(sandbox: &Sandbox, words: &[&str], wanted: &[&str]) -> Value {
    let (exit, found) = found(sandbox, words);
    let bad = found["checks"].as_array().unwrap().iter().filter(|c| c["is"] == "bad");
    let bad: Vec<&str> = bad.map(|c| c["check"].as_str().unwrap()).collect();
    assert_eq!((exit, bad), (if wanted.is_empty() { 0 } else { 4 }, wanted.to_vec()), "{found:#}");
    found
}

fn done(sandbox: &Sandbox) -> Vec<Value> {
    let ledger = sandbox.ledger();
    let calls = ledger["calls"].as_array().unwrap().iter();
    let posts = calls.filter(|call| call["method"] == "POST" && call["path"] != "/v1/heartbeat").count();
    let effects = ["mints", "pairs", "revokes", "starts", "pair_attempts"].map(|effect| ledger[effect].clone());
    [&effects[..], &[posts.into()]].concat()
}

#[test]
fn a_target_that_is_well_is_rehearsed_and_the_result_is_kept() {
    let sandbox = Sandbox::up();
    let before = done(&sandbox);
    let doctor = bad(&sandbox, DOCTOR, &[]);
    assert_eq!((is(&doctor, "clock"), is(&doctor, "memory")), (vec!["ok".to_owned()], vec!["ok".to_owned(); 2]));
    assert_eq!(is(&doctor, "rehearsed"), ["warn"], "never");
    assert!(!sandbox.state().join("rehearsals").exists(), "looking leaves nothing behind");
    let first = bad(&sandbox, REHEARSE, &[]);
    assert_eq!(is(&first, "plan"), ["ok"; 4], "{first:#}");
    assert_eq!(is(&first, "baseline"), ["warn"]);
    let record = ["baseline", "record", "--target", "edge-1", "--reason", "as installed", "--yes"];
    assert_eq!(code(&sandbox.recover(&record)), 0);
    let second = bad(&sandbox, REHEARSE, &[]);
    assert_eq!(is(&second, "baseline"), ["ok"]);
    let kept = std::fs::read(sandbox.state().join("rehearsals/edge-1.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), second);
    assert_eq!((&second["schema"], &second["ready"]), (&"recover.rehearsal/v1".into(), &true.into()));
    assert_eq!(is(&bad(&sandbox, DOCTOR, &[]), "rehearsed"), ["ok"]);
    assert_eq!(done(&sandbox), before);
    let text = sandbox.recover(&["doctor"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("nothing stands in a run's way"), "{}", stderr(&text));
    assert_eq!(code(&sandbox.recover(&["verify", "--all"])), 0);
}

/// How the one check of rights came out, what of it is in the metrics, and that nothing was minted or revoked to find out.
fn rights(sandbox: &Sandbox, wanted: (i32, &str), said: &str, ready: u32) -> Value {
    let before = done(sandbox);
    let (exit, rehearsed) = found(sandbox, REHEARSE);
    assert_eq!((exit, is(&rehearsed, "rights")), (wanted.0, vec![wanted.1.to_owned()]), "{rehearsed:#}");
    let check = rehearsed["checks"].as_array().unwrap().iter().find(|check| check["check"] == "rights").unwrap();
    assert!(check["said"].as_str().unwrap().contains(said), "{check}");
    assert_eq!(rehearsed["ready"], ready == 1);
    let served = crate::served::Served::start(sandbox);
    let metrics = served.get("/metrics").body;
    assert!(metrics.contains(&format!("\nrecover_ready {ready}\n")), "{metrics}");
    assert!(metrics.contains("\nrecover_rehearsal_age_seconds "), "{metrics}");
    assert_eq!(done(sandbox), before);
    rehearsed
}

#[test]
fn rights_are_asked_for_and_never_tried() {
    let sandbox = Sandbox::up();
    rights(&sandbox, (0, "ok"), "may mint and revoke", 1);
    sandbox.command(&["rights", "revoke"]);
    rights(&sandbox, (4, "bad"), "may not mint,", 0);
    sandbox.command(&["rights", "mint"]);
    rights(&sandbox, (4, "bad"), "may not revoke,", 0);
    sandbox.command(&["rights"]);
    rights(&sandbox, (4, "bad"), "may not mint and not revoke,", 0);
    sandbox.command(&["rights", "mint", "revoke"]);
    rights(&sandbox, (0, "ok"), "may mint and revoke", 1);
    // A control plane that has no such path, or keeps it from this credential.
    for refused in ["error=404", "error=403"] {
        sandbox.command(&["fault", refused, "--on", "rights", "--times", "2"]);
        let rehearsed = rights(&sandbox, (4, "unproven"), "cannot be proven without acting", 0);
        assert_eq!((&rehearsed["bad"], &rehearsed["unproven"]), (&0.into(), &1.into()));
        // It is no fault, and no proof either.
        let (exit, doctor) = found(&sandbox, DOCTOR);
        assert_eq!((exit, is(&doctor, "rights")), (0, vec!["unproven".to_owned()]));
        let said = doctor["checks"].as_array().unwrap().iter().find(|check| check["check"] == "rehearsed").unwrap();
        assert!(said["said"].as_str().unwrap().contains("not all of it could be proven"), "{said}");
    }
    sandbox.command(&["fault", "error=404", "--on", "rights"]);
    let text = sandbox.recover(&["rehearse", "--target", "edge-1"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("\n?     rights") && text.contains("1 of it cannot be proven"), "{text}");
    // Neither heard nor told.
    sandbox.command(&["fault", "error=500", "--on", "rights"]);
    rights(&sandbox, (4, "bad"), "500", 0);
    sandbox.command(&["fault", "refuse", "--on", "rights"]);
    rights(&sandbox, (4, "bad"), "lost", 0);
    // In a dialect without such a path it is not asked for.
    let config = std::fs::read_to_string(sandbox.config()).unwrap();
    let without =
        config.replace("agent = \"edge-1\", ", "agent = \"edge-1\", dialect = { paths = { rights = \"\" } }, ");
    assert_ne!(without, config);
    std::fs::write(sandbox.config(), without).unwrap();
    rights(&sandbox, (4, "unproven"), "by its dialect", 0);
}

#[test]
fn what_would_stand_in_a_runs_way_is_named() {
    let sandbox = Sandbox::up();
    let config = std::fs::read_to_string(sandbox.config()).unwrap();
    let write = |text: &str| std::fs::write(sandbox.config(), text).unwrap();
    let credential = sandbox.dir().join("credential");
    let mode = |mode: u32| std::fs::set_permissions(&credential, std::fs::Permissions::from_mode(mode)).unwrap();
    // The credential is another's to read, or not the right one, or gone.
    mode(0o644);
    let open = bad(
        &sandbox,
        &["doctor", "--output", "json", "--target", "edge-1"],
        &["credential", "status", "tokens", "rights"],
    );
    assert!(open.to_string().contains("chmod 600"), "{open:#}");
    mode(0o600);
    let secret = std::fs::read_to_string(&credential).unwrap();
    std::fs::write(&credential, "not-the-one").unwrap();
    let wrong = bad(&sandbox, DOCTOR, &["status", "tokens", "rights"]);
    assert!(!wrong.to_string().contains("not-the-one") && !wrong.to_string().contains(secret.trim()));
    std::fs::write(&credential, &secret).unwrap();
    // The authority is not there.
    let (head, rest) = config.split_once("base = \"").unwrap();
    let (_, tail) = rest.split_once('"').unwrap();
    write(&format!("{head}base = \"http://127.0.0.1:1\"{tail}"));
    let away = bad(&sandbox, DOCTOR, &["authority", "status", "tokens", "rights"]);
    assert_eq!(is(&away, "clock"), ["warn"]);
    let away = found(&sandbox, REHEARSE).1;
    assert!(is(&away, "plan").contains(&"bad".to_owned()), "{away:#}");
    assert_eq!(is(&found(&sandbox, DOCTOR).1, "rehearsed"), ["warn"], "something stood in its way");
    // Secrets on a disk.
    write(&format!("secrets_dir = \"/proc/1/none\"\n{}", config.replace("secrets_dir", "# secrets_dir")));
    bad(&sandbox, DOCTOR, &["memory"]);
    // What is not a configuration.
    write("[target.edge-1]\nkind = 7\n");
    let broken = bad(&sandbox, DOCTOR, &["configuration"]);
    assert!(broken.to_string().contains("line 2"), "{broken:#}");
    write(&config);
    bad(&sandbox, DOCTOR, &[]);
    // An incident is no fault of the configuration, and no time for a rehearsal.
    sandbox.lose(true);
    let (exit, _) = found(&sandbox, DOCTOR);
    assert_eq!(exit, 0);
    // A journal with a flipped bit.
    assert_eq!(code(&sandbox.recover(&["--scenario", "identity-loss", "--target", "edge-1"])), 0);
    bad(&sandbox, DOCTOR, &[]);
    let log = sandbox.state().join("log");
    let segment = std::fs::read_dir(log).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[5_000] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let (exit, damaged) = found(&sandbox, DOCTOR);
    assert_eq!((exit, is(&damaged, "journal")), (4, vec!["bad".to_owned()]), "{damaged:#}");
}

#[test]
fn where_nothing_is_configured_there_is_nothing_wrong_and_nothing_to_rehearse() {
    let home = tempfile::tempdir().unwrap();
    let doctor = recover(home.path()).args(DOCTOR).output().unwrap();
    assert_eq!(code(&doctor), 0, "{}", stderr(&doctor));
    assert!(std::fs::read_dir(home.path()).unwrap().next().is_none(), "nothing is made");
    let rehearse = recover(home.path()).args(["rehearse", "--target", "sandbox"]).output().unwrap();
    assert_error(&rehearse, "RCV0002", 64);
    let unknown = recover(home.path()).args(["doctor", "--target", "edge-9"]).output().unwrap();
    assert_error(&unknown, "RCV0004", 64);
}
