//! Storage: one file per question that is asked of it, and one enum over the kinds.

mod claim;
mod directory;
mod durability;
mod identity;
mod moves;
mod recorded;
mod seen;
mod svid;
mod unit;
mod volume;

use recover_steps::examined::{Look, StorageSeen};
use recover_steps::{Durability, Original, Searched};

use crate::config::{ConfigError, StorageConfig, WorkloadConfig};
use crate::facts::Facts;
use crate::trouble::Trouble;

use claim::Claim;
pub(crate) use directory::Directory;
pub(crate) use durability::{Judged, mount_judged};
pub(crate) use identity::{Identity, Looked, look_in};
use unit::UnitDirectory;
use volume::Volume;

/// Where the identity is kept, whatever that is.
#[derive(Debug)]
pub(crate) enum Storage {
    /// A directory on this host.
    Directory(Directory),
    /// A directory that a unit of systemd is told of.
    Unit(UnitDirectory),
    /// What is mounted in a container of Docker.
    Volume(Volume),
    /// What is mounted in a pod of Kubernetes.
    Claim(Claim),
}

impl Storage {
    /// The storage of that workload.
    ///
    /// # Errors
    /// If the workload is none that could have it.
    pub(crate) fn new(config: StorageConfig, workload: &WorkloadConfig) -> Result<Self, ConfigError> {
        match (config, workload) {
            (StorageConfig::Directory(_), WorkloadConfig::Kubernetes(_)) => Err(ConfigError::of_no_host()),
            (StorageConfig::Directory(config), _) => Ok(Self::Directory(Directory::new(config))),
            (StorageConfig::DockerVolume(config), WorkloadConfig::Docker(docker)) => {
                Ok(Self::Volume(Volume::new(config, docker)))
            }
            (StorageConfig::DockerVolume(_), _) => Err(ConfigError::of_no_container()),
            (StorageConfig::SystemdUnit(config), WorkloadConfig::Systemd(systemd)) => {
                Ok(Self::Unit(UnitDirectory::new(config, systemd)))
            }
            (StorageConfig::SystemdUnit(_), _) => Err(ConfigError::of_no_unit()),
            (StorageConfig::KubernetesClaim(config), WorkloadConfig::Kubernetes(kubernetes)) => {
                Ok(Self::Claim(Claim::new(config, kubernetes)))
            }
            (StorageConfig::KubernetesClaim(_), _) => Err(ConfigError::of_no_pod()),
        }
    }

    /// What it is, for a baseline.
    pub(crate) async fn facts(&self, facts: &mut Facts) -> Result<(), String> {
        match self {
            Self::Directory(directory) => directory.facts(facts),
            Self::Unit(unit) => unit.facts(facts).await,
            Self::Volume(volume) => volume.facts(facts).await,
            Self::Claim(claim) => claim.facts(facts).await,
        }
    }

    /// What a person recorded of it, if that is known: it is searched too, and nothing else is taken for it.
    pub(crate) fn recorded(&mut self, facts: &Facts) {
        match self {
            Self::Directory(directory) => directory.recorded(facts),
            Self::Unit(unit) => unit.recorded(facts),
            Self::Volume(volume) => volume.recorded(facts),
            Self::Claim(claim) => claim.recorded(facts),
        }
    }

    /// The identity at the workload's own place.
    pub(crate) async fn identity(&self) -> Looked {
        match self {
            Self::Directory(directory) => directory.identity(),
            Self::Unit(unit) => unit.identity().await,
            Self::Volume(volume) => volume.identity().await,
            Self::Claim(claim) => claim.identity().await,
        }
    }

    /// Why the identity cannot be looked at without making something, where that is so.
    pub(crate) fn blind(&self) -> Option<String> {
        match self {
            Self::Directory(_) | Self::Unit(_) | Self::Volume(_) => None,
            Self::Claim(claim) => Some(claim.blind()),
        }
    }

