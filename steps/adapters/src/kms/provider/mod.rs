//! A node's provider: its life, its socket, what it says of itself, and its own checks.

pub(super) mod checks;
pub(super) mod command;
pub(super) mod look;
pub(super) mod socket;
pub(super) mod web;
