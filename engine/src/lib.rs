//! The pure core of `recover`: typed machines, the rules of a legal history, the run and the owner as protocols.
//!
//! Nothing in here reads a clock, a file, a socket or a source of randomness: they come in as arguments.

mod entry;
mod id;
mod journal;
mod ledger;

pub use entry::{BadEntry, Entry, HEADER_LEN, Header, Kind, Latch, RECORD_LEN_MAX};
pub use id::{BadId, Digest, Key, Millis, RunId};
pub use journal::{Journal, JournalError, Receipt};
pub use ledger::{Conflict, Consumed, Ledger, OpenRun};
