//! What is mounted at one path of a container: a volume of Docker's, or a directory of this host.
//!
//! A volume is never made by looking for it and never deleted. What is mounted is changed by making the container anew, in
//! everything like it was but for that one mount.

mod durability;
mod seen;
mod swap;

use recover_steps::{Original, Searched};
use serde_json::{Value, json};

use super::directory::Directory;
use super::identity::{self, LONGEST, Looked};
use super::recorded::{Recorded, is_original};
use crate::config::{DirectoryConfig, DockerConfig, VolumeConfig};
use crate::docker::{Container, Daemon, Entry, Failure, HELPER_LABEL, Mounted, RUN_LABEL, helper};
use crate::facts::{Facts, STORAGE_FILE, STORAGE_ON, STORAGE_PATH};
use crate::trouble::{Trouble, code};
use crate::workload::{Named, find};

/// What is mounted in one container.
#[derive(Debug)]
pub(crate) struct Volume {
    config: VolumeConfig,
    container: String,
    daemon: Daemon,
    recorded: Option<Recorded>,
}

/// A volume as a baseline and a run call it.
fn place_of(volume: &str) -> String {
    format!("volume:{volume}")
}

fn volume_of(place: &str) -> Option<&str> {
    place.strip_prefix("volume:")
}

/// Which volume this is, also where another is made that has its name.
fn file_id(volume: &Value) -> String {
    let word = |name: &str| volume[name].as_str().unwrap_or_default().to_owned();
    format!("{}@{}", word("Name"), word("CreatedAt"))
}

fn refused(text: impl Into<String>) -> Trouble {
    Trouble::refused(code::STORAGE, text)
}

impl Volume {
    pub(crate) fn new(config: VolumeConfig, docker: &DockerConfig) -> Self {
        let daemon = Daemon::at(&docker.socket);
        Self { config, container: docker.container.clone(), daemon, recorded: None }
    }

    async fn there(&self) -> Result<Container, Trouble> {
        match find(&self.daemon, &self.container).await? {
            Named::There(container) => Ok(*container),
            Named::Aside => Err(refused(format!("{} was moved aside by a run that was cut off", self.container))),
        }
    }

    fn mounted(&self, container: &Container) -> Mounted {
        container.mounted(&self.config.mount)
    }

    /// A directory of this host that is mounted there, to be looked at from here. A path through a link is refused there.
    fn directory(&self, source: String) -> Directory {
        Directory::new(DirectoryConfig {
            path: source.into(),
            originals: Vec::new(),
            identity: self.config.identity.clone(),
        })
    }

    /// See [`super::Storage::place`].
    pub(crate) fn place(&self) -> String {
        format!("{}/{} in the container {}", self.config.mount, self.config.identity, self.container)
    }

    /// The identity at the workload's own place.
    pub(crate) async fn identity(&self) -> Looked {
        let container = match self.there().await {
            Ok(container) => container,
            Err(why) => return Looked::Unreadable(why.text().to_owned()),
        };
        match self.mounted(&container) {
            Mounted::Bind { source, .. } => self.directory(source).identity(),
            Mounted::Volume { .. } | Mounted::Tmpfs | Mounted::Other(_) | Mounted::Above(_) | Mounted::Nothing => {
                match self.identity_in(container.id()).await {
                    Ok(looked) => looked,
                    Err(failure) => Looked::Unreadable(failure.text()),
                }
            }
        }
    }

    /// The identity at the mount's path in a container, which need not run. The daemon follows no link to it.
    async fn identity_in(&self, id: &str) -> Result<Looked, Failure> {
        let name = &self.config.identity;
        let path = format!("{}/{name}", self.config.mount);
        Ok(match self.daemon.file(id, &path, LONGEST).await? {
            None => Looked::Absent,
            Some(Entry::File(bytes)) => identity::read_as(name, &bytes),
            Some(Entry::Link) => Looked::Unreadable(format!("{name} is a link")),
            Some(Entry::Other) => Looked::Unreadable(format!("{name} is not a regular file")),
        })
    }

    /// Looks for the lost identity in the configured volumes, and in the recorded one.
    pub(crate) async fn search(&self, epoch: &str, run: &str) -> Searched {
        let unreadable = |place: String, why: String| Searched::Unreadable { path: place, why };
        let container = match self.there().await {
            Ok(container) => container,
            Err(why) => return unreadable(self.container.clone(), why.text().to_owned()),
        };
        if let Err(failure) = self.sweep().await {
            return unreadable(self.container.clone(), failure.text());
        }
        let mut trouble = None;
        for name in self.searched(&container) {
            match self.candidate(&container, name, epoch, run).await {
                Ok(Some(original)) => return Searched::Found { original },
                Ok(None) => {}
                Err(why) => _ = trouble.get_or_insert_with(|| unreadable(place_of(name), why)),
            }
        }
        trouble.unwrap_or_else(|| Searched::Gone { searched: self.searched(&container).map(place_of).collect() })
    }

