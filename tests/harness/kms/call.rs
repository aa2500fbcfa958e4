//! One call of KMS v2 over a socket, as the API server makes it.

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallFailure {
    /// Nobody could be asked.
    NoConnection(std::io::ErrorKind),
    /// It was asked, and what came was no answer.
    Broken,
    /// A gRPC status, and what was said with it.
    Refused(u16, String),
}

pub async fn call<Q: Message, R: Message + Default>(socket: &Path, method: &str, asked: &Q) -> Result<R, CallFailure> {
    let answer = tokio::time::timeout(Duration::from_secs(10), exchanged(socket, method, asked.encode_to_vec()));
    let bytes = answer.await.map_err(|_| CallFailure::Broken)??;
    R::decode(bytes.slice(bytes.len().min(5)..)).map_err(|_| CallFailure::Broken)
}

async fn exchanged(socket: &Path, method: &str, message: Vec<u8>) -> Result<Bytes, CallFailure> {
    let broken = |_| CallFailure::Broken;
    let stream = tokio::net::UnixStream::connect(socket).await.map_err(|e| CallFailure::NoConnection(e.kind()))?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(broken)?;
    tokio::spawn(connection);
    let framed = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
    let request = Request::post(format!("http://localhost{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from(framed)))
        .unwrap();
    let response = sender.send_request(request).await.map_err(broken)?;
    let headers = response.headers().clone();
    let body = response.into_body().collect().await.map_err(broken)?;
    // A refusal without a message has its status in the headers.
    let trailers = body.trailers().cloned().unwrap_or(headers);
    let told = |name: &str| trailers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    match told("grpc-status").parse::<u16>() {
        Ok(0) => Ok(body.to_bytes()),
        Ok(status) => Err(CallFailure::Refused(status, told("grpc-message").replace("%20", " "))),
        Err(_) => Err(CallFailure::Broken),
    }
}
