//! The sandbox with its real processes: its life, its accidents and its faults.
#![expect(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod faults;
mod guard;
mod life;
