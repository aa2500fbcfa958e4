//! The Docker Engine over its socket: what is asked of it, how its answers are read, and what of a container is copied.
//!
//! Everything about a container is kept as the JSON that the daemon gave: a container that is made like another is to be like it
//! in every field, also in those that this build has no name for. Such JSON has the environment in it, so that it is never
//! journaled, logged or shown; its `Debug` says nothing.

mod archive;
mod container;
mod daemon;
mod failure;
#[cfg(test)]
pub(crate) mod fake;
mod spec;

pub(crate) use archive::Entry;
pub(crate) use container::{Container, Mounted, is_anonymous};
pub(crate) use daemon::Daemon;
pub(crate) use failure::Failure;
pub(crate) use spec::{Spec, helper, like};

/// The label of containers that are made to look into a volume: its value is the workload's name.
pub(crate) const HELPER_LABEL: &str = "io.recover.helper";
/// The label of what a run makes: its value is the run.
pub(crate) const RUN_LABEL: &str = "io.recover.run";