    /// What it is and whether it is the right one, for the identity of this serial. Nothing is tried out.
    pub(crate) async fn seen(&self, serial: Option<&str>) -> Look<StorageSeen> {
        match self {
            Self::Directory(directory) => directory.seen(serial),
            Self::Unit(unit) => unit.seen(serial).await,
            Self::Volume(volume) => volume.seen(serial).await,
            Self::Claim(claim) => claim.seen().await,
        }
    }

    /// The file with the identity, in words.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Directory(directory) => directory.place(),
            Self::Unit(unit) => unit.place(),
            Self::Volume(volume) => volume.place(),
            Self::Claim(claim) => claim.place(),
        }
    }

    /// Looks for the lost identity in every configured place.
    pub(crate) async fn search(&self, epoch: &str, run: &str) -> Searched {
        match self {
            Self::Directory(directory) => directory.search(epoch),
            Self::Unit(unit) => unit.search(epoch).await,
            Self::Volume(volume) => volume.search(epoch, run).await,
            Self::Claim(claim) => claim.search(epoch).await,
        }
    }

    /// Whether it is durable, writable and free.
    pub(crate) async fn prove_durable(
        &self,
        which: &recover_steps::Storage,
        run: &str,
        epoch: Option<&str>,
    ) -> Result<Durability, Trouble> {
        match self {
            Self::Directory(directory) => directory.prove_durable(which, run, epoch),
            Self::Unit(unit) => unit.prove_durable(which, run, epoch).await,
            Self::Volume(volume) => volume.prove_durable(which, run, epoch).await,
            Self::Claim(claim) => claim.prove_durable(which, epoch).await,
        }
    }

    /// The original to the workload's place; what is there aside. What else was changed for it, in words.
    pub(crate) async fn reattach(&self, original: &Original, run: &str) -> Result<Option<String>, Trouble> {
        match self {
            Self::Directory(directory) => directory.reattach(original, run).map(|()| None),
            Self::Unit(unit) => unit.reattach(original, run).await.map(Some),
            Self::Volume(volume) => volume.reattach(original, run).await.map(Some),
            Self::Claim(claim) => claim.reattach(original, run).await.map(Some),
        }
    }

    /// Undoes [`Self::reattach`].
    pub(crate) async fn detach(&self, original: &Original, run: &str) -> Result<Option<String>, Trouble> {
        match self {
            Self::Directory(directory) => directory.detach(original, run).map(|()| None),
            Self::Unit(unit) => unit.detach(run).await.map(Some),
            Self::Volume(volume) => volume.detach(run).await.map(Some),
            Self::Claim(claim) => claim.detach(run).await.map(Some),
        }
    }

    /// What is at the workload's place aside, and nothing in its stead but emptiness.
    pub(crate) async fn set_aside(&self, run: &str) -> Result<Option<String>, Trouble> {
        match self {
            Self::Directory(directory) => directory.set_aside(run).map(|()| None),
            Self::Unit(unit) => unit.set_aside(run).await.map(|()| None),
            Self::Volume(volume) => volume.set_aside(run).await.map(Some),
            Self::Claim(claim) => claim.set_aside(run).await.map(Some),
        }
    }

    /// Undoes [`Self::set_aside`].
    pub(crate) async fn put_back(&self, run: &str) -> Result<Option<String>, Trouble> {
        match self {
            Self::Directory(directory) => directory.put_back(run).map(|()| None),
            Self::Unit(unit) => unit.put_back(run).await.map(|()| None),
            Self::Volume(volume) => volume.put_back(run).await.map(Some),
            Self::Claim(claim) => claim.put_back(run).await.map(Some),
        }
    }

    /// Takes away what was kept only for a way back, after a run has ended.
    pub(crate) async fn tidy(&self) -> Result<(), Trouble> {
        match self {
            // What was moved aside is a person's to look at.
            Self::Directory(_) | Self::Unit(_) => Ok(()),
            Self::Volume(volume) => volume.tidy().await,
            Self::Claim(claim) => claim.tidy().await,
        }
    }
}
