//! The sandbox with its real processes: its life, its accidents and its faults.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs,
    reason = "a test that cannot go on has failed"
)]

mod faults;
mod guard;
mod left;
mod life;
#[path = "../harness/warden.rs"]
mod warden;
