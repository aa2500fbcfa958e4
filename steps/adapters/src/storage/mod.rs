//! Storage: one file per question that is asked of it, and one enum over the kinds.

mod directory;
mod durability;
mod identity;
mod moves;
mod seen;

use recover_steps::examined::{Look, StorageSeen};
use recover_steps::{Durability, Original, Searched};

use crate::config::StorageConfig;
use crate::facts::Facts;
use crate::trouble::Trouble;

pub(crate) use directory::Directory;
pub(crate) use identity::{Identity, Looked};

/// Where the identity is kept, whatever that is.
#[derive(Debug)]
pub(crate) enum Storage {
    /// A directory on this host.
    Directory(Directory),
}

impl Storage {
    pub(crate) fn new(config: StorageConfig) -> Self {
        match config {
            StorageConfig::Directory(config) => Self::Directory(Directory::new(config)),
        }
    }

    /// What it is, for a baseline.
    pub(crate) fn facts(&self, facts: &mut Facts) -> Result<(), String> {
        match self {
            Self::Directory(directory) => directory.facts(facts),
        }
    }

    /// What a person recorded of it, if that is known: it is searched too, and nothing else is taken for it.
    pub(crate) fn recorded(&mut self, facts: &Facts) {
        match self {
            Self::Directory(directory) => directory.recorded(facts),
        }
    }

    /// The identity at the workload's own place.
    pub(crate) async fn identity(&self) -> Looked {
        match self {
            Self::Directory(directory) => directory.identity(),
        }
    }

    /// What it is and whether it is the right one, for the identity of this serial. Nothing is tried out.
    pub(crate) async fn seen(&self, serial: Option<&str>) -> Look<StorageSeen> {
        match self {
            Self::Directory(directory) => directory.seen(serial),
        }
    }

    /// The file with the identity, in words.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Directory(directory) => directory.place(),
        }
    }

    /// Looks for the lost identity in every configured place.
    pub(crate) async fn search(&self, epoch: &str) -> Searched {
        match self {
            Self::Directory(directory) => directory.search(epoch),
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
        }
    }

    /// The original to the workload's place; what is there aside.
    pub(crate) async fn reattach(&self, original: &Original, run: &str) -> Result<(), Trouble> {
        match self {
            Self::Directory(directory) => directory.reattach(original, run),
        }
    }

    /// Undoes [`Self::reattach`].
    pub(crate) async fn detach(&self, original: &Original, run: &str) -> Result<(), Trouble> {
        match self {
            Self::Directory(directory) => directory.detach(original, run),
        }
    }

    /// What is at the workload's place aside, and nothing in its stead but emptiness.
    pub(crate) async fn set_aside(&self, run: &str) -> Result<(), Trouble> {
        match self {
            Self::Directory(directory) => directory.set_aside(run),
        }
    }

    /// Undoes [`Self::set_aside`].
    pub(crate) async fn put_back(&self, run: &str) -> Result<(), Trouble> {
        match self {
            Self::Directory(directory) => directory.put_back(run),
        }
    }
}
