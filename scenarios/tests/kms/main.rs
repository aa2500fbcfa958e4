//! The fourth runbook, row by row: each test bears the name of its row. What is seen, answered and refused is scripted; whatever a script
//! does not speak of is well. Each step is held to the procedure's guards, as a run holds it.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "the helpers of a test fail as a test does"
)]

mod data;
mod family;
mod key;
mod never;
mod nodes;
mod registry;
mod story;
mod ways;
