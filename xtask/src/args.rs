//! The command line of `cargo xtask`: few words, so it is read by hand and nothing needs to be built for it.

use crate::heavy::{self, Heavy};
use crate::mutants::{self, Work};

/// How long each fuzz target runs if nothing else is said. Seconds.
pub(crate) const FUZZ_SECONDS: u32 = 60;

/// When a fuzzing ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// After so many seconds for each target.
    Seconds(u32),
    /// After a night's executions of all of them.
    Night,
}

/// What is to be run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Test,
    Ci { seconds: u32 },
    Crash { full: bool },
    Heavy { heavy: &'static Heavy, full: bool, part: Option<String> },
    Package { quick: bool },
    Loom,
    Mutants(Work),
    Fuzz { targets: Vec<String>, bound: Bound },
    Bench { quick: bool },
    Graphs { check: bool },
}

/// A command line that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    Help(String),
    Run(Command),
}

const HEAD: &str = "\
Builds, tests and measures `recover`. Continuous integration runs the same lanes.

Usage: cargo xtask <lane> [flags]        `cargo xtask <lane> --help` says more

  test      everything that needs Rust and nothing else: no server, no root, no network
  ci        every lane below and the checks of format, lints, docs, licences; one table at the end
  crash     kills the binary at every boundary and lets it resume
  loom      every interleaving of the journal's hand-over between threads
  fuzz      arbitrary bytes into whatever reads bytes; `--night` for a billion executions
  mutants   changes the pure crates in every way that a test must notice; `--judge` only judges what was kept
  bench     measures; `--quick` only checks the counts
  package   builds the static binary, the Debian package and the container image, and tries them out
  graphs    renews the golden graphs of the scenarios; `--check` compares them
";

const FOOT: &str = "
Start with `cargo xtask test`. Before a commit: `cargo xtask ci`.
Exit code: 0 if every lane passed, 1 if one failed, 64 if the command line was not understood.";

const TEST: &str = "\
Usage: cargo xtask test

Runs `cargo test --workspace` in the debug profile: unit, property, scenario, compile-fail and binary tests. They need Rust
and nothing else; the sandbox's servers are processes of the binary itself, on loopback.
Arguments for one test only: use `cargo test -p CRATE NAME`.";

const CI: &str = "\
Usage: cargo xtask ci [--seconds N]

Runs every one of these, even if an earlier one failed, in the profile `ci`, which is built once for all of them:
  build, package --quick, and then beside each other test, own scenario, real; and faults, lossy, crash. Beside all that kubernetes (builds its
  servers), fmt, clippy, doc, loom, deny, mutants --judge, the bounded form of every other lane that has `--full`, bench --quick, and fuzz (N
  seconds for each target, 60 by default)
Prints a table of lanes, tests and times at the end, and alone on the last line `N passed, N failed`: the tests executed, as
libtest counted them, where a lane that failed without a failed test counts as one failed.
cargo-deny and cargo-fuzz are installed into ~/.cache/recover-tools (or RECOVER_TOOLS) if they are missing. Without a network,
cargo-deny leaves out the advisory database and the lane says so.";

const CRASH: &str = "\
Usage: cargo xtask crash [--full]

Builds the release profile and runs the kill matrix (tests/crash.rs): SIGKILL before and after every call to the journal and
the world, a resume, and a second kill while resuming. The other side's ledger is asked, not the journal.
Bounded by default; --full runs all of it (RECOVER_CRASH=full). The whole output is kept in target/crash.log.";

const LOOM: &str = "\
Usage: cargo xtask loom

Runs the journal's tests whose names contain `loom_` under the loom model checker, in release, in target/loom. It fails if
there is no such test.";

const FUZZ: &str = "\
Usage: cargo xtask fuzz [TARGET…] [--seconds N | --night]

Runs each target (all of them by default) for N seconds (60 by default) under libFuzzer, with its dictionary and, where the
input is a format, with value profile; as many targets at once as there are processors. --night goes on in stretches of ten
minutes for each target until 10^9 executions were made of all of them together: on two processors about a day. It begins with the committed corpus in fuzz/corpus; new inputs go to
target/fuzz-corpus, so that a second run goes on from the first. A crashing input goes to fuzz/artifacts, and libFuzzer's
output to target/fuzz-TARGET.log.
Needs a C++ compiler. Runs on stable Rust with RUSTC_BOOTSTRAP=1, which cargo-fuzz needs for its flags.
To repeat a finding: cargo fuzz run TARGET fuzz/artifacts/TARGET/FILE";

const MUTANTS: &str = "\
Usage: cargo xtask mutants [--judge | --again] [--package engine|journal|steps|scenarios]
                           [--file PATH]... [--shard K/N]

