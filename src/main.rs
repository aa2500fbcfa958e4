//! The `recover` binary.
fn main() {}
