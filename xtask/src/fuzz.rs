//! The fuzz lane: every target of fuzz/ under libFuzzer for a bounded time.

use std::path::Path;
use std::process::Command;

use crate::args::Bound;
use crate::exec;
use crate::lane::{Lane, Outcome};
use crate::parallel;
use crate::profile::Profile;
use crate::tools;

/// An input longer than this is not tried: nothing in a record needs it, and long inputs are slow. Bytes.
const INPUT_LEN_MAX: u32 = 16 * 1024;

/// The targets whose input is read as choices, not as a format.
const CHOICES: [&str; 2] = ["advance", "frame"];

/// So many executions are a night's work, of all targets together.
const NIGHT: u64 = 1_000_000_000;

/// How long each target runs at a stretch in a night. Seconds.
const STRETCH: u32 = 600;

/// Runs these targets, or all of them.
pub(crate) fn lane(targets: &[String], bound: Bound, profile: Profile) -> Lane {
    Lane::run("fuzz", || fuzz(targets, bound, profile).unwrap_or_else(Outcome::failed))
}

fn fuzz(chosen: &[String], bound: Bound, profile: Profile) -> Result<Outcome, String> {
    let known = targets()?;
    if let Some(unknown) = chosen.iter().find(|name| !known.contains(name)) {
        return Err(format!("there is no fuzz target `{unknown}`; there are: {}", known.join(", ")));
    }
    let chosen = if chosen.is_empty() { &known } else { chosen };
    tools::FUZZ.binary()?;
    if !exec::run(&mut cargo_fuzz("build", profile))?.ok {
        return Err(
            "the targets could not be built; libFuzzer needs a C++ compiler (Debian: apt-get install g++)".into()
        );
    }
    let mut executions = 0;
    loop {
        let seconds = match bound {
            Bound::Seconds(seconds) => seconds,
            Bound::Night => STRETCH,
        };
        let (outcome, runs) = stretch(chosen, seconds, profile)?;
        executions += runs;
        println!("fuzz: {} targets, {executions} executions", chosen.len());
        if outcome.failure.is_some() || bound != Bound::Night || executions >= NIGHT {
            return Ok(outcome);
        }
    }
}

/// Runs each target for so long, as many at once as there are processors; and how many executions that were.
fn stretch(targets: &[String], seconds: u32, profile: Profile) -> Result<(Outcome, u64), String> {
    let at_once = parallel::processors().min(targets.len());
    let work = |_, target: &String| {
        let log = exec::root().join(format!("target/fuzz-{target}.log"));
        Ok(run(target, seconds, profile).and_then(|mut run| exec::run_quietly(&mut run, &log)))
    };
    let mut all: Vec<_> =
        parallel::each(at_once, targets, work)?.into_iter().map(|(at, ran)| (&targets[at], ran)).collect();
    all.sort_by_key(|(target, _)| *target);
    let (mut outcome, mut broken, mut executions) = (Outcome::default(), Vec::new(), 0);
    for (target, ran) in all {
        let ran = ran?;
        // libFuzzer's own last word. Without it, it did not end by itself.
        match ran.tail.iter().find_map(|line| Some((line, runs_of(line)?))) {
            Some((done, runs)) if ran.ok => {
                executions += runs;
                outcome.notes.push(format!("{target}: {done}, nothing found"));
            }
            _ => {
                ran.tail.iter().for_each(|line| eprintln!("{line}"));
                broken.push(target.as_str());
            }
        }
    }
    if !broken.is_empty() {
        outcome.failure = Some(format!("found something: {}; the inputs are in fuzz/artifacts", broken.join(", ")));
    }
    Ok((outcome, executions))
}

/// The executions in `Done 433933 runs in 31 second(s)`.
fn runs_of(line: &str) -> Option<u64> {
    line.strip_prefix("Done ")?.split_once(" runs in ")?.0.parse().ok()
}

/// The targets: the files of fuzz/fuzz_targets.
fn targets() -> Result<Vec<String>, String> {
    let folder = exec::root().join("fuzz/fuzz_targets");
    let files = std::fs::read_dir(&folder).map_err(|e| format!("cannot read {}: {e}", folder.display()))?;
    let mut targets: Vec<String> =
        files.filter_map(|file| file.ok()?.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned)).collect();
    targets.sort();
    if targets.is_empty() { Err(format!("{} has no target", folder.display())) } else { Ok(targets) }
}

/// `cargo fuzz`, as a plugin of the cargo that runs us, on whatever channel it is. Without a sanitizer: what is fuzzed has no
/// `unsafe`, so there is nothing for it to find, and it makes everything nine times slower.
fn cargo_fuzz(verb: &str, profile: Profile) -> Command {
    let mut path = tools::folder().join("bin").into_os_string();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    let mut command = exec::cargo(&["fuzz", verb, "--sanitizer", "none"]);
    // It knows these two profiles; what they are is in fuzz/Cargo.toml.
    if profile != Profile::Release {
        command.arg("--dev");
    }
    command.env("PATH", path).env("RUSTC_BOOTSTRAP", "1").env_remove("RUSTFLAGS");
    command
}

fn run(target: &str, seconds: u32, profile: Profile) -> Result<Command, String> {
    let root = exec::root();
    let found = root.join("target/fuzz-corpus").join(target);
    std::fs::create_dir_all(&found).map_err(|e| format!("cannot make {}: {e}", found.display()))?;
    let mut command = cargo_fuzz("run", profile);
    // libFuzzer writes to the first folder and only reads the others: the committed corpus stays as it is.
    command.arg(target).arg(found);
    existing(&root.join("fuzz/corpus").join(target)).map(|corpus| command.arg(corpus));
    command.args(["--", &format!("-max_total_time={seconds}"), &format!("-max_len={INPUT_LEN_MAX}")]);
    command.args(["-timeout=10", "-rss_limit_mb=2048"]);
    // The bytes of these targets are choices: what is compared in there is ours, and tracing it halves the speed.
    command.arg(format!("-use_value_profile={}", u8::from(!CHOICES.contains(&target))));
    let dictionary = root.join("fuzz/dictionaries").join(format!("{target}.dict"));
    existing(&dictionary).map(|file| command.arg(format!("-dict={}", file.display())));
    Ok(command)
}

fn existing(path: &Path) -> Option<&Path> {
    path.exists().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::runs_of;

    #[test]
    fn the_last_word_of_a_run_is_counted() {
        assert_eq!(runs_of("Done 433933 runs in 31 second(s)"), Some(433_933));
        for other in ["Done", "done 1 runs in 2 second(s)", "Done many runs in 2 second(s)"] {
            assert_eq!(runs_of(other), None, "{other}");
        }
    }
}
