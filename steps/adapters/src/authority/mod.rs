//! Authorities that issue identities: one file per part of speaking with one.

mod credential;
mod dialect;
mod failure;
mod http;
mod model;
#[cfg(test)]
mod never;
mod origin;
#[cfg(feature = "testing")]
mod replies;
mod spire;
mod transport;

pub(crate) use credential::carried;
pub use credential::{BadReference, Credential, CredentialRef};
pub use dialect::Dialect;
pub(crate) use failure::Failure;
pub(crate) use http::{Http, Told};
pub(crate) use model::{AuditEvent, Status, Token, TokenState};
pub use origin::{BadOrigin, Origin};
#[cfg(feature = "testing")]
pub use replies::{Asked, Read, Replies, Reply};
pub(crate) use spire::{Asked as Minting, Spire, fresh_value, now, serial_of};

use recover_steps::Stage;

use crate::config::AuthorityConfig;
use crate::facts::Facts;
use crate::known::Known;

/// Who issues identities, whatever that is.
#[derive(Debug)]
pub(crate) enum Authority {
    /// A control plane over HTTP.
    Http(Box<Http>),
    /// A SPIRE server.
    Spire(Box<Spire>),
}

impl Authority {
    pub(crate) fn new(config: AuthorityConfig) -> Result<Self, String> {
        Ok(match config {
            AuthorityConfig::Http(config) => Self::Http(Box::new(Http::new(config)?)),
            AuthorityConfig::SpireJoinToken(config) => Self::Spire(Box::new(Spire::new(config)?)),
        })
    }

    /// The secrets that were seen, to be taken out of what is captured.
    pub(crate) fn known(&self) -> &Known {
        match self {
            Self::Http(http) => http.known(),
            Self::Spire(spire) => spire.known(),
        }
    }

    /// Who it is, for a baseline.
    pub(crate) fn facts(&self, facts: &mut Facts) -> Result<(), String> {
        match self {
            Self::Http(http) => http.facts(facts),
            Self::Spire(spire) => {
                spire.facts(facts);
                Ok(())
            }
        }
    }

    /// Whether it answers at all.
    pub(crate) async fn health(&self) -> Result<(), Failure> {
        match self {
            Self::Http(http) => http.health().await,
            Self::Spire(spire) => spire.health().await,
        }
    }

    /// Where the way to it ends that this failure ended: only asked where one did.
    pub(crate) async fn obstacle(&self, failure: &Failure) -> (Stage, String) {
        match (self, failure) {
            (Self::Http(http), _) => http.obstacle(failure).await,
            (Self::Spire(_), Failure::NotSent(_)) => (Stage::Tcp, failure.text()),
            (Self::Spire(_), _) => (Stage::Healthz, failure.text()),
        }
    }

    /// What it says of the connector.
    pub(crate) async fn status(&self) -> Result<Told, Failure> {
        match self {
            Self::Http(http) => http.status().await,
            Self::Spire(spire) => spire.status().await,
        }
    }

    /// What it noted since then; nothing where it notes it elsewhere.
    pub(crate) async fn audit(&self, since: &str) -> Result<Option<Vec<AuditEvent>>, Failure> {
        match self {
            Self::Http(http) => http.audit(since).await.map(Some),
            Self::Spire(_) => Ok(None),
        }
    }

    /// What can be said of a token of ours.
    pub(crate) async fn token(&self, token: &recover_steps::Token) -> Result<Option<Token>, Failure> {
        match self {
            Self::Http(http) => http.token(&token.accessor).await,
            Self::Spire(spire) => spire.token(token).await.map(Some),
        }
    }
}
