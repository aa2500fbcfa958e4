//! For fuzzing: the client's own decoding of replies, without a connection.

pub use crate::authority::{Asked, Read, Replies, Reply};
