//! The rules that hold over histories and across runs, one by one: guards, the ledger, the owner, the graph.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "the helpers of a test fail as a test does")]

mod graph;
mod guard;
mod ledger;
mod owner;
mod words;
