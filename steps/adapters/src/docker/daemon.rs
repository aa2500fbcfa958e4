//! The daemon at its unix socket: one connection for each request, each within its time and size, and no request but these.
//!
//! There is no method that deletes a volume, prunes anything, or removes a container with its volumes.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::archive::{self, Entry};
use super::container::Container;
use super::failure::Failure;

/// How long a request may take, but for one that waits for a workload.
const WITHIN: Duration = Duration::from_secs(10);
/// More than this is no answer about containers.
const ANSWER_MOST: usize = 16 << 20;
/// The versions of the interface that this was written and seen with.
const OLDEST: Version = Version(1, 40);
const NEWEST: Version = Version(1, 51);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// One daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    socket: PathBuf,
    version: OnceCell<Version>,
}

/// What is asked for.
struct Asking<'a> {
    method: Method,
    /// Below the version.
    path: &'a str,
    body: Option<&'a Value>,
    within: Duration,
    most: usize,
}

impl<'a> Asking<'a> {
    const fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None, within: WITHIN, most: ANSWER_MOST }
    }

    const fn post(path: &'a str, body: Option<&'a Value>) -> Self {
        Self { method: Method::POST, path, body, within: WITHIN, most: ANSWER_MOST }
    }
}

impl Daemon {
    pub(crate) fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), version: OnceCell::new() }
    }

    /// The container of exactly this name; `None` if there is none. The daemon would also take the beginning of an id.
    pub(crate) async fn named(&self, name: &str) -> Result<Option<Container>, Failure> {
        match self.json(Asking::get(&format!("/containers/{name}/json"))).await {
            Ok(told) => Ok(Container::of(told).filter(|container| container.name() == name)),
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Containers in brief: `Names`, `Id`, `State`, `Mounts`, `Labels`.
    pub(crate) async fn list(&self, all: bool) -> Result<Vec<Value>, Failure> {
        let path = format!("/containers/json?all={}", u8::from(all));
        let told = self.json(Asking::get(&path)).await?;
        told.as_array().cloned().ok_or_else(|| Failure::Broken("the containers are no list".into()))
    }

    /// A volume; `None` if there is none. Looking at one never makes one.
    pub(crate) async fn volume(&self, name: &str) -> Result<Option<Value>, Failure> {
        match self.json(Asking::get(&format!("/volumes/{name}"))).await {
            Ok(told) => Ok(Some(told)),
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The id of the image that has this name now.
    pub(crate) async fn image(&self, name: &str) -> Result<Option<String>, Failure> {
        match self.json(Asking::get(&format!("/images/{}/json", escaped(name)))).await {
            Ok(told) => Ok(told["Id"].as_str().map(str::to_owned)),
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The one file at this path in a container, as its tar archive tells it; `None` if there is nothing. It need not run.
    pub(crate) async fn file(&self, id: &str, path: &str, most: usize) -> Result<Option<Entry>, Failure> {
        let path = format!("/containers/{id}/archive?path={}", escaped(path));
        // Headers, the end's two blocks and a last block that is filled up.
        let asking = Asking { most: most + 16 * 1_024, ..Asking::get(&path) };
        match self.ask(asking).await {
            Ok(bytes) => archive::first(&bytes, most).map(Some).map_err(|why| Failure::Broken(why.to_owned())),
            Err(Failure::Said { status: 404, message }) if !message.contains("No such container") => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The last lines that it wrote to its outputs, as the daemon frames them.
    pub(crate) async fn logs(&self, id: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        self.ask(Asking::get(&format!("/containers/{id}/logs?stdout=1&stderr=1&tail=500"))).await
    }

    /// Ends it; after so long, with SIGKILL. One that does not run stays as it is.
    pub(crate) async fn stop(&self, id: &str, within: Duration) -> Result<(), Failure> {
        let path = format!("/containers/{id}/stop?t={}", within.as_secs().max(1));
        self.ask(Asking { within: within + WITHIN, ..Asking::post(&path, None) }).await.map(|_| ())
    }

    /// Starts it. One that runs stays as it is.
    pub(crate) async fn start(&self, id: &str) -> Result<(), Failure> {
        let path = format!("/containers/{id}/start");
        self.ask(Asking { within: 2 * WITHIN, ..Asking::post(&path, None) }).await.map(|_| ())
    }

    /// Makes a container that does not run. The name must be free.
    pub(crate) async fn create(&self, name: &str, body: &Value) -> Result<(), Failure> {
        let path = format!("/containers/create?name={name}");
        self.ask(Asking { within: 2 * WITHIN, ..Asking::post(&path, Some(body)) }).await.map(|_| ())
    }

    /// Gives it another name, which must be free.
    pub(crate) async fn rename(&self, id: &str, to: &str) -> Result<(), Failure> {
        self.ask(Asking::post(&format!("/containers/{id}/rename?name={to}"), None)).await.map(|_| ())
    }

    /// Takes away a container that does not run. Its volumes stay, those that nobody named too.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), Failure> {
        let path = format!("/containers/{id}");
        let asking = Asking { method: Method::DELETE, ..Asking::get(&path) };
        match self.ask(asking).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.is_missing() => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Puts a container that does not run on a network.
    pub(crate) async fn connect(&self, network: &str, id: &str, endpoint: &Value) -> Result<(), Failure> {
        let body = json!({ "Container": id, "EndpointConfig": endpoint });
        self.ask(Asking::post(&format!("/networks/{}/connect", escaped(network)), Some(&body))).await.map(|_| ())
    }

    /// Makes a volume of the daemon's own driver, or gives the one that has the name.
    pub(crate) async fn make_volume(&self, name: &str, labels: &Value) -> Result<Value, Failure> {
        let body = json!({ "Name": name, "Driver": "local", "Labels": labels });
        self.json(Asking::post("/volumes/create", Some(&body))).await
    }

    async fn json(&self, asking: Asking<'_>) -> Result<Value, Failure> {
        let bytes = self.ask(asking).await?;
        // Not the parser's message: it could quote the environment.
        serde_json::from_slice(&bytes).map_err(|_| Failure::Broken("it is no JSON, or not all of it".into()))
    }

    async fn ask(&self, asking: Asking<'_>) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let version = *self.version.get_or_try_init(|| self.negotiated()).await?;
        self.exchange(&format!("/v{version}{}", asking.path), &asking).await
    }

    /// The newest version that both sides speak.
    async fn negotiated(&self) -> Result<Version, Failure> {
        let bytes = self.exchange("/version", &Asking::get("")).await?;
        let told: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let (newest, oldest) = (told["ApiVersion"].as_str().unwrap_or_default(), told["MinAPIVersion"].as_str());
        let Some(theirs) = Version::parse(newest) else {
            return Err(Failure::Broken("it does not tell its version".into()));
        };
        let least = oldest.and_then(Version::parse).unwrap_or(OLDEST);
        if theirs < OLDEST {
            return Err(Failure::Version { theirs: theirs.to_string(), wanted: format!("at least {OLDEST}") });
        }
        if least > NEWEST {
            return Err(Failure::Version { theirs: format!("{least} and later"), wanted: format!("at most {NEWEST}") });
        }
        Ok(theirs.min(NEWEST))
    }

    async fn exchange(&self, path: &str, asking: &Asking<'_>) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let exchanged = Box::pin(self.over_a_connection(path, asking));
        tokio::time::timeout(asking.within, exchanged).await.unwrap_or(Err(Failure::Slow))
    }

    async fn over_a_connection(&self, path: &str, asking: &Asking<'_>) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let body = asking.body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder().method(&asking.method).uri(path).header("Host", "docker");
        let request = request.header("Content-Type", "application/json").header("Connection", "close");
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| Failure::Broken("the request cannot be written".into()))?;
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|why| Failure::Unreachable { socket: self.socket.clone(), why })?;
        let broken = |e: hyper::Error| Failure::Broken(e.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut connection = pin!(connection);
        let mut answer = pin!(async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status().as_u16();
            let bytes = collected(response.into_body(), asking.most).await?;
            match status {
                // 304: it is so already.
                200..=299 | 304 => Ok(bytes),
                _ => Err(Failure::said(status, &bytes)),
            }
        });
        tokio::select! {
            done = &mut answer => return done,
            _ = &mut connection => {}
        }
        // The connection is over; what it brought is still to be read.
        answer.await
    }
}

async fn collected(mut body: hyper::body::Incoming, most: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Failure::Broken(format!("it ends in the middle: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > most {
            return Err(Failure::Broken(format!("it is longer than {most} bytes")));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// A text as one part of a path or of a query.
fn escaped(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
#[path = "daemon_tests.rs"]
mod tests;
