//! One call over a unix socket: gRPC as SPIRE speaks it, with limits on time and size. Each call has a connection of its own, so
//! that nothing waits behind one that hangs.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixStream;

use super::super::failure::Failure;

/// How long a call may take.
pub(super) const CALL_WITHIN: Duration = Duration::from_secs(5);
/// More than this is no page of SPIRE's.
const REPLY_MOST: usize = 8 << 20;
/// gRPC's number before each message: a flag and a length.
const PREFIX: usize = 5;
const NOT_SPIRE: &str = "what listens there does not speak SPIRE's API; is `socket` the `socket_path` of spire-server?";

/// The socket, and whose it is.
#[derive(Debug)]
pub(super) struct Channel {
    socket: PathBuf,
    program: &'static str,
}

/// gRPC's codes that mean something here.
pub(super) mod code {
    pub(crate) const INVALID_ARGUMENT: u16 = 3;
    pub(crate) const NOT_FOUND: u16 = 5;
    pub(crate) const ALREADY_EXISTS: u16 = 6;
    pub(crate) const PERMISSION_DENIED: u16 = 7;
    pub(crate) const FAILED_PRECONDITION: u16 = 9;
    pub(crate) const UNIMPLEMENTED: u16 = 12;
    pub(crate) const UNAVAILABLE: u16 = 14;
    pub(crate) const UNAUTHENTICATED: u16 = 16;
}

impl Channel {
    pub(super) fn new(socket: &Path, program: &'static str) -> Self {
        Self { socket: socket.to_owned(), program }
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks once. A failure says whether the request may have been carried out.
    pub(super) async fn call<Q: Message, R: Message + Default>(
        &self,
        method: &'static str,
        asked: &Q,
    ) -> Result<R, Failure> {
        let late = |_| format!("{} took no connection within {} s", self.socket.display(), CALL_WITHIN.as_secs());
        let stream = match tokio::time::timeout(CALL_WITHIN, UnixStream::connect(&self.socket)).await.map_err(late) {
            Ok(Ok(stream)) => stream,
            Ok(Err(why)) => return Err(Failure::NotSent(self.no_connection(&why))),
            Err(why) => return Err(Failure::NotSent(why)),
        };
        let silent = || {
            let socket = self.socket.display();
            Failure::Lost(format!(
                "{socket} did not answer within {} s; is {} stuck?",
                CALL_WITHIN.as_secs(),
                self.program
            ))
        };
        tokio::time::timeout(CALL_WITHIN, self.ask(stream, method, asked)).await.unwrap_or_else(|_| Err(silent()))
    }

    async fn ask<Q: Message, R: Message + Default>(
        &self,
        stream: UnixStream,
        method: &'static str,
        asked: &Q,
    ) -> Result<R, Failure> {
        let lost = |why: &dyn std::fmt::Display| Failure::Lost(format!("{}: {why}", self.socket.display()));
        let shaken = http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|e| Failure::NotSent(format!("{NOT_SPIRE} ({e})")))?;
        let connection = Aborted(tokio::spawn(connection));
        let request = Request::post(format!("http://localhost{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(framed(asked)))
            .map_err(|e| Failure::NotSent(e.to_string()))?;
        let answer = sender.send_request(request).await.map_err(|e| lost(&format!("{NOT_SPIRE} ({e})")))?;
        let reply = Self::read(answer).await?;
        drop(connection);
        reply
    }

    async fn read<R: Message + Default>(answer: Response<Incoming>) -> Result<Result<R, Failure>, Failure> {
        let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if answer.status() != 200 || !kind.starts_with("application/grpc") {
            return Err(Failure::Lost(format!("{NOT_SPIRE} (status {})", answer.status().as_u16())));
        }
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, REPLY_MOST).collect().await;
        let body = body.map_err(|e| Failure::Lost(format!("the reply broke off or is too long: {e}")))?;
        // A reply without a message has its status where others have their headers.
        let trailers = body.trailers().cloned().unwrap_or(head.headers);
        if let Some(failure) = refused(&trailers) {
            return Ok(Err(failure));
        }
        let bytes = body.to_bytes();
        Ok(unframed(&bytes).ok_or_else(|| Failure::Lost("the reply is no message of SPIRE's".into())))
    }

    fn no_connection(&self, why: &io::Error) -> String {
        let (socket, program) = (self.socket.display(), self.program);
        let kind = why.kind();
        if kind == io::ErrorKind::NotFound {
            format!("there is no socket {socket}: start {program}, or configure its own `socket_path`")
        } else if kind == io::ErrorKind::PermissionDenied {
            format!("{socket} may not be used by this user: run as a member of the socket's group, or as root")
        } else if kind == io::ErrorKind::ConnectionRefused {
            format!("nobody listens at {socket}: it is no socket, or {program} has ended; start it")
        } else {
            format!("{socket}: {why}")
        }
    }
}

/// A task that ends with whoever waits for it.
struct Aborted(tokio::task::JoinHandle<Result<(), hyper::Error>>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}

/// One message, and nothing but one.
fn unframed<R: Message + Default>(bytes: &[u8]) -> Option<R> {
    let (prefix, message) = bytes.split_at_checked(PREFIX)?;
    let length = u32::from_be_bytes(prefix.get(1..)?.try_into().ok()?);
    (prefix.first() == Some(&0) && usize::try_from(length) == Ok(message.len())).then(|| R::decode(message).ok())?
}

/// What a status other than 0 means.
fn refused(trailers: &HeaderMap) -> Option<Failure> {
    let word = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Ok(status) = word("grpc-status").parse::<u16>() else {
        return Some(Failure::Lost("the reply has no status".into()));
    };
    let said: String = unescaped(word("grpc-message")).chars().take(300).collect();
    let denied = |hint: String| Failure::Denied { status, code: None, hint };
    Some(match status {
        0 => return None,
        code::UNAVAILABLE => Failure::Unavailable(said),
        code::UNIMPLEMENTED => denied(format!("{NOT_SPIRE} ({said})")),
        code::PERMISSION_DENIED | code::UNAUTHENTICATED => {
            denied(format!("{said}; the socket must be the server's own admin socket, not an agent's"))
        }
        code::INVALID_ARGUMENT | code::NOT_FOUND | code::ALREADY_EXISTS | code::FAILED_PRECONDITION => denied(said),
        // Cancelled, unknown, deadline, internal and the like: it may have been half way.
        _ => Failure::Lost(format!("status {status}: {said}")),
    })
}

/// gRPC's escaping of its message: `%` and two digits.
fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escaped = (*byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::wire::JoinToken;
    use super::*;

    #[test]
    fn a_message_is_framed_and_half_of_one_is_none() {
        let token = JoinToken { value: "t".into(), expires_at: 7 };
        let bytes = framed(&token);
        assert_eq!(unframed::<JoinToken>(&bytes), Some(token));
        for cut in 0..bytes.len() {
            assert_eq!(unframed::<JoinToken>(&bytes[..cut]), None, "{cut}");
        }
        let mut compressed = bytes.to_vec();
        compressed[0] = 1;
        assert_eq!(unframed::<JoinToken>(&compressed), None);
    }

    #[test]
    fn a_status_says_whether_it_may_have_been_done() {
        let with = |status: &str| {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", status.parse().unwrap());
            trailers.insert("grpc-message", "agent%20not%20found%".parse().unwrap());
            refused(&trailers)
        };
        assert_eq!(with("0"), None);
        assert!(matches!(with("5"), Some(Failure::Denied { status: 5, hint, .. }) if hint == "agent not found%"));
        assert!(matches!(with("13"), Some(Failure::Lost(_))), "internal: it may have been half way");
        assert!(matches!(with("14"), Some(Failure::Unavailable(_))));
        assert!(matches!(refused(&HeaderMap::new()), Some(Failure::Lost(_))));
    }

    /// What asking says where this is done with each connection.
    async fn asked<F: Future<Output = ()> + Send + 'static>(serve: fn(UnixStream) -> F) -> Failure {
        let dir = tempfile::tempdir().unwrap();
        let listener = tokio::net::UnixListener::bind(dir.path().join("s")).unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        let channel = Channel::new(&dir.path().join("s"), "spire-server");
        let failure = channel.call::<_, JoinToken>("/m", &JoinToken::default()).await.unwrap_err();
        task.abort();
        failure
    }

