//! From the words of a command line to an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _};

use crate::args::{Cli, Output};
use crate::fault::{Code, Fault};
use crate::printer::Printer;
use crate::{line, verbs};

/// What `main` does.
#[must_use]
pub fn start() -> ExitCode {
    // No core dump holds a token, and no file is readable by others, whatever the shell that started this allows.
    let _ = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    // A file that may not grow is an error of the write that wanted it to, not the end of a process in the middle of a step.
    let mut too_large = nix::sys::signal::SigSet::empty();
    too_large.add(nix::sys::signal::Signal::SIGXFSZ);
    let _ = too_large.thread_block();
    let words: Vec<_> = std::env::args_os().collect();
    let json = words.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json")
        || words.iter().any(|word| word == "--output=json");
    let printer = Printer { output: if json { Output::Json } else { Output::Text }, quiet: false };
    match understand(&mut Cli::command(), &words) {
        Ok(Words::Command(cli)) => {
            log(cli.global.verbose);
            match verbs::run(*cli) {
                Ok(exit) => ExitCode::from(exit as u8),
                Err(fault) => fail(&fault, printer),
            }
        }
        Ok(Words::Help(text)) => {
            // A reader that went away has seen enough.
            let _printed = text.print();
            ExitCode::SUCCESS
        }
        Err(fault) => fail(&fault, printer),
    }
}

/// What a command line is.
pub(crate) enum Words {
    /// A command.
    Command(Box<Cli>),
    /// A wish for help or for the version, with what is to be printed.
    Help(Box<clap::Error>),
}

/// Reads a command line by the definition of one; the first word is the program.
pub(crate) fn understand(definition: &mut clap::Command, words: &[OsString]) -> Result<Words, Fault> {
    if let Some(word) = words.iter().find(|word| word.to_str().is_none()) {
        let shown = word.to_string_lossy().into_owned();
        return Err(Fault::new(Code::NotText, format!("the argument {shown:?} is not UTF-8")));
    }
    match parsed(definition, words) {
        Ok(cli) => Ok(Words::Command(Box::new(cli))),
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Words::Help(Box::new(e)))
        }
        Err(e) => Err(Fault::new(Code::Usage, misunderstood(definition, words, &e))),
    }
}

fn parsed(definition: &mut clap::Command, words: &[OsString]) -> Result<Cli, clap::Error> {
    let mut matches = definition.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(definition))
}

/// What is wrong with the words. The message repeats some of them, so it is made from words in which a line break is shown and
/// not obeyed: it would look like a line of ours.
fn misunderstood(definition: &mut clap::Command, words: &[OsString], error: &clap::Error) -> String {
    let strange = |word: &OsString| word.to_string_lossy().contains(char::is_control);
    let text = if words.iter().any(strange) {
        let shown: Vec<OsString> = words.iter().map(|word| line::shown(&word.to_string_lossy()).into()).collect();
        let again = parsed(definition, &shown).err();
        again.map_or_else(|| "the command line is not understood".to_owned(), |error| error.to_string())
    } else {
        error.to_string()
    };
    text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned()
}

fn fail(fault: &Fault, printer: Printer) -> ExitCode {
    say(fault, printer);
    ExitCode::from(fault.code.exit() as u8)
}

/// Says an error: to a person on stderr, to a machine on stdout as well, since its exit code alone says too little.
pub(crate) fn say(fault: &Fault, printer: Printer) {
    if printer.json() {
        printer.data(&fault.json());
    }
    printer.complain(&fault.text());
}

/// Diagnostics to stderr where `-v` or `RECOVER_LOG` asks for them. The journal, not the log, is the record of truth.
fn log(verbose: u8) {
    let asked = match verbose {
        0 => std::env::var_os("RECOVER_LOG").and_then(|value| value.into_string().ok()),
        1 => Some("info".to_owned()),
        2 => Some("debug".to_owned()),
        _ => Some("trace".to_owned()),
    };
    if let Some(filter) = asked {
        let level = filter.parse().unwrap_or(tracing::Level::WARN);
        tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).without_time().init();
    }
}
