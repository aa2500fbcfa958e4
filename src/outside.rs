//! What comes from outside, read as the binary reads it: without a process, a file or a network around it, for fuzzing.

use std::ffi::OsString;

use clap::CommandFactory as _;
use recover_engine::{Entry, RunId};

use crate::args::Cli;
use crate::fault::Fault;
use crate::start::{Words, understand};
use crate::{config, line, store};

/// What was not accepted, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The stable code.
    pub code: &'static str,
    /// The exit code.
    pub exit: u8,
    /// What a person is told on stderr.
    pub text: String,
    /// What a machine is told on stdout.
    pub json: String,
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self {
            code: fault.code.as_str(),
            exit: fault.code.exit() as u8,
            text: line::plain(&fault.text()),
            json: fault.json(),
        }
    }
}

/// What a command line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Understood {
    /// A command.
    Command,
    /// A wish for this text: help or version.
    Help(String),
}

/// The definition of the command line. It is made once and can be asked often.
#[derive(Debug)]
pub struct Arguments(clap::Command);

impl Default for Arguments {
    fn default() -> Self {
        Self(Cli::command())
    }
}

impl Arguments {
    /// Reads a command line, the program's name first.
    ///
    /// # Errors
    /// If it is no command.
    pub fn read(&mut self, words: &[OsString]) -> Result<Understood, Refused> {
        Ok(match understand(&mut self.0, words)? {
            Words::Command(_) => Understood::Command,
            Words::Help(text) => Understood::Help(text.to_string()),
        })
    }
}

/// Reads the bytes of a configuration file, and checks every target in it and the parameters that it gives. The subjects of
/// the targets come back.
///
/// # Errors
/// If it is no configuration, or a target in it cannot be used.
pub fn configuration(bytes: &[u8]) -> Result<Vec<String>, Refused> {
    let config = config::understand("recover.toml", bytes)?;
    let mut subjects = Vec::with_capacity(config.target.len());
    for target in config.target.values() {
        target.check()?;
        for scenario in target.kind().scenarios() {
            target.params(scenario, &config.policy, None, &[])?;
        }
        subjects.push(target.subject());
    }
    Ok(subjects)
}

/// Folds the records of a run as `recover replay` does. Which run it is comes back.
///
/// # Errors
/// If they are no legal history.
pub fn replay(entries: &[Entry]) -> Result<RunId, Refused> {
    Ok(store::fold(entries)?.position.run)
}
