//! Storage: one file per question that is asked of it.

mod directory;
mod durability;
mod identity;
mod moves;

pub(crate) use directory::Directory;
pub(crate) use identity::{Identity, Looked};
