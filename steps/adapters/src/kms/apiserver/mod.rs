//! API servers over HTTPS: readiness, metrics, old objects, and writing objects again as they are.

mod client;
mod objects;
mod reload;

pub(super) use client::{Kube, built};