Changes engine, journal, steps and scenarios in every way that cargo-mutants lists, in a copy of the tree below target/mutants, and
sees whether a test notices. All mutants of a package are put into one build, each behind a switch that an environment variable sets
(RECOVER_MUTANT, a number); then the package's tests are run once for each, as many at once as there are processors, until one fails.
Taking too long counts as noticing: by the processor's time, so that a busy machine makes no difference. What the compiler refuses for
its types did not build. What cannot be switched is run by cargo-mutants with a build of its own: what is in a constant or returns an
`impl Trait`, what the compiler refuses for another reason, and what survived in a `const fn`, since what is evaluated while it is
compiled goes past a switch.
Which tests judge which package is in xtask/src/mutants.rs: its own, and for engine and steps those of scenarios too, which walk
through them. Only what survived all of them is a survivor.
What came of each mutant is kept in tests/mutants/outcomes.tsv and holds until the function changes that it is in; only what has no
outcome, or survived, is run. A survivor that changes nothing has its reason in tests/mutants/reasons.tsv.
Prints the figures of each package and fails if a mutant of engine or journal survived without a reason, or if less than 90 % of
the viable ones of steps or scenarios were killed. What was not run is counted and said; it does not fail.
--judge runs no mutant and needs no cargo-mutants: it judges the outcomes that are kept. --again runs those that have an outcome instead,
and fails if one comes out otherwise; it keeps nothing.
--file journal/src/log.rs runs those of that file; it can be given several times. --shard 2/8 runs the second eighth of what is to be
run. It can be stopped at any time, and the next run goes on.
`nice -n 19 cargo xtask mutants` leaves the machine to others; TMPDIR on a disk in memory spares the tests of the journal the waiting.";

const BENCH: &str = "\
Usage: cargo xtask bench [--quick]

Runs `examples/bench` in the profile of the packages, `dist`; with --quick in release, and checks counts (records, durable commits)
and never a time, so that it can run on a machine that is busy.";

const PACKAGE: &str = "\
Usage: cargo xtask package [--quick]

Builds a static binary in the profile of the packages, `dist` (with --quick in dev), for musl where that target is installed and
else for glibc, and of it a Debian package, an archive and the folder of a container image, all in target/package with SHA256SUMS.
Then each is tried out in a container of its own: the package is installed with dpkg under systemd, `recover serve` started by its unit,
killed, stopped and purged; the image takes the tour of the sandbox. Needs dpkg-deb, and for the trial Docker and systemd, as `real`
does; what cannot be tried out here is said not to have been run.";

const GRAPHS: &str = "\
Usage: cargo xtask graphs [--check]

Explores every scenario and writes its graph (JSON, Mermaid, DOT) and its matrix of states and inputs to scenarios/graphs.
--check writes nothing and fails if a committed file is not what the explorer finds.";

/// The list of lanes.
fn list() -> String {
    let heavy = heavy::ALL.iter().map(|heavy| format!("  {:<9} {}\n", heavy.name, heavy.title));
    format!("{HEAD}{}{FOOT}", heavy.collect::<String>())
}

fn help_of(heavy: &Heavy) -> String {
    let Heavy { name, text, .. } = heavy;
    let (part, log) = if heavy.parts.is_some() { (" [--lane NAME]", "[-NAME]") } else { ("", "") };
    format!(
        "Usage: cargo xtask {name} [--full]{part}\n\n{text}\nWhat it says of itself is shown as it comes; the whole output is kept in \
         target/{name}{log}.log."
    )
}

/// Reads the command line.
pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Parsed, String> {
    let mut args: Vec<String> = args.collect();
    if args.is_empty() {
        return Ok(Parsed::Help(list()));
    }
    let lane = args.remove(0);
    let heavy = heavy::named(&lane);
    let help = match lane.as_str() {
        "-h" | "--help" | "help" => return Ok(Parsed::Help(list())),
        "test" => TEST,
        "ci" => CI,
        "crash" => CRASH,
        "loom" => LOOM,
        "fuzz" => FUZZ,
        "bench" => BENCH,
        "mutants" => MUTANTS,
        "graphs" => GRAPHS,
        "package" => PACKAGE,
        _ if heavy.is_some() => "",
        _ => return Err(format!("there is no lane `{lane}`")),
    };
    if args.iter().any(|arg| arg == "-h" || arg == "--help") {
        return Ok(Parsed::Help(heavy.map_or_else(|| help.to_owned(), help_of)));
    }
    let command = match lane.as_str() {
        "ci" => Command::Ci { seconds: seconds(&mut args)? },
        "crash" => Command::Crash { full: flag(&mut args, "--full") },
        "loom" => Command::Loom,
        "fuzz" => {
            let night = flag(&mut args, "--night");
            if night && args.iter().any(|arg| arg == "--seconds") {
                return Err("a night has its own length: leave out `--seconds`".into());
            }
            let seconds = seconds(&mut args)?;
            let bound = if night { Bound::Night } else { Bound::Seconds(seconds) };
            let is_target = |arg: &String| !arg.starts_with('-');
            let targets = args.iter().filter(|arg| is_target(arg)).cloned().collect();
            args.retain(|arg| !is_target(arg));
            Command::Fuzz { targets, bound }
        }
        "mutants" => {
            let judge = flag(&mut args, "--judge");
            let again = flag(&mut args, "--again");
            if judge && again {
                return Err("`--judge` runs nothing: leave out `--again`".into());
            }
            let package = value(&mut args, "--package")?;
            if let Some(unknown) = package.as_deref().filter(|word| !mutants::is_package(word)) {
                return Err(format!("there are no mutants of `{unknown}`"));
            }
            let shard = value(&mut args, "--shard")?.map(|text| shard(&text)).transpose()?;
            let mut files = Vec::new();
            while let Some(file) = value(&mut args, "--file")? {
                files.push(file);
            }
            Command::Mutants(Work { judge, again, package, files, shard })
        }
        "bench" => Command::Bench { quick: flag(&mut args, "--quick") },
        "package" => Command::Package { quick: flag(&mut args, "--quick") },
        "graphs" => Command::Graphs { check: flag(&mut args, "--check") },
        _ => match heavy {
            Some(heavy) => {
                let part = if heavy.parts.is_some() { value(&mut args, "--lane")? } else { None };
                Command::Heavy { heavy, full: flag(&mut args, "--full"), part }
            }
            None => Command::Test,
        },
    };
    match args.first() {
        Some(arg) => Err(format!("`cargo xtask {lane}` does not take `{arg}`")),
        None => Ok(Parsed::Run(command)),
    }
}

