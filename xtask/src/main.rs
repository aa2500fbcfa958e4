//! The entry points for building, testing and measuring `recover`.
fn main() {}