    /// The volumes that may be the original: not the one that is mounted.
    fn searched<'a>(&'a self, container: &Container) -> impl Iterator<Item = &'a str> {
        let present = match self.mounted(container) {
            Mounted::Volume { name, .. } => Some(name),
            Mounted::Bind { .. } | Mounted::Tmpfs | Mounted::Other(_) | Mounted::Above(_) | Mounted::Nothing => None,
        };
        let configured = &self.config.originals;
        let recorded = self.recorded.iter().filter_map(|recorded| volume_of(&recorded.place));
        let recorded = recorded.filter(|name| !configured.iter().any(|one| one == name));
        let all = configured.iter().map(String::as_str).chain(recorded);
        all.filter(move |name| present.as_deref() != Some(*name))
    }

    /// The volume as the original, if the lost identity is in it; an error if something else is.
    async fn candidate(
        &self,
        like: &Container,
        name: &str,
        epoch: &str,
        run: &str,
    ) -> Result<Option<Original>, String> {
        let told = |failure: Failure| failure.text();
        let Some(volume) = self.daemon.volume(name).await.map_err(told)? else { return Ok(None) };
        let looked = self.identity_of_volume(like, name, run).await.map_err(told)?;
        let original = is_original(looked, epoch, self.recorded.as_ref())?;
        Ok(original.then(|| Original { path: place_of(name), file_id: file_id(&volume) }))
    }

    /// Looks into a volume through a container that is never started and has it read-only.
    async fn identity_of_volume(&self, like: &Container, volume: &str, run: &str) -> Result<Looked, Failure> {
        let name = format!("recover-look-{run}");
        let labels = json!({ HELPER_LABEL: self.container, RUN_LABEL: run });
        self.daemon.create(&name, &helper(like, Some((&self.config.mount, volume)), &labels)).await?;
        let looked = match self.daemon.named(&name).await? {
            Some(made) => self.identity_in(made.id()).await,
            None => Err(Failure::Broken(format!("{name} was made and is not there"))),
        };
        let swept = self.sweep().await;
        let looked = looked?;
        swept.map(|()| looked)
    }

    /// Takes away every container that was made to look, also one that a kill left.
    async fn sweep(&self) -> Result<(), Failure> {
        for brief in self.daemon.list(true).await? {
            if brief["Labels"][HELPER_LABEL] == self.container.as_str()
                && let Some(id) = brief["Id"].as_str()
            {
                self.daemon.remove(id).await?;
            }
        }
        Ok(())
    }

    /// What it is, for a baseline.
    pub(crate) async fn facts(&self, facts: &mut Facts) -> Result<(), String> {
        let container = self.there().await.map_err(|why| why.text().to_owned())?;
        let name = match self.mounted(&container) {
            Mounted::Bind { source, .. } => return self.directory(source).facts(facts),
            Mounted::Volume { name, .. } => name,
            other @ (Mounted::Tmpfs | Mounted::Other(_) | Mounted::Above(_) | Mounted::Nothing) => {
                return Err(self.no_storage(&other));
            }
        };
        let volume = self.daemon.volume(&name).await.map_err(|failure| failure.text())?;
        let volume = volume.ok_or_else(|| format!("there is no volume {name}"))?;
        let mut note = |name: &str, value: String| facts.insert(name.to_owned(), value);
        note("storage.kind", "docker-volume".into());
        note(STORAGE_PATH, place_of(&name));
        note(STORAGE_FILE, file_id(&volume));
        note(STORAGE_ON, format!("the driver {}", volume["Driver"].as_str().unwrap_or_default()));
        note("storage.mount", self.config.mount.clone());
        Ok(())
    }

    /// What a person recorded of it.
    pub(crate) fn recorded(&mut self, facts: &Facts) {
        self.recorded = Recorded::of(facts);
    }

    /// What there is instead of storage.
    fn no_storage(&self, mounted: &Mounted) -> String {
        let at = &self.config.mount;
        match mounted {
            Mounted::Tmpfs => format!("tmpfs at {at} in the container {}", self.container),
            Mounted::Other(kind) => format!("a mount of the kind {kind} at {at} in the container {}", self.container),
            Mounted::Above(above) => {
                format!("nothing is mounted at {at} in the container {}, and something at {above}", self.container)
            }
            Mounted::Nothing => {
                format!("the own layer of the container {}: nothing is mounted at {at}", self.container)
            }
            Mounted::Volume { name, .. } => place_of(name),
            Mounted::Bind { source, .. } => source.clone(),
        }
    }
}

#[cfg(test)]
#[path = "volume_tests.rs"]
mod tests;
