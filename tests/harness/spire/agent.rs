//! A stand-in for the agent, as a process of the test binary: it presents its token to the fake server, keeps a certificate and its key as
//! SPIRE's agent does, and answers for its health once it has both.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rcgen::{CertificateParams, KeyPair, SanType};
use serde_json::{Value, json};

use super::fake::{ATTEST, RENEW, serve};
use super::wire::{Agent, CreateJoinToken, HealthStatus, OfAgent, SpiffeId};

const WORD: &str = "stand-in-agent";

pub(super) fn command(home: &Path, server: &Path) -> Vec<String> {
    let program = std::env::current_exe().unwrap();
    let at = |name: &str| home.join(name).display().to_string();
    let server = server.display().to_string();
    vec![program.display().to_string(), WORD.into(), at("data"), server, at("agent.sock")]
}

/// Is the agent, if the command line says so.
pub fn stand_in() -> Option<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [word, data, server, socket, told @ ..] = words.as_slice() else { return None };
    if word != WORD {
        return None;
    }
    let token = match told {
        [] => None,
        [flag, file] if flag == "-joinTokenFile" => match std::fs::read_to_string(file) {
            Ok(token) if !token.trim().is_empty() => Some(token.trim().to_owned()),
            // As the real one: it does not start without what it is told of.
            Ok(_) | Err(_) => return Some(ExitCode::FAILURE),
        },
        _ => return Some(ExitCode::FAILURE),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Some(runtime.block_on(run(Path::new(data), Path::new(server), Path::new(socket), token)))
}

async fn run(data: &Path, server: &Path, socket: &Path, token: Option<String>) -> ExitCode {
    loop {
        match kept(data) {
            Some(id) => match call::<_, Agent>(server, RENEW, &OfAgent { id: SpiffeId::parse(&id) }).await {
                Some(Ok(_)) => break,
                Some(Err(5)) => {
                    std::fs::write(data.join("agent-data.json"), r#"{"svid":null,"bundle":null,"reattestable":false}"#)
                        .unwrap();
                    println!("the server does not know the agent any more");
                    return ExitCode::FAILURE;
                }
                Some(Err(_)) | None => {}
            },
            None => {
                if let Some(token) = &token {
                    let asked = CreateJoinToken { ttl: 0, token: token.clone() };
                    match call::<_, Agent>(server, ATTEST, &asked).await {
                        Some(Ok(agent)) => keep(data, &agent),
                        refused => println!("attestation failed: {:?}", refused.map(|answer| answer.err())),
                    }
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("SVID loaded");
    drop(std::fs::remove_file(socket));
    let listener = tokio::net::UnixListener::bind(socket).unwrap();
    serve(listener, |_, _| Some(Ok(HealthStatus { status: 1 }.encode_to_vec()))).await;
    ExitCode::FAILURE
}

/// The id of the agent, if it has a certificate and its key.
fn kept(data: &Path) -> Option<String> {
    let of = |name: &str| -> Option<Value> { serde_json::from_slice(&std::fs::read(data.join(name)).ok()?).ok() };
    of("keys.json")?;
    // What stands in the certificate is the product's to read.
    let data = of("agent-data.json")?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    let good = data["stand_in_end"].as_u64()? > now;
    good.then(|| data["stand_in_id"].as_str().map(str::to_owned))?
}

fn keep(data: &Path, agent: &Agent) {
    let id = agent.id.clone().unwrap_or_default().text();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(id.as_str().try_into().unwrap())];
    let end = Duration::from_secs(agent.expires_at.unsigned_abs());
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + end;
    let pem = params.self_signed(&key).unwrap().pem();
    write(data, "keys.json", &json!({ "keys": { "agent-svid-A": base64(&key.serialize_der()) } }));
    let kept = json!({ "svid": [base64(pem.as_bytes())], "bundle": [], "reattestable": false, "stand_in_id": id,
        "stand_in_end": agent.expires_at });
    write(data, "agent-data.json", &kept);
}

fn write(data: &Path, name: &str, value: &Value) {
    let fresh: PathBuf = data.join(format!(".{name}"));
    std::fs::write(&fresh, value.to_string()).unwrap();
    std::fs::rename(fresh, data.join(name)).unwrap();
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or_default()));
        for at in 0..4_u32 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            out.push(if at as usize <= group.len() { letter.into() } else { '=' });
        }
    }
    out
}

/// One call; `None` if there was no answer, an error with its status if it was refused.
async fn call<Q: Message, R: Message + Default>(server: &Path, method: &str, asked: &Q) -> Option<Result<R, u16>> {
    let stream = tokio::net::UnixStream::connect(server).await.ok()?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let message = asked.encode_to_vec();
    let framed = [&[0][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), &message].concat();
    let request = Request::post(format!("http://localhost{method}")).body(Full::new(Bytes::from(framed))).unwrap();
    let body = sender.send_request(request).await.ok()?.into_body().collect().await.ok()?;
    let status = body.trailers()?.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    let bytes = body.to_bytes();
    Some(if status == 0 { Ok(R::decode(bytes.slice(5..)).unwrap()) } else { Err(status) })
}
