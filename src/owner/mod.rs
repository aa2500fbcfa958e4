//! Owner and clients: whoever takes the lock executes, the others hand their requests over and listen.

pub(crate) mod ask;
mod desk;
mod hear;
mod host;
mod live;
mod office;
pub(crate) mod result;
pub(crate) mod socket;
mod watch;

pub(crate) use desk::{crash, die, hear_approvals, holder, submit, submit_at};
pub(crate) use office::Office;
pub(crate) use watch::Watch;
