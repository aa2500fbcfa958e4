//! `serve`: the first look at the key, within its time of grace; then the socket, and probes for as long as it lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::grpc::{self, Service};
use super::settings::Settings;
use super::status::Controller;
use super::web::{self, Web};
use super::{Generation, plugin_version, socket};

/// Ends with what went wrong; without, it was told to end.
pub async fn serve(settings: &Settings, generation: Generation) -> Result<(), String> {
    socket::group(&settings.server.socket_group)?;
    let controller = Arc::new(Controller::new(settings, generation == Generation::Two)?);
    first_look(&controller, settings).await?;
    let (listener, stale) = socket::bind(settings)?;
    let mut ended = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    let mut raced = signal(SignalKind::user_defined1()).map_err(|e| e.to_string())?;
    let races = Arc::new(AtomicBool::new(false));
    let tcp = |address: &str| {
        let address = address.to_owned();
        async move { tokio::net::TcpListener::bind(&address).await.map_err(|e| format!("listen on {address}: {e}")) }
    };
    let health = tcp(&settings.server.health_address).await?;
    let metrics = tcp(&settings.server.metrics_address).await?;
    if stale {
        controller.bao.metrics.count("openbao_kms_socket_restarts_total", &[]);
    }
    let listener = tokio::net::UnixListener::from_std(listener).map_err(|e| e.to_string())?;
    let service = Service { controller: Arc::clone(&controller), plugin: plugin_version(), races: Arc::clone(&races) };
    tokio::spawn(grpc::serve(listener, Arc::new(service)));
    let web = Arc::new(Web { controller: Arc::clone(&controller), settings: settings.clone(), generation });
    tokio::spawn(web::serve(health, Arc::clone(&web), false));
    tokio::spawn(web::serve(metrics, web, true));
    tokio::spawn(probes(Arc::clone(&controller), settings.clone()));
    loop {
        tokio::select! {
            _ = ended.recv() => break,
            _ = raced.recv() => races.store(true, Ordering::Relaxed),
        }
    }
    let _gone = std::fs::remove_file(&settings.server.socket_path);
    Ok(())
}

async fn first_look(controller: &Controller, settings: &Settings) -> Result<(), String> {
    let of = &settings.bootstrap;
    let until = Instant::now() + of.grace_timeout.0;
    loop {
        let Err(why) = controller.probe_metadata().await else { return Ok(()) };
        log("bootstrap", &why.class, &why.text);
        if Instant::now() >= until {
            return Err(format!(
                "initialize status cache: bootstrap status probe did not succeed within {:?}: {}",
                of.grace_timeout.0, why.text
            ));
        }
        tokio::time::sleep(of.retry_interval.0.min(until.saturating_duration_since(Instant::now()))).await;
    }
}

fn log(kind: &str, class: &str, text: &str) {
    eprintln!(
        "{}",
        json!({ "level": "warn", "msg": "status probe failed", "kind": kind, "error_class": class, "error": text })
    );
}

async fn probes(controller: Arc<Controller>, settings: Settings) {
    let of = &settings.status;
    let mut deep_at = Instant::now();
    loop {
        if controller.deep_is_due() || deep_at <= Instant::now() {
            controller.probe_deep().await;
            deep_at = Instant::now() + of.deep_probe_interval.0;
            if let Some(Err(why)) = controller.seen().deep {
                log("deep", &why.class, &why.text);
            }
        }
        tokio::time::sleep(of.probe_interval.0).await;
        if let Err(why) = controller.probe_metadata().await {
            log("metadata", &why.class, &why.text);
        }
    }
}
