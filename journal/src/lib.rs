//! The journal of `recover`: a commit log that is the truth, and an index that can be thrown away.
//!
//! `FORMAT.md` describes the bytes. The journal knows no step and no scenario, and reads no clock: a record's time is in it.

#[cfg_attr(loom, allow(dead_code, reason = "what uses it is not built for loom"))]
mod admission;
#[cfg(not(loom))]
mod bytes;
#[cfg(not(loom))]
mod core;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod evidence;
#[cfg(not(loom))]
mod follow;
#[cfg(not(loom))]
mod frame;
#[cfg_attr(loom, allow(dead_code, reason = "what uses it is not built for loom"))]
mod handover;
#[cfg(not(loom))]
mod index;
#[cfg(not(loom))]
mod log;
#[cfg(not(loom))]
mod memory;
#[cfg(not(loom))]
mod open;
#[cfg(not(loom))]
mod own;
#[cfg(not(loom))]
mod owner;
mod pace;
#[cfg(not(loom))]
mod progress;
#[cfg(not(loom))]
mod reader;
#[cfg(not(loom))]
mod salvage;
#[cfg(not(loom))]
mod scan;
#[cfg(not(loom))]
mod segment;
#[cfg(not(loom))]
mod state_dir;
#[cfg(not(loom))]
mod stats;
#[cfg(not(loom))]
mod storage;
#[cfg(not(loom))]
mod store;
#[cfg(not(loom))]
mod summary;
#[cfg(not(loom))]
mod supply;
#[cfg(not(loom))]
mod survey;
#[cfg_attr(loom, allow(dead_code, reason = "what uses it is not built for loom"))]
mod sync;
#[cfg(all(not(loom), any(test, feature = "testing")))]
pub mod testing;
#[cfg(not(loom))]
mod verify;

#[cfg(not(loom))]
pub use crate::{
    error::{Damage, Failed, OpenError, ReadError, What},
    evidence::{Evidence, EvidenceError},
    follow::{Follower, Frame},
    index::{Index, IndexStats, IndexedRun, NoIndex, Query},
    log::{CommitLog, Options},
    memory::MemoryJournal,
    own::Author,
    owner::FileJournal,
    reader::{Listing, OpenRuns, Reader, RunOverview, StoredEntry},
    salvage::{Salvage, salvage},
    state_dir::{Host, Owned, StateDir},
    stats::Stats,
    storage::{Access, DiskStorage, Storage, StorageFile},
    verify::{Report, TornTail},
};
