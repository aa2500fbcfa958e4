//! Which failure class a connector's trouble is, from what was read of it. Pure: it reads nothing and changes nothing.
//!
//! How sure a diagnosis is:
//!
//! - **certain**: what decides the class was read from the system itself (authority, storage, workload, network), and nothing
//!   speaks against it.
//! - **likely**: it rests in part on what somebody wrote (a log, an alert) or on one reading where the runbook wants two, and
//!   nothing that was read speaks against it.
//! - **unsure**: observations contradict each other, or what would decide could not be read. Nothing is to be acted on; the
//!   diagnosis then says what else it may be.
//!
//! A contradiction lowers it: one that was read from the system makes it unsure, one that is only a text lowers it by one.

mod alerts;
mod class;
mod fragments;
mod judge;
mod never_paired;
mod signals;
mod weigh;

pub use alerts::{ALERTS, Alert, alert};
pub use class::{Class, UnknownClass};
pub use fragments::{FRAGMENTS, Fragment, Hit, Told, told};
pub use weigh::{Diagnosis, Evidence, Finding, Sureness, diagnose};
