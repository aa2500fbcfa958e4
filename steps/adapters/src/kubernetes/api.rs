//! One API server: who we are to it, and one request after another, each within its time and size, and none that is not on the list.

use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::Method;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::permit::Permit;
use crate::client::{CONNECT_WITHIN, chain};

/// How long a request may take.
const WITHIN: Duration = Duration::from_secs(10);
/// More than this is no answer about a workload.
const ANSWER_MOST: usize = 16 << 20;

/// How a body is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An object, whole.
    Object,
    /// The fields that change.
    Merge,
    /// The fields that we want to own: server-side apply.
    Apply,
    /// The fields that change, where the elements of some lists have names.
    Strategic,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Object => "application/json",
            Self::Merge => "application/merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
            Self::Strategic => "application/strategic-merge-patch+json",
        }
    }
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    /// Without the question mark.
    pub(super) query: &'a str,
    pub(super) body: Option<(Kind, &'a Value)>,
}

impl<'a> Asking<'a> {
    pub(super) const fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, query: "", body: None }
    }
}

/// The API server, and who we are to it.
pub(super) struct Api {
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    permit: Permit,
    client: OnceCell<(Client, String)>,
}

/// The client has a credential in it.
impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Api({:?}, {:?})", self.kubeconfig, self.context)
    }
}

impl Api {
    pub(super) fn new(kubeconfig: Option<PathBuf>, context: Option<String>, permit: Permit) -> Self {
        Self { kubeconfig, context, permit, client: OnceCell::new() }
    }

    async fn client(&self) -> Result<&(Client, String), Failure> {
        self.client.get_or_try_init(|| self.connected()).await
    }

    async fn connected(&self) -> Result<(Client, String), Failure> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut config = match &self.kubeconfig {
            Some(path) => {
                let unusable =
                    |why: &dyn std::error::Error| Failure::Unusable(format!("{}: {}", path.display(), chain(why)));
                // Not what KUBECONFIG merges: whoever reads the configuration knows which cluster it is.
                let file = Kubeconfig::read_from(path).map_err(|e| unusable(&e))?;
                let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
                Config::from_custom_kubeconfig(file, &options).await.map_err(|e| unusable(&e))?
            }
            None => Config::incluster().map_err(|e| {
                let why = chain(&e);
                Failure::Unusable(format!("this is no pod with an account ({why}); name a `kubeconfig`"))
            })?,
        };
        if config.accept_invalid_certs {
            return Err(Failure::Unusable(
                "the kubeconfig says insecure-skip-tls-verify, which is not done here".into(),
            ));
        }
        // What is sent twice may be done twice; whether it may be is not the client's to say.
        config.default_retry = false;
        config.connect_timeout = Some(CONNECT_WITHIN);
        (config.read_timeout, config.write_timeout) = (Some(WITHIN), Some(WITHIN));
        config.proxy_url = None;
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|e| Failure::Unusable(chain(&e)))?;
        Ok((client, server))
    }

    /// The bytes of an answer that says yes.
    pub(super) async fn ask(&self, asking: Asking<'_>) -> Result<Zeroizing<Vec<u8>>, Failure> {
        if !self.permit.allows(&asking) {
            return Err(Failure::Forbidden(format!("{} {}", asking.method, asking.path)));
        }
        match tokio::time::timeout(WITHIN, self.send(asking)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Slow),
        }
    }

    async fn send(&self, asking: Asking<'_>) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let (client, server) = self.client().await?;
        let mark = if asking.query.is_empty() { "" } else { "?" };
        let mut request =
            hyper::Request::builder().method(asking.method).uri(format!("{}{mark}{}", asking.path, asking.query));
        let body = match asking.body {
            Some((kind, body)) => {
                request = request.header(hyper::header::CONTENT_TYPE, kind.word());
                body.to_string().into_bytes()
            }
            None => Vec::new(),
        };
        let request = request.body(Body::from(body)).map_err(|e| Failure::Broken(e.to_string()))?;
        let response = client.send(request).await.map_err(|e| failed(&e, server))?;
        let status = response.status().as_u16();
        let after = response.headers().get(hyper::header::RETRY_AFTER).and_then(|v| v.to_str().ok());
        let after_ms = after.and_then(|text| text.trim().parse::<u64>().ok()).map(|s| s.min(3_600) * 1_000);
        let body = Limited::new(response.into_body(), ANSWER_MOST).collect().await.map_err(|e| {
            let long = e.downcast_ref::<LengthLimitError>().is_some();
            Failure::Broken(if long { "it is longer than 16 MiB".to_owned() } else { chain(&*e) })
        })?;
        let body = Zeroizing::new(body.to_bytes().to_vec());
        if (200..300).contains(&status) { Ok(body) } else { Err(Failure::said(status, &body, after_ms)) }
    }

    /// The object that an answer is.
    pub(super) async fn json(&self, asking: Asking<'_>) -> Result<Value, Failure> {
        let bytes = self.ask(asking).await?;
        serde_json::from_slice(&bytes).map_err(|_| Failure::Broken("it is no JSON".into()))
    }
}

/// What an error of the client says of the connection.
fn failed(error: &kube::Error, server: &str) -> Failure {
    let (mut connecting, mut untrusted) = (false, false);
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        connecting |= error.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|e| e.is_connect());
        // The handshake's failure comes as the content of an I/O error, whose `source` skips it.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = error.downcast_ref().or_else(|| inner.and_then(|inner| inner.downcast_ref()));
        untrusted |= matches!(tls, Some(rustls::Error::InvalidCertificate(_)));
        cause = inner.map(|inner| inner as &dyn std::error::Error).or_else(|| error.source());
    }
    let why = chain(error);
    if matches!(error, kube::Error::Auth(_)) {
        Failure::Unusable(format!("the credential of the kubeconfig cannot be used: {why}"))
    } else if untrusted {
        Failure::Untrusted(why)
    } else if connecting {
        Failure::Unreachable { server: server.to_owned(), why }
    } else {
        Failure::Broken(why)
    }
}
