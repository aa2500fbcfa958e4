//! `/live`, `/ready` and `/metrics`: what was found last, never a look of their own.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::Generation;
use super::key::hash;
use super::login;
use super::settings::Settings;
use super::status::Controller;

pub struct Web {
    pub controller: Arc<Controller>,
    pub settings: Settings,
    pub generation: Generation,
}

/// What one path answers; `None` where there is no such path.
type Answer = Option<(u16, &'static str, String)>;

impl Web {
    fn ready(&self) -> (u16, Value) {
        let (view, most) = (self.controller.seen(), self.controller.most_stale);
        let healthy = view.healthy(most);
        let rotation = match &view.state {
            None => "unknown",
            Some(state) if state.pending().is_some() => "pending",
            Some(_) => "active",
        };
        let age = view.updated.map_or(0, |at| at.elapsed().as_millis());
        let mut body = json!({ "status": if healthy { "ok" } else { "unavailable" },
            "healthz": if healthy { "ok" } else { "unhealthy" }, "cache_age_ms": u64::try_from(age).unwrap(),
            "stale": view.stale(most), "rotation_state": rotation });
        if self.generation == Generation::Two {
            body["reasons"] = json!(view.reasons(most));
            if let Some(Err(why)) = &view.metadata {
                body["metadata_error_class"] = json!(why.class);
            }
            if let Some(Err(why)) = &view.deep {
                body["deep_error_class"] = json!(why.class);
            }
            if view.degraded {
                body["persistence_degraded"] = json!(true);
            }
        }
        (if healthy { 200 } else { 503 }, body)
    }

    fn metrics(&self) -> String {
        let (view, controller) = (self.controller.seen(), &self.controller);
        let mut gauges = vec![
            (
                "openbao_kms_status_cache_age_seconds",
                vec![],
                view.updated.map_or(0.0, |at: Instant| at.elapsed().as_secs_f64()),
            ),
            ("openbao_kms_circuit_breaker_state", vec![], f64::from(u8::from(view.breaker_open()))),
            ("openbao_kms_token_ttl_seconds", vec![], controller.bao.token_ttl_s()),
        ];
        let hashed = view.active().map(|active| hash(&active.kubernetes_key_id)).unwrap_or_default();
        if let Some(state) = &view.state {
            if view.healthy(controller.most_stale) {
                gauges.push(("openbao_kms_status_key_id_hash", vec![("hash", hashed.as_str())], 1.0));
            }
            gauges.push(("openbao_kms_key_version", vec![], state.active().transit_version as f64));
        }
        let rotation = view.state.as_ref().map(|state| state.pending().is_some());
        for (name, is) in [("active", Some(false)), ("pending", Some(true)), ("unknown", None)] {
            gauges.push(("openbao_kms_rotation_state", vec![("state", name)], f64::from(u8::from(rotation == is))));
        }
        if self.settings.auth.method == "cert"
            && let Ok(ttl) = login::certificate_ttl(&self.settings.auth.cert.pkcs11)
        {
            gauges.push(("openbao_kms_certificate_ttl_seconds", vec![], ttl));
        }
        if self.generation == Generation::Two {
            let degraded = f64::from(u8::from(view.degraded));
            gauges.push(("openbao_kms_rotation_persistence_degraded", vec![], degraded));
        }
        controller.bao.metrics.text(&gauges)
    }

    fn health(&self, path: &str) -> Answer {
        let kind = "application/json";
        match path {
            "/live" => Some((200, kind, json!({ "status": "ok" }).to_string())),
            "/ready" => {
                let (status, body) = self.ready();
                Some((status, kind, body.to_string()))
            }
            _ => None,
        }
    }

    fn measured(&self, path: &str) -> Answer {
        (path == "/metrics").then(|| (200, "text/plain; version=0.0.4", self.metrics()))
    }
}

/// Serves health, or metrics, for ever.
pub async fn serve(listener: tokio::net::TcpListener, web: Arc<Web>, metrics: bool) {
    while let Ok((stream, _)) = listener.accept().await {
        let web = Arc::clone(&web);
        let each = service_fn(move |request: Request<Incoming>| {
            let path = request.uri().path().to_owned();
            let may = [Method::GET, Method::HEAD].contains(request.method());
            let answer = if metrics { web.measured(&path) } else { web.health(&path) };
            let (status, kind, body) = match answer {
                Some(_) if !may => (405, "text/plain", "method not allowed".to_owned()),
                Some(answer) => answer,
                None => (404, "text/plain", "404 page not found".to_owned()),
            };
            let response = Response::builder().status(status).header("content-type", kind);
            let response = response.body(Full::new(Bytes::from(body))).unwrap();
            async move { Ok::<_, Infallible>(response) }
        });
        tokio::spawn(async move {
            let server = hyper::server::conn::http1::Builder::new();
            drop(server.serve_connection(TokioIo::new(stream), each).await);
        });
    }
}
