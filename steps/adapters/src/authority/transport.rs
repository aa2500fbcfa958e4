//! One request and its answer: to one origin, of a few kinds, within limits of size and time.

use recover_steps::Stage;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Method, StatusCode};
use zeroize::Zeroizing;

use super::credential::{Credential, carried};
use super::dialect::{Dialect, Reply};
use super::failure::Failure;
use super::model::Refusal;
use super::origin::Origin;
use crate::client::{self, CONNECT_WITHIN, chain, is_untrusted};
use crate::config::HttpConfig;
use crate::known::Known;

/// The only way to the authority.
#[derive(Debug)]
pub(super) struct Transport {
    client: Client,
    origin: Origin,
    agent: String,
    org: Option<HeaderValue>,
    dialect: Dialect,
    paths: Paths,
    credential: Credential,
    known: Known,
}

/// The paths of one agent, in this authority's dialect.
#[derive(Debug)]
pub(super) struct Paths {
    pub(super) health: String,
    pub(super) status: String,
    pub(super) tokens: String,
    pub(super) mint: String,
    pub(super) revoke: String,
    pub(super) audit: String,
    /// Empty where there is nothing that tells.
    pub(super) rights: String,
}

impl Paths {
    fn of(dialect: &Dialect, agent: &str, org: Option<&str>) -> Self {
        let of = |template: &str| template.replace("{agent}", agent).replace("{org}", org.unwrap_or_default());
        let paths = &dialect.paths;
        Self {
            health: of(&paths.health),
            status: of(&paths.status),
            tokens: of(&paths.tokens),
            mint: of(&paths.mint),
            revoke: of(&paths.revoke),
            audit: of(&paths.audit),
            rights: of(&paths.rights),
        }
    }

    /// The requests that may be made at all. Below the methods, so that none of them can be made to send another.
    fn allow(&self, method: &Method, path: &str) -> bool {
        let asked = [&self.health, &self.status, &self.tokens, &self.audit, &self.rights];
        let told = [&self.mint, &self.revoke];
        (method == Method::GET && asked.iter().any(|allowed| *allowed == path))
            || (method == Method::POST && told.iter().any(|allowed| *allowed == path))
    }
}

/// A request that may be made.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(&'a str, &'a str)>,
    pub(super) body: Option<serde_json::Value>,
}

impl<'a> Call<'a> {
    pub(super) fn get(path: String, query: Vec<(&'a str, &'a str)>) -> Self {
        Self { method: Method::GET, path, query, body: None }
    }

    pub(super) fn post(path: String, body: serde_json::Value) -> Self {
        Self { method: Method::POST, path, query: Vec::new(), body: Some(body) }
    }
}

