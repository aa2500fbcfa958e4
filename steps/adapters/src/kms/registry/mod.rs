//! A node's key registry: state and checkpoint. Read and compared, copied as a pair; nothing in here writes one of its own.

mod copy;
mod look;
mod state;

pub(super) use copy::{Source, copy, find};
pub(super) use look::{Flaw, Pair, seen};

#[cfg(test)]
mod tests;
