//! Every bit of a finished state directory flipped, every file cut short, segments moved about: told, or harmless, never silent.
//!
//! `RECOVER_LANE=bounded` (or `full`) tries every bit and every length; without it a spread of them is tried.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may say what must hold in the shortest words")]

#[path = "../common/mod.rs"]
mod common;
mod directory;
mod healthy;
mod index;
mod logs;
mod moved;
mod regressions;
mod tally;
