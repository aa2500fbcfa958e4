//! A stand-in for `bao-kms-provider`, as a process of the test binary: the documented commands, reports and exit codes, the
//! registry on disk, `/live`, `/ready` and `/metrics`, and KMS v2 over a socket with Transit behind it. It behaves as is documented
//! also where that is awkward. What it cannot be: the provider's own code, its PKCS#11 and its SPIFFE source.

mod aad;
mod checks;
mod cli;
mod encryption;
mod grpc;
mod key;
mod ledger;
mod login;
mod metrics;
mod observe;
mod plan;
mod probe;
mod profile;
mod registry;
mod report;
mod serve;
mod settings;
mod socket;
mod status;
mod transit;
mod web;

use std::process::ExitCode;

pub use aad::BUG;
pub use key::hash;
pub use ledger::VARIABLE as LEDGER;
pub use registry::{checkpoint_path, load as load_registry};

/// The word before which the test binary is the provider.
pub const WORD: &str = "stand-in-bao-kms-provider";
/// Which generation of the interface it speaks.
pub const GENERATION: &str = "STAND_IN_GENERATION";
/// What it calls its own version.
pub const VERSION: &str = "STAND_IN_VERSION";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    One,
    Two,
}

fn plugin_version() -> String {
    std::env::var(VERSION).unwrap_or_else(|_| "v0.2.0".into())
}

/// Is the provider, if the command line says so.
pub fn stand_in() -> Option<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_none_or(|word| word != WORD) {
        return None;
    }
    let one = std::env::var(GENERATION).is_ok_and(|generation| generation == "g1");
    let generation = if one { Generation::One } else { Generation::Two };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Some(ExitCode::from(runtime.block_on(cli::run(&words[1..], generation))))
}
