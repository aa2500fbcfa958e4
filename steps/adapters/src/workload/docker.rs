//! A container of Docker: found by its exact name, told to stop and start, and believed only by what the daemon says afterwards.
//!
//! Facts: the Engine's API. A container that is stopped by hand stays down whatever its restart policy, until the daemon starts again;
//! so the stop is proven again before each change of a credential. The policy is never changed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use recover_steps::Instance;
use recover_steps::examined::{Look, WorkloadSeen};
use serde_json::Value;

use super::LOG_TAIL;
use super::lock::Lock;
use crate::config::DockerConfig;
use crate::docker::{Container, Daemon, Failure, Mounted};
use crate::facts::{Facts, digest_of_words};
use crate::trouble::{Trouble, code};

/// How long what is said to have ended has to be seen to have.
const SETTLED_WITHIN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// One container, and what stands in for it.
#[derive(Debug)]
pub(crate) struct Docker {
    config: DockerConfig,
    /// Where its storage is mounted, if that is a volume.
    mount: Option<String>,
    lock: PathBuf,
    stop_within: Duration,
    daemon: Daemon,
}

/// What has the workload's name.
#[derive(Debug)]
pub(crate) enum Named {
    /// A container.
    There(Box<Container>),
    /// Nothing for the moment: a run moved it aside, and that was cut off.
    Aside,
}

impl Docker {
    pub(crate) fn new(config: DockerConfig, mount: Option<String>, stop_within: Duration) -> Self {
        let mut lock = config.token_file.clone().into_os_string();
        lock.push(".lock");
        let daemon = Daemon::at(&config.socket);
        Self { config, mount, lock: lock.into(), stop_within, daemon }
    }

    pub(crate) fn token_file(&self) -> &Path {
        &self.config.token_file
    }

    /// Waits for the lock.
    pub(crate) async fn lock(&self) -> Result<Lock, Trouble> {
        Lock::take(&self.lock).await
    }

    fn name(&self) -> &str {
        &self.config.container
    }

    async fn find(&self) -> Result<Named, Trouble> {
        find(&self.daemon, self.name()).await
    }

    async fn there(&self) -> Result<Container, Trouble> {
        match self.find().await? {
            Named::There(container) => Ok(*container),
            Named::Aside => Err(refused(format!("{} was moved aside by a run that was cut off", self.name()))),
        }
    }

    /// The life that runs, if one does.
    pub(crate) async fn running(&self) -> Result<Option<Instance>, Trouble> {
        Ok(match self.find().await? {
            Named::There(container) => container.life(),
            Named::Aside => None,
        })
    }

    /// What the daemon says of it.
    pub(crate) async fn seen(&self) -> Look<WorkloadSeen> {
        let from = format!("Docker's word on {}", self.name());
        match self.there().await {
            Ok(container) if container.is_restarting() => {
                Look::seen(from, WorkloadSeen::Restarting { restarts: container.restarts() })
            }
            Ok(container) => Look::seen(
                from,
                container.life().map_or(WorkloadSeen::Stopped, |instance| WorkloadSeen::Running {
                    instance,
                    restarts: Some(container.restarts()),
                }),
            ),
            Err(why) => Look::not_read(from, why.text()),
        }
    }

    pub(crate) fn log_place(&self) -> String {
        format!("the log of the container {}", self.name())
    }

    /// What of the workload runs, or runs on what it keeps its files on, in words; `None` if nothing does.
    pub(crate) async fn traces(&self) -> Result<Option<String>, Trouble> {
        let container = match self.find().await? {
            Named::There(container) if !container.is_down() => {
                return Ok(Some(format!("the container {} is {}", container.name(), container.status())));
            }
            Named::There(container) => Some(container),
            Named::Aside => None,
        };
        let running = self.daemon.list(false).await.map_err(Failure::asking)?;
        let aside = aside_prefix(self.name());
        let stands_in = |name: &&str| name.starts_with(&aside);
        if let Some(name) = running.iter().flat_map(names).find(stands_in) {
            return Ok(Some(format!("the container {name}, which a run moved aside, is started again")));
        }
        let (Some(container), Some(mount)) = (container, &self.mount) else { return Ok(None) };
        Ok(match container.mounted(mount) {
            Mounted::Volume { name, .. } => user_of(&running, &name, self.name())
                .map(|user| format!("the container {user} runs with its volume {name}")),
            Mounted::Bind { .. } | Mounted::Tmpfs | Mounted::Other(_) | Mounted::Above(_) | Mounted::Nothing => None,
        })
    }

