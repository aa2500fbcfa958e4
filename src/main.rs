//! The `recover` binary. What it does is in the library beside it, so that tests and fuzzers can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    recover::start()
}
