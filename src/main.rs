//! The `recover` binary.

mod sandbox;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The exit code of words that do not fit together.
const EXIT_USAGE: u8 = 64;

/// Carries out recovery procedures on production systems, crash-safe.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A control plane and a connector on loopback, to try recovery on.
    Sandbox(sandbox::SandboxArgs),
}

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(Cli { command: Command::Sandbox(args) }) => sandbox::run(args),
        Err(error) => {
            // If help cannot be printed there is nobody to tell.
            let _printed = error.print();
            if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS }
        }
    }
}
