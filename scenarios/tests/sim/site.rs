//! The simulated host of the connector: storages that are moved and never deleted, the workload's lives, secrets on tmpfs.

use std::collections::BTreeMap;

/// A directory that can hold an identity. `id` is what it is, wherever it is moved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dir {
    pub(crate) id: u32,
    pub(crate) serial: Option<String>,
    /// The accessor of the token for which the connector made a key and has not heard the result.
    pub(crate) key_for: Option<String>,
}

/// What the storage at the target is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    Durable,
    Refuted,
    Undecided,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) target: Dir,
    pub(crate) original: Option<Dir>,
    /// Moved aside by a reattach.
    pub(crate) displaced: Option<Dir>,
    /// Set aside on a person's word.
    pub(crate) aside: Option<Dir>,
    /// What stood where something was put back, and was not empty: it gets a name of its own.
    pub(crate) kept: Vec<Dir>,
    pub(crate) ground: Ground,
    /// The original cannot be read.
    pub(crate) unreadable: bool,
    /// The connector does not come online on the original: its identity is spoilt.
    pub(crate) original_dead: bool,
    pub(crate) running: Option<u32>,
    pub(crate) lives: u32,
    pub(crate) starts: u32,
    /// The accessor of the token that the workload can see.
    pub(crate) handed: Option<String>,
    /// Secrets by label, each with its token's accessor beside it. Lost when the host goes down.
    pub(crate) tmpfs: BTreeMap<String, String>,
}

/// What a run that changes nothing must leave as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    target: u32,
    target_serial: Option<String>,
    original: Option<u32>,
    displaced: Option<u32>,
    aside: Option<u32>,
    pub(crate) running: bool,
}

impl Site {
    /// A running connector whose data directory is empty; the original is beside it or gone.
    pub(crate) fn new(original: bool) -> Self {
        Self {
            target: Dir { id: 1, serial: None, key_for: None },
            original: original.then(|| Dir { id: 2, serial: Some("s1".into()), key_for: None }),
            displaced: None,
            aside: None,
            kept: Vec::new(),
            ground: Ground::Durable,
            unreadable: false,
            original_dead: false,
            running: Some(1),
            lives: 1,
            starts: 0,
            handed: None,
            tmpfs: BTreeMap::new(),
        }
    }

    pub(crate) fn placement(&self) -> Placement {
        let id = |dir: &Option<Dir>| dir.as_ref().map(|d| d.id);
        Placement {
            target: self.target.id,
            target_serial: self.target.serial.clone(),
            original: id(&self.original),
            displaced: id(&self.displaced),
            aside: id(&self.aside),
            running: self.running.is_some(),
        }
    }

    /// A new life, if none runs.
    pub(crate) fn start(&mut self) -> u32 {
        if self.running.is_none() {
            self.lives += 1;
            self.starts += 1;
            self.running = Some(self.lives);
        }
        self.running.unwrap_or_default()
    }

    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    pub(crate) fn reattach(&mut self) {
        if let Some(original) = self.original.take() {
            self.displaced = Some(std::mem::replace(&mut self.target, original));
        }
    }

    pub(crate) fn detach(&mut self) {
        if let Some(displaced) = self.displaced.take() {
            self.original = Some(std::mem::replace(&mut self.target, displaced));
        }
    }

    pub(crate) fn set_aside(&mut self) {
        if self.aside.is_none() {
            let empty = Dir { id: 9, serial: None, key_for: None };
            self.aside = Some(std::mem::replace(&mut self.target, empty));
        }
    }

    pub(crate) fn put_back(&mut self) {
        if let Some(aside) = self.aside.take() {
            let there = std::mem::replace(&mut self.target, aside);
            if there.serial.is_some() || there.key_for.is_some() {
                self.kept.push(there);
            }
        }
    }

    /// The host goes down and comes up: tmpfs is empty, and what ran has another life, without a token.
    pub(crate) fn reboot(&mut self) {
        self.lose_secrets();
        self.handed = None;
        if self.running.is_some() {
            self.lives += 1;
            self.running = Some(self.lives);
        }
    }

    pub(crate) fn lose_secrets(&mut self) {
        self.tmpfs.clear();
    }
}
