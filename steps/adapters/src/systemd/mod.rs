//! systemd over D-Bus, and the files by which a unit is changed without being rewritten.

mod bus;
mod drop_in;

pub(crate) use bus::{Bus, State};
pub(crate) use drop_in::{DropIn, Lasting, is_plain_word};
