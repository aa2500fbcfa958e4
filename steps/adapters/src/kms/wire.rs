//! KMS v2 over the provider's socket, as the API server speaks it: Status, and Encrypt of random bytes. There is no Decrypt.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixStream;

/// How long a call may take: as long as the API server waits for one.
const CALL_WITHIN: Duration = Duration::from_secs(3);
/// A key id is at most 1 kB, a ciphertext too, and the annotations 32 kB.
const REPLY_MOST: usize = 64 << 10;

#[derive(Clone, PartialEq, Eq, Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Status {
    #[prost(string, tag = "1")]
    pub(super) version: String,
    #[prost(string, tag = "2")]
    pub(super) healthz: String,
    #[prost(string, tag = "3")]
    pub(super) key_id: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct EncryptRequest {
    #[prost(bytes = "vec", tag = "1")]
    plaintext: Vec<u8>,
    #[prost(string, tag = "2")]
    uid: String,
}

/// What was encrypted is not kept.
#[derive(Clone, PartialEq, Eq, Message)]
struct Encrypted {
    #[prost(string, tag = "2")]
    key_id: String,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nobody listens.
    NoSocket(String),
    /// We may not open it.
    Barred(String),
    /// It answered that it cannot.
    Refused(String),
    /// What came is no answer.
    Broken(String),
}

impl Silence {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::NoSocket(why) | Self::Barred(why) | Self::Refused(why) | Self::Broken(why) => why,
        }
    }
}

/// Asks how it is, and for the id of its key.
pub(super) async fn status(socket: &Path) -> Result<Status, Silence> {
    let status: Status = call(socket, "/v2.KeyManagementService/Status", &StatusRequest {}).await?;
    if matches!(status.version.as_str(), "v2" | "v2beta1") && status.key_id.len() <= 1_024 {
        Ok(status)
    } else {
        Err(Silence::Broken("it does not speak KMS v2".into()))
    }
}

/// Has random bytes encrypted, and gives the id of the key that they were encrypted with.
pub(super) async fn encrypt(socket: &Path) -> Result<String, Silence> {
    let mut plaintext = vec![0; 32];
    rustix::rand::getrandom(&mut plaintext, rustix::rand::GetRandomFlags::empty())
        .map_err(|e| Silence::Broken(e.to_string()))?;
    let request = EncryptRequest { plaintext, uid: "recover".into() };
    let encrypted: Encrypted = call(socket, "/v2.KeyManagementService/Encrypt", &request).await?;
    if encrypted.key_id.is_empty() || encrypted.key_id.len() > 1_024 {
        return Err(Silence::Broken("what it encrypted has no key id".into()));
    }
    Ok(encrypted.key_id)
}

async fn call<Q: Message, R: Message + Default>(socket: &Path, method: &str, asked: &Q) -> Result<R, Silence> {
    let late = || Silence::Broken(format!("it did not answer within {} s", CALL_WITHIN.as_secs()));
    tokio::time::timeout(CALL_WITHIN, ask(socket, method, asked)).await.unwrap_or_else(|_| Err(late()))
}

async fn ask<Q: Message, R: Message + Default>(socket: &Path, method: &str, asked: &Q) -> Result<R, Silence> {
    let broken =
        |why: &dyn std::fmt::Display| Silence::Broken(format!("what listens there does not speak gRPC: {why}"));
    let stream = UnixStream::connect(socket).await.map_err(|e| {
        let why = format!("{}: {e}", socket.display());
        if e.kind() == io::ErrorKind::PermissionDenied { Silence::Barred(why) } else { Silence::NoSocket(why) }
    })?;
    let shaken = http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|e| broken(&e))?;
    let connection = Aborted(tokio::spawn(connection));
    let message = asked.encode_to_vec();
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.extend_from_slice(&message);
    let request = Request::post(format!("http://localhost{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(framed.freeze()))
        .map_err(|e| broken(&e))?;
    let answer = sender.send_request(request).await.map_err(|e| broken(&e))?;
    let (head, body) = answer.into_parts();
    let kind = head.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if head.status != 200 || !kind.starts_with("application/grpc") {
        return Err(broken(&format!("status {}", head.status.as_u16())));
    }
    let body = Limited::new(body, REPLY_MOST).collect().await.map_err(|e| broken(&e))?;
    drop(connection);
    // A reply without a message has its status where others have their headers.
    let trailers = body.trailers().cloned().unwrap_or(head.headers);
    refused(&trailers)?;
    let bytes = body.to_bytes();
    message_of(&bytes).ok_or_else(|| broken(&"half a message"))
}

fn refused(trailers: &HeaderMap) -> Result<(), Silence> {
    let word = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match word("grpc-status").parse::<u16>() {
        Ok(0) => Ok(()),
        Ok(status) => {
            let said: String = word("grpc-message").replace("%20", " ").chars().take(300).collect();
            Err(Silence::Refused(format!("gRPC status {status}: {said}")))
        }
        Err(_) => Err(Silence::Broken("the reply has no status".into())),
    }
}

/// One message, and nothing but one.
fn message_of<R: Message + Default>(bytes: &[u8]) -> Option<R> {
    let (prefix, message) = bytes.split_at_checked(5)?;
    let length = u32::from_be_bytes(prefix.get(1..)?.try_into().ok()?);
    (prefix.first() == Some(&0) && usize::try_from(length) == Ok(message.len())).then(|| R::decode(message).ok())?
}

/// A task that ends with whoever waits for it.
struct Aborted(tokio::task::JoinHandle<Result<(), hyper::Error>>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_message_is_none_and_a_status_without_a_number_no_success() {
        let status = Status { version: "v2".into(), healthz: "ok".into(), key_id: "k".into() };
        let message = status.encode_to_vec();
        let framed = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
        assert_eq!(message_of::<Status>(&framed), Some(status));
        for cut in 0..framed.len() {
            assert_eq!(message_of::<Status>(&framed[..cut]), None, "{cut}");
        }
        let mut trailers = HeaderMap::new();
        assert!(matches!(refused(&trailers), Err(Silence::Broken(_))));
        trailers.insert("grpc-status", "14".parse().unwrap());
        trailers.insert("grpc-message", "transit%20unavailable".parse().unwrap());
        assert_eq!(refused(&trailers), Err(Silence::Refused("gRPC status 14: transit unavailable".into())));
    }

    #[tokio::test]
    async fn nobody_and_something_else_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        assert!(matches!(status(&path).await, Err(Silence::NoSocket(_))));
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _sent = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 200 OK\r\n\r\n<html>").await;
            }
        });
        assert!(matches!(status(&path).await, Err(Silence::Broken(_))));
    }
}