    async fn speaks_http_1(mut stream: UnixStream) {
        let _sent = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    }

    async fn hangs(stream: UnixStream) {
        tokio::time::sleep(CALL_WITHIN * 3).await;
        drop(stream);
    }

    async fn hangs_up(stream: UnixStream) {
        drop(stream);
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_socket_is_said_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        drop(std::os::unix::net::UnixListener::bind(dir.path().join("left")).unwrap());
        for (name, wanted) in [("none", "start spire-server"), ("file", "nobody listens"), ("left", "nobody listens")] {
            let channel = Channel::new(&dir.path().join(name), "spire-server");
            let failure = channel.call::<_, JoinToken>("/m", &JoinToken::default()).await.unwrap_err();
            assert!(matches!(&failure, Failure::NotSent(why) if why.contains(wanted)), "{name}: {failure:?}");
        }
        for failure in [asked(speaks_http_1).await, asked(hangs_up).await] {
            assert!(failure.text().contains("does not speak SPIRE's API"), "{failure:?}");
        }
        let began = std::time::Instant::now();
        let failure = asked(hangs).await;
        assert!(matches!(&failure, Failure::Lost(why) if why.contains("is spire-server stuck?")), "{failure:?}");
        assert!(began.elapsed() < CALL_WITHIN * 2);
    }

    #[test]
    fn one_who_may_not_use_the_socket_is_told_so() {
        let said = Channel::new(Path::new("/s"), "spire-server").no_connection(&io::ErrorKind::PermissionDenied.into());
        assert!(said.contains("the socket's group"), "{said}");
    }
}
