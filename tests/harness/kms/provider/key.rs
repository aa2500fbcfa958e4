//! What names a key's version to Kubernetes: a digest of everything that tells it from any other.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// Everything that a key id is derived from besides the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub provider: String,
    pub cluster: String,
    pub instance: String,
    pub namespace: String,
    pub mount: String,
    pub lineage: String,
}

impl Scope {
    pub fn key_id(&self, version: u64, created_at: i64) -> String {
        let (version, created_at) = (version.to_string(), created_at.to_string());
        let mut parts = vec!["openbao-kubernetes-kms/key-id/v1", &self.provider, &self.cluster, &self.instance];
        if !self.namespace.is_empty() {
            parts.push(&self.namespace);
        }
        parts.extend([self.mount.as_str(), &self.lineage, &version, &created_at]);
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        format!("obk2.{}", URL_SAFE_NO_PAD.encode(digest.finalize()))
    }
}

/// Whether this has the form of a key id.
pub fn is_key_id(text: &str) -> bool {
    text.strip_prefix("obk2.").and_then(|rest| URL_SAFE_NO_PAD.decode(rest).ok()).is_some_and(|bytes| bytes.len() == 32)
}

/// The digest under which a value stands in metrics, annotations and reports.
pub fn hash(value: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(value.as_bytes()))
}
