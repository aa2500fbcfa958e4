//! Up, loss, recovery and down: what the sandbox promises to whoever tests `recover` on it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crate::guard::{Sandbox, code, lives, recover};
use serde_json::{Value, json};

/// mints, pair_attempts, pairs, revokes, starts, live_tokens
fn counts(ledger: &Value) -> [u64; 6] {
    ["mints", "pair_attempts", "pairs", "revokes", "starts", "live_tokens"]
        .map(|name| ledger[name].as_u64().expect("a count"))
}

#[test]
fn up_pairs_once_and_up_again_changes_nothing() {
    let sandbox = Sandbox::new();
    let first = sandbox.up();
    assert_eq!((&first["schema"], &first["status"]), (&json!("recover.sandbox/v1"), &json!("online")));
    assert_eq!((&first["target"], first["pids"]["connector"].is_i64()), (&json!("edge-1"), true));
    assert_eq!(counts(&sandbox.ledger()), [1, 1, 1, 0, 1, 0]);
    assert_eq!(sandbox.up(), first);
    assert_eq!(counts(&sandbox.ledger()), [1, 1, 1, 0, 1, 0]);
    assert!(!sandbox.token_file().exists(), "the first token was taken back");
    for private in ["credential", "data/identity.json", "control-plane/state.json", "recover.toml"] {
        let mode = fs::metadata(sandbox.path(private)).expect("exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{private}");
    }
}

#[test]
fn the_processes_are_detached_and_carry_no_secret() {
    let sandbox = Sandbox::new();
    // Descriptor 9 is left open by the shell, as a careless caller would.
    let script = r#"exec 9>"$2"; exec "$0" sandbox up --dir "$1""#;
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_recover")]).args([sandbox.dir(), &sandbox.leak()]);
    assert!(shell.output().expect("runs").status.success());
    let credential = fs::read_to_string(sandbox.path("credential")).expect("exists");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("exists");
    for name in ["connector", "control-plane"] {
        let pid = sandbox.pid(name);
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("lives");
        let fields: Vec<&str> = stat.rsplit(") ").next().expect("has fields").split(' ').collect();
        assert_eq!((fields[2], fields[3]), (pid.to_string().as_str(), pid.to_string().as_str()), "group and session");
        let record: Value = sandbox.pid_record(name);
        assert_eq!((record["start"].to_string().as_str(), record["boot"].as_str()), (fields[19], Some(boot.trim())));
        for fd in fs::read_dir(format!("/proc/{pid}/fd")).expect("lives").flatten() {
            let target = fs::read_link(fd.path()).unwrap_or_default();
            assert!(!target.ends_with("leaked") && !target.to_string_lossy().contains(".lock"), "{target:?} in {name}");
        }
        for file in ["cmdline", "environ"] {
            let text = fs::read(format!("/proc/{pid}/{file}")).expect("lives");
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(!text.contains(credential.trim()) && !text.contains("rst_"), "{file} of {name}");
        }
    }
}

