//! KMS v2 over the socket, as kube-apiserver calls it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use serde_json::json;

use super::super::wire::{DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, StatusResponse, method};
use super::status::Controller;
use super::transit::Failure;
use super::{aad, key, ledger};

/// A status and what is said with it.
pub type Refusal = (u16, &'static str);

pub struct Service {
    pub controller: Arc<Controller>,
    pub plugin: String,
    /// Whether Encrypt goes on with the key from before the last promotion, as after a race between snapshots.
    pub races: Arc<AtomicBool>,
}

const FAILED_PRECONDITION: u16 = 9;

impl Service {
    fn status(&self) -> StatusResponse {
        let view = self.controller.seen();
        let healthy = view.healthy(self.controller.most_stale);
        let key_id = view.active().filter(|_| healthy).map(|s| s.kubernetes_key_id.clone()).unwrap_or_default();
        StatusResponse { version: "v2".into(), healthz: if healthy { "ok" } else { "unhealthy" }.into(), key_id }
    }

    async fn encrypt(&self, asked: EncryptRequest) -> Result<EncryptResponse, Refusal> {
        if asked.plaintext.is_empty() {
            return Err((3, "plaintext is required"));
        }
        let view = self.controller.seen();
        if !view.healthy(self.controller.most_stale) {
            return Err((FAILED_PRECONDITION, "status unhealthy"));
        }
        let mut with = view.active().cloned().ok_or((FAILED_PRECONDITION, "active key unavailable"))?;
        if self.races.load(Ordering::Relaxed)
            && let Some(old) = view.state.iter().flat_map(|s| &s.snapshots).find(|s| s.state == "retired")
        {
            with = old.clone();
        }
        let sent = self.controller.bao.encrypt(&asked.plaintext, &aad::canonical(&with), with.transit_version).await;
        let ciphertext = sent.map_err(|failure| self.refused("encrypt", &failure))?;
        let annotations = aad::annotations(&with, &self.plugin);
        Ok(EncryptResponse { ciphertext, key_id: with.kubernetes_key_id, annotations })
    }

    async fn decrypt(&self, asked: DecryptRequest) -> Result<DecryptResponse, Refusal> {
        let count = |name: &str, reason: &str| self.controller.bao.metrics.count(name, &[("reason", reason)]);
        if asked.ciphertext.is_empty() {
            return Err((3, "ciphertext is required"));
        }
        if !key::is_key_id(&asked.key_id) {
            count("openbao_kms_decrypt_key_id_errors_total", "key_id_malformed");
            return Err((3, "key_id malformed"));
        }
        let view = self.controller.seen();
        let mut snapshots = view.state.iter().flat_map(|s| &s.snapshots);
        let known = snapshots.find(|s| s.kubernetes_key_id == asked.key_id && s.decrypts());
        let Some(snapshot) = known else {
            count("openbao_kms_decrypt_key_id_errors_total", "key_id_unknown");
            return Err((5, "key_id unknown"));
        };
        if asked.annotations.is_empty() {
            count("openbao_kms_aad_validation_errors_total", "aad_missing");
            return Err((FAILED_PRECONDITION, "AAD required"));
        }
        if let Some(flaw) = aad::flaw(snapshot, &asked.annotations) {
            let reason = if flaw == "annotations invalid" { "annotation_invalid" } else { "aad_mismatch" };
            count("openbao_kms_aad_validation_errors_total", reason);
            log("decrypt", reason);
            return Err((3, flaw));
        }
        let sent = self.controller.bao.decrypt(&asked.ciphertext, &aad::canonical(snapshot)).await;
        sent.map(|plaintext| DecryptResponse { plaintext }).map_err(|failure| self.refused("decrypt", &failure))
    }

    fn refused(&self, method: &str, failure: &Failure) -> Refusal {
        if failure.shown() == "auth_failed" {
            log(method, "auth_failed");
            return (16, "transit authentication failed");
        }
        let decrypt = method == "decrypt";
        let (code, said, class) = match failure.class {
            "permission_denied" => (7, "transit permission denied", "transit_policy_denied"),
            "unauthenticated" => (16, "transit authentication failed", "auth_failed"),
            "not_found" => (5, "transit key not found", "transit_key_missing"),
            "decrypt_failed" => (3, "transit decrypt failed", "aad_mismatch"),
            "invalid_request" if decrypt => (3, "transit decrypt failed", "unknown"),
            "invalid_request" => (3, "transit encrypt failed", "unknown"),
            "rate_limited" => (8, "transit rate limited", "openbao_rate_limited"),
            "sealed" => (14, "transit unavailable", "openbao_sealed"),
            "timeout" => (4, "request timed out", "timeout"),
            "tls_failed" => (14, "transit unavailable", "openbao_tls_failed"),
            "dns_failed" => (14, "transit unavailable", "openbao_dns_failed"),
            "connection_failed" => (14, "transit unavailable", "openbao_connection_failed"),
            _ => (14, "transit unavailable", "openbao_unavailable"),
        };
        log(method, class);
        (code, said)
    }

    async fn answer(&self, path: &str, bytes: Bytes) -> Result<Vec<u8>, Refusal> {
        let bad = |_| (3, "kms request failed");
        match path {
            method::STATUS => Ok(self.status().encode_to_vec()),
            method::ENCRYPT => {
                let asked = EncryptRequest::decode(bytes).map_err(bad)?;
                self.encrypt(asked).await.map(|answer| answer.encode_to_vec())
            }
            method::DECRYPT => {
                let asked = DecryptRequest::decode(bytes).map_err(bad)?;
                self.decrypt(asked).await.map(|answer| answer.encode_to_vec())
            }
            _ => Err((12, "unknown method")),
        }
    }
}

fn log(method: &str, class: &str) {
    eprintln!("{}", json!({ "level": "error", "msg": "kms request failed", "method": method, "error_class": class }));
}

fn name_of(code: u16) -> &'static str {
    match code {
        0 => "ok",
        3 => "invalid_argument",
        4 => "deadline_exceeded",
        5 => "not_found",
        7 => "permission_denied",
        8 => "resource_exhausted",
        9 => "failed_precondition",
        12 => "unimplemented",
        14 => "unavailable",
        16 => "unauthenticated",
        _ => "unknown",
    }
}

