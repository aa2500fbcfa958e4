//! Who holds which subject, and which effects are consumed, across every run of a journal.
//!
//! A fold over record headers alone. The journal's writer asks it before each frame, so that two runs cannot both claim a
//! subject or both intend the same effect, whatever they believed when they asked.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::entry::{Entry, Header, Kind, Latch};
use crate::id::{Digest, Key, RunId};

/// A run that has begun and not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenRun {
    /// What it is about.
    pub subject: Key,
    /// The number of its last record.
    pub seq: u32,
    /// The hash of its last record.
    pub head: Digest,
}

/// What is known of an effect key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumed {
    /// The run whose intent consumed it.
    pub by: RunId,
    /// Whether its absence was proven later.
    pub restored: bool,
}

/// Why a record may not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Another open run has the subject.
    #[error("the subject is held by {by}")]
    Held {
        /// The run that holds it.
        by: RunId,
    },
    /// The effect was intended before, and not proven absent.
    #[error("the effect was already intended by {by}")]
    Consumed {
        /// The run that intended it.
        by: RunId,
    },
    /// The subject may have records in a damaged range.
    #[error("the subject is blocked by a salvage until a person has answered for it")]
    Blocked,
    /// The record is not the next one of its run: two writers, or a bug.
    #[error("record {got} does not follow record {last} of its run")]
    Order {
        /// The number of the run's last record, 0 if there is none.
        last: u32,
        /// The number offered.
        got: u32,
    },
    /// The record does not name the hash of its predecessor.
    #[error("the record does not follow the hash of the one before it")]
    Chain,
    /// The run has ended, or never began.
    #[error("the run is not open")]
    NotOpen,
}

/// The fold.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    open: BTreeMap<RunId, OpenRun>,
    /// Every run that ended: none of them begins again.
    closed: HashSet<RunId>,
    holders: HashMap<Key, RunId>,
    consumed: HashMap<Key, Consumed>,
    blocked: BTreeMap<Key, ()>,
    /// Whether every subject is blocked, because it cannot be told which ones a damaged range is about.
    all_blocked: bool,
    /// The subjects that a person answered for since every one was blocked.
    answered: BTreeMap<Key, ()>,
    own: Option<(u32, Digest)>,
}

