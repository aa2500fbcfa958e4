//! Connections: accepted, bounded in number and time, with TLS where it is configured.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoClientAuth;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::api;
use super::auth::Peer;
use super::clients;
use super::config::Serve;
use super::counter::Counter;
use crate::fault::{Code, Fault};

/// So many connections at once.
const CONNECTIONS: usize = 256;
/// How long the head of a request may take, and a handshake.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// What it shows, where it does. Without it nothing but loopback is listened at.
pub(super) fn tls(config: &Serve) -> Result<Option<TlsAcceptor>, Fault> {
    let Some(files) = &config.tls else {
        if config.listen.ip().is_loopback() {
            return Ok(None);
        }
        return Err(Fault::new(Code::BadConfig, format!("{} is not loopback, and there is no TLS", config.listen))
            .hint("set `serve.tls`, or reach it with ssh -L"));
    };
    let failed = |path: &std::path::Path, e: &dyn std::error::Error| {
        Fault::caused(Code::BadConfig, &format!("{}", path.display()), e)
    };
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_file_iter(&files.certificate).map_err(|e| failed(&files.certificate, &e))?.collect();
    let chain = chain.map_err(|e| failed(&files.certificate, &e))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| failed(&files.key, &e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = clients::verifier(files, &provider)?.unwrap_or_else(|| Arc::new(NoClientAuth));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_client_cert_verifier(clients).with_single_cert(chain, key))
        .map_err(|e| failed(&files.certificate, &e))?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

/// Serves for as long as it is polled.
pub(super) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, counter: Arc<Counter>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let tls = tls.zip(counter.config.tls.clone().map(Arc::new));
    let router = TowerToHyperService::new(api::router(counter));
    loop {
        let Ok(seat) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (tls, router) = (tls.clone(), router.clone());
                tokio::spawn(async move {
                    let mut peer = Peer { address: peer, client: None };
                    match tls {
                        None => talk(stream, peer, router).await,
                        Some((tls, files)) => {
                            if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_WITHIN, tls.accept(stream)).await {
                                let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                                peer.client = shown.and_then(|shown| clients::client(&files, shown));
                                talk(stream, peer, router).await;
                            }
                        }
                    }
                    drop(seat);
                });
            }
            // Out of descriptors, or the like: it passes or it does not, and runs go on either way.
            Err(e) => {
                tracing::warn!(error = %e, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn talk<S>(stream: S, peer: Peer, router: TowerToHyperService<axum::Router>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        router.call(request)
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    if let Err(e) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(error = %e, "a connection ended");
    }
}
