//! For tests, here and in other crates: entries with fixed times and ids, a storage that fails, the contract suite.

pub mod contract;
pub mod entries;
pub mod sim;
