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

/// How often it is looked at how long it has taken.
const LOOK: Duration = Duration::from_millis(250);
/// A mutant may make something grow without end: address space in KiB, files in blocks of 512 bytes, no core.
const LIMITS: &str = "ulimit -v 4194304; ulimit -f 2097152; ulimit -c 0; exec \"$0\" \"$@\"";
/// Ticks of a processor's clock, as /proc counts them: the same on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Passed,
    Failed,
    Late,
}

/// How long it may take. What counts is the processor's time, which a busy machine does not change; the other is for what
/// waits for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) busy: Duration,
    pub(super) wall: Duration,
}

/// How long it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Took {
    pub(super) wall: Duration,
    /// Each test that has passed, with the time from the end of the one before.
    pub(super) tests: Vec<(String, Duration)>,
    /// The mutants whose places it came to; told with no mutant on.
    pub(super) reached: BTreeSet<u32>,
}

impl Limit {
    /// For a baseline: nothing is known yet.
    pub(super) const NONE: Self = Self { busy: Duration::from_secs(3_600), wall: Duration::from_secs(3_600) };

    /// For mutants, by what the code as it is took.
    pub(super) fn of(took: Duration) -> Self {
        Self { busy: Duration::from_secs(3) + took * 5, wall: Duration::from_secs(60) + took * 20 }
    }
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
    command.args(["-c", LIMITS]).arg(&tests.binary).arg("--test-threads=1").current_dir(&tests.folder);
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
    let followed = followed(&mut child, begun, limit).map_err(cannot);
    end(&mut child).map_err(cannot)?;
    let reached = std::fs::read_to_string(reached).unwrap_or_default();
    std::fs::remove_dir_all(scratch).map_err(cannot)?;
    let (ending, tests) = followed?;
    Ok((
        ending,
        Took { wall: begun.elapsed(), tests, reached: reached.lines().filter_map(|line| line.parse().ok()).collect() },
    ))
}

fn followed(child: &mut Child, begun: Instant, limit: Limit) -> std::io::Result<(Ending, Vec<(String, Duration)>)> {
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
    let mut passed = Vec::new();
    let mut last = begun;
    let mut looked = begun;
    loop {
        match told.recv_timeout(LOOK) {
            Ok(line) => match result(&String::from_utf8_lossy(&line)) {
                Some((_, false)) => return Ok((Ending::Failed, passed)),
                Some((name, true)) => {
                    passed.push((name.to_owned(), last.elapsed()));
                    last = Instant::now();
                }
                None => {}
            },
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_millis(2)),
        }
        if let Some(status) = child.try_wait()? {
            // What it said last may still be on its way.
            let rest = told.recv_timeout(LOOK).into_iter().chain(told.try_iter());
            for line in rest {
                if let Some((name, true)) = result(&String::from_utf8_lossy(&line)) {
                    passed.push((name.to_owned(), last.elapsed()));
                }
            }
            return Ok((if status.success() { Ending::Passed } else { Ending::Failed }, passed));
        }
        if looked.elapsed() > LOOK {
            looked = Instant::now();
            if time_of(child.id()) > limit.busy || begun.elapsed() > limit.wall {
                return Ok((Ending::Late, passed));
            }
        }
    }
}

/// What a line of libtest's says of a test: its name, and whether it has passed. (One that is ignored says neither.)
fn result(line: &str) -> Option<(&str, bool)> {
    let (name, word) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    match word {
        "ok" => Some((name.strip_suffix(" - should panic").unwrap_or(name), true)),
        "FAILED" => Some((name, false)),
        _ => None,
    }
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

fn ticks(stat: &str) -> Option<u64> {
    // The name before may have anything in it, also parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum()
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
        assert_eq!(ran("while true; do :; done", Limit { busy: short, ..Limit::NONE }), (Ending::Late, 0));
        assert!(begun.elapsed() < Duration::from_secs(300), "nothing was waited for");
    }

    #[test]
    fn a_line_about_a_test_is_told_from_others() {
        assert_eq!(result("test a::b ... FAILED"), Some(("a::b", false)));
        assert_eq!(result("test a::b - should panic ... ok"), Some(("a::b", true)));
        for line in ["test result: FAILED. 1 passed", "FAILED", "test a ... ignored, slow", "a ... ok"] {
            assert_eq!(result(line), None, "{line}");
        }
    }

    #[test]
    fn the_time_is_the_processes_and_its_childrens() {
        let stat = "42 (a) b)) S 1 42 42 0 -1 4194304 100 0 0 0 30 4 2 1 20 0 1 0 12345 1000 10";
        assert_eq!(ticks(stat), Some(37));
        assert_eq!(ticks("42"), None);
    }
}