/// An answer of success.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl Transport {
    pub(super) fn new(config: HttpConfig) -> Result<Self, String> {
        let hint = "give the authority's CA as `authority.http.ca`, or install the system's (Debian: ca-certificates)";
        let client = client::client(&config.base, config.ca.as_deref(), hint)?;
        let org = config
            .org
            .as_deref()
            .map(HeaderValue::from_str)
            .transpose()
            .map_err(|_| "the organisation is no header value")?;
        let dialect = config.dialect.map(|dialect| *dialect).unwrap_or_default();
        Ok(Self {
            client,
            origin: config.base,
            paths: Paths::of(&dialect, &config.agent, config.org.as_deref()),
            agent: config.agent,
            org,
            dialect,
            credential: Credential::new(config.credential),
            known: Known::default(),
        })
    }

    pub(super) fn agent(&self) -> &str {
        &self.agent
    }

    pub(super) const fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    pub(super) const fn paths(&self) -> &Paths {
        &self.paths
    }

    /// An answer in the contract's words. Of what status it was is the contract's too: any success is one.
    pub(super) fn in_our_words(&self, what: Reply, answer: Answer) -> Result<Answer, Failure> {
        if self.dialect.is_plain() {
            return Ok(answer);
        }
        let status = if what == Reply::Minted { 201 } else { 200 };
        if what == Reply::Revoked && self.dialect.fields.revoked.revoked.is_empty() {
            // It does not say how many; that nothing works any more is looked up.
            return Ok(Answer { status, body: Zeroizing::new(br#"{"revoked":0}"#.to_vec()) });
        }
        let garbled = || Failure::Lost("it is not as the dialect has it: it is not JSON in UTF-8".into());
        let text = std::str::from_utf8(&answer.body).map_err(|_| garbled())?;
        let theirs: serde_json::Value = serde_json::from_str(text).map_err(|_| garbled())?;
        let body = Zeroizing::new(self.dialect.reply(what, &theirs).to_string().into_bytes());
        Ok(Answer { status, body })
    }

    pub(super) const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The secrets that were seen, the credential among them as it is now.
    pub(super) fn known(&self) -> &Known {
        if let Ok(credential) = self.credential.read() {
            self.known.note(&credential);
        }
        &self.known
    }

    /// Makes the request once, and gives the answer if it is one of success.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Answer, Failure> {
        if !self.paths.allow(&call.method, &call.path) {
            return Err(Failure::Forbidden(format!("{} {}", call.method, call.path)));
        }
        let mut url = self.origin.at(&call.path);
        if !call.query.is_empty() {
            let names = &self.dialect.queries;
            let named = |(name, value): &(&str, &'_ str)| {
                let name = match *name {
                    "label" => &names.label,
                    "accessor" => &names.accessor,
                    "since" => &names.since,
                    _ => &names.cursor,
                };
                (!name.is_empty()).then(|| (name.clone(), (*value).to_owned()))
            };
            let pairs: Vec<(String, String)> = call.query.iter().filter_map(named).collect();
            if !pairs.is_empty() {
                url.query_pairs_mut().extend_pairs(pairs);
            }
        }
        if !self.origin.has(&url) || url.path() != call.path {
            return Err(Failure::Forbidden(format!("{} {}", call.method, call.path)));
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if call.path != self.paths.health {
            let secret = self.credential.read().map_err(Failure::NotSent)?;
            self.known.note(&secret);
            let said = &self.dialect.headers;
            let value = carried(&said.scheme, &secret).map_err(Failure::NotSent)?;
            headers.insert(header(&said.credential)?, value);
            if let Some(org) = &self.org {
                headers.insert(header(&said.org)?, org.clone());
            }
        }
        let mut request = self.client.request(call.method, url).headers(headers);
        if let Some(body) = call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let response = request.send().await.map_err(|e| self.unsent_or_lost(&e))?;
        self.answer(response).await
    }

    /// Where the way to the authority ends that no request got through: at its name, or at the connection. `None` if both
    /// are made now.
    pub(super) async fn obstacle(&self) -> Option<(Stage, String)> {
        let url = self.origin.at("/");
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port_or_known_default().unwrap_or(443);
        let addresses = match tokio::net::lookup_host((host.as_str(), port)).await {
            Ok(found) => found.collect::<Vec<_>>(),
            Err(e) => return Some((Stage::Dns, format!("{host}: {e}"))),
        };
        if let Some(refused) = self.origin.resolver().refuses(&host, &addresses) {
            return Some((Stage::Dns, refused));
        }
        let connect = tokio::net::TcpStream::connect(addresses.as_slice());
        match tokio::time::timeout(CONNECT_WITHIN, connect).await {
            Ok(Ok(_)) => None,
            Ok(Err(e)) => Some((Stage::Tcp, format!("{}: {e}", self.origin))),
            Err(_) => Some((Stage::Tcp, format!("{}: no connection within {CONNECT_WITHIN:?}", self.origin))),
        }
    }

    /// What a response is: an answer of success within the limits, or a failure.
    pub(super) async fn answer(&self, mut response: reqwest::Response) -> Result<Answer, Failure> {
        let status = response.status();
        if status.is_redirection() {
            let to = response.headers().get(LOCATION).and_then(|v| v.to_str().ok()).unwrap_or("nowhere");
            return Err(Failure::Redirected { status: status.as_u16(), to: self.known.line(to) });
        }
        let after_ms = client::retry_after(&response);
        let body = match client::body(&mut response).await {
            Ok(body) => body,
            Err(why) => return Err(self.failed(status, after_ms, None, &self.known.line(&why))),
        };
        if status.is_success() {
            return Ok(Answer { status: status.as_u16(), body });
        }
        Err(self.failed(status, after_ms, Refusal::parse(&body), "the body is not an error of the contract"))
    }

    /// Only a failure of connecting surely came before the sending.
    fn unsent_or_lost(&self, error: &reqwest::Error) -> Failure {
        let why = format!("{}: {}", self.origin, self.known.line(&chain(error)));
        if is_untrusted(error) {
            return Failure::Untrusted(why);
        }
        if error.is_connect() || error.is_builder() { Failure::NotSent(why) } else { Failure::Lost(why) }
    }

    /// What an answer other than success means.
    fn failed(&self, status: StatusCode, after_ms: Option<u64>, refusal: Option<Refusal>, without: &str) -> Failure {
        let number = status.as_u16();
        let said = refusal.as_ref().map(|r| self.known.line(&format!("{}: {}", r.error, r.message)));
        match number {
            429 => Failure::Throttled { after_ms },
            408 => Failure::Lost("the request took the authority too long to read (408)".into()),
            400..=499 => {
                let hint = match number {
                    401 => "check the credential and whether it has expired".to_owned(),
                    403 => "the credential does not have the permission".to_owned(),
                    404 if refusal.as_ref().is_some_and(|r| r.error == "AGENT_UNKNOWN") => {
                        "it does not know this connector; check `agent` and `org`".to_owned()
                    }
                    404 => "there is nothing at this path; check `base`".to_owned(),
                    _ => {
                        refusal.as_ref().map_or_else(|| "it gave no reason".to_owned(), |r| self.known.line(&r.message))
                    }
                };
                Failure::Denied { status: number, code: refusal.map(|r| self.known.hide(&r.error)), hint }
            }
            500..=599 => match said {
                Some(said) => Failure::Unavailable(format!("{number} {said}")),
                None => Failure::Lost(format!("{number}, and {without}")),
            },
            _ => Failure::Lost(format!("{number}, and {without}")),
        }
    }
}

fn header(name: &str) -> Result<HeaderName, Failure> {
    HeaderName::try_from(name).map_err(|_| Failure::NotSent(format!("`{name}` is no header")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_contracts_requests_are_allowed() {
        let paths = Paths::of(&Dialect::default(), "edge-1", None);
        let allowed = |method: &str, path: &str| paths.allow(&method.parse().unwrap(), path);
        for (method, path) in [
            ("GET", "/healthz"),
            ("GET", "/v1/connectors/edge-1"),
            ("GET", "/v1/connectors/edge-1/tokens"),
            ("POST", "/v1/connectors/edge-1/tokens"),
            ("POST", "/v1/connectors/edge-1/tokens/revoke"),
            ("GET", "/v1/connectors/edge-1/audit"),
            ("GET", "/v1/connectors/edge-1/rights"),
        ] {
            assert!(allowed(method, path), "{method} {path}");
        }
        for (method, path) in [
            ("POST", "/healthz"),
            ("DELETE", "/v1/connectors/edge-1"),
            ("PUT", "/v1/connectors/edge-1"),
            ("POST", "/v1/connectors/edge-1"),
            ("GET", "/v1/connectors/edge-10"),
            ("GET", "/v1/connectors/edge-2"),
            ("POST", "/v1/connectors/edge-1/tokens/"),
            ("POST", "/v1/connectors/edge-1/../edge-2/tokens"),
            ("POST", "/v1/pair"),
            ("POST", "/v1/connectors/edge-1/rights"),
            ("POST", "/v1/transit/keys/autounseal"),
            ("DELETE", "/v1/connectors/edge-1/tokens"),
        ] {
            assert!(!allowed(method, path), "{method} {path}");
        }
    }
}
