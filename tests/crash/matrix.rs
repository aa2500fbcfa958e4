//! The parent: kills the child at every point, resumes it, and asks the sandbox what really happened.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::Value;

use crate::sandbox::Sandbox;

/// A run that is not over after so many resumes goes in circles.
const RESUMES_MAX: u32 = 8;

/// One way for the world to misbehave: a fault of the sandbox and the request it hits.
const FAULTS: &[Option<(&str, &str)>] = &[
    None,
    Some(("drop-reply", "mint")),
    Some(("drop-reply", "pair")),
    Some(("drop-reply", "revoke")),
    Some(("drop-reply", "status")),
    Some(("duplicate", "mint")),
    Some(("duplicate", "pair")),
    Some(("duplicate", "revoke")),
    Some(("refuse", "mint")),
    Some(("refuse", "pair")),
    Some(("refuse", "revoke")),
    Some(("error=500", "mint")),
    Some(("error=503", "pair")),
    Some(("error=500", "status")),
    Some(("delay=300", "mint")),
    Some(("delay=300", "pair")),
];

#[derive(Default)]
struct Count {
    kills: u64,
    second_kills: u64,
    schedules: u64,
    problems: Vec<String>,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.second_kills += other.second_kills;
        self.schedules += other.schedules;
        self.problems.extend(other.problems);
    }
}

/// Branches at once, each on a sandbox of its own: a resume waits for its connector most of the time.
const AT_ONCE: usize = 4;

/// A way through the procedure and a fault of the world.
type Branch = (bool, Option<(&'static str, &'static str)>);

pub fn main() -> ExitCode {
    let full = std::env::var("RECOVER_CRASH").is_ok_and(|mode| mode == "full");
    // Part of a name, to look at one branch alone.
    let only = std::env::var("RECOVER_CRASH_ONLY").ok();
    let wanted = |branch: &Branch| only.as_ref().is_none_or(|only| name_of(*branch).contains(only));
    let gone = FAULTS.iter().map(|fault| (false, *fault));
    // The kept original needs no authority's tokens: only what it asks of it can fail.
    let kept =
        FAULTS.iter().map(|fault| (true, *fault)).filter(|(_, fault)| fault.is_none_or(|(_, on)| on == "status"));
    let branches: Vec<Branch> = gone.chain(kept).filter(wanted).collect();
    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    let total = Mutex::new(Count::default());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(branches.len()) {
            scope.spawn(|| {
                let mut sandbox = Sandbox::up();
                while let Some((keep, fault)) = branches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut count = Count::default();
                    branch(&mut sandbox, *keep, *fault, fault.is_none() || full, full, &mut count);
                    for problem in &count.problems {
                        println!("crash: PROBLEM {problem}");
                    }
                    let (name, problems) = (name_of((*keep, *fault)), count.problems.len());
                    println!(
                        "crash: {name}: {} schedules, {problems} problems; {} s",
                        count.schedules,
                        begun.elapsed().as_secs()
                    );
                    total.lock().unwrap().add(count);
                }
            });
        }
    });
    let count = total.into_inner().unwrap();
    let of = |word: &str| count.problems.iter().filter(|problem| problem.contains(word)).count();
    println!(
        "crash: {} kill points, {} second kills, {} schedules, {} lost, {} duplicate; {} s",
        count.kills,
        count.second_kills,
        count.schedules,
        of("lost: the"),
        of("duplicate:"),
        begun.elapsed().as_secs()
    );
    let failed = u32::from(!count.problems.is_empty());
    println!(
        "test result: {}. {} passed; {failed} failed; 0 ignored",
        if failed == 0 { "ok" } else { "FAILED" },
        1 - failed
    );
    ExitCode::from(u8::from(failed > 0))
}

fn name_of((keep, fault): Branch) -> String {
    let kept = if keep { "kept" } else { "gone" };
    format!("original {kept}, fault {}", fault.map_or("none".to_owned(), |(kind, on)| format!("{kind} on {on}")))
}

