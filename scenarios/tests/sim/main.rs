//! Simulation: every scenario of the registry that deals with a connector, run against a world in memory that loses replies,
//! delivers late and never deduplicates, and killed at every boundary.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "the helpers of a test fail as a test does"
)]

mod authority;
mod cancel;
#[expect(dead_code, reason = "those who look on look at more of it")]
mod checked;
mod crash;
mod fuse;
mod host;
mod journal;
mod left;
mod mini;
mod plan;
mod questions;
mod site;
mod teeth;
mod trial;
mod world;
