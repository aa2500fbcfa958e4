//! Workloads: one file per way of running one, and one enum over them.

mod docker;
mod handover;
mod kubernetes;
mod launch;
mod lock;
mod pidfile;
mod process;
mod systemd;
mod table;
mod token;

use recover_steps::Instance;
use recover_steps::examined::{Look, WorkloadSeen};

use crate::config::{ConfigError, StorageConfig, Timing, WorkloadConfig};
use crate::facts::Facts;
use crate::trouble::Trouble;

use docker::Docker;
pub(crate) use docker::{Named, aside_prefix, find, user_of};
use kubernetes::Kubernetes;
pub(crate) use lock::Lock;
use process::Process;
use systemd::Systemd;

/// How much of a log's end is looked through. Bytes.
const LOG_TAIL: u64 = 64 * 1024;

/// What runs, however it is run.
#[derive(Debug)]
pub(crate) enum Workload {
    /// A process on this host.
    Process(Process),
    /// A unit of systemd on this host.
    Systemd(Systemd),
    /// A container of Docker on this host.
    Docker(Docker),
    /// A Deployment or StatefulSet of Kubernetes.
    Kubernetes(Kubernetes),
}

impl Workload {
    /// The workload as configured.
    ///
    /// # Errors
    /// If it is one that is not driven.
    pub(crate) fn new(config: WorkloadConfig, storage: &StorageConfig, timing: &Timing) -> Result<Self, ConfigError> {
        Ok(match config {
            WorkloadConfig::Process(config) => Self::Process(Process::new(config, timing.stop_within.as_duration())),
            WorkloadConfig::Systemd(config) => Self::Systemd(Systemd::new(config)),
            WorkloadConfig::Docker(config) => {
                let mount = match storage {
                    StorageConfig::DockerVolume(volume) => Some(volume.mount.clone()),
                    StorageConfig::Directory(_) | StorageConfig::SystemdUnit(_) | StorageConfig::KubernetesClaim(_) => {
                        None
                    }
                };
                Self::Docker(Docker::new(config, mount, timing.stop_within.as_duration()))
            }
            WorkloadConfig::Kubernetes(config) => {
                let mount = match storage {
                    StorageConfig::KubernetesClaim(claim) => Some(claim.mount.clone()),
                    StorageConfig::Directory(_) | StorageConfig::SystemdUnit(_) | StorageConfig::DockerVolume(_) => {
                        None
                    }
                };
                Self::Kubernetes(Kubernetes::new(&config, mount))
            }
            WorkloadConfig::Windows(config) => return Err(config.refused()),
        })
    }

    /// What it is, for a baseline.
    pub(crate) async fn facts(&self, facts: &mut Facts) -> Result<(), String> {
        match self {
            Self::Process(process) => process.facts(facts),
            Self::Systemd(unit) => unit.facts(facts).await,
            Self::Docker(container) => container.facts(facts).await,
            Self::Kubernetes(owner) => owner.facts(facts).await,
        }
    }

    /// What runs of it, and where that was read. Takes no lock and reaps nobody's process but our own.
    pub(crate) async fn seen(&self) -> Look<WorkloadSeen> {
        match self {
            Self::Process(process) => process.seen(),
            Self::Systemd(unit) => unit.seen().await,
            Self::Docker(container) => container.seen().await,
            Self::Kubernetes(owner) => owner.seen().await,
        }
    }

    /// Where its log is, in words.
    pub(crate) fn log_place(&self) -> String {
        match self {
            Self::Process(process) => process.log_place(),
            Self::Systemd(unit) => unit.log_place(),
            Self::Docker(container) => container.log_place(),
            Self::Kubernetes(owner) => owner.log_place(),
        }
    }

    /// The end of its log, or why it cannot be had.
    pub(crate) async fn log_tail(&self) -> Result<String, String> {
        match self {
            Self::Process(process) => process.log_tail().map_err(|e| e.to_string()),
            Self::Systemd(unit) => unit.log_tail().await,
            Self::Docker(container) => container.log_tail().await,
            Self::Kubernetes(owner) => owner.log_tail().await,
        }
    }

    /// Waits for the lock. The caller's own limit ends the waiting.
    pub(crate) async fn lock(&self) -> Result<Lock, Trouble> {
        match self {
            Self::Process(process) => process.lock().await,
            Self::Systemd(unit) => unit.lock().await,
            Self::Docker(container) => container.lock().await,
            Self::Kubernetes(_) => Ok(Lock::of_a_cluster()),
        }
    }

    /// The life that runs, if one that is recorded does. Says nothing of what runs beside it.
    pub(crate) async fn running(&self) -> Result<Option<Instance>, Trouble> {
        match self {
            Self::Process(process) => process.running(),
            Self::Systemd(unit) => unit.running().await,
            Self::Docker(container) => container.running().await,
            Self::Kubernetes(owner) => owner.running().await,
        }
    }

    /// What of the workload runs, in words; `None` if nothing does.
    pub(crate) async fn traces(&self, lock: &Lock) -> Result<Option<String>, Trouble> {
        match self {
            Self::Process(process) => process.traces(lock),
            Self::Systemd(unit) => unit.traces().await,
            Self::Docker(container) => container.traces().await,
            Self::Kubernetes(owner) => owner.traces().await,
        }
    }

    /// Ends the workload and everything it started, and proves it.
    pub(crate) async fn stop(&self, lock: &Lock) -> Result<(), Trouble> {
        match self {
            Self::Process(process) => process.stop(lock).await,
            Self::Systemd(unit) => unit.stop().await,
            Self::Docker(container) => container.stop().await,
            Self::Kubernetes(owner) => owner.stop().await,
        }
    }

    /// Starts the workload unless it runs. An error other than [`Trouble::Unknown`] means that it was surely not started.
    pub(crate) async fn start(&self, lock: &Lock) -> Result<Instance, Trouble> {
        match self {
            Self::Process(process) => process.start(lock),
            Self::Systemd(unit) => unit.start().await,
            Self::Docker(container) => container.start().await,
            Self::Kubernetes(owner) => owner.start().await,
        }
    }

    /// The same where the token is within its sight.
    pub(crate) async fn start_with_token(&self, lock: &Lock) -> Result<Instance, Trouble> {
        match self {
            Self::Process(process) => process.start_with_token(lock),
            Self::Systemd(_) | Self::Docker(_) | Self::Kubernetes(_) => self.start(lock).await,
        }
    }

    /// Ends that life, if it is the one that runs, and begins the next, unless another one has begun.
    pub(crate) async fn restart(&self, lock: &Lock, from: &Instance) -> Result<Instance, Trouble> {
        match self {
            Self::Process(process) => process.restart(lock, from).await,
            Self::Systemd(unit) => unit.restart(from).await,
            Self::Docker(container) => container.restart(from).await,
            Self::Kubernetes(owner) => owner.restart(from).await,
        }
    }
}
