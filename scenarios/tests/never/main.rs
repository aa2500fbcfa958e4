//! The never-list, as far as a machine can break it: no world, no kill, no resume, no answer, no cancel, no word of a person and
//! no parameter leads to a forbidden mint (N8) or a forbidden start or deletion (N9).
//!
//! The judge looks at the simulated outside alone: at what was there before an act and after it, and at what people were
//! recorded to have said. It does not read the guards and does not ask the machine.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "the helpers of a test fail as a test does"
)]

#[path = "../sim/authority.rs"]
mod authority;
#[path = "../sim/checked.rs"]
mod checked;
#[path = "../sim/fuse.rs"]
mod fuse;
#[path = "../sim/host.rs"]
mod host;
#[path = "../sim/journal.rs"]
mod journal;
mod judge;
#[path = "../sim/plan.rs"]
mod plan;
mod rules;
#[path = "../sim/site.rs"]
mod site;
mod story;
#[path = "../sim/trial.rs"]
#[expect(dead_code, reason = "the simulation uses more of it")]
mod trial;
#[path = "../sim/world.rs"]
mod world;
