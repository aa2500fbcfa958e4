//! What a configuration says of where an identity is kept.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClaimConfig, ConfigError, Places, WorkloadConfig, docker_name, err, file_name, is_variable};

/// A directory that a unit of systemd is told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitStorageConfig {
    /// The directory, if the unit's text says nothing else; without `variable`, also where it is seen in the unit's own view of the files.
    pub path: PathBuf,
    /// The variable that tells the workload its directory, such as `PAM_AGENT_DATA_DIR`. If not given, `BindPaths=` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// As of a directory.
    #[serde(default)]
    pub originals: Vec<PathBuf>,
    /// The name of the file with the identity.
    #[serde(default = "identity_json")]
    pub identity: String,
}

/// Where the workload keeps its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum StorageConfig {
    /// A directory on this host.
    Directory(DirectoryConfig),
    /// A directory of this host that the workload, a unit of systemd, is told of: another takes its place by a drop-in.
    SystemdUnit(UnitStorageConfig),
    /// What is mounted in the container of Docker that is the workload: a volume, or a directory of this host.
    DockerVolume(VolumeConfig),
    /// The claim that is mounted in the pod of Kubernetes that is the workload.
    KubernetesClaim(ClaimConfig),
}

/// What is mounted at one path of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeConfig {
    /// The path in the container.
    pub mount: String,
    /// The names of volumes that may be the original, if it is not mounted there.
    #[serde(default)]
    pub originals: Vec<String>,
    /// The name of the file with the identity.
    #[serde(default = "identity_json")]
    pub identity: String,
}

/// A directory on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DirectoryConfig {
    /// The directory.
    pub path: PathBuf,
    /// Where the original may be if it is not there: a directory with the identity in it, or one that has such directories in it.
    #[serde(default)]
    pub originals: Vec<PathBuf>,
    /// The name of the file with the identity.
    #[serde(default = "identity_json")]
    pub identity: String,
}

pub(super) fn identity_json() -> String {
    "identity.json".to_owned()
}

impl UnitStorageConfig {
    /// Checks what is no path; gives the paths.
    pub(super) fn places(&self, workload: &WorkloadConfig) -> Result<Places<'_>, ConfigError> {
        match workload {
            WorkloadConfig::Systemd(_) => {}
            WorkloadConfig::Process(_)
            | WorkloadConfig::Docker(_)
            | WorkloadConfig::Kubernetes(_)
            | WorkloadConfig::Windows(_) => return Err(ConfigError::of_no_unit()),
        }
        if self.variable.as_deref().is_some_and(|name| !is_variable(name)) {
            return err("storage.systemd-unit.variable", "must be the name of a variable of the environment");
        }
        if !file_name(&self.identity) {
            return err("storage.systemd-unit.identity", "must be the name of a file, without a folder");
        }
        let originals = self.originals.iter().map(|path| ("storage.systemd-unit.originals", path.as_path()));
        Ok([("storage.systemd-unit.path", self.path.as_path())].into_iter().chain(originals).collect())
    }
}

impl StorageConfig {
    /// Checks what is no path; gives the paths.
    pub(super) fn places(&self, workload: &WorkloadConfig) -> Result<Places<'_>, ConfigError> {
        match self {
            Self::SystemdUnit(unit) => unit.places(workload),
            Self::KubernetesClaim(claim) => claim.places(workload),
            Self::Directory(directory) => {
                match workload {
                    WorkloadConfig::Kubernetes(_) => return Err(ConfigError::of_no_host()),
                    WorkloadConfig::Process(_)
                    | WorkloadConfig::Systemd(_)
                    | WorkloadConfig::Docker(_)
                    | WorkloadConfig::Windows(_) => {}
                }
                if directory.originals.contains(&directory.path) {
                    return err("storage.directory.originals", "names the workload's own directory");
                }
                if !file_name(&directory.identity) {
                    return err("storage.directory.identity", "must be the name of a file, without a folder");
                }
                let originals = directory.originals.iter().map(|path| ("storage.directory.originals", path.as_path()));
                Ok([("storage.directory.path", directory.path.as_path())].into_iter().chain(originals).collect())
            }
            Self::DockerVolume(volume) => {
                match workload {
                    WorkloadConfig::Docker(_) => {}
                    WorkloadConfig::Process(_)
                    | WorkloadConfig::Systemd(_)
                    | WorkloadConfig::Kubernetes(_)
                    | WorkloadConfig::Windows(_) => return Err(ConfigError::of_no_container()),
                }
                if !volume.originals.iter().all(|name| docker_name(name)) {
                    return err("storage.docker-volume.originals", "must be names of volumes");
                }
                if !file_name(&volume.identity) {
                    return err("storage.docker-volume.identity", "must be the name of a file, without a folder");
                }
                Ok(vec![("storage.docker-volume.mount", Path::new(&volume.mount))])
            }
        }
    }
}