/// Takes connections for ever.
pub async fn serve(listener: tokio::net::UnixListener, service: Arc<Service>) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = Arc::clone(&service);
        let each = service_fn(move |request: Request<Incoming>| {
            let service = Arc::clone(&service);
            async move { Ok::<_, Infallible>(one(&service, request).await) }
        });
        tokio::spawn(async move {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            drop(server.serve_connection(TokioIo::new(stream), each).await);
        });
    }
}

async fn one(service: &Service, request: Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
    let path = request.uri().path().to_owned();
    let bytes = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let answer = service.answer(&path, bytes.slice(bytes.len().min(5)..)).await;
    let code = answer.as_ref().err().map_or(0, |(code, _)| *code);
    let name = path.rsplit('/').next().unwrap_or_default().to_lowercase();
    ledger::note("grpc", &json!({ "method": name, "status": name_of(code) }));
    let counted = [("method", name.as_str()), ("status", name_of(code))];
    service.controller.bao.metrics.count("openbao_kms_grpc_requests_total", &counted);
    let (message, said) = match answer {
        Ok(message) => (Some(message), ""),
        Err((_, said)) => (None, said),
    };
    let framed = message.map(|message| {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0][..], &length, &message].concat()
    });
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.to_string().parse().unwrap());
    trailers.insert("grpc-message", said.replace(' ', "%20").parse().unwrap());
    let body = Full::new(Bytes::from(framed.unwrap_or_default())).with_trailers(async move { Some(Ok(trailers)) });
    Response::builder().header("content-type", "application/grpc").body(body.boxed()).unwrap()
}
