//! Runs a binary of tests with one mutant on: until a test fails, all have passed, or it has taken too long.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::build::Tests;
use super::switch::{REACHED, VARIABLE};
use crate::parallel;

/// How often it is looked at how long it has taken.
const LOOK: Duration = Duration::from_millis(250);
/// A mutant may make something grow without end: address space in KiB, files in blocks of 512 bytes, no core. And there are so many
/// of them that they let everything else go first: what comes first is by how much.
const LIMITS: &str = "ulimit -v 4194304; ulimit -f 2097152; ulimit -c 0; exec nice -n \"$0\" \"$@\"";
const HOUR: Duration = Duration::from_secs(3_600);
/// Ticks of a processor's clock, as /proc counts them: the same on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Passed,
    Failed,
    Late,
}

/// How long it may take. What counts is the processor's time, which a busy machine does not change; the others are for what
/// waits for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) busy: Duration,
    pub(super) wall: Duration,
    /// For so long all its threads may sleep.
    pub(super) still: Duration,
}

/// How long it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Took {
    pub(super) wall: Duration,
    /// The processor's time, as it was when it was last looked at.
    pub(super) busy: Duration,
    /// The mutants whose places it came to; told with no mutant on.
    pub(super) reached: BTreeSet<u32>,
}

impl Limit {
    /// For a baseline: nothing is known yet.
    pub(super) const NONE: Self = Self { busy: HOUR, wall: HOUR, still: HOUR };

    /// For mutants, by what the code as it is took.
    pub(super) fn of(took: &Took) -> Self {
        let (busy, wall) = (Duration::from_secs(3) + took.busy * 5, Duration::from_secs(60) + took.wall * 20);
        Self { busy, wall, still: Duration::from_secs(8) }
    }
}

/// How many are run beside each other: twice as many as there are processors, so that what waits for ever leaves its own to another.
pub(super) fn at_once() -> usize {
    2 * parallel::processors()
}

/// Runs tests one after another with this mutant on, those of these names, or all; number 0 is none.
pub(super) fn run(
    tests: &Tests,
    names: &[String],
    mutant: u32,
    limit: Limit,
    scratch: &Path,
) -> Result<(Ending, Took), String> {
    let cannot = |e: std::io::Error| format!("{}: {e}", tests.binary.display());
    std::fs::create_dir_all(scratch).map_err(cannot)?;
    let mut command = Command::new("sh");
    command.args(["-c", LIMITS, if mutant == 0 { "0" } else { "19" }]);
    command.arg(&tests.binary).arg("--test-threads=1").current_dir(&tests.folder);
    if !names.is_empty() {
        command.arg("--exact").args(names);
    }
    let reached = scratch.join("reached");
    command.env(REACHED, &reached);
    command.env(VARIABLE, mutant.to_string()).env("CARGO_MANIFEST_DIR", &tests.folder).env("TMPDIR", scratch);
    // Its children are ended with it: a group of its own.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    let begun = Instant::now();
    let mut child = command.spawn().map_err(cannot)?;
    let mut busy = Duration::ZERO;
    let followed = followed(&mut child, begun, limit, &mut busy).map_err(cannot);
    end(&mut child).map_err(cannot)?;
    let reached = std::fs::read_to_string(reached).unwrap_or_default();
    std::fs::remove_dir_all(scratch).map_err(cannot)?;
    let reached = reached.lines().filter_map(|line| line.parse().ok()).collect();
    Ok((followed?, Took { wall: begun.elapsed(), busy, reached }))
}

fn followed(child: &mut Child, begun: Instant, limit: Limit, busy: &mut Duration) -> std::io::Result<Ending> {
    let (tell, told) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        // It ends with the pipe, which is closed when the group is ended.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
    }
    let (mut looked, mut moved) = (begun, begun);
    loop {
        match told.recv_timeout(LOOK) {
            Ok(line) if failed(&String::from_utf8_lossy(&line)) => return Ok(Ending::Failed),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_millis(2)),
        }
        // Who has ended is still counted until it is waited for.
        let now = time_of(child.id());
        if now > *busy {
            (*busy, moved) = (now, Instant::now());
        }
        if let Some(status) = child.try_wait()? {
            return Ok(if status.success() { Ending::Passed } else { Ending::Failed });
        }
        if looked.elapsed() > LOOK {
            looked = Instant::now();
            let still = moved.elapsed() > limit.still && sleeps(child.id());
            if still || *busy > limit.busy || begun.elapsed() > limit.wall {
                return Ok(Ending::Late);
            }
        }
    }
}

/// Whether a line of libtest's says of a test that it has failed.
fn failed(line: &str) -> bool {
    line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... ")).is_some_and(|(_, word)| word == "FAILED")
}

