//! What a configuration says of a workload of Kubernetes and of the claim that it keeps its identity on.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::storage::identity_json;
use super::{ConfigError, Places, WorkloadConfig, err, file_name};

/// A Deployment or StatefulSet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KubernetesConfig {
    /// The kubeconfig; without it, the account of the pod that `recover` runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// The context in it, if not the current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The namespace.
    pub namespace: String,
    /// What it is.
    #[serde(default)]
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// The connector's container, where the pod has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The Secret through which it gets a token. The pod template mounts it as an `optional` volume; it is there only while a token is
    /// handed over.
    pub token_secret: String,
    /// The key of the token in it.
    #[serde(default = "token")]
    pub token_key: String,
}

fn token() -> String {
    "token".to_owned()
}

/// What a workload of Kubernetes is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WorkloadKind {
    /// A Deployment.
    #[default]
    Deployment,
    /// A StatefulSet.
    StatefulSet,
}

impl WorkloadKind {
    /// The word for it in commands.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
        }
    }

    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        }
    }
}

/// The claim that is mounted at one path of the workload's container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimConfig {
    /// The path in the container.
    pub mount: String,
    /// The names of claims that may have the original, if it is not mounted there.
    #[serde(default)]
    pub originals: Vec<String>,
    /// The name of the file with the identity.
    #[serde(default = "identity_json")]
    pub identity: String,
    /// The image of `recover`, whose `recover look` looks into the claim from within the cluster.
    pub reader: String,
}

impl KubernetesConfig {
    /// Checks the names; gives the paths.
    pub(super) fn places(&self) -> Result<Places<'_>, ConfigError> {
        if !label(&self.namespace) {
            return err("workload.kubernetes.namespace", "must be the name of a namespace");
        }
        // Names that are made of it are longer.
        if !name(&self.name) || self.name.len() > 200 {
            return err("workload.kubernetes.name", "must be the name of a Deployment or StatefulSet");
        }
        if self.container.as_deref().is_some_and(|container| !label(container)) {
            return err("workload.kubernetes.container", "must be the name of a container");
        }
        if !name(&self.token_secret) {
            return err("workload.kubernetes.token_secret", "must be the name of a Secret");
        }
        let key = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if self.token_key.is_empty() || self.token_key.starts_with('.') || !self.token_key.bytes().all(key) {
            return err("workload.kubernetes.token_key", "must be a key of a Secret");
        }
        if self.kubeconfig.is_none() && self.context.is_some() {
            return err("workload.kubernetes.context", "is one of a `kubeconfig`, and none is named");
        }
        Ok(self.kubeconfig.iter().map(|path| ("workload.kubernetes.kubeconfig", path.as_path())).collect())
    }
}

impl ClaimConfig {
    /// Checks the names; gives the paths.
    pub(super) fn places(&self, workload: &WorkloadConfig) -> Result<Places<'_>, ConfigError> {
        match workload {
            WorkloadConfig::Kubernetes(_) => {}
            WorkloadConfig::Process(_)
            | WorkloadConfig::Systemd(_)
            | WorkloadConfig::Docker(_)
            | WorkloadConfig::Windows(_) => return Err(ConfigError::of_no_pod()),
        }
        if !self.originals.iter().all(|claim| name(claim)) {
            return err("storage.kubernetes-claim.originals", "must be names of claims");
        }
        if !file_name(&self.identity) {
            return err("storage.kubernetes-claim.identity", "must be the name of a file, without a folder");
        }
        if self.reader.is_empty() || !self.reader.bytes().all(|b| b.is_ascii_graphic()) {
            return err("storage.kubernetes-claim.reader", "must be the name of an image");
        }
        Ok(vec![("storage.kubernetes-claim.mount", Path::new(&self.mount))])
    }
}

/// What Kubernetes calls a DNS label.
fn label(text: &str) -> bool {
    text.len() <= 63 && !text.contains('.') && name(text)
}

/// What Kubernetes calls a DNS subdomain.
fn name(text: &str) -> bool {
    let part = |part: &str| {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        ends(part.chars().next())
            && ends(part.chars().last())
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    text.len() <= 253 && text.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_an_api_server_takes() {
        for good in ["edge", "edge-1", "a.b-c.d", "0"] {
            assert!(name(good), "{good}");
        }
        for bad in ["", "Edge", "-a", "a-", "a..b", "a/b", "a b", "../a", "a%2f"] {
            assert!(!name(bad), "{bad}");
        }
        assert!(!label("a.b") && !label(&"a".repeat(64)));
    }
}
