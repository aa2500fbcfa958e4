//! How a provider or an API server is run. No token is handed over to any of them.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::Manager;

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum KmsWorkload {
    /// A process on this host.
    Process(SupervisedConfig),
    /// A unit of systemd on this host.
    Systemd(ServiceConfig),
    /// A container of Docker on this host.
    Docker(ContainerConfig),
    /// A static pod of this host's kubelet.
    StaticPod(StaticPodConfig),
}

/// A process on this host, started without a shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SupervisedConfig {
    /// The program, with its absolute path, and its arguments.
    pub command: Vec<String>,
    /// Where the running process is named: `{"pid":N,"start":TICKS,"boot":"UUID"}`. Its lock is this path and `.lock`.
    pub pidfile: PathBuf,
    /// Where its output is appended.
    pub log: PathBuf,
    /// Its working directory; `/` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
}

/// A service of systemd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    /// The unit's full name: `bao-kms-provider.service`.
    pub unit: String,
    /// Whose manager has it.
    #[serde(default)]
    pub manager: Manager,
}

/// A container of Docker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerConfig {
    /// Its exact name.
    pub container: String,
    /// The daemon's socket. Whoever may use it is as good as root.
    #[serde(default = "docker_sock")]
    pub socket: PathBuf,
}

fn docker_sock() -> PathBuf {
    "/var/run/docker.sock".into()
}

/// A static pod: it runs as long as its manifest lies in the kubelet's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticPodConfig {
    /// Its manifest, in the kubelet's folder.
    pub manifest: PathBuf,
    /// Where the manifest is moved to while it must not run: a folder on the same file system that the kubelet does not look at.
    pub parked: PathBuf,
    /// The name of its container.
    pub container: String,
    /// `crictl`, by its absolute path.
    #[serde(default = "crictl")]
    pub crictl: PathBuf,
    /// `ctr`, by its absolute path: images are imported with it.
    #[serde(default = "ctr")]
    pub ctr: PathBuf,
}

fn crictl() -> PathBuf {
    "/usr/bin/crictl".into()
}

fn ctr() -> PathBuf {
    "/usr/bin/ctr".into()
}
