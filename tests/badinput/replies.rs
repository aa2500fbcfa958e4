//! Replies of a control plane that cannot be believed: the run gives up as found, or is told that it is not needed.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use crate::{CANARY, Case, World, handled};

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"];

/// Answers every request with these bytes, for as long as the test runs.
fn server(reply: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.read(&mut [0; 8192]);
            let _ = stream.write_all(&reply);
        }
    });
    base
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// A status with one part replaced.
fn status(from: &str, to: &str) -> String {
    let good = r#"{"agent":"edge-1","status":"offline","paired_before":true,"identity":{"serial":"s1","fingerprint":null,"issued_at":"2026-11-22T03:00:00Z"},"last_seen":null}"#;
    assert!(good.contains(from), "{from}");
    good.replace(from, to)
}

pub fn cases(world: &World) -> Vec<Case> {
    let (head, rest) = world.config.split_once("base = \"").unwrap();
    let (_, tail) = rest.split_once('"').unwrap();
    let config = |base: &str| format!("{head}base = \"{base}\"{tail}");
    let mut cases = Vec::new();
    let mut case = |name: &str, reply: Vec<u8>, exit: i32, said: &str| {
        cases.push(handled(format!("reply: {name}"), GO, exit).config(config(&server(reply))).says(said));
    };
    for (name, body) in [
        ("nothing", String::new()),
        ("not JSON", "<html>login</html>".into()),
        ("JSON that is cut", "{\"agent\":".into()),
        ("a list", "[]".into()),
        ("null", "null".into()),
        ("a number", "1e999".into()),
        ("no fields", "{}".into()),
        ("not UTF-8 in its escapes", "{\"agent\":\"\\ud800\"}".into()),
        ("another connector", status("edge-1", "edge-2")),
        ("a status that is a number", status("\"offline\"", "3")),
        ("no status", status("\"status\":\"offline\",", "")),
        ("paired_before is a word", status("true", "\"yes\"")),
        ("a serial with a newline", status("\"s1\"", "\"s1\\nx\"")),
        ("a serial with an escape sequence", status("\"s1\"", "\"\\u001b[2J\"")),
        ("a serial of 10 KiB", status("\"s1\"", &format!("\"{}\"", "9".repeat(10 << 10)))),
        ("an empty serial", status("\"s1\"", "\"\"")),
        ("a serial that is a number", status("\"s1\"", "1")),
        ("a key twice", status("\"agent\"", "\"agent\":\"edge-1\",\"agent\"")),
        ("two values", status("null}", "null}{}")),
        ("a secret that is not JSON", format!("token={CANARY}")),
    ] {
        case(name, http("200 OK", &body), 2, "given-up");
    }
    for (name, said) in [
        ("400 x", "(400"),
        ("401 x", "credential"),
        ("403 x", "permission"),
        ("404 x", "check `base`"),
        ("405 x", "(405"),
        ("409 x", "(409"),
        ("410 x", "(410"),
        ("418 x", "(418"),
    ] {
        case(name, http(name, "{}"), 2, said);
    }
    for name in ["429 x", "500 x", "502 x", "503 x", "504 x", "599 x", "202 x", "204 x", "206 x", "304 x", "999 x"] {
        case(name, http(name, ""), 2, "given-up");
    }
    let said = format!("{{\"error\":\"SECRET\",\"message\":\"Authorization: Bearer {CANARY}\"}}");
    case("a refusal that repeats a bearer", http("403 x", &said), 2, "permission");
    case("a refusal with an escape sequence", http("400 x", r#"{"error":"X","message":"\u001b[2Jboo"}"#), 2, "(400");
    case(
        "a refusal of 1 MiB",
        http("400 x", &format!("{{\"error\":\"X\",\"message\":\"{}\"}}", "m".repeat(1 << 20))),
        2,
        "(400",
    );
    for (name, bytes) in [
        ("a head without end", [b"HTTP/1.1 200 OK\r\n".to_vec(), b"x: y\r\n".repeat(1 << 17)].concat()),
        ("a header without end", [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'y'; 1 << 20]].concat()),
        ("two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}".to_vec()),
        ("a negative length", b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}".to_vec()),
        ("a length that overflows", b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n{}".to_vec()),
        ("a chunk that is none", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec()),
        (
            "a chunk that overflows",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n".to_vec(),
        ),
        ("HTTP/0.9", b"{}".to_vec()),
        ("HTTP/2", b"\0\0\x12\x04\0\0\0\0\0".to_vec()),
        ("TLS where plain was asked for", b"\x15\x03\x03\0\x02\x02\x28".to_vec()),
        ("a NUL in a header", b"HTTP/1.1 200 OK\r\nx: \0\r\n\r\n{}".to_vec()),
        ("an interim reply and nothing", b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
        ("a switch of protocols", b"HTTP/1.1 101 x\r\nupgrade: x\r\n\r\n".to_vec()),
        ("a redirect without a place", b"HTTP/1.1 302 x\r\ncontent-length: 0\r\n\r\n".to_vec()),
        (
            "a redirect to a file",
            b"HTTP/1.1 302 x\r\nlocation: file:///etc/passwd\r\ncontent-length: 0\r\n\r\n".to_vec(),
        ),
        (
            "a compressed body",
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n\x1f\x8b".to_vec(),
        ),
    ] {
        case(name, bytes, 2, "given-up");
    }
    let never = status("true", "false")
        .replace(r#"{"serial":"s1","fingerprint":null,"issued_at":"2026-11-22T03:00:00Z"}"#, "null");
    case("it never paired", http("200 OK", &never), 8, "bootstrap-failure");
    case("it paired and has no identity", http("200 OK", &never.replace("false", "true")), 2, "unclear");
    case("it has an identity and never paired", http("200 OK", &status("true", "false")), 2, "unclear");
    cases
}
