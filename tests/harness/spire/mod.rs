//! SPIRE for tests: the real server and agent where they are on PATH, and a fake of both that speaks the same interface, keeps a ledger
//! of its own and deduplicates nothing. The interface's messages are the product's; the real server shows whether they are right.
#![allow(dead_code, reason = "not every test binary asks for everything")]

mod agent;
mod fake;
mod peer;
mod site;
#[path = "../../../steps/adapters/src/authority/spire/wire.rs"]
mod wire;

pub use agent::stand_in;
pub use fake::Fake;
pub use peer::Real;
pub use site::{ALIAS, Site, WORK};

/// The trust domain of all tests.
pub const DOMAIN: &str = "example.test";
