//! What stands between everybody and the sandbox's control plane: it mints known tokens, and repeats every secret it sees.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::encodings::leak;

/// How the plane misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It does its work, and repeats the secrets wherever there is room: headers, keys that nobody asked for, audit
    /// entries, the connector's log, and in an error before each kind of request succeeds.
    Chatty,
    /// Every request is answered with this status, the secrets in its words.
    Refusing(u16),
    /// The credential, as it is, is the code of a refusal.
    SecretCode,
    /// Redirects with the secrets in the place to go to.
    Redirecting,
    /// The lost identity's serial is the credential.
    SecretSerial,
    /// The serial that the token paired is the token itself.
    SecretPairedSerial,
    /// Not HTTP, or not JSON, but the secrets.
    Garbage,
}

pub struct Plane {
    pub base: String,
    shared: Arc<Shared>,
}

struct Shared {
    real: String,
    credential: String,
    log: PathBuf,
    manner: Mutex<Manner>,
    /// The canaries that are minted next, in turns.
    tokens: Vec<String>,
    minted: Arc<AtomicUsize>,
    /// What the last canary stands for.
    last: Mutex<Option<(String, String)>>,
    /// Whether the token's encodings are repeated after it was withdrawn: a process that never knew it cannot know them.
    encoded: AtomicBool,
    failed: Mutex<Vec<String>>,
}

struct Heard {
    head: String,
    body: Vec<u8>,
}

impl Plane {
    pub fn before(real: &str, credential: &str, tokens: Vec<String>, minted: &Arc<AtomicUsize>, log: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            real: real.trim_start_matches("http://").to_owned(),
            credential: credential.to_owned(),
            log,
            manner: Mutex::new(Manner::Chatty),
            tokens,
            minted: Arc::clone(minted),
            last: Mutex::new(None),
            encoded: AtomicBool::new(true),
            failed: Mutex::new(Vec::new()),
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || stream.and_then(|stream| shared.serve(stream)));
            }
        });
        Self { base, shared }
    }

    /// Begins a new trial.
    pub fn behaves(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
        self.shared.encoded.store(true, Ordering::SeqCst);
        self.shared.failed.lock().unwrap().clear();
        *self.shared.last.lock().unwrap() = None;
    }

    pub fn forget_encodings(&self) {
        self.shared.encoded.store(false, Ordering::SeqCst);
    }
}

/// One message: up to the end of its head, and as much more as it announces.
fn hear(stream: &mut TcpStream) -> std::io::Result<Heard> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (mut bytes, mut chunk) = (Vec::new(), [0; 8192]);
    loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            let end = at + 4 + length.unwrap_or(0_usize);
            while bytes.len() < end {
                match stream.read(&mut chunk)? {
                    0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                    n => bytes.extend_from_slice(&chunk[..n]),
                }
            }
            return Ok(Heard { head, body: bytes[at + 4..end].to_vec() });
        }
        match stream.read(&mut chunk)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => bytes.extend_from_slice(&chunk[..n]),
        }
    }
}

impl Shared {
    fn secrets(&self, after: bool) -> String {
        let token = self.last.lock().unwrap().as_ref().map(|(canary, _)| canary.clone());
        let token =
            token.map(|canary| if after && !self.encoded.load(Ordering::SeqCst) { canary } else { leak(&canary) });
        format!("{} {}", leak(&self.credential), token.unwrap_or_default())
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let Heard { head, mut body } = hear(&mut stream)?;
        let line = head.lines().next().unwrap_or_default().to_owned();
        let (method, path) =
            line.split_once(' ').map(|(m, rest)| (m, rest.split(' ').next().unwrap_or_default())).unwrap();
        let manner = *self.manner.lock().unwrap();
        let of_recover = path.starts_with("/v1/connectors/");
        if of_recover && let Some(reply) = self.misbehave(manner) {
            return say(&mut stream, &reply);
        }
        if path == "/v1/pair" {
            let mut pair: Value = serde_json::from_slice(&body)?;
            if let Some((canary, secret)) = &*self.last.lock().unwrap()
                && pair["token"] == canary.as_str()
            {
                pair["token"] = secret.as_str().into();
            }
            body = pair.to_string().into_bytes();
        }
        let first = of_recover && {
            let what = format!("{method} {}", path.split('?').next().unwrap_or_default());
            let mut failed = self.failed.lock().unwrap();
            let new = !failed.contains(&what);
            failed.push(what);
            new
        };
        if first && manner == Manner::Chatty {
            let said = json!({ "error": "NOT_NOW", "message": self.secrets(false), "detail": self.secrets(false) });
            return say(&mut stream, &reply(503, "retry-after: 0\r\n", &said.to_string()));
        }
        let (status, mut value) = self.ask(&head, &body)?;
        if method == "POST" && path.ends_with("/tokens") && status == 201 {
            let canary = self.tokens[self.minted.fetch_add(1, Ordering::SeqCst) % self.tokens.len()].clone();
            let secret = value["secret"].as_str().unwrap_or_default().to_owned();
            *self.last.lock().unwrap() = Some((canary.clone(), secret));
            value["secret"] = canary.as_str().into();
            let mut log = std::fs::OpenOptions::new().append(true).create(true).open(&self.log)?;
            writeln!(log, "pairing begins with {}", leak(&canary))?;
            writeln!(log, "pairing begins with token={canary}")?;
        }
        if of_recover {
            self.embellish(manner, path, &mut value);
        }
        let extra = if of_recover {
            format!("x-echo: Bearer {}\r\nx-all: {}\r\n", self.credential, self.secrets(false))
        } else {
            String::new()
        };
        say(&mut stream, &reply(status, &extra, &value.to_string()))
    }

