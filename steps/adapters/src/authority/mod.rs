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
mod transport;

pub use credential::{BadReference, CredentialRef};
pub use dialect::Dialect;
pub(crate) use failure::Failure;
pub(crate) use http::Http;
pub(crate) use model::{AuditEvent, Status, Token, TokenState};
pub use origin::{BadOrigin, Origin};
#[cfg(feature = "testing")]
pub use replies::{Asked, Read, Replies, Reply};
