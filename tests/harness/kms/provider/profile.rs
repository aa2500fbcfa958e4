//! What Transit tells of the key, and what of it must not be.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "Transit's own fields")]
pub struct Profile {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub derived: bool,
    #[serde(default)]
    pub convergent_encryption: bool,
    #[serde(default)]
    pub deletion_allowed: bool,
    #[serde(default)]
    pub exportable: bool,
    #[serde(default)]
    pub allow_plaintext_backup: bool,
    #[serde(default)]
    pub min_available_version: u64,
    #[serde(default)]
    pub min_decryption_version: u64,
    #[serde(default)]
    pub min_encryption_version: u64,
    #[serde(default)]
    pub latest_version: u64,
    #[serde(default)]
    pub supports_encryption: bool,
    #[serde(default)]
    pub supports_decryption: bool,
    #[serde(default)]
    pub soft_deleted: bool,
    #[serde(default)]
    pub keys: BTreeMap<String, serde_json::Value>,
}

impl Profile {
    pub fn created(&self, version: u64) -> Option<i64> {
        self.keys.get(&version.to_string())?.as_i64()
    }
}

/// Every finding, each with what it endangers.
pub fn blocking(of: &Profile) -> Vec<String> {
    let (safety, availability) = ("cryptographic_safety", "api_server_availability");
    let findings = [
        (of.kind != "aes256-gcm96", safety, "key type is not aes256-gcm96"),
        (of.exportable, safety, "key material export is enabled"),
        (of.allow_plaintext_backup, safety, "plaintext backup is enabled"),
        (of.derived, safety, "derived key mode is enabled"),
        (of.convergent_encryption, safety, "convergent encryption is enabled"),
        (of.deletion_allowed, availability, "key deletion is allowed"),
        (
            of.min_encryption_version > of.latest_version,
            availability,
            "minimum encryption version blocks latest version",
        ),
        (
            of.min_decryption_version > of.latest_version,
            availability,
            "minimum decryption version exceeds latest version",
        ),
        (!of.supports_encryption, availability, "key does not support encryption"),
        (!of.supports_decryption, availability, "key does not support decryption"),
    ];
    findings.iter().filter(|(is, ..)| *is).map(|(_, impact, text)| format!("blocking/{impact}: {text}")).collect()
}

/// The same and what the registry refuses besides, in the order of the reports.
pub fn findings(of: &Profile) -> Vec<String> {
    let own = [
        (of.latest_version == 0, "latest version is not positive"),
        (of.soft_deleted, "key is soft-deleted"),
        (of.min_available_version > of.latest_version, "minimum available version exceeds latest version"),
    ];
    let own = own.iter().filter(|(is, _)| *is).map(|(_, text)| format!("blocking/api_server_availability: {text}"));
    own.chain(blocking(of)).collect()
}
