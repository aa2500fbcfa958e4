//! OpenBao for tests: the real one where `bao` is on PATH, and a fake that speaks the same interface, keeps a ledger of its own and
//! deduplicates nothing. Before either stands a proxy that writes down what came and says what of it is forbidden.
#![allow(dead_code, unused_imports, reason = "not every test binary asks for everything")]

mod auth;
mod fake;
mod key;
mod proxy;
mod real;
mod shown;
mod state;
#[path = "../tls.rs"]
pub mod tls;
mod transit;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::Value;

pub use fake::Fake;
pub use proxy::{Proxy, knows_what_is_forbidden};
pub use real::Real;

/// A port that is free, and that the system gives to no connection going out: whoever listens there may end and listen there again.
pub fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = u16::try_from(std::process::id() * 37 % 12_000).unwrap();
    loop {
        let port = 20_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The token that may do anything, in all tests.
pub const ROOT: &str = "root-of-the-tests";

/// A request as it came, or an answer to it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub token: String,
    pub namespace: String,
    pub body: Value,
}

impl Asked {
    fn read(from: &mut impl std::io::Read) -> Option<(Self, Vec<u8>)> {
        let bytes = tls::message(from)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut words = head.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let header = |name: &str| {
            let named = |line: &str| {
                line.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim().to_owned())
            };
            head.lines().find_map(named).unwrap_or_default()
        };
        let (token, namespace) = (header("x-vault-token"), header("x-vault-namespace"));
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        Some((Self { method, path, token, namespace, body }, bytes))
    }
}

fn head(status: u16, length: usize) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// An OpenBao under test.
pub trait Peer: Send + Sync {
    /// Which of the two it is.
    fn name(&self) -> &'static str;
    fn address(&self) -> SocketAddr;
    /// Where it listens with TLS, if it does. It asks for a client's certificate there.
    fn tls_address(&self) -> Option<SocketAddr>;
    /// What a holder of its keys does after a seal.
    fn unseal(&self);
    fn unseal_namespace(&self, name: &str);
    /// Whether a namespace can be sealed by itself.
    fn seals_namespaces(&self) -> bool;
    /// Its process is gone, or as good as gone.
    fn go_down(&self);
    /// It is there again, as it was; sealed, if that is its way.
    fn come_back(&self);
    /// What a person does before trouble, and after it: all of its storage, or none. Each has a name.
    fn take_snapshot(&self, name: &str);
    fn restore_snapshot(&self, name: &str);
    /// Metadata that leaves a version out, or names it again. Nothing that is asked of the real one leads to this.
    fn hide_version(&self, namespace: &str, key: &str, version: u64, hidden: bool);

    /// What a person with a root token does, past the proxy.
    fn admin(&self, method: &str, path: &str, namespace: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let mut stream = TcpStream::connect(self.address()).unwrap();
        let namespace =
            if namespace.is_empty() { String::new() } else { format!("x-vault-namespace: {namespace}\r\n") };
        let request = format!(
            "{method} /v1/{path} HTTP/1.1\r\nhost: {}\r\nx-vault-token: {ROOT}\r\n{namespace}connection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            self.address(),
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap();
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// The same, where it must be done.
    fn told(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.admin(method, path, "", body);
        assert!(matches!(status, 200 | 204), "{method} {path}: {status} {answer}");
        answer
    }
}
