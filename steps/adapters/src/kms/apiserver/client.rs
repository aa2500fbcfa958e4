//! One API server: to one origin, only the requests that are listed here. No object is made or deleted.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method};
use zeroize::Zeroizing;

use crate::authority::{Credential, Origin, carried};
use crate::client::{self, chain};
use crate::kms::config::{ClientIdentity, ClusterConfig};
use crate::known::Known;

/// An object of Kubernetes is at most 1.5 MiB in etcd, and its JSON may be longer. Bytes.
const BODY_MOST: usize = 8 << 20;
const WITHIN: Duration = Duration::from_secs(10);

/// One API server.
#[derive(Debug)]
pub(in crate::kms) struct Kube {
    client: Client,
    origin: Origin,
    credential: Option<Credential>,
}

/// What was answered, or why nothing was.
#[derive(Debug)]
pub(in crate::kms) enum Asked {
    Answered {
        status: u16,
        body: Zeroizing<Vec<u8>>,
    },
    /// No answer came.
    Silent(String),
}

impl Kube {
    /// A client of the API server at this origin.
    pub(in crate::kms) fn new(origin: &Origin, cluster: &ClusterConfig) -> Result<Self, String> {
        let client = built(origin, cluster.ca.as_deref(), cluster.client.as_ref())?;
        Ok(Self { client, origin: origin.clone(), credential: cluster.credential.clone().map(Credential::new) })
    }

    pub(in crate::kms) const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Reads something.
    pub(in crate::kms) async fn get(&self, path: &str, query: &[(&str, &str)], accept: &str, known: &Known) -> Asked {
        self.send(Method::GET, path, query, accept, None, known).await
    }

    /// Puts back what was read, as it was read. The resource version in it makes that a condition.
    pub(super) async fn put(&self, path: &str, body: &[u8], known: &Known) -> Asked {
        self.send(Method::PUT, path, &[("fieldManager", "recover")], "application/json", Some(body), known).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        accept: &str,
        body: Option<&[u8]>,
        known: &Known,
    ) -> Asked {
        let mut url = self.origin.at(path);
        if !self.origin.has(&url) || url.path() != path {
            return Asked::Silent(format!("{path} is no path"));
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut headers = HeaderMap::new();
        match HeaderValue::from_str(accept) {
            Ok(value) => headers.insert(ACCEPT, value),
            Err(e) => return Asked::Silent(e.to_string()),
        };
        if let Some(credential) = &self.credential {
            let carried = credential.read().and_then(|secret| {
                known.note(&secret);
                carried("Bearer", &secret)
            });
            match carried {
                Ok(value) => headers.insert(AUTHORIZATION, value),
                Err(why) => return Asked::Silent(why),
            };
        }
        let mut request = self.client.request(method, url).headers(headers);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_vec());
        }
        let silent =
            |e: reqwest::Error| Asked::Silent(format!("{}: {}", self.origin, known.line(&chain(&e.without_url()))));
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(e) => return silent(e),
        };
        let status = response.status().as_u16();
        let mut whole = Zeroizing::new(Vec::with_capacity(16 << 10));
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if whole.len() + chunk.len() <= BODY_MOST => whole.extend_from_slice(&chunk),
                Ok(Some(_)) => return Asked::Silent(format!("{}: the answer is longer than 8 MiB", self.origin)),
                Ok(None) => return Asked::Answered { status, body: whole },
                Err(e) => return silent(e),
            }
        }
    }
}

/// A client with a certificate of its own, if one is given.
pub(in crate::kms) fn built(
    origin: &Origin,
    ca: Option<&Path>,
    client: Option<&ClientIdentity>,
) -> Result<Client, String> {
    let builder = client::builder(origin, ca)?.timeout(WITHIN);
    let builder = match client {
        None => builder,
        Some(own) => builder.identity(client::identity(&own.cert, &own.key)?),
    };
    builder.build().map_err(|e| format!("the HTTP client cannot be made: {}", chain(&e)))
}

/// The words of an answer that is no success, without what it may quote.
pub(in crate::kms) fn said(status: u16, body: &[u8], known: &Known) -> String {
    #[derive(serde::Deserialize)]
    struct Status {
        message: String,
    }
    let message = match serde_json::from_slice::<Status>(body) {
        Ok(status) => status.message,
        Err(_) => String::from_utf8_lossy(body.get(..body.len().min(300)).unwrap_or_default()).into_owned(),
    };
    known.line(&format!("{status}: {}", message.chars().take(300).collect::<String>()))
}
