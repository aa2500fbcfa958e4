//! Every call that the log makes of its storage, failing in every way, once and for ever: what was acknowledged stays, nothing is
//! acknowledged after a failed sync, and the next owner goes on.
//!
//! `RECOVER_LANE=bounded` fails every call, and of the opening that follows a failed sync each fifth one too; `RECOVER_LANE=full`
//! each of those as well. Without it a sample is tried.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may say what must hold in the shortest words")]

#[path = "../common/mod.rs"]
mod common;
mod failed_sync;
mod faulty;
mod judge;
mod life;
mod matrix;
mod reading;
