//! How the steps of `recover-steps` are carried out: one folder per kind of outside system.
//!
//! [`Connector`] is the whole of a connector, and [`Kms`] of Kubernetes' KMS: each dispatches on the step's name. Nothing in here knows a scenario.

mod act;
mod authority;
mod client;
pub mod config;
mod connector;
mod docker;
mod examine;
mod facts;
#[cfg(test)]
mod fake;
mod files;
pub mod kms;
mod known;
mod kubernetes;
mod mark;
pub mod openbao;
mod redact;
mod secrets;
mod span;
mod storage;
mod systemd;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod trouble;
mod trust;
mod workload;

pub use authority::{BadOrigin, BadReference, Credential, CredentialRef, Dialect, Origin};
pub use config::ConnectorConfig;
pub use connector::{Connector, Unusable};
pub use examine::Examination;
pub use facts::{Facts, Seen as SeenFacts};
pub use kms::{Kms, KmsConfig};
pub use kubernetes::printed as look_printed;
pub use mark::{Claim, Holder};
pub use secrets::{SecretsDir, is_in_memory};
pub use span::{BadSpan, Span};
pub use time::parse as time_of;
pub use trouble::code;