#[test]
fn an_identity_that_is_lost_is_recovered_with_one_token() {
    let sandbox = Sandbox::lost(&[]);
    assert_eq!(counts(&sandbox.ledger()), [0, 0, 0, 0, 0, 1]);
    assert_eq!(fs::read_dir(sandbox.path("original")).expect("exists").count(), 0, "gone means gone");
    assert_eq!(fs::read_dir(sandbox.path("data")).expect("exists").count(), 0);
    assert_eq!(sandbox.status()["status"], "needs_recovery");
    assert!(sandbox.log().ends_with("401 ENROLLMENT_TOKEN_INVALID\n"));
    let lost = sandbox.status()["identity"]["serial"].clone();

    let stale = sandbox.admin("GET", "/tokens?label=onboarding", None);
    assert_eq!(stale["tokens"][0]["state"], "live");
    assert_eq!(
        sandbox.admin("POST", "/tokens/revoke", Some(json!({ "label": "onboarding" }))),
        json!({ "revoked": 1 })
    );
    let token = sandbox.mint("run-1");
    sandbox.restart_with_token(&token);
    sandbox.await_status("online");
    let found = sandbox.status()["identity"]["serial"].clone();
    assert!(found.is_string() && found != lost);
    // The token lies there still; an identity outweighs it.
    sandbox.kill("connector");
    sandbox.await_status("offline");
    sandbox.up();
    sandbox.await_log(&format!("reconnected with persisted identity serial={}", found.as_str().unwrap_or_default()));
    sandbox.await_status("online");
    assert_eq!(counts(&sandbox.ledger()), [1, 1, 1, 1, 2, 0]);
    let effects: Vec<Value> = sandbox.effects();
    assert_eq!(effects, ["revoked", "minted", "paired", "online", "online"].map(|effect| json!(effect)));
    assert_eq!(sandbox.files_with(&token), [""; 0], "the token never reached a disk");
    let identity: Value =
        serde_json::from_slice(&fs::read(sandbox.path("data/identity.json")).expect("exists")).expect("is JSON");
    let key = identity["secret_key"].as_str().expect("is text");
    assert_eq!(sandbox.files_with(key), ["data/identity.json"]);
}

#[test]
fn an_original_that_was_kept_makes_the_connector_what_it_was() {
    let sandbox = Sandbox::lost(&["--keep-original"]);
    let serial = sandbox.status()["identity"]["serial"].clone();
    let kept = fs::read_dir(sandbox.path("original")).expect("exists").next().expect("one").expect("one").path();
    assert!(kept.file_name().is_some_and(|name| name.to_string_lossy().starts_with("data.bak-")));
    sandbox.kill("connector");
    fs::remove_dir(sandbox.path("data")).expect("is empty");
    fs::rename(kept, sandbox.path("data")).expect("is put back");
    sandbox.up();
    sandbox.await_status("online");
    assert_eq!(sandbox.status()["identity"]["serial"], serial);
    assert_eq!(counts(&sandbox.ledger()), [0, 0, 0, 0, 1, 1]);
}

#[test]
fn a_loss_can_follow_a_loss_although_the_label_was_closed() {
    let sandbox = Sandbox::lost(&[]);
    sandbox.admin("POST", "/tokens/revoke", Some(json!({ "label": "onboarding" })));
    sandbox.restart_with_token(&sandbox.mint("run-1"));
    sandbox.await_status("online");
    let again = sandbox.run(&["lose-identity", "--keep-original"]);
    assert_eq!(again["stale_label"], "onboarding-2");
    assert_eq!(counts(&sandbox.ledger()), [0, 0, 0, 0, 0, 1]);
}

#[test]
fn a_connector_that_was_killed_comes_back_as_itself() {
    let sandbox = Sandbox::new();
    sandbox.up();
    let serial = sandbox.status()["identity"]["serial"].clone();
    sandbox.kill("connector");
    sandbox.await_status("offline");
    assert_eq!(sandbox.up()["status"], "online");
    assert_eq!(sandbox.status()["identity"]["serial"], serial);
    assert_eq!(counts(&sandbox.ledger()), [1, 1, 1, 0, 2, 0]);
}

#[test]
fn a_control_plane_that_was_killed_keeps_address_tokens_and_ledger() {
    let sandbox = Sandbox::lost(&[]);
    let base = sandbox.base();
    let token = sandbox.mint("run-1");
    sandbox.kill("control-plane");
    assert_eq!(counts(&sandbox.ledger()), [1, 0, 0, 0, 0, 2], "the ledger needs nobody alive");
    sandbox.up();
    assert_eq!(sandbox.base(), base);
    assert_eq!(sandbox.status()["status"], "needs_recovery");
    sandbox.restart_with_token(&token);
    sandbox.await_status("online");
    assert_eq!(counts(&sandbox.ledger()), [1, 1, 1, 0, 1, 1]);
}

