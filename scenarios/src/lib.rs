//! The procedures: one file or folder each, and the list below.

pub mod diagnosis;
pub mod identity_loss;
mod registry;

pub use registry::{Registered, SCENARIOS, find};
