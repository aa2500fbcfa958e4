//! The `recover` binary as a library: words in, exit code out. `src/main.rs` only calls [`start()`].
//!
//! [`outside`] is how what comes from outside is read, without a process, a file or a network around it.

mod actor;
mod against;
mod anchor;
mod args;
mod bundle;
mod checks;
mod clock;
mod config;
mod fault;
mod handoff;
mod hooks;
mod keeping;
mod line;
pub mod outside;
mod owner;
mod place;
mod printer;
mod records;
mod report;
mod sandbox;
mod serve;
mod start;
mod store;
mod target;
mod verbs;
mod whole;
mod world;

pub(crate) use start::say;
pub use start::start;
