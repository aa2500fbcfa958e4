//! `recover support-bundle`: everything a supporter needs, nothing that is secret, nothing changed.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::sandbox::Sandbox;
use crate::{assert_error, code, lines, stderr};

/// The files of an archive, as `tar` reads it.
fn unpacked(archive: &Path) -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let untar =
        std::process::Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(folder.path()).status().unwrap();
    assert!(untar.success());
    let entries = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read_to_string(e.path()).unwrap())).collect()
}

fn bundle(sandbox: &Sandbox, out: &Path, more: &[&str]) -> std::process::Output {
    let mut command = sandbox.recovering(&["support-bundle", "--target", "edge-1", "--output", "json"]);
    command.args(more).arg("--out").arg(out).output().unwrap()
}

#[test]
fn what_a_supporter_needs_is_in_one_file_and_no_secret_is() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let recovered = sandbox.recover(&["--scenario", "identity-loss", "--target", "edge-1", "--yes"]);
    assert_eq!(code(&recovered), 0, "{}", stderr(&recovered));
    sandbox.lose(false);
    let done = || ["mints", "pairs", "revokes", "starts", "live_tokens"].map(|effect| sandbox.ledger()[effect].clone());
    let before = done();
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("case.tar");
    let made = bundle(&sandbox, &out, &[]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    assert_eq!(done(), before, "looking changes nothing");
    assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "nothing half-made is left");

    let files = unpacked(&out);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let expected = [
        "diagnosis.json",
        "facts.json",
        "log.txt",
        "manifest.json",
        "observations.json",
        "runs.jsonl",
        "versions.json",
    ];
    assert_eq!(names, expected);
    let json = |name: &str| serde_json::from_str::<Value>(&files[name]).unwrap();
    let manifest = json("manifest.json");
    assert_eq!(lines(&made).pop().unwrap()["manifest"], manifest);
    let listed = manifest["files"].as_array().unwrap();
    assert_eq!(listed.len() + 1, files.len(), "the manifest lists every other file");
    for file in listed {
        let text = &files[file["name"].as_str().unwrap()];
        let digest: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((&file["sha256"], &file["bytes"]), (&digest.into(), &text.len().into()), "{file}");
    }
    assert_eq!(json("diagnosis.json")["class"], "C12");
    assert!(json("observations.json")["reach"].is_object() && json("observations.json")["storage"].is_object());
    assert!(json("facts.json")["facts"].is_object() && json("versions.json")["recover"].is_string());
    assert!(files["log.txt"].contains("401 ENROLLMENT_TOKEN_INVALID"));
    assert!(files["runs.jsonl"].lines().any(|line| line.contains("pair:paired")), "{}", files["runs.jsonl"]);

    // The credential, and the token that pairs: neither is there in any file.
    let credential = std::fs::read_to_string(sandbox.dir().join("credential")).unwrap();
    for (name, text) in &files {
        assert!(!text.contains(credential.trim()) && !text.contains("rst_"), "{name}");
    }
}

#[test]
fn hosts_are_masked_on_demand_and_nothing_is_overwritten() {
    let sandbox = Sandbox::up();
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("case.tar");
    let log = home.path().join("connector.log");
    std::fs::write(&log, "dial tcp 203.0.113.7:443: connection refused\n").unwrap();
    let made = bundle(&sandbox, &out, &["--mask-hosts", "--log", log.to_str().unwrap()]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let files = unpacked(&out);
    for (name, text) in &files {
        assert!(!text.contains("127.0.0.1") && !text.contains("203.0.113.7"), "{name}: {text}");
    }
    assert!(files["log.txt"].contains("dial tcp host-"), "{}", files["log.txt"]);
    assert!(files["manifest.json"].contains("\"hosts_masked\": true"));

    // What one that was killed left beside the name is in nobody's way.
    let again = home.path().join("again.tar");
    for left in ["again.tar.part", "again.tar.1.part"] {
        std::fs::write(home.path().join(left), "half").unwrap();
    }
    assert_eq!(code(&bundle(&sandbox, &again, &[])), 0);

    let bytes = std::fs::read(&out).unwrap();
    assert_error(&bundle(&sandbox, &out, &[]), "RCV0040", 74);
    assert_eq!(std::fs::read(&out).unwrap(), bytes);
    assert_error(&bundle(&sandbox, &home.path().join("nowhere/case.tar"), &[]), "RCV0040", 74);
}

#[test]
fn what_cannot_be_asked_is_said_in_the_bundle() {
    let sandbox = Sandbox::up();
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("down.toml");
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let (head, rest) = text.split_once("base = \"").unwrap();
    let (_, tail) = rest.split_once('"').unwrap();
    std::fs::write(&config, format!("{head}base = \"http://127.0.0.1:1\"{tail}")).unwrap();
    let out = home.path().join("case.tar");
    let mut command = std::process::Command::new(crate::sandbox::RECOVER);
    command.arg("--config").arg(&config).args(["support-bundle", "--target", "edge-1", "--out"]).arg(&out);
    let made = command.output().unwrap();
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let files = unpacked(&out);
    assert!(files["observations.json"].contains("not-read") && files["facts.json"].contains("not_read"));
}