    fn misbehave(&self, manner: Manner) -> Option<Vec<u8>> {
        let secrets = self.secrets(false);
        match manner {
            Manner::Chatty | Manner::SecretSerial | Manner::SecretPairedSerial => None,
            Manner::Refusing(status) => Some(reply(
                status,
                "",
                &json!({ "error": "NO", "message": format!("you sent {} {secrets}", self.credential) }).to_string(),
            )),
            Manner::SecretCode => {
                let code: String = self.credential.bytes().map(|byte| format!("{byte:02X}")).take(32).collect();
                Some(reply(400, "", &json!({ "error": code, "message": secrets }).to_string()))
            }
            Manner::Redirecting => {
                let to = crate::encodings::forms(&self.credential)[1].1.clone();
                Some(reply(302, &format!("location: http://127.0.0.1:1/{to}?{} {secrets}\r\n", self.credential), "{}"))
            }
            Manner::Garbage => Some(reply(200, "", &secrets)),
        }
    }

    fn embellish(&self, manner: Manner, path: &str, value: &mut Value) {
        let path = path.split('?').next().unwrap_or_default();
        value["echo"] = self.secrets(true).into();
        match manner {
            Manner::Chatty if path.ends_with("/audit") => {
                for secrets in [self.secrets(true), self.secrets(true).split(' ').collect::<Vec<_>>().join("\n")] {
                    let event = json!({ "at": "2026-11-22T03:00:00Z", "type": "token.minted", "detail": secrets });
                    value["events"].as_array_mut().unwrap().push(event);
                }
            }
            Manner::SecretSerial if value["identity"].is_object() => {
                value["identity"]["serial"] = self.credential.as_str().into();
            }
            Manner::SecretPairedSerial => {
                let token = self.last.lock().unwrap().as_ref().map(|(canary, _)| canary.clone());
                for listed in value["tokens"].as_array_mut().into_iter().flatten() {
                    if listed["state"] == "consumed"
                        && let Some(token) = &token
                    {
                        listed["paired_serial"] = token.as_str().into();
                    }
                }
            }
            _ => {}
        }
    }

    fn ask(&self, head: &str, body: &[u8]) -> std::io::Result<(u16, Value)> {
        let mut real = TcpStream::connect(&self.real)?;
        let mut lines = head.split("\r\n");
        let mut text = format!("{}\r\n", lines.next().unwrap_or_default());
        for line in lines {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            if !["host", "content-length", "connection"].contains(&name.as_str()) {
                text.push_str(&format!("{line}\r\n"));
            }
        }
        text.push_str(&format!("host: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", self.real, body.len()));
        real.write_all(text.as_bytes())?;
        real.write_all(body)?;
        let heard = hear(&mut real)?;
        let status = heard.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(502);
        Ok((status, serde_json::from_slice(&heard.body).unwrap_or_default()))
    }
}

fn reply(status: u16, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// In small pieces, so that every secret is cut somewhere.
fn say(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    bytes.chunks(701).try_for_each(|piece| stream.write_all(piece))
}
