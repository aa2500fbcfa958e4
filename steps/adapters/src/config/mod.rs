//! What a configuration says about one connector: where its workload, storage and authority are, and how long things take.

mod kubernetes;
mod spire;
mod storage;
mod trust;
mod workload;

use std::path::{Component, Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::authority::{CredentialRef, Dialect, Origin};
use crate::span::Span;
pub use kubernetes::{ClaimConfig, KubernetesConfig, WorkloadKind};
pub use spire::SpireConfig;
pub use storage::{DirectoryConfig, StorageConfig, UnitStorageConfig, VolumeConfig};
pub use trust::TrustConfig;
pub use workload::{DockerConfig, Manager, ProcessConfig, SystemdConfig, TokenAs, WindowsConfig, WorkloadConfig};

/// One connector target. The configuration around it says that its kind is `connector`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectorConfig {
    /// What runs.
    pub workload: WorkloadConfig,
    /// Where it keeps its identity.
    pub storage: StorageConfig,
    /// Who issues identities.
    pub authority: AuthorityConfig,
    /// The CA bundle that it trusts, if that is to be looked after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<TrustConfig>,
    /// How long things may take.
    #[serde(default)]
    pub timing: Timing,
}

/// Who issues identities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum AuthorityConfig {
    /// A control plane that speaks the contract in `docs/authority-http.md`.
    Http(HttpConfig),
    /// A SPIRE server, by join tokens.
    SpireJoinToken(SpireConfig),
}

/// A control plane over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Its origin: scheme, host and port. Plain `http` only on loopback.
    pub base: Origin,
    /// The connector's id there.
    pub agent: String,
    /// The organisation, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// A file with the certificates that alone are trusted; the system's if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Where the credential is, never the credential itself.
    pub credential: CredentialRef,
    /// How it says what the contract says, where it does not speak the contract itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Box<Dialect>>,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// How long the connector must stay online, on either side of a restart.
    pub observe: Span,
    /// How long it has to come online.
    pub online_within: Span,
    /// For how long a workload that ended again and again must last once it is started.
    pub steady: Span,
    /// How long the workload has to end by itself.
    pub stop_within: Span,
    /// How long it has to pair.
    pub pair_within: Span,
    /// How long a minted token works.
    pub token_ttl: Span,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            observe: Span::from_ms(30_000),
            online_within: Span::from_ms(30_000),
            steady: Span::from_ms(600_000),
            stop_within: Span::from_ms(10_000),
            pair_within: Span::from_ms(30_000),
            token_ttl: Span::from_ms(600_000),
        }
    }
}

/// What is wrong with a configuration that has the right shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {wrong}")]
pub struct ConfigError {
    /// The key.
    pub key: &'static str,
    /// What is wrong with its value.
    pub wrong: String,
}

impl ConfigError {
    pub(crate) fn of_no_unit() -> Self {
        let wrong = "needs `workload.systemd`: it is changed by a drop-in of the unit".to_owned();
        Self { key: "storage.systemd-unit", wrong }
    }

    pub(crate) fn of_no_pod() -> Self {
        let wrong = "needs `workload.kubernetes`: it is mounted in a pod".to_owned();
        Self { key: "storage.kubernetes-claim", wrong }
    }

    pub(crate) fn of_no_host() -> Self {
        let wrong = "cannot be that of a pod: name its claim, as `storage.kubernetes-claim`".to_owned();
        Self { key: "storage.directory", wrong }
    }

    pub(crate) fn of_no_container() -> Self {
        let wrong = "needs `workload.docker`: it is mounted in a container".to_owned();
        Self { key: "storage.docker-volume", wrong }
    }
}

impl ConnectorConfig {
    /// What a run on this target is about: the authority's origin and the agent's id there. No name in this configuration
    /// takes part in it.
    #[must_use]
    pub fn subject(&self) -> String {
        match &self.authority {
            AuthorityConfig::Http(http) => format!("{}/{}", http.base, http.agent),
            AuthorityConfig::SpireJoinToken(spire) => spire.alias.clone(),
        }
    }

    /// Checks what the shape alone does not say.
    ///
    /// # Errors
    /// On the first value that cannot be used.
    pub fn check(&self) -> Result<(), ConfigError> {
        let places = match &self.workload {
            WorkloadConfig::Process(process) => process.places()?,
            WorkloadConfig::Systemd(systemd) => systemd.places()?,
            WorkloadConfig::Docker(docker) => docker.places()?,
            WorkloadConfig::Kubernetes(kubernetes) => kubernetes.places()?,
            WorkloadConfig::Windows(windows) => return Err(windows.refused()),
        };
        let trust = self.trust.as_ref().map(TrustConfig::places).transpose()?.unwrap_or_default();
        let asked = match &self.authority {
            AuthorityConfig::Http(http) => http.check().map(|()| Vec::new())?,
            AuthorityConfig::SpireJoinToken(spire) => spire.places(&self.workload, &self.timing)?,
        };
        for (key, path) in places.into_iter().chain(self.storage.places(&self.workload)?).chain(trust).chain(asked) {
            if !plain(path) || (key != "workload.process.cwd" && path.file_name().is_none()) {
                return err(key, "must be an absolute path without `.` or `..`");
            }
        }
        if self.timing.token_ttl.as_ms() < 1_000 {
            return err("timing.token_ttl", "must be at least 1s");
        }
        Ok(())
    }
}

impl HttpConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let word = |text: &str| {
            !text.is_empty()
                && text.len() <= 128
                && !text.starts_with('.')
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if !word(&self.agent) {
            return err(
                "authority.http.agent",
                "must be 1 to 128 letters, digits, `.`, `_` or `-`, and not begin with `.`",
            );
        }
        if self.org.as_deref().is_some_and(|org| !word(org)) {
            return err(
                "authority.http.org",
                "must be 1 to 128 letters, digits, `.`, `_` or `-`, and not begin with `.`",
            );
        }
        if let Some(dialect) = &self.dialect {
            dialect.check(&self.agent, self.org.as_deref()).map_err(|(key, wrong)| ConfigError { key, wrong })?;
        }
        Ok(())
    }
}

pub(crate) fn err<T>(key: &'static str, wrong: &str) -> Result<T, ConfigError> {
    Err(ConfigError { key, wrong: wrong.to_owned() })
}

/// Keys and their paths.
pub(crate) type Places<'a> = Vec<(&'static str, &'a Path)>;

/// A name without a folder.
fn file_name(name: &str) -> bool {
    !name.contains(['/', '\0']) && matches!(Path::new(name).components().next(), Some(Component::Normal(_)))
}

/// What systemd takes as the name of a variable.
fn is_variable(name: &str) -> bool {
    name.len() <= 128
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// What Docker allows in a name of a container or a volume.
pub(crate) fn docker_name(name: &str) -> bool {
    name.len() <= 200
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

/// An absolute path that means what it says.
pub(crate) fn plain(path: &Path) -> bool {
    path.is_absolute()
        && !path.as_os_str().as_encoded_bytes().contains(&0)
        && path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)))
}

#[cfg(test)]
pub(crate) mod tests;