impl Ledger {
    /// The open runs, oldest first.
    pub fn open(&self) -> impl Iterator<Item = (RunId, OpenRun)> + '_ {
        self.open.iter().map(|(id, run)| (*id, *run))
    }

    /// How many runs are open.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// One open run.
    #[must_use]
    pub fn run(&self, id: RunId) -> Option<OpenRun> {
        self.open.get(&id).copied()
    }

    /// The open run that holds a subject.
    #[must_use]
    pub fn holder(&self, subject: Key) -> Option<RunId> {
        self.holders.get(&subject).copied()
    }

    /// What is known of an effect.
    #[must_use]
    pub fn effect(&self, key: Key) -> Option<Consumed> {
        self.consumed.get(&key).copied()
    }

    /// Every effect ever consumed, for a segment's summary.
    pub fn effects(&self) -> impl Iterator<Item = (Key, Consumed)> + '_ {
        self.consumed.iter().map(|(key, consumed)| (*key, *consumed))
    }

    /// The subjects that a salvage blocked and nobody has answered for.
    pub fn blocked(&self) -> impl Iterator<Item = Key> + '_ {
        self.blocked.keys().copied()
    }

    /// Whether every subject is blocked but those a person answered for one by one.
    #[must_use]
    pub fn all_blocked(&self) -> bool {
        self.all_blocked
    }

    /// Whether a person must answer for the subject before anything is done about it.
    #[must_use]
    pub fn is_blocked(&self, subject: Key) -> bool {
        self.blocked.contains_key(&subject) || (self.all_blocked && !self.answered.contains_key(&subject))
    }

    /// The number and hash of the journal's own last record, if it has one.
    #[must_use]
    pub fn own(&self) -> Option<(u32, Digest)> {
        self.own
    }

    /// Whether these records, of one run and in this order, may be written now. Changes nothing.
    ///
    /// # Errors
    /// The first [`Conflict`].
    pub fn admit(&self, batch: &[Entry]) -> Result<(), Conflict> {
        let mut last: Option<(u32, Digest)> = None;
        let mut closed = false;
        for entry in batch {
            let header = entry.header();
            if closed {
                return Err(Conflict::NotOpen);
            }
            let (seq, head) = match last {
                Some(last) => last,
                None => self.tail(header)?,
            };
            if header.seq != seq.wrapping_add(1) {
                return Err(Conflict::Order { last: seq, got: header.seq });
            }
            if header.prev != head {
                return Err(Conflict::Chain);
            }
            self.latch(header)?;
            closed = header.kind == Kind::Closed;
            last = Some((header.seq, entry.hash()));
        }
        Ok(())
    }

    fn tail(&self, header: &Header) -> Result<(u32, Digest), Conflict> {
        if header.run == RunId::JOURNAL {
            return Ok(self.own.unwrap_or((0, Digest::ZERO)));
        }
        match self.open.get(&header.run) {
            Some(run) => Ok((run.seq, run.head)),
            None if header.kind == Kind::Begun && !self.closed.contains(&header.run) => Ok((0, Digest::ZERO)),
            None => Err(Conflict::NotOpen),
        }
    }

    fn latch(&self, header: &Header) -> Result<(), Conflict> {
        match header.latch {
            Latch::Claim => match self.holder(header.key) {
                Some(by) => Err(Conflict::Held { by }),
                None if self.is_blocked(header.key) => Err(Conflict::Blocked),
                None => Ok(()),
            },
            // Also when its absence was proven: the ordinal rises then, and with it the key.
            Latch::Consume => match self.effect(header.key) {
                // A run that was open when the log was damaged may have intended more than is known of.
                None if self.open.get(&header.run).is_some_and(|run| self.is_blocked(run.subject)) => {
                    Err(Conflict::Blocked)
                }
                Some(consumed) => Err(Conflict::Consumed { by: consumed.by }),
                None => Ok(()),
            },
            Latch::None | Latch::Restore | Latch::Release | Latch::Block | Latch::Clear => Ok(()),
        }
    }

    /// Takes note of a record that is in the log. Total: what was written is taken as it is, and
    /// [`Ledger::admit`] was asked before it was written.
    pub fn note(&mut self, header: &Header, hash: Digest) {
        if header.run == RunId::JOURNAL {
            self.own = Some((header.seq, hash));
        } else if header.kind == Kind::Begun {
            self.open.insert(header.run, OpenRun { subject: header.key, seq: header.seq, head: hash });
        } else if header.kind == Kind::Closed {
            self.open.remove(&header.run);
            self.closed.insert(header.run);
        } else if let Some(run) = self.open.get_mut(&header.run) {
            (run.seq, run.head) = (header.seq, hash);
        }
        match header.latch {
            Latch::Claim => {
                self.holders.insert(header.key, header.run);
            }
            Latch::Consume => {
                self.consumed.insert(header.key, Consumed { by: header.run, restored: false });
            }
            Latch::Restore => {
                if let Some(consumed) = self.consumed.get_mut(&header.key) {
                    consumed.restored = true;
                }
            }
            Latch::Release => {
                if self.holders.get(&header.key) == Some(&header.run) {
                    self.holders.remove(&header.key);
                }
            }
            // No key: every subject.
            Latch::Block if header.key == Key::NONE => {
                self.all_blocked = true;
                self.answered.clear();
            }
            Latch::Block => {
                self.blocked.insert(header.key, ());
                self.answered.remove(&header.key);
            }
            Latch::Clear if header.key == Key::NONE => {
                self.all_blocked = false;
                self.answered.clear();
            }
            Latch::Clear => {
                self.blocked.remove(&header.key);
                if self.all_blocked {
                    self.answered.insert(header.key, ());
                }
            }
            Latch::None => {}
        }
    }

    /// Restores what a segment's summary says was open at its end.
    pub fn restore_open(&mut self, id: RunId, run: OpenRun) {
        self.holders.insert(run.subject, id);
        self.open.insert(id, run);
    }

    /// Restores what a segment's summary says was consumed.
    pub fn restore_effect(&mut self, key: Key, consumed: Consumed) {
        self.consumed.insert(key, consumed);
    }

    /// Restores a blocked subject from a segment's summary.
    pub fn restore_blocked(&mut self, key: Key) {
        self.blocked.insert(key, ());
    }

    /// Restores the journal's own chain from a segment's summary.
    pub fn restore_own(&mut self, seq: u32, head: Digest) {
        self.own = Some((seq, head));
    }
}
