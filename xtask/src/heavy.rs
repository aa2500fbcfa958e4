//! The lanes that are one test target each: a sample in `cargo test`, the bounded form in continuous integration, all of it
//! in a night. Which form runs is told to the target in `RECOVER_LANE`.

use std::process::Command;

use crate::exec::{self, cargo};
use crate::kubernetes;
use crate::lane::{Lane, Outcome};
use crate::lanes::{at_least_one, outcome};
use crate::profile::Profile;
use crate::tools;

/// A lane that is one test target.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heavy {
    /// The word on the command line.
    pub(crate) name: &'static str,
    /// One line for the list.
    pub(crate) title: &'static str,
    /// What `--help` says besides.
    pub(crate) text: &'static str,
    /// The test targets.
    pub(crate) targets: &'static [&'static str],
    /// Whether it is left to the night, and not part of `cargo xtask ci`.
    pub(crate) night: bool,
    /// The variable that names one part of it, where it has parts that `--lane` chooses from.
    pub(crate) parts: Option<&'static str>,
}

/// Every such lane.
pub(crate) const ALL: &[Heavy] = &[
    Heavy {
        name: "power",
        title: "every state in which a power cut can leave the journal",
        text: "\
Records every write, sync, rename and truncation that the journal makes, builds every state of the disk that a power cut could
leave of them, opens each, and looks for what was acknowledged. --full builds a million.",
        targets: &["power"],
        night: false,
        parts: None,
    },
    Heavy {
        name: "sim",
        title: "seeded, deterministic simulation of engine, owner, clients, disk and outside",
        text: "\
Runs every scenario under 100,000 seeds: lost, late and doubled replies, kills, failing disks, jumping clocks, a second operator.
After every event the invariants, at the end the outside's own ledger. RECOVER_SEED=n repeats one seed and prints its trace.
--full runs 10,000,000.",
        targets: &["seeds"],
        night: false,
        parts: None,
    },
    Heavy {
        name: "diagnose-score",
        title: "the labelled corpus of diagnoses, with its confusion matrix",
        text: "\
Runs the corpus in scenarios/tests/diagnosis/corpus and prints which class each labelled situation was taken for. A label that is
missed, in class, sureness or procedure, fails it. Seconds, once built; both forms are the same.",
        targets: &["diagnosis"],
        night: false,
        parts: None,
    },
    Heavy {
        name: "lossy",
        title: "power cuts under the real binary, on a file system that loses what was not synced",
        text: "\
Mounts a FUSE file system of the tests' own, puts a sandbox's state on it, kills the recovery at random moments and drops what was
not synced, resumes, and asks the ledger; beside it, sled alone on the same file system loses what it acknowledged. Without
/dev/fuse or the right to mount it is not run, and says so.",
        targets: &["lossy"],
        night: false,
        parts: None,
    },
    Heavy {
        name: "flip",
        title: "every bit and every truncation of the state directory",
        text: "\
Flips each bit and cuts at each length of the files of a finished state directory, and swaps, doubles, rolls back and removes
segments. Each is damage or a torn tail that is tolerated, and never a silent change.",
        targets: &["flip"],
        night: false,
        parts: None,
    },
    Heavy {
        name: "canary",
        title: "secrets in every place where one can turn up, looked for in every place where none may",
        text: "\
Puts canaries in the place of every secret, lets the authority repeat them wherever it can, kills runs on the way, and looks for
them in eight encodings in state, outputs, logs, arguments and environments of every process. Some checks need root.",
        targets: &["canary"],
        night: false,
        parts: None,
    },
    Heavy {
        name: "race",
        title: "a hundred commands at once, cloned state, clocks that are wrong",
        text: "\
Starts a hundred commands on one target at once, and resumes after a kill; copies a state directory to another machine; runs with
clocks in 1970, in 2100, and jumping. Some checks need root or a C compiler.",
        targets: &["race"],
        night: false,
        parts: None,
    },
    Heavy {
        name: "badinput",
        title: "a table of named bad inputs, each with the code that it must have",
        text: "\
Arguments, configurations, replies, files and surroundings that are wrong in some way, each with the error code and the exit code
that it must lead to. BADINPUT=word takes the cases whose name contains the word. Both forms are the same.",
        targets: &["badinput"],
        night: false,
        parts: None,
    },
    Heavy {
        name: "faults",
        title: "system calls that fail or are the last",
        text: "\
Makes every call that the log makes of its storage fail (EIO, ENOSPC, EDQUOT, EROFS, EMFILE, EINTR, short; once and for ever),
in memory. Runs the recovery of a sandbox under strace and makes its state-changing calls fail or be its last (SIGKILL), finishes
the work without faults, and asks the sandbox's ledger. --full takes every call of a run, which lasts a night. Without strace
that half is not run, and says so.",
        targets: &["faults", "io"],
        night: false,
        parts: None,
    },
    Heavy {
        name: "real",
        title: "the connector on real systems: recovered, killed at random moments, and asked",
        text: "\
Starts each system, loses the connector's identity as it is lost in life, kills the recovery with SIGKILL at 20 drawn moments for an
original that is kept and for one that is gone, resumes, and asks the system itself and the control plane's ledger what happened.
Systems: systemd-user (a user's manager of systemd, with a bus of its own), systemd-system (systemd as PID 1, in a container that has the
host's /usr), docker (a Docker Engine of its own; docker.io and busybox-static are installed where root may), kubernetes
(an API server with its controllers, built once with Go from its own module; etcd-server is installed where root may), spire (the SPIRE server and
agent that are on PATH; where none are, a fake with the same interface, which is said), kms (the rows of the KMS family with API servers and
etcd, on the OpenBao that is on PATH, or else on a fake; RECOVER_CASE=K7,K8 takes the rows that are called so). --lane NAME runs one; all run
beside each other. --full makes ten times as many kills. A system that cannot be had here is said not to have been run.",
        targets: &["real"],
        night: false,
        parts: Some("RECOVER_REAL"),
    },
    Heavy {
        name: "page",
        title: "the page of `recover serve` in a real browser, its interface asked at random, and Alertmanager itself",
        text: "\
Drives headless Chromium with real clicks and keys: signs in, begins a run, answers its question, reads the report; looks at it light and
dark, narrow and wide, for what is cut off or cannot be read. Debian's Alertmanager sends alerts to it; schemathesis asks it at random by
its own description. chromium, chromium-driver and prometheus-alertmanager are installed where root may; what cannot be had is said.",
        targets: &["page"],
        night: false,
        parts: None,
    },
    Heavy {
        name: "uml",
        title: "power cuts of a guest kernel with ext4 (only by name: not in `ci`)",
        text: "\
Boots user-mode Linux with the sandbox's state on an ext4 of its own, runs the real binary in it, kills the guest at drawn moments,
boots it again, resumes, and asks the ledger of a control plane whose files are on the host. 10 cuts; --full makes 50. Without
linux.uml, busybox (static) or mkfs.ext4, or where a guest does not boot, it is not run, and says so.",
        targets: &["uml"],
        night: true,
        parts: None,
    },
];

/// The lane of that name.
pub(crate) fn named(name: &str) -> Option<&'static Heavy> {
    ALL.iter().find(|heavy| heavy.name == name)
}

