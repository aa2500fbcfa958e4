//! The lanes that are one or two cargo commands each.

use std::process::Command;

use crate::exec::{self, Ran, cargo};
use crate::heavy;
use crate::kubernetes;
use crate::lane::{Lane, Outcome};
use crate::parallel;
use crate::profile::Profile;
use crate::tools;

/// What came of a command, as a lane's outcome.
pub(crate) fn outcome(ran: Result<Ran, String>, why: &str) -> Outcome {
    match ran {
        Ok(Ran { ok: true, tally, .. }) => Outcome { tally, ..Outcome::default() },
        Ok(Ran { ok: false, tally, .. }) if tally.failed > 0 => {
            Outcome { tally, ..Outcome::failed(format!("{} tests failed", tally.failed)) }
        }
        Ok(Ran { ok: false, tally, .. }) => Outcome { tally, ..Outcome::failed(why) },
        Err(e) => Outcome::failed(e),
    }
}

fn one(mut command: Command, why: &str) -> Outcome {
    outcome(exec::run(&mut command), why)
}

/// A lane that is asked for particular tests and finds none has shown nothing.
pub(crate) fn at_least_one(mut outcome: Outcome, what: &str) -> Outcome {
    if outcome.failure.is_none() && outcome.tally.passed == 0 {
        outcome.failure = Some(format!("no test ran: {what}"));
    }
    outcome
}

/// Everything that needs Rust and nothing else. Most of its time the slowest of it waits for sandboxes: so two tests for each processor.
pub(crate) fn test(profile: Profile) -> Lane {
    const THREADS: &str = "RUST_TEST_THREADS";
    Lane::run("test", || {
        let mut command = cargo(&["test", "--workspace", "--no-fail-fast"]);
        command.args(profile.args());
        if std::env::var_os(THREADS).is_none() {
            command.env(THREADS, (2 * parallel::processors()).to_string());
        }
        one(command, "the tests could not be built")
    })
}

/// The code is formatted.
pub(crate) fn fmt() -> Lane {
    Lane::run("fmt", || one(cargo(&["fmt", "--all", "--check"]), "not formatted: run `cargo fmt`"))
}

/// No lint is left.
pub(crate) fn clippy(profile: Profile) -> Lane {
    Lane::run("clippy", || {
        let mut command = cargo(&["clippy", "--workspace", "--all-targets"]);
        command.args(profile.args()).args(["--", "-D", "warnings"]);
        one(command, "there are lints")
    })
}

/// The documentation builds, with every link in it.
pub(crate) fn doc(profile: Profile) -> Lane {
    Lane::run("doc", || {
        let mut command = cargo(&["doc", "--workspace", "--no-deps"]);
        command.args(profile.args()).env("RUSTDOCFLAGS", "-D warnings");
        one(command, "the documentation has warnings")
    })
}

/// A scenario in a crate outside of the workspace, as somebody else would write one.
pub(crate) fn own_scenario() -> Lane {
    Lane::run("own scenario", || {
        let mut command = cargo(&["test", "--locked", "--manifest-path", "examples/own-scenario/Cargo.toml"]);
        command.env("CARGO_TARGET_DIR", exec::root().join("target/own-scenario"));
        at_least_one(one(command, "the example could not be built"), "the example's tests are gone")
    })
}

/// Of the whole workspace, so that nothing is built anew for it.
const GRAPHS: [&str; 4] = ["test", "--workspace", "--test", "explorer"];

/// The committed graphs are what the explorer finds.
pub(crate) fn graphs_check() -> Lane {
    Lane::run("graphs --check", || {
        let mut command = cargo(&GRAPHS);
        // Set in the surroundings it would write what it is to compare.
        command.env_remove("GOLDEN");
        at_least_one(one(command, "the explorer could not be built"), "the explorer's tests are gone")
    })
}

/// Writes the graphs.
pub(crate) fn graphs_write() -> Lane {
    Lane::run("graphs", || {
        let mut command = cargo(&GRAPHS);
        command.env("GOLDEN", "write");
        at_least_one(one(command, "the explorer could not be built"), "the explorer's tests are gone")
    })
}

