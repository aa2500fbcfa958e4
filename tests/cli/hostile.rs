//! A control plane that is down, hangs, lies or shouts; a journal that is damaged, full or from the future.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;

use crate::sandbox::Sandbox;
use crate::{assert_error, code, lines, result, stderr};

/// The sandbox's configuration with another control plane.
fn with_authority(sandbox: &Sandbox, base: &str) {
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let start = text.find("base = \"").unwrap() + 8;
    let end = start + text[start..].find('"').unwrap();
    std::fs::write(sandbox.config(), format!("{}{base}{}", &text[..start], &text[end..])).unwrap();
}

/// Answers every request with these bytes, until the process ends.
fn server(reply: &'static [u8], repeat: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                for _ in 0..repeat {
                    if stream.write_all(reply).is_err() {
                        break;
                    }
                }
            });
        }
    });
    base
}

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"];

#[test]
fn a_control_plane_that_cannot_be_trusted_changes_nothing() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let body: &'static [u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\ngarbage";
    let redirect: &'static [u8] = b"HTTP/1.1 307 x\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let cases = [
        ("down", "http://127.0.0.1:1".to_owned()),
        ("garbage", server(body, 1)),
        ("redirect", server(redirect, 1)),
        ("not HTTP", server(b"SSH-2.0-OpenSSH_9.2\r\n", 1)),
    ];
    for (what, base) in cases {
        with_authority(&sandbox, &base);
        let output = sandbox.recover(GO);
        let line = result(&output);
        assert_eq!((line["verdict"].as_str(), code(&output)), (Some("given-up"), 2), "{what}: {line}");
    }
    assert_eq!(sandbox.ledger()["mints"], 0);
}

fn segment(sandbox: &Sandbox) -> std::path::PathBuf {
    let mut segments: Vec<_> = std::fs::read_dir(sandbox.state().join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "seg"))
        .collect();
    segments.sort();
    segments.remove(0)
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[offset] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_log_is_reported_salvaged_and_blocks_what_may_be_in_it() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let first = result(&sandbox.recover(GO));
    assert_eq!(first["verdict"], "recovered");
    flip(&segment(&sandbox), 500);

    assert_eq!(code(&sandbox.recover(&["journal", "verify"])), 7);
    assert_error(&sandbox.recover(&["replay", first["run"].as_str().unwrap()]), "RCV0018", 7);
    assert_error(&sandbox.recover(GO), "RCV0018", 7);

    let salvaged = sandbox.recover(&["journal", "salvage", "--reason", "test", "--output", "json"]);
    assert_eq!(code(&salvaged), 0, "{}", stderr(&salvaged));
    let blocked = lines(&salvaged).pop().unwrap()["blocked"].clone();
    sandbox.command(&["up"]);
    let refused = sandbox.recover(GO);
    assert_error(&refused, "RCV0033", 7);
    for key in blocked.as_array().unwrap() {
        let cleared = sandbox.recover(&["journal", "clear", key.as_str().unwrap(), "--reason", "looked at the ledger"]);
        assert_eq!(code(&cleared), 0, "{}", stderr(&cleared));
    }
    let after = sandbox.recover(GO);
    assert_eq!(code(&after), 8, "the connector is healthy, and that can be seen again: {}", stderr(&after));
}

#[test]
fn what_can_still_be_listed_does_not_hide_the_damage() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let first = result(&sandbox.recover(GO))["run"].as_str().unwrap().to_owned();
    assert_eq!(code(&sandbox.recover(GO)), 8, "a second run, in later frames");
    let whole = sandbox.recover(&["list", "--output", "json"]);
    assert_eq!((lines(&whole).len(), code(&whole)), (2, 0));
    assert!(lines(&whole).iter().all(|line| line["log_damaged"] == false));

    // A byte of the second run's first frame: what is before it can be read.
    let verified = lines(&sandbox.recover(&["verify", "--all", "--output", "json"]));
    let frames = verified[0]["report"]["frames"].as_u64().unwrap();
    let bytes = std::fs::read(segment(&sandbox)).unwrap();
    let mut offset = 128;
    for _ in 0..frames - 2 {
        offset += u32::from_le_bytes(bytes[offset + 12..offset + 16].try_into().unwrap()) as usize;
    }
    flip(&segment(&sandbox), offset + 200);

    for words in [&["list"][..], &["status"], &["events"]] {
        let output = sandbox.recover(words);
        let said = stderr(&output);
        assert_eq!(code(&output), 7, "{words:?}: {said}");
        assert!(said.contains("warning[RCV0018]") && said.contains("recover verify"), "{words:?}: {said}");
        assert!(!said.contains("nothing is open"), "{words:?}: nobody can know that: {said}");
    }
    let listed = lines(&sandbox.recover(&["list", "--output", "json"]));
    assert!(listed.iter().any(|line| line["run"] == first.as_str()), "the healthy run is readable");
    assert!(listed.iter().all(|line| line["log_damaged"] == true));
    assert_error(&sandbox.recover(&["resume", "--all"]), "RCV0018", 7);
    assert_eq!(code(&sandbox.recover(&["replay", &first])), 0);
}

#[test]
fn a_directory_of_another_machine_is_read_and_not_acted_on() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    assert_eq!(result(&sandbox.recover(GO))["verdict"], "recovered");
    let marker = sandbox.state().join("machine");
    let text = std::fs::read_to_string(&marker).unwrap();
    std::fs::write(&marker, text.replace(text.trim().get(..6).unwrap(), "abcdef")).unwrap();
    assert_error(&sandbox.recover(GO), "RCV0017", 64);
    assert_eq!(code(&sandbox.recover(&["verify", "--all"])), 0);
    assert_eq!(code(&sandbox.recover(&["journal", "adopt", "--reason", "moved"])), 0);
    assert_eq!(code(&sandbox.recover(GO)), 8);
}