/// The names of its tests; without those that are run only when they are asked for.
pub(super) fn names(tests: &Tests) -> Result<Vec<String>, String> {
    let listed = |more: &[&str]| -> Result<Vec<String>, String> {
        let mut command = Command::new(&tests.binary);
        let output = command.args(["--list", "--format=terse"]).args(more).current_dir(&tests.folder).output();
        let output = output.map_err(|e| format!("{}: {e}", tests.binary.display()))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    };
    let ignored = listed(&["--ignored"])?;
    Ok(listed(&[])?.into_iter().filter(|name| !ignored.contains(name)).collect())
}

fn end(child: &mut Child) -> std::io::Result<()> {
    // What is gone already cannot be ended, and need not be.
    let group = format!("kill -s KILL -- -{} 2>/dev/null", child.id());
    Command::new("sh").args(["-c", &group]).status()?;
    child.wait().map(drop)
}

/// The processor's time of a process and of those of its children that it has waited for.
fn time_of(id: u32) -> Duration {
    let path = PathBuf::from(format!("/proc/{id}/stat"));
    std::fs::read_to_string(path)
        .ok()
        .and_then(|text| ticks(&text))
        .map_or(Duration::ZERO, |ticks| Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

/// Whether each of a process's threads waits for something, and none of its children is there to do it.
fn sleeps(id: u32) -> bool {
    let stats = |folder: &str, under: &str| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| std::fs::read_to_string(entry.path().join(under)).ok()).collect()
    };
    let threads = stats(&format!("/proc/{id}/task"), "stat");
    let group = id.to_string();
    let of_group = |stat: &&String| fields(stat).and_then(|fields| fields.get(2).copied()) == Some(group.as_str());
    threads.iter().all(|stat| fields(stat).is_some_and(|fields| fields.first() == Some(&"S")))
        && stats("/proc", "stat").iter().filter(of_group).count() <= 1
}

/// What /proc says of a process after its name, which may have anything in it, also parentheses: state, parent, group.
fn fields(stat: &str) -> Option<Vec<&str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace().collect())
}

fn ticks(stat: &str) -> Option<u64> {
    fields(stat)?.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests_of_it {
    use super::*;

    /// A program in place of the tests.
    fn ran(script: &str, limit: Limit) -> (Ending, usize) {
        let folder = std::env::temp_dir().join(format!("trial-{}-{:x}", std::process::id(), script.len()));
        std::fs::create_dir_all(&folder).unwrap();
        let binary = folder.join("tests");
        std::fs::write(&binary, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&binary, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let tests = Tests { binary, folder: folder.clone() };
        let (ending, took) = run(&tests, &[], 7, limit, &folder.join("scratch")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(took.reached.is_subset(&BTreeSet::from([11, 12])));
        (ending, took.reached.len())
    }

    #[test]
    fn it_ends_with_the_first_test_that_fails_or_with_its_exit_code_or_when_it_is_late() {
        let begun = Instant::now();
        let all = "[ $RECOVER_MUTANT = 7 ] && [ -d $TMPDIR ] && printf '11\\n12\\n' > $RECOVER_MUTANTS_REACHED";
        assert_eq!(ran(all, Limit::NONE), (Ending::Passed, 2));
        assert_eq!(ran("[ $RECOVER_MUTANT = 8 ]", Limit::NONE), (Ending::Failed, 0));
        assert_eq!(ran("echo 'test a ... FAILED'; sleep 1000", Limit::NONE), (Ending::Failed, 0));
        let short = Duration::from_millis(300);
        assert_eq!(ran("sleep 1001 & sleep 1002", Limit { wall: short, ..Limit::NONE }), (Ending::Late, 0));
        assert_eq!(ran("while true; do :; done", Limit { busy: short / 10, ..Limit::NONE }), (Ending::Late, 0));
        assert_eq!(ran("exec sleep 1003", Limit { still: short, ..Limit::NONE }), (Ending::Late, 0));
        assert_eq!(
            ran("sleep 1; true", Limit { still: short, ..Limit::NONE }),
            (Ending::Passed, 0),
            "a child is at it"
        );
        assert!(begun.elapsed() < Duration::from_secs(300), "nothing was waited for");
    }

    #[test]
    fn a_line_about_a_test_that_failed_is_told_from_others() {
        assert!(failed("test a::b ... FAILED"));
        for line in
            ["test result: FAILED. 1 passed", "FAILED", "test a ... ignored, slow", "a ... FAILED", "test a ... ok"]
        {
            assert!(!failed(line), "{line}");
        }
    }

    #[test]
    fn the_names_are_those_of_the_tests_that_are_run_unasked() {
        let tests = Tests { binary: std::env::current_exe().unwrap(), folder: std::env::temp_dir() };
        let names = names(&tests).unwrap();
        assert!(names.iter().any(|name| name.ends_with("the_names_are_those_of_the_tests_that_are_run_unasked")));
    }

    #[test]
    fn the_time_is_the_processes_and_its_childrens() {
        let stat = "42 (a) b)) S 1 42 42 0 -1 4194304 100 0 0 0 30 4 2 1 20 0 1 0 12345 1000 10";
        assert_eq!(ticks(stat), Some(37));
        assert_eq!(ticks("42"), None);
    }
}
