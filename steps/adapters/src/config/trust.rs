//! What a configuration says of the CA bundle that the connector trusts.

use std::path::PathBuf;

use recover_engine::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigError, Places, err};

/// The CA bundle that the connector looks for, and what may be in it. Every certificate of it has one of the fingerprints, which a
/// person was told out of band: nothing is ever taken from the peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustConfig {
    /// Where the connector looks for it: `/etc/vaultpam/ca.crt`.
    pub bundle: PathBuf,
    /// A copy that a person brought here, in PEM, to be installed there.
    pub source: PathBuf,
    /// SHA-256 over each certificate's DER, as `openssl x509 -noout -fingerprint -sha256` prints it; with or without colons.
    pub fingerprints: Vec<String>,
}

impl TrustConfig {
    /// Checks the fingerprints; gives the paths.
    pub(super) fn places(&self) -> Result<Places<'_>, ConfigError> {
        if self.fingerprints.is_empty() || !self.fingerprints.iter().all(|text| digest(text).is_some()) {
            return err(
                "trust.fingerprints",
                "must be SHA-256 fingerprints of certificates, 64 hexadecimal digits each",
            );
        }
        if self.bundle == self.source {
            return err("trust.source", "is where the connector looks for it: name the copy that a person brought");
        }
        Ok([("trust.bundle", self.bundle.as_path()), ("trust.source", self.source.as_path())].into())
    }

    /// Whether a certificate is one of those that a person was told of.
    pub(crate) fn pins(&self, certificate: Digest) -> bool {
        self.fingerprints.iter().any(|text| digest(text) == Some(certificate))
    }
}

fn digest(text: &str) -> Option<Digest> {
    text.replace(':', "").to_ascii_lowercase().parse().ok()
}
