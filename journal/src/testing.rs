//! For tests, here and in other crates: entries with fixed times and ids, a storage that fails, the contract suite.

pub mod contract;
pub mod entries;
pub mod sim;

use std::sync::Arc;

use crate::{Author, Failed, OpenError, Options, Salvage, Storage};

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

/// Binds the state directory in this storage to a machine, as its owner does.
///
/// # Errors
/// The system's.
pub fn bind(storage: &dyn Storage, machine: &str) -> Result<(), Failed> {
    crate::state_dir::bind(storage, machine)
}