fn flag(args: &mut Vec<String>, name: &str) -> bool {
    let before = args.len();
    args.retain(|arg| arg != name);
    args.len() < before
}

/// What follows this word, which goes with it.
fn value(args: &mut Vec<String>, name: &str) -> Result<Option<String>, String> {
    let Some(at) = args.iter().position(|arg| arg == name) else { return Ok(None) };
    args.remove(at);
    if at == args.len() { Err(format!("`{name}` needs a value")) } else { Ok(Some(args.remove(at))) }
}

fn seconds(args: &mut Vec<String>) -> Result<u32, String> {
    let Some(value) = value(args, "--seconds")? else { return Ok(FUZZ_SECONDS) };
    match value.parse() {
        Ok(0) | Err(_) => Err(format!("`--seconds` takes a number from 1, not `{value}`")),
        Ok(seconds) => Ok(seconds),
    }
}

fn shard(text: &str) -> Result<(usize, usize), String> {
    let numbers = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    match numbers {
        Some((k, n)) if 1 <= k && k <= n => Ok((k, n)),
        _ => Err(format!("`--shard` takes a part as 2/8, not `{text}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Parsed, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_read_wherever_they_stand() {
        let fuzz = |targets: &[&str], seconds| {
            let targets = targets.iter().map(|t| (*t).to_owned()).collect();
            Ok(Parsed::Run(Command::Fuzz { targets, bound: Bound::Seconds(seconds) }))
        };
        assert_eq!(parsed("fuzz"), fuzz(&[], FUZZ_SECONDS));
        assert_eq!(parsed("fuzz record --seconds 5 advance"), fuzz(&["record", "advance"], 5));
        let night = Command::Fuzz { targets: vec!["frame".into()], bound: Bound::Night };
        assert_eq!(parsed("fuzz --night frame"), Ok(Parsed::Run(night)));
        assert_eq!(parsed("ci --seconds 3"), Ok(Parsed::Run(Command::Ci { seconds: 3 })));
        assert_eq!(parsed("graphs --check"), Ok(Parsed::Run(Command::Graphs { check: true })));
        let power = heavy::named("power").unwrap();
        let heavy = |heavy, full, part| Ok(Parsed::Run(Command::Heavy { heavy, full, part }));
        assert_eq!(parsed("power --full"), heavy(power, true, None));
        let real = heavy::named("real").unwrap();
        assert_eq!(parsed("real --lane docker"), heavy(real, false, Some("docker".into())));
        let files = ["steps/src/token.rs", "steps/src/storage.rs"].map(str::to_owned).to_vec();
        let work = Work { judge: false, again: true, package: Some("steps".into()), files, shard: Some((2, 8)) };
        let line = "mutants --file steps/src/token.rs --shard 2/8 --again --file steps/src/storage.rs --package steps";
        assert_eq!(parsed(line), Ok(Parsed::Run(Command::Mutants(work))));
        assert_eq!(parsed("graphs"), Ok(Parsed::Run(Command::Graphs { check: false })));
        assert_eq!(parsed("test"), Ok(Parsed::Run(Command::Test)));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in [
            "tset",
            "test --fast",
            "ci --seconds",
            "ci --seconds 0",
            "ci --seconds soon",
            "fuzz --second 1",
            "fuzz --night --seconds 1",
            "mutants --judge --again",
            "mutants --shard 0/2",
            "mutants --shard 3/2",
            "mutants --package src",
            "power --lane docker",
            "real --lane",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn every_lane_explains_itself() {
        let heavy = heavy::ALL.iter().map(|heavy| heavy.name);
        for lane in
            ["test", "ci", "crash", "loom", "fuzz", "bench", "graphs", "mutants", "package"].into_iter().chain(heavy)
        {
            assert!(list().contains(&format!("\n  {lane} ")), "{lane}");
            let help = parsed(&format!("{lane} --help"));
            assert!(matches!(help, Ok(Parsed::Help(text)) if text.contains(&format!("cargo xtask {lane}"))), "{lane}");
        }
    }
}
