//! Power cuts: every state of the disk that a cut can leave, over several ways to use the journal.
//!
//! `RECOVER_LANE=bounded` tries 50,000 states and more, `RECOVER_LANE=full` a million; without it a sample is tried.
#![cfg(not(loom))]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests may say what must hold in the shortest words"
)]

#[path = "../common/mod.rs"]
mod common;
mod cuts;
mod judge;
mod lane;
mod regressions;
mod states;
mod teeth;
mod workloads;
