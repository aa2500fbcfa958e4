//! Providers and API servers as they run: the connector's ways of running something, and static pods besides.

use std::time::Duration;

use recover_steps::Instance;

use super::config::{KmsTiming, KmsWorkload};
use super::pod::Pod;
use crate::config::{
    DirectoryConfig, DockerConfig, ProcessConfig, StorageConfig, SystemdConfig, Timing, TokenAs, WorkloadConfig,
};
use crate::trouble::{Trouble, code};
use crate::workload::Workload;

/// Something that runs, however it is run.
#[derive(Debug)]
pub(super) enum Life {
    Known(Box<Workload>),
    Pod(Pod),
}

/// Nothing is handed over to these: the file that the connector's workloads have for a token is never made.
const NO_TOKEN: &str = "/run/recover/none";

impl Life {
    pub(super) fn new(config: &KmsWorkload, timing: &KmsTiming) -> Result<Self, crate::config::ConfigError> {
        let known = match config {
            KmsWorkload::Process(process) => WorkloadConfig::Process(ProcessConfig {
                command: process.command.clone(),
                pidfile: process.pidfile.clone(),
                log: process.log.clone(),
                token_file: NO_TOKEN.into(),
                token_arguments: Vec::new(),
                cwd: process.cwd.clone(),
            }),
            KmsWorkload::Systemd(service) => WorkloadConfig::Systemd(SystemdConfig {
                unit: service.unit.clone(),
                manager: service.manager,
                token_file: NO_TOKEN.into(),
                token: TokenAs::File,
                log: None,
            }),
            KmsWorkload::Docker(docker) => WorkloadConfig::Docker(DockerConfig {
                container: docker.container.clone(),
                socket: docker.socket.clone(),
                token_file: NO_TOKEN.into(),
            }),
            KmsWorkload::StaticPod(pod) => {
                return Ok(Self::Pod(Pod::new(pod.clone(), timing.stop_within.as_duration())));
            }
        };
        let storage = StorageConfig::Directory(DirectoryConfig {
            path: NO_TOKEN.into(),
            originals: Vec::new(),
            identity: String::new(),
        });
        let timing = Timing { stop_within: timing.stop_within, ..Timing::default() };
        Ok(Self::Known(Box::new(Workload::new(known, &storage, &timing)?)))
    }

    /// The static pod, where it is one.
    pub(super) const fn pod(&self) -> Option<&Pod> {
        match self {
            Self::Pod(pod) => Some(pod),
            Self::Known(_) => None,
        }
    }

    /// The life that runs, if one does.
    pub(super) async fn running(&self) -> Result<Option<Instance>, Trouble> {
        match self {
            Self::Known(workload) => workload.running().await,
            Self::Pod(pod) => pod.running().await,
        }
    }

    /// What of it runs, in words; `None` if nothing does.
    pub(super) async fn traces(&self) -> Result<Option<String>, Trouble> {
        match self {
            Self::Known(workload) => workload.traces(&workload.lock().await?).await,
            Self::Pod(pod) => Ok(pod.running().await?.map(|instance| format!("the container {}", instance.0))),
        }
    }

    /// Ends it, and proves it.
    pub(super) async fn stop(&self) -> Result<(), Trouble> {
        match self {
            Self::Known(workload) => workload.stop(&workload.lock().await?).await,
            Self::Pod(pod) => pod.stop().await,
        }
    }

    /// Starts it unless it runs.
    pub(super) async fn start(&self) -> Result<Instance, Trouble> {
        match self {
            Self::Known(workload) => workload.start(&workload.lock().await?).await,
            Self::Pod(pod) => pod.start().await,
        }
    }

    /// Ends that life, if it is the one that runs, and begins the next, unless another one has begun.
    pub(super) async fn restart(&self, from: &Instance) -> Result<Instance, Trouble> {
        match self {
            Self::Known(workload) => workload.restart(&workload.lock().await?, from).await,
            Self::Pod(pod) => pod.restart(from).await,
        }
    }

    /// The end of its log.
    pub(super) async fn log_tail(&self) -> Result<String, String> {
        match self {
            Self::Known(workload) => workload.log_tail().await,
            Self::Pod(pod) => Err(format!("it is in the kubelet's keeping: crictl logs {}", pod.container())),
        }
    }
}

/// Waits until something is so, or the time is up.
pub(super) async fn until<T>(within: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> Result<T, String> {
    const PAUSE: Duration = Duration::from_millis(500);
    let end = tokio::time::Instant::now() + within;
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(why) if tokio::time::Instant::now() >= end => return Err(why),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// A refusal about something that runs, under the code of what it is.
pub(super) fn recoded(trouble: Trouble, of: &'static str) -> Trouble {
    match trouble {
        Trouble::Refused(reason) if reason.code == code::WORKLOAD => Trouble::refused(of, reason.text),
        other @ (Trouble::Refused(_) | Trouble::Retry { .. } | Trouble::Unknown(_)) => other,
    }
}
