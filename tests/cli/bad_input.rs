//! Bad input: each case with its own error code and exit code, and nothing lost.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use crate::sandbox::Sandbox;
use crate::{assert_error, code, recover, stderr};

fn at(home: &Path, words: &[&str]) -> Output {
    recover(home).args(words).output().unwrap()
}

#[test]
fn words_that_do_not_fit() {
    let home = tempfile::tempdir().unwrap();
    let cases: &[(&[&str], &str, i32)] = &[
        (&[], "RCV0002", 64),
        (&["--scenario"], "RCV0002", 64),
        (&["--no-such-flag"], "RCV0002", 64),
        (&["no-such-verb"], "RCV0002", 64),
        (&["--scenario", "identity-los", "--target", "sandbox"], "RCV0003", 64),
        (&["graph", "nothing"], "RCV0003", 64),
        (&["check", "nothing"], "RCV0003", 64),
        (&["--scenario", "identity-loss", "--target", "sandbx"], "RCV0004", 64),
        (&["--scenario", "identity-loss"], "RCV0005", 64),
        (&["--scenario", "identity-loss", "status"], "RCV0002", 64),
        (&["explain", "RCV9999"], "RCV0002", 64),
        (&["--wait", "soon", "status"], "RCV0002", 64),
        (&["resolve", "run_0", "--step", "pair", "--reason", "x"], "RCV0002", 64),
        (&["resolve", "run_0", "--step", "pair", "--happened", "--absent", "--reason", "x"], "RCV0002", 64),
        (&["verify"], "RCV0016", 64),
        (&["status"], "RCV0016", 64),
        (&["list"], "RCV0016", 64),
        (&["resume"], "RCV0016", 64),
        (&["replay", "run_00000000000000000000000000"], "RCV0016", 64),
        (&["journal", "verify"], "RCV0016", 64),
    ];
    let state = home.path().join("none");
    for (words, error, exit) in cases {
        let output = recover(home.path()).arg("--state-dir").arg(&state).args(*words).output().unwrap();
        eprintln!("{words:?}");
        assert_error(&output, error, *exit);
        assert!(output.stdout.is_empty(), "{words:?} printed data");
    }
    let output = at(home.path(), &["--scenario", "identity-los", "--target", "sandbox"]);
    assert!(stderr(&output).contains("hint: did you mean `identity-loss`?"), "{}", stderr(&output));
    assert!(!state.exists(), "nothing was made");
}

#[test]
fn arguments_that_are_not_text() {
    let home = tempfile::tempdir().unwrap();
    let output = recover(home.path()).arg("--scenario").arg(OsStr::from_bytes(b"\xff\xfe")).output().unwrap();
    assert_error(&output, "RCV0030", 64);
}

#[test]
fn resume_all_with_nothing_open_is_done() {
    let home = tempfile::tempdir().unwrap();
    let output =
        recover(home.path()).arg("--state-dir").arg(home.path().join("none")).args(["resume", "--all"]).output();
    assert_eq!(code(&output.unwrap()), 0);
}

#[test]
fn configurations_that_cannot_be_used_name_line_and_key() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("recover.toml");
    let cases: &[(&str, &str)] = &[
        ("state_dir = ", "line 1"),
        ("[policy]\nreprovison = \"ask\"\n", "did you mean `reprovision`?"),
        ("[policy]\nreprovision = \"maybe\"\n", "line 2"),
        ("[target.a]\nkind = \"connector\"\n", "missing field"),
        ("[target.a]\nkind = \"toaster\"\n", "unknown variant `…`, expected `connector`"),
        ("stat_dir = \"/x\"\n", "did you mean `state_dir`?"),
        ("state_dir = 7\n", "line 1, column 13"),
    ];
    for (text, wanted) in cases {
        std::fs::write(&path, text).unwrap();
        let output = at(home.path(), &["--config", path.to_str().unwrap(), "--scenario", "identity-loss"]);
        assert_error(&output, "RCV0006", 64);
        assert!(stderr(&output).contains(wanted), "{text:?}: {}", stderr(&output));
    }
    let output = at(home.path(), &["--config", "/no/such/file", "status"]);
    assert_error(&output, "RCV0005", 64);
}

