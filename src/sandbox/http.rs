//! The smallest HTTP client that will do: one request, one connection, no retry of its own, no redirect, no proxy; over TLS
//! where it is told whom to trust.
//!
//! The connector must not repeat a pairing because some library found that safe, so there is no library.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use serde_json::Value;

/// A reply longer than this is not believed. Bytes.
const REPLY_LEN_MAX: u64 = 1 << 20;
/// Marks a request of one of the sandbox's own commands.
pub(crate) const COMMAND_HEADER: &str = "x-sandbox-command";

/// Why there is no reply. Whether the request was executed is not known, except where it says so.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The base address is not one.
    #[error("{0:?} is not http://IP:PORT, or https with the certificates to trust")]
    Base(String),
    /// There was nobody to connect to; the request was not sent.
    #[error("the control plane does not listen")]
    Connect(#[source] io::Error),
    /// The connection broke or took too long.
    #[error("the request was not answered")]
    Broken(#[source] io::Error),
    /// Nobody who is trusted issued the peer's certificate; the request was not sent.
    #[error("x509: certificate signed by unknown authority")]
    Untrusted,
    /// The file with the certificates to trust cannot be used.
    #[error("the certificates to trust cannot be read")]
    Ca(#[source] io::Error),
    /// What came back is not a reply.
    #[error("the reply is not one: {0}")]
    Malformed(&'static str),
}

/// A reply.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body; null if there is none.
    pub(crate) body: Value,
}

impl Answer {
    /// The error code of the body, or nothing.
    pub(crate) fn code(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }
}

/// Where requests go, and with what.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    /// Plain text if there is none.
    tls: Option<Arc<ClientConfig>>,
    /// Whether plain text is what was asked for.
    plain: bool,
    credential: Option<String>,
    timeout: Duration,
}

impl Client {
    /// A client of `http://IP:PORT`, or of `https://IP:PORT` once it is told whom to trust.
    pub(crate) fn new(base: &str, timeout: Duration) -> Result<Self, CallError> {
        let of = |scheme: &str| base.strip_prefix(scheme).and_then(|rest| rest.trim_end_matches('/').parse().ok());
        let found = of("http://").map(|address| (address, true)).or_else(|| of("https://").map(|a| (a, false)));
        let (address, plain) = found.ok_or_else(|| CallError::Base(base.to_owned()))?;
        Ok(Self { address, tls: None, plain, credential: None, timeout })
    }

    /// The same, trusting the certificates of this file and no others. A file that is not there trusts nobody.
    pub(crate) fn trusting(self, ca: &Path) -> Result<Self, CallError> {
        let pem = match std::fs::read(ca) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(CallError::Ca)?,
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| CallError::Ca(io::Error::other(error)))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Some(Arc::new(config)), ..self })
    }

    /// The same, as a command of the sandbox: with the administrator's credential, and spared from faults.
    pub(crate) fn commanding(self, credential: String) -> Self {
        Self { credential: Some(credential), ..self }
    }

    /// Asks for something.
    pub(crate) fn get(&self, path: &str) -> Result<Answer, CallError> {
        self.call("GET", path, "")
    }

    /// Asks to do something.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Answer, CallError> {
        self.call("POST", path, &body.to_string())
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Result<Answer, CallError> {
        let until = Instant::now() + self.timeout;
        let mut stream = TcpStream::connect_timeout(&self.address, self.timeout).map_err(CallError::Connect)?;
        let command = |credential| format!("authorization: Bearer {credential}\r\n{COMMAND_HEADER}: yes\r\n");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-type: application/json\r\n{}\
             content-length: {}\r\n\r\n{body}",
            self.address,
            self.credential.as_ref().map(command).unwrap_or_default(),
            body.len()
        );
        stream.set_nodelay(true).map_err(CallError::Broken)?;
        stream.set_write_timeout(Some(self.timeout)).map_err(CallError::Broken)?;
        let reply = match (&self.tls, self.plain) {
            (_, true) => {
                stream.write_all(request.as_bytes()).map_err(CallError::Broken)?;
                let timed = stream.try_clone().map_err(CallError::Broken)?;
                read_to_end(stream, &timed, until)
            }
            (Some(config), false) => {
                stream.set_read_timeout(Some(self.timeout)).map_err(CallError::Broken)?;
                let name = ServerName::IpAddress(self.address.ip().into());
                let connection = ClientConnection::new(Arc::clone(config), name);
                let connection = connection.map_err(|error| CallError::Broken(io::Error::other(error)))?;
                let timed = stream.try_clone().map_err(CallError::Broken)?;
                let mut tls = StreamOwned::new(connection, stream);
                tls.write_all(request.as_bytes()).map_err(untrusted)?;
                read_to_end(tls, &timed, until)
            }
            (None, false) => return Err(CallError::Untrusted),
        };
        parse(&reply.map_err(CallError::Broken)?)
    }
}

/// A handshake fails in the first write.
fn untrusted(error: io::Error) -> CallError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => CallError::Untrusted,
        _ => CallError::Broken(error),
    }
}

fn read_to_end(stream: impl io::Read, timed: &TcpStream, until: Instant) -> io::Result<Vec<u8>> {
    let (mut reply, mut chunk) = (Vec::new(), [0; 4096]);
    let mut bounded = stream.take(REPLY_LEN_MAX);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        timed.set_read_timeout(Some(left))?;
        match bounded.read(&mut chunk) {
            Ok(0) => return Ok(reply),
            Ok(n) => reply.extend_from_slice(chunk.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn parse(reply: &[u8]) -> Result<Answer, CallError> {
    if reply.is_empty() {
        return Err(CallError::Broken(io::ErrorKind::UnexpectedEof.into()));
    }
    let text = std::str::from_utf8(reply).map_err(|_| CallError::Malformed("it is not UTF-8"))?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(CallError::Malformed("its head is cut short"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let status = status.ok_or(CallError::Malformed("it has no status"))?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let length = headers.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).map(|(_, value)| value.trim());
    if length.last().and_then(|length| length.parse().ok()) != Some(body.len()) {
        return Err(CallError::Malformed("its body is not as long as announced"));
    }
    if body.is_empty() {
        return Ok(Answer { status, body: Value::Null });
    }
    let body = serde_json::from_str(body).map_err(|_| CallError::Malformed("its body is not JSON"))?;
    Ok(Answer { status, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_taken_whole_or_not_at_all() {
        let whole = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 13\r\n\r\n{\"error\":\"X\"}";
        let answer = parse(whole).expect("is a reply");
        assert_eq!((answer.status, answer.code()), (401, "X"));
        for len in 0..whole.len() {
            assert!(parse(&whole[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn only_plain_addresses_are_taken() {
        let base = |text| Client::new(text, Duration::from_secs(1)).map(|client| client.address.port());
        assert_eq!(base("http://127.0.0.1:80/").ok(), Some(80));
        for text in ["127.0.0.1:80", "https://localhost:80", "http://localhost:80", "http://127.0.0.1:80/v1", ""] {
            assert!(base(text).is_err(), "{text}");
        }
    }
}
