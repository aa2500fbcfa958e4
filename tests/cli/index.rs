//! The index gone, old, half-written or garbage: nothing that is answered changes, since the log is the truth.

use std::path::Path;

use crate::sandbox::{Sandbox, exists};
use crate::{code, result, stderr};

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"];

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { _ = std::fs::copy(&path, &to).unwrap() }
    }
}

/// What of the answers must not change: all of it.
fn answers(sandbox: &Sandbox, words: &[&str]) -> (i32, Vec<u8>) {
    let output = sandbox.recover(words);
    (code(&output), output.stdout)
}

#[test]
fn whatever_becomes_of_the_index_the_answers_stay() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    assert_eq!(result(&sandbox.recover(GO))["verdict"], "recovered");
    let index = sandbox.state().join("index");
    assert!(exists(&index), "there is an index to lose");
    let older = sandbox.dir().join("older-index");
    copy(&index, &older);
    assert_eq!(code(&sandbox.recover(GO)), 8, "a second run, which the older index knows nothing of");

    let garbage = |path: &Path| {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::write(path, [0xa5; 4096]).unwrap();
            }
        }
    };
    let cases: &[(&str, &dyn Fn())] = &[
        ("deleted", &|| std::fs::remove_dir_all(&index).unwrap()),
        ("emptied", &|| {
            std::fs::remove_dir_all(&index).unwrap();
            std::fs::create_dir(&index).unwrap();
        }),
        ("replaced by an older one", &|| {
            std::fs::remove_dir_all(&index).unwrap();
            copy(&older, &index);
        }),
        ("with a half snapshot", &|| std::fs::write(index.join("snap.0000.generating"), [7; 100]).unwrap()),
        ("full of garbage", &|| garbage(&index)),
    ];
    for (what, harm) in cases {
        let before: Vec<_> = [&["list"][..], &["status"], &["verify", "--all"]].map(|w| answers(&sandbox, w)).into();
        harm();
        let after: Vec<_> = [&["list"][..], &["status"], &["verify", "--all"]].map(|w| answers(&sandbox, w)).into();
        assert!(before == after, "{what}: the answers changed");
        assert!(before.iter().all(|(code, _)| *code == 0), "{what}");
        let again = sandbox.recover(GO);
        assert_eq!(code(&again), 8, "{what}: {}", stderr(&again));
        assert!(!stderr(&again).contains("panicked"), "{what}: {}", stderr(&again));
    }
    assert_eq!(sandbox.ledger()["pairs"], 1);
    assert_eq!(code(&sandbox.recover(&["verify", "--all"])), 0);
}
