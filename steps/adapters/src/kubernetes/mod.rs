//! Kubernetes: what its API server says and is told, as JSON and not as a library's types, so that nothing a later server knows is lost.

mod api;
mod cluster;
mod failure;
#[cfg(test)]
pub(crate) mod fake;
mod names;
mod owner;
mod permit;
mod pod;
mod reader;

pub(crate) use cluster::{Cluster, Noted};
pub(crate) use failure::Failure;
pub(crate) use names::{LABEL_OF, LABEL_RUN, lower};
pub(crate) use owner::{Claimed, Mounted, Owner};
pub(crate) use pod::Pod;
pub use reader::printed;
pub(crate) use reader::{Answer, CONTAINER as READER, Lasts, Reader};