/// Kills at every point of a run; at every point, or at a sample, of its resume a second time.
fn branch(sandbox: &mut Sandbox, keep: bool, fault: Option<(&str, &str)>, every: bool, full: bool, count: &mut Count) {
    let mut first = 1;
    loop {
        let state = tempfile::tempdir().unwrap();
        set_up(sandbox, keep, fault);
        let killed = child(sandbox, state.path(), first);
        if killed.status.signal().is_none() {
            finish(sandbox, state.path(), killed, keep, &format!("no kill, fault {fault:?}"), count);
            return;
        }
        count.kills += 1;
        let resumed = child(sandbox, state.path(), 0);
        let points = burnt(&resumed);
        finish(sandbox, state.path(), resumed, keep, &format!("killed at {first}, fault {fault:?}"), count);
        let second: Vec<u64> = match (full, every) {
            (true, _) => (1..=points).collect(),
            // A spread that is another one at each first point, so that together they cover the resume.
            (false, true) => (1..=points).filter(|n| n % 24 == first % 24).collect(),
            (false, false) => Vec::new(),
        };
        for point in second {
            let state = tempfile::tempdir().unwrap();
            set_up(sandbox, keep, fault);
            let _first = child(sandbox, state.path(), first);
            let again = child(sandbox, state.path(), point);
            let at = format!("killed at {first} and again at {point}, fault {fault:?}");
            if again.status.signal().is_some() {
                count.second_kills += 1;
            }
            finish(sandbox, state.path(), again, keep, &at, count);
        }
        first += if every { 1 } else { 3 };
    }
}

fn set_up(sandbox: &mut Sandbox, keep: bool, fault: Option<(&str, &str)>) {
    sandbox.command(&["fault", "clear"]);
    sandbox.command(&["up"]);
    if !sandbox.has_identity() {
        // The schedule before left it lost, and that was counted: the next one begins anew.
        *sandbox = Sandbox::up();
    }
    sandbox.lose(keep);
    if let Some((kind, on)) = fault {
        sandbox.command(&["fault", kind, "--on", on]);
    }
}

fn child(sandbox: &Sandbox, state: &Path, fuse: u64) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .arg("child")
        .arg(sandbox.config())
        .arg(state.join("state"))
        .arg(fuse.to_string())
        .output()
        .unwrap()
}

fn burnt(output: &Output) -> u64 {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().find_map(|line| line.strip_prefix("burnt ")).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Resumes until the run is over, then compares with what the sandbox's own ledger says.
fn finish(sandbox: &Sandbox, state: &Path, mut last: Output, keep: bool, at: &str, count: &mut Count) {
    count.schedules += 1;
    for _ in 0..RESUMES_MAX {
        if last.status.success() || last.status.code() == Some(2) {
            break;
        }
        last = child(sandbox, state, 0);
    }
    let branch = if keep { "kept" } else { "gone" };
    let mut problem = |what: String| count.problems.push(format!("original {branch}, {at}: {what}"));
    if !last.status.success() {
        problem(format!(
            "not recovered: {} {}",
            String::from_utf8_lossy(&last.stdout).trim(),
            String::from_utf8_lossy(&last.stderr).trim()
        ));
    }
    let ledger = sandbox.ledger();
    let n = |key: &str| ledger[key].as_u64().unwrap_or(u64::MAX);
    let pairs = if keep { 0 } else { 1 };
    if n("pairs") > pairs {
        problem(format!("duplicate: {} pairings", n("pairs")));
    }
    if n("pairs") < pairs {
        problem("lost: the pairing".to_owned());
    }
    // The stale token of the kept branch is nobody's business there.
    if !keep && n("live_tokens") != 0 {
        problem(format!("{} tokens still work", n("live_tokens")));
    }
    if let Some(late) = acts_after(sandbox, &ledger) {
        problem(format!("an act after the run was closed: {late}"));
    }
}

/// Whatever of ours reaches the control plane once the run is closed.
fn acts_after(sandbox: &Sandbox, before: &Value) -> Option<String> {
    let calls = |ledger: &Value| {
        let ours =
            |call: &&Value| call["method"] == "POST" && call["path"].as_str().is_some_and(|p| p.contains("/tokens"));
        ledger["calls"].as_array().map_or(0, |calls| calls.iter().filter(ours).count())
    };
    let after = sandbox.ledger();
    (calls(&after) > calls(before)).then(|| after["calls"].to_string())
}
