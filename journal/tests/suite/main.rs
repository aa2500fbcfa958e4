//! The journal as those who use it meet it. One binary, so that it is linked once; `state_dir` starts
//! processes, which have its locks for a moment, and is apart.
#![cfg(not(loom))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may say what must hold in the shortest words")]

#[path = "../common/mod.rs"]
mod common;
mod contract;
mod following;
mod format;
mod index;
mod live;
mod looking;
mod machine;
mod model;
mod opening;
mod reading;
mod salvage;
mod salvage_scope;
mod verifying;
mod words;