    /// Stops it and proves that nothing of it is left.
    pub(crate) async fn stop(&self) -> Result<(), Trouble> {
        let container = match self.find().await? {
            Named::There(container) => container,
            Named::Aside => return Ok(()),
        };
        if container.goes_when_stopped() {
            return Err(refused(format!(
                "the container {} was made with --rm: stopping it would delete it, with the volumes that nobody named; make \
                 it anew without --rm",
                container.name()
            )));
        }
        if !container.is_down() {
            self.daemon.stop(container.id(), self.stop_within).await.map_err(Failure::changing)?;
        }
        let until = tokio::time::Instant::now() + SETTLED_WITHIN;
        loop {
            match self.traces().await? {
                None => return Ok(()),
                Some(what) if tokio::time::Instant::now() >= until => {
                    return Err(refused(format!("still running after the stop: {what}")));
                }
                Some(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Starts it unless it runs, or its daemon does so already. The life that was begun may have ended since. An error other than [`Trouble::Unknown`] means that it was surely not started.
    pub(crate) async fn start(&self) -> Result<Instance, Trouble> {
        let before = self.there().await?;
        if let Some(life) = before.begun() {
            return Ok(life);
        }
        if let Some(what) = self.traces().await? {
            return Err(refused(format!("a second one will not be started beside {what}")));
        }
        self.sees_its_token(&before)?;
        let started = self.daemon.start(before.id()).await;
        let after = self.there().await.map_err(Trouble::midway)?;
        let began = after.started_at() != before.started_at();
        match started {
            // Also one that has ended since was started, and what it did meanwhile is not known here.
            _ if began => Ok(after.latest()),
            // The daemon said no, and no life began: surely not started.
            Err(failure @ Failure::Said { .. }) => Err(refused(failure.text())),
            Err(failure) => Err(Trouble::Unknown(failure.text())),
            Ok(()) => Err(Trouble::Unknown(format!(
                "the container {} was told to start and is {}, exit code {}",
                after.name(),
                after.status(),
                after.exit_code()
            ))),
        }
    }

    /// A token that the container cannot see would be lost.
    fn sees_its_token(&self, container: &Container) -> Result<(), Trouble> {
        let file = self.token_file();
        let folder = file.parent().and_then(Path::to_str).unwrap_or_default();
        if file.symlink_metadata().is_err() || container.sees(folder) {
            return Ok(());
        }
        Err(refused(format!(
            "the container {} does not have {folder} mounted, so it would never see a token",
            container.name()
        )))
    }

    /// Ends that life, if it is the one that runs, and begins the next, unless another one has begun.
    pub(crate) async fn restart(&self, from: &Instance) -> Result<Instance, Trouble> {
        if self.there().await?.begun().as_ref() == Some(from) {
            self.stop().await?;
        }
        self.start().await
    }

    /// The end of its log.
    pub(crate) async fn log_tail(&self) -> Result<String, String> {
        let container = self.there().await.map_err(|why| why.text().to_owned())?;
        let framed = self.daemon.logs(container.id()).await.map_err(|failure| failure.text())?;
        Ok(unframed(&framed))
    }

    /// What it is, for a baseline. Its arguments may hold what is nobody's business, so they are told by a digest.
    pub(crate) async fn facts(&self, facts: &mut Facts) -> Result<(), String> {
        let container = self.there().await.map_err(|why| why.text().to_owned())?;
        let mut note = |name: &str, value: String| facts.insert(format!("workload.{name}"), value);
        note("kind", "docker".into());
        note("container", container.name().into());
        note("image", container.image().into());
        note("image.name", container.image_name().into());
        note("command.sha256", digest_of_words(&container.command()));
        note("restart", container.restart_policy().into());
        Ok(())
    }
}

/// The container of exactly this name. Where there is none, and none was moved aside, that is refused with the nearest name.
pub(crate) async fn find(daemon: &Daemon, name: &str) -> Result<Named, Trouble> {
    if let Some(container) = daemon.named(name).await.map_err(Failure::asking)? {
        return Ok(Named::There(Box::new(container)));
    }
    let all = daemon.list(true).await.map_err(Failure::asking)?;
    let aside = aside_prefix(name);
    if all.iter().flat_map(names).any(|other| other.starts_with(&aside)) {
        return Ok(Named::Aside);
    }
    let near = all.iter().flat_map(names).map(|other| (strsim::damerau_levenshtein(name, other), other));
    let near = near.filter(|(distance, _)| *distance <= 3).min();
    let hint = near.map_or_else(
        || "`docker ps --all` names those there are".to_owned(),
        |(_, other)| format!("did you mean {other}?"),
    );
    Err(refused(format!("there is no container {name}; {hint}")))
}

/// What the names begin with that runs give to containers that they move aside, or make to take the workload's place.
pub(crate) fn aside_prefix(name: &str) -> String {
    format!("{name}-recover-")
}

/// The names of a container in brief.
fn names(brief: &Value) -> impl Iterator<Item = &str> {
    brief["Names"].as_array().into_iter().flatten().filter_map(|name| name.as_str()?.strip_prefix('/'))
}

/// Which container but this one runs with the volume.
pub(crate) fn user_of<'a>(running: &'a [Value], volume: &str, but: &str) -> Option<&'a str> {
    let uses = |brief: &&Value| {
        let mounts = brief["Mounts"].as_array().into_iter().flatten();
        mounts.into_iter().any(|mount| mount["Type"] == "volume" && mount["Name"] == volume)
    };
    running.iter().filter(uses).filter_map(|brief| names(brief).next()).find(|name| *name != but)
}

/// The daemon puts eight bytes before each piece of an output, unless the container has a terminal.
fn unframed(framed: &[u8]) -> String {
    let mut text = Vec::new();
    let mut rest = framed;
    while let Some((header, behind)) = rest.split_at_checked(8) {
        let [kind @ 0..=2, 0, 0, 0, a, b, c, d] = *header else { break };
        let _ = kind;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        text.extend_from_slice(behind.get(..length).unwrap_or(behind));
        rest = behind.get(length..).unwrap_or_default();
    }
    text.extend_from_slice(rest);
    let most = usize::try_from(LOG_TAIL).unwrap_or(usize::MAX);
    String::from_utf8_lossy(text.get(text.len().saturating_sub(most)..).unwrap_or_default()).into_owned()
}

fn refused(text: String) -> Trouble {
    Trouble::refused(code::WORKLOAD, text)
}

#[cfg(test)]
#[path = "docker_tests.rs"]
mod tests;