/// What a target prints that found something missing that it needs. It has not passed then, and not failed either.
const NOT_RUN: &str = "NOT RUN";

/// What builds and runs these test targets. Of the whole workspace each time, so that what they depend on is built once for all.
pub(crate) fn tests(profile: Profile, targets: &[&str]) -> Command {
    let mut command = cargo(&["test", "--workspace"]);
    command.args(profile.args());
    command.env(tools::VARIABLE, tools::folder());
    for target in targets {
        command.args(["--test", target]);
    }
    command
}

impl Heavy {
    /// Runs it, bounded or in full; only one of its parts if that is named.
    pub(crate) fn lane(&self, profile: Profile, full: bool, part: Option<&str>) -> Lane {
        Lane::run(self.name, || self.work(profile, full, part).unwrap_or_else(Outcome::failed))
    }

    fn work(&self, profile: Profile, full: bool, part: Option<&str>) -> Result<Outcome, String> {
        // Each part has its own: they may be run beside each other.
        let name = [Some(self.name), part].into_iter().flatten().collect::<Vec<_>>().join("-");
        let log = exec::root().join(format!("target/{name}.log"));
        let mut command = tests(profile, self.targets);
        command.args(["--", "--nocapture"]).env("RECOVER_LANE", if full { "full" } else { "bounded" });
        if let (Some(variable), Some(part)) = (self.parts, part) {
            command.env(variable, part);
        }
        if kubernetes::wanted(self.name, part)
            && let Err(why) = kubernetes::build()
        {
            // The lane says so itself, and that it was not run.
            command.env(kubernetes::MISSING, why);
        }
        let ran = exec::run_into(&mut command, self.name, &log)?;
        let figure = format!("{}: ", self.name);
        // libtest may have begun the line with the test's name.
        let figures: Vec<String> =
            ran.tail.iter().filter_map(|line| line.find(&figure).map(|at| line[at..].to_owned())).collect();
        if !ran.ok {
            ran.tail.iter().for_each(|line| println!("{line}"));
        }
        let ran_not = figures.iter().any(|line| line.contains(NOT_RUN));
        let mut outcome = outcome(Ok(ran), "the tests could not be built");
        if !ran_not {
            outcome = at_least_one(outcome, "the target is empty");
        }
        // A lane that does not say what it did has not shown it.
        if outcome.failure.is_none() && figures.is_empty() {
            outcome.failure = Some(format!("it printed no line that begins with `{figure}`"));
        }
        outcome.notes.extend(figures.iter().map(|line| line.trim_start_matches(&figure).to_owned()));
        if outcome.failure.is_some() {
            outcome.notes.push(format!("the whole output is in {}", log.display()));
        }
        Ok(outcome)
    }
}
