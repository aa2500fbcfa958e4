//! Seeded simulation: the owner, clients, several runs at once, the journal and the outside on one thread, with every fault
//! that the seed has in it. A seed reproduces byte for byte.
//!
//! `cargo test` plays a few hundred seeds; `RECOVER_LANE=bounded` 100,000; `RECOVER_LANE=full` ten million; `RECOVER_SEED=n`
//! one, in words. `RECOVER_SEEDS=n` and `RECOVER_FIRST_SEED=n` say how many and from where.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "the helpers of a test fail as a test does"
)]

mod acts;
#[path = "../sim/authority.rs"]
mod authority;
mod broken;
mod choices;
mod clients;
mod connector;
mod disk;
mod faults;
mod generic;
mod lane;
#[path = "../sim/mini.rs"]
mod mini;
#[path = "../../../fuzz/src/oracle.rs"]
#[expect(unreachable_pub, reason = "it is public where the fuzz targets take it from")]
mod oracle;
#[path = "../sim/plan.rs"]
#[expect(dead_code, reason = "the other simulation uses more of it")]
mod plan;
mod port;
mod process;
mod setups;
mod shrink;
mod sim;
#[path = "../sim/site.rs"]
mod site;
mod teeth;
mod trace;
mod watch;
mod words;
#[path = "../sim/world.rs"]
#[expect(dead_code, reason = "the other simulation uses more of it")]
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    lane::main()
}
