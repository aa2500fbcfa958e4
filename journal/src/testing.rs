//! For tests, here and in other crates: entries with fixed times and ids, a storage that fails, the contract suite.

pub mod contract;
pub mod entries;
pub mod sim;

use std::sync::Arc;

use crate::{Author, CommitLog, Failed, Host, OpenError, Options, Salvage, Storage};

/// [`crate::salvage()`] on any storage.
///
/// # Errors
/// As that.
pub fn salvage(
    storage: &Arc<dyn Storage>,
    options: Options,
    author: Author<'_>,
    reason: &str,
) -> Result<Salvage, OpenError> {
    crate::salvage::salvage_in(storage, options, author, reason)
}

/// [`crate::FileJournal::adopt`] on any storage: opens the log, writes the record, binds the directory. The log is closed again.
///
/// # Errors
/// As that.
pub fn adopt(
    storage: &Arc<dyn Storage>,
    host: &Host,
    options: Options,
    author: Author<'_>,
    reason: &str,
) -> Result<(), OpenError> {
    let of = crate::state_dir::machine(&**storage)?;
    let log = CommitLog::open_inline(Arc::clone(storage), options)?;
    if of.as_ref() != Some(&host.machine) {
        crate::owner::adopted(&log, of.as_deref(), host, author, reason)?;
        bind(&**storage, &host.machine)?;
    }
    Ok(())
}

/// Binds the state directory in this storage to a machine, as its owner does.
///
/// # Errors
/// The system's.
pub fn bind(storage: &dyn Storage, machine: &str) -> Result<(), Failed> {
    crate::state_dir::bind(storage, machine)
}
