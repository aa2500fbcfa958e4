//! The provider's `config.yaml`, as far as it has to be known: what bears identity, and where things are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::files;

/// The identity-bearing fields, in the provider's words, with their values.
pub(super) type Identity = Vec<(&'static str, String)>;

/// What is read of it. The provider itself refuses a field that it does not know; here a newer one's further fields are none of ours.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settings {
    config_version: String,
    #[serde(default)]
    pub(super) server: Server,
    pub(super) openbao: Openbao,
    #[serde(default)]
    pub(super) auth: Auth,
    pub(super) transit: Transit,
    #[serde(default)]
    pub(super) status: Probes,
    #[serde(default)]
    pub(super) state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Server {
    pub(super) socket_path: PathBuf,
    pub(super) socket_group: Text,
}

impl Default for Server {
    fn default() -> Self {
        Self { socket_path: "/run/openbao-kms/kms.sock".into(), socket_group: Text::default() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Openbao {
    #[serde(default)]
    pub(super) namespace: String,
    pub(super) instance_id: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Auth {
    pub(super) method: String,
    pub(super) jwt: Jwt,
    pub(super) cert: Cert,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Jwt {
    pub(super) jwt_file: PathBuf,
    pub(super) min_remaining_ttl: Option<String>,
    pub(super) clock_skew_leeway: Option<String>,
    pub(super) expected_issuer: String,
    pub(super) expected_audience: Vec<String>,
    pub(super) expected_subject: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Cert {
    pub(super) source: String,
    pub(super) min_remaining_ttl: Option<String>,
    pub(super) pkcs11: Pkcs11,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Pkcs11 {
    pub(super) certificate_file: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transit {
    pub(super) mount_path: String,
    pub(super) key_name: String,
    pub(super) key_id_scope: Scope,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Scope {
    pub(super) provider_name: String,
    pub(super) cluster_id: String,
    pub(super) transit_mount_id: String,
    pub(super) key_lineage_id: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Probes {
    probe_interval: Option<String>,
    deep_probe_interval: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct State {
    pub(super) path: PathBuf,
}

impl Default for State {
    fn default() -> Self {
        Self { path: "/var/lib/openbao-kms/state/key-registry.json".into() }
    }
}

/// A name, or a number that is a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Given")]
pub(super) struct Text(pub(super) String);

#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Word(String),
    Number(u32),
}

impl From<Given> for Text {
    fn from(given: Given) -> Self {
        Self(match given {
            Given::Word(word) => word,
            Given::Number(number) => number.to_string(),
        })
    }
}

impl Settings {
    /// Reads and understands it.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        Self::understand(files::read_there(path)?.text()?).map_err(|why| format!("{}: {why}", path.display()))
    }

    pub(super) fn understand(text: &str) -> Result<Self, String> {
        let settings: Self =
            serde_yaml_ng::from_str(text).map_err(|e| format!("it is not the provider's: {}", place(&e)))?;
        if settings.config_version != "v1alpha1" {
            return Err("its configVersion is not v1alpha1".into());
        }
        for (field, path) in [("server.socketPath", &settings.server.socket_path), ("state.path", &settings.state.path)]
        {
            if !crate::config::plain(path) || path.file_name().is_none() {
                return Err(format!("its {field} is no absolute path"));
            }
        }
        if let Some((field, _)) =
            settings.identity().iter().find(|(name, value)| *name != "openbao.namespace" && value.is_empty())
        {
            return Err(format!("its {field} is empty"));
        }
        Ok(settings)
    }

    /// What must never change, and is put back to what is recorded.
    pub(super) fn identity(&self) -> Identity {
        let scope = &self.transit.key_id_scope;
        [
            ("transit.keyIdScope.providerName", &scope.provider_name),
            ("transit.keyIdScope.clusterId", &scope.cluster_id),
            ("transit.keyIdScope.transitMountId", &scope.transit_mount_id),
            ("transit.keyIdScope.keyLineageId", &scope.key_lineage_id),
            ("openbao.instanceId", &self.openbao.instance_id),
            ("openbao.namespace", &self.openbao.namespace),
            ("transit.keyName", &self.transit.key_name),
            ("transit.mountPath", &self.transit.mount_path),
        ]
        .map(|(name, value)| (name, value.clone()))
        .into()
    }

    /// As long as its own probes may take to see that something is well again.
    pub(super) fn probes_take(&self) -> Duration {
        let of =
            |given: &Option<String>, usual: u64| given.as_deref().and_then(span).unwrap_or(Duration::from_secs(usual));
        of(&self.status.probe_interval, 30) + of(&self.status.deep_probe_interval, 300)
    }
}

/// Where the text is wrong. The parser's own message could repeat what stands there.
pub(super) fn place(error: &serde_yaml_ng::Error) -> String {
    match error.location() {
        Some(at) => format!("line {}, column {}", at.line(), at.column()),
        None => "a field is missing, is there twice, or has another type".to_owned(),
    }
}

/// A length of time as Go writes it: `1m30s`, `500ms`.
pub(super) fn span(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (amount, tail) = rest.split_at_checked(digits)?;
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit)?;
        let amount: u64 = amount.parse().ok()?;
        let ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(amount.checked_mul(ms)?))?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::kms) fn text(state: &Path, socket: &Path) -> String {
        format!(
            "configVersion: v1alpha1\nserver:\n  socketPath: {}\n  socketGroup: 64210\nopenbao:\n  address: https://bao:8200\n  \
             namespace: team\n  instanceId: bao-1\nauth:\n  method: jwt\n  jwt:\n    jwtFile: /x/identity.jwt\ntransit:\n  mountPath: transit\n  \
             keyName: kms\n  keyIdScope:\n    providerName: openbao-kms\n    clusterId: cluster-1\n    transitMountId: transit-1\n    \
             keyLineageId: lineage-1\nstatus:\n  probeInterval: 300ms\n  deepProbeInterval: 1m30s\nstate:\n  path: {}\n",
            socket.display(),
            state.display()
        )
    }

    #[test]
    fn what_bears_identity_is_read_and_a_field_twice_is_an_error() {
        let text = text(Path::new("/s/key-registry.json"), Path::new("/r/kms.sock"));
        let settings = Settings::understand(&text).unwrap();
        assert_eq!(settings.server.socket_group, Text("64210".into()));
        assert_eq!(settings.probes_take(), Duration::from_millis(90_300));
        assert_eq!(settings.identity().len(), 8);
        for (from, to) in [
            ("clusterId: cluster-1", "clusterId: cluster-1\n    clusterId: cluster-2"),
            ("clusterId: cluster-1", "clusterId: ''"),
            ("v1alpha1", "v2"),
            ("/r/kms.sock", "kms.sock"),
            ("    keyLineageId: lineage-1", ""),
        ] {
            assert!(Settings::understand(&text.replace(from, to)).is_err(), "{to}");
        }
        let refused = Settings::understand("configVersion: [s3cr3t\n").unwrap_err();
        assert!(!refused.contains("s3cr3t"), "{refused}");
    }

    #[test]
    fn spans_are_as_go_writes_them() {
        assert_eq!(span("2m"), Some(Duration::from_secs(120)));
        assert_eq!(span("1h30m"), Some(Duration::from_secs(5_400)));
        for bad in ["", "5", "m", "1x", "1m5", "99999999999999999999h"] {
            assert_eq!(span(bad), None, "{bad}");
        }
    }
}
