//! Workloads: one file per way of running one.

mod launch;
mod pidfile;
mod process;
mod table;

pub(crate) use process::{Lock, Process};
