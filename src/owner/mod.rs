//! Owner and clients: whoever takes the lock executes, the others hand their requests over and listen.

pub(crate) mod ask;
mod desk;
mod host;
mod live;
mod office;
pub(crate) mod result;
mod socket;

pub(crate) use desk::submit;
