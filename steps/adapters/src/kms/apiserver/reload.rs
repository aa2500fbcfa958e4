//! What an API server says of itself: its KMS check, and by its metrics which EncryptionConfiguration it has.

use recover_engine::Digest;
use recover_steps::Instance;
use recover_steps::kms::ApiserverSeen;

use super::client::{Asked, Kube, said};
use crate::known::Known;
use crate::trouble::Trouble;

const ANY: &str = "*/*";

/// What its metrics say of the EncryptionConfiguration that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kms) struct Reload {
    /// The hash of the file that it took over last, in whatever spelling.
    hashes: Vec<String>,
    /// How often it looked at a file and kept the old one.
    pub(in crate::kms) failures: u64,
    /// Whether it looks at the file at all.
    pub(in crate::kms) looks: bool,
}

impl Reload {
    pub(super) fn of(metrics: &str) -> Self {
        let lines = |name: &str| {
            let name = format!("apiserver_encryption_config_controller_{name}{{");
            metrics.lines().filter(move |line| line.starts_with(&name)).collect::<Vec<_>>()
        };
        let info = lines("last_config_info");
        let hashes = info.iter().filter_map(|line| label(line, "hash")).map(str::to_owned).collect();
        let totals = lines("automatic_reloads_total");
        let failed = totals.iter().filter(|line| label(line, "status") == Some("failure"));
        let failures = failed.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        Self { looks: !info.is_empty() || !totals.is_empty(), hashes, failures: failures as u64 }
    }

    /// Whether it has the file of this digest: the API server names a file by the digest of its bytes, or by a digest of that name.
    pub(in crate::kms) fn has(&self, sha256: &str) -> bool {
        let named = Digest::of(format!("k8s:enc:unstable:1:{sha256}").as_bytes()).to_string();
        self.hashes.iter().any(|hash| hash.ends_with(sha256) || hash.ends_with(&named))
    }
}

/// A label's value in a line of metrics.
fn label<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let labels = line.split_once('{')?.1.split_once('}')?.0;
    labels
        .split(',')
        .find_map(|pair| pair.split_once('=').filter(|(of, _)| *of == name))
        .map(|(_, value)| value.trim_matches('"'))
}

impl Kube {
    /// Asks for the KMS check alone. It has one name where all providers are checked together, and another where each is.
    pub(in crate::kms) async fn kms_check(
        &self,
        instance: Option<Instance>,
        known: &Known,
    ) -> Result<ApiserverSeen, Trouble> {
        for path in ["/readyz/kms-providers", "/readyz/kms-provider-0"] {
            return Ok(match self.get(path, &[], ANY, known).await {
                Asked::Answered { status: 200, .. } => ApiserverSeen::Healthy { instance },
                Asked::Answered { status: 404, .. } => continue,
                Asked::Answered { status: status @ (401 | 403), body } => {
                    let why = said(status, &body, known);
                    return Err(Trouble::refused("apiserver", format!("{path} may not be read: {why}")));
                }
                Asked::Answered { status, body } => {
                    ApiserverSeen::KmsUnhealthy { instance, why: said(status, &body, known) }
                }
                Asked::Silent(why) => ApiserverSeen::Down { why },
            });
        }
        Ok(ApiserverSeen::KmsUnhealthy { instance, why: "it has no KMS check: it does not use the provider".into() })
    }

    /// Whether it is ready in every respect.
    pub(in crate::kms) async fn ready(&self, known: &Known) -> Result<(), String> {
        match self.get("/readyz", &[], ANY, known).await {
            Asked::Answered { status: 200, .. } => Ok(()),
            Asked::Answered { status, body } => Err(said(status, &body, known)),
            Asked::Silent(why) => Err(why),
        }
    }

    /// What its metrics say of its EncryptionConfiguration.
    pub(in crate::kms) async fn reload(&self, known: &Known) -> Result<Reload, Trouble> {
        match self.get("/metrics", &[], ANY, known).await {
            Asked::Answered { status: 200, body } => Ok(Reload::of(&String::from_utf8_lossy(&body))),
            Asked::Answered { status: status @ (401 | 403), body } => {
                Err(Trouble::refused("apiserver", format!("/metrics may not be read: {}", said(status, &body, known))))
            }
            Asked::Answered { status, body } => Err(Trouble::retry(said(status, &body, known))),
            Asked::Silent(why) => Err(Trouble::retry(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_file_it_has_is_in_its_metrics() {
        let of = "a".repeat(64);
        let text = format!(
            "# HELP x\napiserver_encryption_config_controller_automatic_reloads_total{{apiserver_id_hash=\"sha256:b\",status=\"failure\"}} 2\n\
             apiserver_encryption_config_controller_automatic_reloads_total{{apiserver_id_hash=\"sha256:b\",status=\"success\"}} 1\n\
             apiserver_encryption_config_controller_last_config_info{{apiserver_id_hash=\"sha256:b\",hash=\"sha256:{of}\"}} 1\n"
        );
        let reload = Reload::of(&text);
        assert!(reload.looks && reload.has(&of) && !reload.has(&"b".repeat(64)));
        assert_eq!(reload.failures, 2);
        assert!(!Reload::of("other_metric{hash=\"x\"} 1\n").looks);
    }
}
