//! Replies that came over no connection, read by the client's own decoding. For fuzzing.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use recover_steps::examined::RightsSeen;
use secrecy::SecretString;

use super::failure::Failure;
use super::http::Http;
use super::model::TokenState;
use crate::act::Fate;
use crate::config::HttpConfig;
use crate::trouble::Trouble;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// Whether it is well.
    Health,
    /// The connector's status.
    Status,
    /// To mint a token under this label.
    Mint(&'a str),
    /// To revoke.
    Revoke,
    /// What became of the token with this accessor.
    Token(&'a str),
    /// The audit events.
    Audit,
    /// What the credential may do.
    Rights,
}

/// A reply as it comes over a connection.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers; those that cannot be one are left out.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The length that is announced.
    pub announced: Option<u64>,
    /// The body, as it comes.
    pub chunks: Vec<Vec<u8>>,
    /// Whether the connection breaks after it.
    pub cut: bool,
}

/// What was read from a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// No answer.
    Failed {
        /// In words.
        text: String,
        /// Whether what was asked for may have been done.
        unknown: bool,
    },
    /// It is well.
    Healthy,
    /// The status.
    Status {
        /// Whether the connector is online.
        online: bool,
        /// The serial of its identity.
        serial: Option<String>,
    },
    /// A token was minted.
    Minted {
        /// Its accessor.
        accessor: String,
    },
    /// The token was used, and this identity issued for it.
    Paired {
        /// The identity's serial.
        serial: String,
    },
    /// The token was surely not used to issue an identity.
    Unused,
    /// What became of the token cannot be told.
    Doubt,
    /// So many were revoked.
    Revoked(u32),
    /// So many audit events.
    Audited(usize),
    /// What the credential may do.
    Rights {
        /// It may mint.
        mint: bool,
        /// It may revoke.
        revoke: bool,
    },
}

/// The client, with a credential that it has seen.
#[derive(Debug)]
pub struct Replies {
    http: Http,
    credential: SecretString,
}

impl Replies {
    /// A client that has used this credential.
    ///
    /// # Errors
    /// If the configuration gives no client.
    pub fn new(config: HttpConfig, credential: &str) -> Result<Self, String> {
        Ok(Self { http: Http::new(config)?, credential: SecretString::from(credential) })
    }

    /// Reads a reply as one to what was asked.
    pub async fn read(&self, asked: Asked<'_>, reply: Reply) -> Read {
        self.http.transport().known().only(&self.credential);
        let read = match self.http.transport().answer(response(reply)).await {
            Err(failure) => Err(failure),
            Ok(answer) => match asked {
                Asked::Health => Http::healthy(&answer).map(|()| Read::Healthy),
                Asked::Status => self.http.told(&answer).map(|told| Read::Status {
                    online: told.status.is_online(),
                    serial: told.status.serial().map(str::to_owned),
                }),
                Asked::Mint(label) => self.http.minted(&answer, label).map(|fresh| {
                    let (token, _secret) = fresh.into_parts();
                    debug_assert!(token.state == TokenState::Live, "it was checked");
                    Read::Minted { accessor: token.accessor }
                }),
                Asked::Revoke => Http::revoked(&answer).map(Read::Revoked),
                Asked::Token(accessor) => {
                    self.http.page(&answer).and_then(|page| Http::only(accessor, page.tokens)).map(|token| {
                        match Fate::of(token) {
                            Fate::Paired { serial } => Read::Paired { serial },
                            Fate::Unused(_) => Read::Unused,
                            Fate::Unknown(_) => Read::Doubt,
                        }
                    })
                }
                Asked::Audit => Http::audited(&answer).map(|page| Read::Audited(page.events.len())),
                Asked::Rights => self.http.may(&answer).map(|seen| match seen {
                    RightsSeen::Told { mint, revoke } => Read::Rights { mint, revoke },
                    RightsSeen::Given { .. } | RightsSeen::Untold { .. } => Read::Rights { mint: false, revoke: false },
                }),
            },
        };
        read.unwrap_or_else(|failure| failed(asked, failure))
    }
}

fn failed(asked: Asked<'_>, failure: Failure) -> Read {
    let text = failure.text();
    let trouble = match asked {
        Asked::Mint(_) | Asked::Revoke => failure.changing(),
        Asked::Health | Asked::Status | Asked::Token(_) | Asked::Audit | Asked::Rights => failure.asking(),
    };
    Read::Failed { text, unknown: matches!(trouble, Trouble::Unknown(_)) }
}

fn response(reply: Reply) -> reqwest::Response {
    let mut response = http::Response::new(reqwest::Body::wrap(Streamed {
        announced: reply.announced,
        chunks: reply.chunks.into_iter().map(Bytes::from).collect(),
        cut: reply.cut,
    }));
    *response.status_mut() = http::StatusCode::from_u16(reply.status).unwrap_or_default();
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(name), http::HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response.into()
}

/// A body as it comes.
struct Streamed {
    announced: Option<u64>,
    chunks: std::collections::VecDeque<Bytes>,
    cut: bool,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.chunks.pop_front() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            None if std::mem::take(&mut self.cut) => Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into()))),
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.announced.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