/// Licences, sources, bans and advisories of everything that is built in.
pub(crate) fn deny() -> Lane {
    Lane::run("deny", || {
        let deny = match tools::DENY.binary() {
            Ok(deny) => deny,
            Err(why) => return Outcome::failed(why),
        };
        let check = |what: &[&str]| {
            let mut command = exec::command(&deny);
            command.args(["--workspace", "check"]).args(what);
            one(command, "cargo-deny found something: see above")
        };
        let mut fetch = exec::command(&deny);
        fetch.args(["fetch", "db"]);
        let fetched = exec::run(&mut fetch).is_ok_and(|ran| ran.ok);
        if fetched {
            return check(&[]);
        }
        let mut outcome = check(&["bans", "licenses", "sources"]);
        outcome.notes.push("the advisory database could not be reached: advisories were not checked".into());
        outcome
    })
}

/// Every interleaving of the journal's hand-over.
pub(crate) fn loom() -> Lane {
    Lane::run("loom", || {
        let mut command = cargo(&["test", "-p", "recover-journal", "--release", "--lib", "loom_"]);
        // A target folder of its own: the flag is part of every crate's fingerprint.
        command.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", exec::root().join("target/loom"));
        at_least_one(one(command, "the loom tests could not be built"), "no test's name contains `loom_`")
    })
}

/// The kill matrix.
pub(crate) fn crash(profile: Profile, full: bool) -> Lane {
    Lane::run(if full { "crash --full" } else { "crash" }, || {
        let log = exec::root().join("target/crash.log");
        let mut command = heavy::tests(profile, &["crash"]);
        command.args(["--", "--nocapture"]).env("RECOVER_CRASH", if full { "full" } else { "bounded" });
        let ran = exec::run_into(&mut command, "crash", &log);
        if let Ok(ran) = &ran
            && !ran.ok
        {
            ran.tail.iter().for_each(|line| println!("{line}"));
        }
        let mut outcome = at_least_one(outcome(ran, "the kill matrix could not be built"), "the kill matrix is empty");
        if outcome.failure.is_some() {
            outcome.notes.push(format!("the whole output is in {}", log.display()));
        }
        outcome
    })
}

/// Builds every test, those of the heavy lanes too, so that none of them waits for another's compiler.
pub(crate) fn build(profile: Profile) -> Lane {
    Lane::run("build", || {
        let lanes = heavy::ALL.iter().filter(|heavy| !heavy.night);
        let targets: Vec<&str> = lanes.flat_map(|heavy| heavy.targets).copied().chain(["crash", "package"]).collect();
        let mut command = heavy::tests(profile, &targets);
        command.args(["--no-run", "--lib", "--bins", "--examples", "--tests"]);
        one(command, "the tests could not be built")
    })
}

/// Builds what the lanes on Kubernetes run. Where it cannot be built, they say so themselves, and that they were not run.
pub(crate) fn kubernetes() -> Lane {
    Lane::run("kubernetes", || Outcome { notes: kubernetes::build().err().into_iter().collect(), ..Outcome::default() })
}

/// Counts what the benchmark does: records, durable commits.
pub(crate) fn bench_quick(profile: Profile) -> Lane {
    Lane::run("bench --quick", || {
        // Of the whole workspace, as the tests are: what they need is built once for both.
        let mut build = cargo(&["build", "--workspace", "--bin", "recover", "--example", "bench"]);
        build.args(profile.args());
        match exec::run(&mut build) {
            Ok(ran) if ran.ok => {
                let mut bench = exec::command(profile.folder().join("examples/bench"));
                bench.arg("--quick");
                one(bench, "the benchmark failed")
            }
            Ok(_) => Outcome::failed("the build failed"),
            Err(why) => Outcome::failed(why),
        }
    })
}

/// Measures, in the profile of the packages.
pub(crate) fn bench() -> Lane {
    Lane::run("bench", || match exec::run(&mut cargo(&["build", "--profile", "dist", "--bin", "recover"])) {
        Ok(ran) if ran.ok => one(cargo(&["run", "--profile", "dist", "--example", "bench"]), "the benchmark failed"),
        Ok(_) => Outcome::failed("the build failed"),
        Err(why) => Outcome::failed(why),
    })
}