#[test]
fn state_directories_that_are_not_safe() {
    let home = tempfile::tempdir().unwrap();
    let go = |state: &Path| {
        recover(home.path())
            .arg("--state-dir")
            .arg(state)
            .args(["--scenario", "identity-loss", "--target", "sandbox"])
            .output()
            .unwrap()
    };
    let real = home.path().join("real");
    std::fs::create_dir(&real).unwrap();
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o700)).unwrap();
    let link = home.path().join("link");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    assert_error(&go(&link), "RCV0015", 64);

    let fifo = home.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
        .unwrap();
    assert_error(&go(&fifo), "RCV0015", 64);

    let file = home.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert_error(&go(&file), "RCV0015", 64);

    let open = home.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert_error(&go(&open), "RCV0015", 64);

    if rustix::process::getuid().is_root() {
        let other = home.path().join("other");
        std::fs::create_dir(&other).unwrap();
        std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(&other, Some(1), Some(1)).unwrap();
        assert_error(&go(&other), "RCV0015", 64);
    }
}

#[test]
fn a_real_target_needs_a_named_state_directory() {
    let sandbox = Sandbox::up();
    let home = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let without: String = text.lines().filter(|l| !l.starts_with("state_dir")).map(|l| format!("{l}\n")).collect();
    let path = home.path().join("recover.toml");
    std::fs::write(&path, without).unwrap();
    let output = at(home.path(), &["--config", path.to_str().unwrap(), "--scenario", "identity-loss"]);
    assert_error(&output, "RCV0032", 64);
}

#[test]
fn what_a_run_does_not_take() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let go = ["--scenario", "identity-loss", "--target", "edge-1"];
    let bad = sandbox.recover(&[&go[..], &["--set", "observe=1"]].concat());
    assert_error(&bad, "RCV0026", 64);
    assert!(stderr(&bad).contains("did you mean `observe_ms`?"), "{}", stderr(&bad));
    assert_error(&sandbox.recover(&[&go[..], &["--set", "observe_ms=x"]].concat()), "RCV0026", 64);
    assert_error(&sandbox.recover(&[&go[..], &["--set", "observe_ms"]].concat()), "RCV0026", 64);

    let config = std::fs::read_to_string(sandbox.config()).unwrap().replace("\"allow\"", "\"ask\"");
    std::fs::write(sandbox.config(), config).unwrap();
    let asked = sandbox.recover(&[&go[..], &["--output", "json"]].concat());
    let run = crate::result(&asked)["run"].as_str().unwrap().to_owned();
    // Other parameters: held by the open run, with its id.
    let held = sandbox.recover(&[&go[..], &["--set", "token_ttl_s=60"]].concat());
    assert_error(&held, "RCV0013", 6);
    assert!(stderr(&held).contains(&run));
    assert_error(&sandbox.recover(&["resolve", &run, "--step", "pair", "--absent", "--reason", "x"]), "RCV0009", 64);
    assert_error(&sandbox.recover(&["resume", "run_00000000000000000000000000"]), "RCV0007", 64);
    assert_error(&sandbox.recover(&["resume", "nonsense"]), "RCV0007", 64);

    let abandoned = sandbox.recover(&["abandon", &run, "--reason", "test"]);
    assert_eq!(code(&abandoned), 0, "{}", stderr(&abandoned));
    assert_error(&sandbox.recover(&["resume", &run]), "RCV0008", 64);
    assert_error(&sandbox.recover(&["abandon", &run, "--reason", "again"]), "RCV0008", 64);
}

#[test]
fn a_pipe_that_closes_ends_the_printing_and_not_the_work() {
    use std::process::{Command, Stdio};
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let mut child = Command::new(crate::sandbox::RECOVER)
        .arg("--config")
        .arg(sandbox.config())
        .args(["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(sandbox.ledger()["pairs"], 1);
}