#[test]
fn down_ends_both_and_may_be_said_twice() {
    let sandbox = Sandbox::new();
    sandbox.up();
    let memory = sandbox.token_file().parent().expect("has a folder").to_owned();
    let pids = [sandbox.pid("connector"), sandbox.pid("control-plane")];
    let first = sandbox.run(&["down"]);
    assert_eq!((&first["connector"], &first["control_plane"]), (&json!(true), &json!(true)));
    assert!(pids.iter().all(|pid| !lives(*pid)) && !memory.exists());
    let second = sandbox.run(&["down"]);
    assert_eq!((&second["connector"], &second["control_plane"]), (&json!(false), &json!(false)));
    assert!(sandbox.log().ends_with("stopped\n"), "it was asked, not killed");
    assert_eq!(sandbox.up()["status"], "online");
    assert_eq!(counts(&sandbox.ledger()), [1, 1, 1, 0, 2, 0]);
}

#[test]
fn commands_that_cannot_be_meant_are_refused_and_touch_nothing() {
    let sandbox = Sandbox::new();
    let dir = sandbox.dir().to_owned();
    let dir = dir.to_str().expect("is text");
    for command in ["ledger", "down", "lose-identity"] {
        assert_eq!(code(&recover(&["sandbox", command, "--dir", dir])), 64, "{command} without a sandbox");
    }
    fs::create_dir_all(sandbox.path("data")).expect("is made");
    fs::write(sandbox.path("data/mine"), "precious").expect("is written");
    assert_eq!(code(&recover(&["sandbox", "up", "--dir", dir])), 64, "a directory of somebody else");
    assert_eq!(fs::read_to_string(sandbox.path("data/mine")).expect("is there"), "precious");
    fs::remove_dir_all(sandbox.path("data")).expect("is removed");
    sandbox.up();
    assert_eq!(code(&recover(&["sandbox", "fault", "--dir", dir, "hang"])), 64, "a fault on nothing");
    assert_eq!(code(&recover(&["sandbox", "fault", "--dir", dir, "error=200", "--on", "mint"])), 64);
    assert_eq!(code(&recover(&["sandbox", "fault", "--dir", dir, "hang", "--on", "mint", "--times", "0"])), 64);
    sandbox.run(&["lose-identity"]);
    assert_eq!(code(&recover(&["sandbox", "lose-identity", "--dir", dir])), 64, "it is lost already");
    sandbox.run(&["down"]);
    assert_eq!(code(&recover(&["sandbox", "lose-identity", "--dir", dir])), 64, "nobody would notice");
}

#[test]
fn many_ups_at_once_make_one_sandbox() {
    let sandbox = Sandbox::new();
    let ups: Vec<Value> = std::thread::scope(|scope| {
        let ups: Vec<_> = (0..8).map(|_| scope.spawn(|| sandbox.up())).collect();
        ups.into_iter().map(|up| up.join().expect("ends")).collect()
    });
    assert!(ups.iter().all(|up| *up == ups[0]), "{ups:?}");
    assert_eq!(counts(&sandbox.ledger()), [1, 1, 1, 0, 1, 0]);
    assert_eq!(sandbox.processes().len(), 2);
}

#[test]
fn an_up_that_is_killed_at_any_moment_is_finished_by_the_next() {
    for delay_ms in 0..30 {
        let sandbox = Sandbox::new();
        let mut first = sandbox.command(&["up"]).spawn().expect("starts");
        std::thread::sleep(Duration::from_millis(delay_ms));
        first.kill().expect("is killed");
        first.wait().expect("is reaped");
        assert_eq!(sandbox.up()["status"], "online", "killed after {delay_ms} ms");
        assert_eq!(sandbox.processes().len(), 2, "killed after {delay_ms} ms");
        assert_eq!(sandbox.ledger()["pairs"], 1, "killed after {delay_ms} ms");
    }
}

#[test]
fn help_hides_the_processes() {
    let output = recover(&["sandbox", "--help"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("lose-identity"));
    assert!(!text.contains("control-plane") && !text.contains("  connector"));
}
