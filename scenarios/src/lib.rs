//! The procedures: one file or folder each, and the list below.

pub mod bootstrap_failure;
pub mod crash_loop;
pub mod diagnosis;
pub mod identity_loss;
pub mod kms;
pub mod kms_key_missing;
pub mod kms_socket;
pub mod names;
pub mod reconnect_failure;
mod registry;
pub mod validation;

pub use registry::{Family, Registered, SCENARIOS, find, of};
