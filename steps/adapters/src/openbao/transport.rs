//! One request and its answer: to one origin, in one namespace, of the list in `request`, within limits of size and time.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Response};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::login::Bearer;
use super::place::{LoginConfig, OpenBaoConfig};
use super::request::{Floors, Paths, Request};
use crate::authority::{Origin, carried};
use crate::client::{self, chain, is_untrusted};
use crate::known::Known;

/// The only way to OpenBao.
#[derive(Debug)]
pub(super) struct Transport {
    client: Client,
    origin: Origin,
    pub(super) bearer: Bearer,
    pub(super) paths: Paths,
    pub(super) floors: Floors,
    pub(super) known: Known,
}

/// A status and a body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Transport {
    pub(super) fn new(config: &OpenBaoConfig) -> Result<Self, String> {
        if config.ca.is_none() && !config.address.is_plain() {
            return Err("`ca` must name the certificates to trust: those of the system are not asked".into());
        }
        let mut builder = client::builder(&config.address, config.ca.as_deref())?;
        if let Some(LoginConfig::Cert(cert)) = &config.login {
            builder = builder.identity(client::identity(&cert.cert, &cert.key)?);
        }
        let client = builder
            .build()
            .map_err(|e| format!("the HTTP client cannot be made: {}; give OpenBao's CA as `ca`", chain(&e)))?;
        Ok(Self {
            client,
            origin: config.address.clone(),
            bearer: Bearer::new(config)?,
            paths: Paths::of(config),
            floors: Floors::default(),
            known: Known::default(),
        })
    }

    /// Makes the request once. The answer may be of any status but those of a redirect.
    pub(super) async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let bare = [self.paths.health, self.paths.seal_status].contains(&request.path.as_str())
            || self.paths.login.as_ref().is_some_and(|(path, _)| *path == request.path);
        let secret = if bare || !self.paths.allow(&request, &self.floors) {
            self.bearer.learn(&self.known);
            None
        } else {
            Some(Box::pin(self.bearer.token(self)).await?)
        };
        let mut response = self.asked(request, secret.as_ref(), None).await?;
        let after_ms = client::retry_after(&response);
        let status = response.status().as_u16();
        let body = client::body(&mut response).await.map_err(|why| Failure::Lost(self.known.line(&why)))?;
        if status == 403 {
            // A token that was taken away is not shown again where another can be had.
            self.bearer.forget().await;
        }
        if status == 429 && self.errors(&body).is_some() {
            return Err(Failure::Throttled { after_ms });
        }
        Ok(Answer { status, body })
    }

    /// The same for an answer that is long, which is for the caller to read; within this time.
    pub(super) async fn open(&self, request: Request, within: Duration) -> Result<Response, Failure> {
        let secret = Box::pin(self.bearer.token(self)).await?;
        self.asked(request, Some(&secret), Some(within)).await
    }

    async fn asked(
        &self,
        request: Request,
        secret: Option<&SecretString>,
        within: Option<Duration>,
    ) -> Result<Response, Failure> {
        let forbidden = || Failure::Forbidden(self.known.line(&format!("{} {}", request.method, request.path)));
        if !self.paths.allow(&request, &self.floors) {
            return Err(forbidden());
        }
        let url = self.origin.at(&request.path);
        if !self.origin.has(&url) || url.path() != request.path || url.query().is_some() {
            return Err(forbidden());
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        // Without it OpenBao's agent and proxies refuse a request that was forged in a browser.
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        if let Some(secret) = secret {
            headers.insert("x-vault-token", carried("", secret).map_err(Failure::NotSent)?);
        }
        if let Some(namespace) = &request.namespace {
            let value = HeaderValue::from_str(namespace).map_err(|_| forbidden())?;
            headers.insert("x-vault-namespace", value);
        }
        let mut outgoing = self.client.request(request.method, url).headers(headers);
        if let Some(body) = request.body {
            outgoing = outgoing.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        if let Some(within) = within {
            outgoing = outgoing.timeout(within);
        }
        let response = outgoing.send().await.map_err(|e| self.unsent_or_lost(&e))?;
        let status = response.status();
        if status.is_redirection() {
            let to = response.headers().get(LOCATION).and_then(|v| v.to_str().ok()).unwrap_or("nowhere");
            return Err(Failure::Redirected { status: status.as_u16(), to: self.known.line(to) });
        }
        Ok(response)
    }

    /// What an answer other than success says.
    pub(super) fn failed(&self, answer: &Answer) -> Failure {
        Failure::of(answer.status, self.errors(&answer.body).as_deref(), None)
    }

    /// The errors of OpenBao's own form, without secrets; `None` if it is not of that form.
    fn errors(&self, body: &[u8]) -> Option<Vec<String>> {
        #[derive(serde::Deserialize)]
        struct Envelope {
            errors: Vec<String>,
        }
        let envelope: Envelope = serde_json::from_slice(body).ok()?;
        Some(envelope.errors.iter().take(8).map(|error| self.known.line(error)).collect())
    }

    /// Only a failure of connecting surely came before the sending.
    fn unsent_or_lost(&self, error: &reqwest::Error) -> Failure {
        let why = format!("{}: {}", self.origin, self.known.line(&chain(error)));
        if is_untrusted(error) {
            return Failure::Untrusted(why);
        }
        if error.is_connect() || error.is_builder() { Failure::NotSent(why) } else { Failure::Lost(why) }
    }
}
