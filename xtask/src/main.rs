//! The entry points for building, testing and measuring `recover`: continuous integration and people use the same ones.

mod args;
mod ci;
mod exec;
mod fuzz;
mod heavy;
mod kubernetes;
mod lane;
mod lanes;
mod mutants;
mod package;
mod parallel;
mod profile;
mod tools;

use std::process::ExitCode;

use args::{Command, Parsed};
use profile::Profile;

fn main() -> ExitCode {
    match args::parse(std::env::args().skip(1)) {
        Ok(Parsed::Help(text)) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Parsed::Run(command)) => run(&command),
        Err(why) => {
            eprintln!("error: {why}\nhint: `cargo xtask --help` lists the lanes and their flags");
            ExitCode::from(64)
        }
    }
}

fn run(command: &Command) -> ExitCode {
    let done = match command {
        Command::Ci { seconds } => return ci::run(*seconds),
        Command::Test => lane::report(lanes::test(Profile::Dev)),
        Command::Heavy { heavy, full, part } => lane::report(heavy.lane(Profile::Release, *full, part.as_deref())),
        Command::Mutants(work) => lane::report(mutants::lane(work)),
        Command::Package { quick: true } => lane::report(package::quick(Profile::Dev)),
        Command::Package { quick: false } => lane::report(package::lane()),
        Command::Loom => lane::report(lanes::loom()),
        Command::Crash { full } => lane::report(lanes::crash(Profile::Release, *full)),
        Command::Bench { quick: true } => lane::report(lanes::bench_quick(Profile::Release)),
        Command::Bench { quick: false } => lane::report(lanes::bench()),
        Command::Graphs { check: true } => lane::report(lanes::graphs_check()),
        Command::Graphs { check: false } => lane::report(lanes::graphs_write()),
        Command::Fuzz { targets, bound } => lane::report(fuzz::lane(targets, *bound, Profile::Release)),
    };
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
