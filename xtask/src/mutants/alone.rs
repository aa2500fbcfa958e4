//! Runs mutants with a build for each, by cargo-mutants: those that cannot be put into one build with the others. And the copy of the
//! tree that all of them are run in, so that the tree can be worked in meanwhile.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::list::Mutant;
use super::store::{Outcomes, Verdict};
use super::{Package, Round};
use crate::{exec, tools};

/// How many are run before what came of them is written: what is stopped loses no more than that.
const BATCH: usize = 5;

fn folder() -> PathBuf {
    exec::root().join("target/mutants")
}

/// A copy of what git knows or would know. Files that are the same are left alone, so that little is built anew; what a run
/// that was stopped left changed is put right.
pub(crate) fn tree() -> Result<PathBuf, String> {
    let tree = folder().join("tree");
    let mut list = exec::command("git");
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = list.output().map_err(|e| format!("git could not be started: {e}"))?;
    if !listed.status.success() {
        return Err(format!("git cannot list the files: {}", String::from_utf8_lossy(&listed.stderr)));
    }
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for file in listed.split('\0').filter(|file| !file.is_empty()) {
        let (from, to) = (exec::root().join(file), tree.join(file));
        copy(&from, &to).map_err(|e| format!("cannot copy {file} to {}: {e}", tree.display()))?;
    }
    Ok(tree)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let bytes = match std::fs::read(from) {
        Ok(bytes) => bytes,
        // Git knows it, and it has been removed.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return if to.exists() { std::fs::remove_file(to) } else { Ok(()) };
        }
        Err(e) => return Err(e),
    };
    if std::fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(to, bytes)
}

/// Runs these mutants of a package, and keeps what came of them.
pub(super) fn run(tree: &Path, package: &Package, todo: &[&Mutant], known: &mut Outcomes) -> Result<(), String> {
    let mut limits = vec![None; package.rounds.len()];
    for batch in todo.chunks(BATCH) {
        let mut alive = batch.to_vec();
        for (round, limit) in package.rounds.iter().zip(&mut limits) {
            if alive.is_empty() {
                break;
            }
            let limit = match *limit {
                Some(limit) => limit,
                None => *limit.insert(unmutated(tree, round)?),
            };
            alive = mutated(tree, package, round, limit, &alive, known)?;
        }
        known.write()?;
    }
    Ok(())
}

/// The tests must pass on what was not changed; how long they may take on what was.
fn unmutated(tree: &Path, round: &Round) -> Result<Duration, String> {
    let mut command = exec::cargo(&["test", "--quiet"]);
    command
        .args(round.packages.iter().map(|package| format!("--package={package}")))
        .args(round.targets)
        .current_dir(tree);
    surroundings(&mut command);
    let why = "the tests do not pass on the code as it is";
    // Once to build, once to see how long they take.
    if !exec::run(&mut command)?.ok {
        return Err(why.into());
    }
    let begun = Instant::now();
    if exec::run(&mut command)?.ok { Ok(Duration::from_secs(5) + begun.elapsed() * 3) } else { Err(why.into()) }
}

/// Runs one round over mutants; those that survived it.
fn mutated<'a>(
    tree: &Path,
    package: &Package,
    round: &Round,
    limit: Duration,
    todo: &[&'a Mutant],
    known: &mut Outcomes,
) -> Result<Vec<&'a Mutant>, String> {
    let out = folder().join("out");
    if out.exists() {
        std::fs::remove_dir_all(&out).map_err(|e| format!("cannot remove {}: {e}", out.display()))?;
    }
    std::fs::create_dir_all(&out).map_err(|e| format!("cannot make {}: {e}", out.display()))?;
    let mut command = exec::command(tools::MUTANTS.binary()?);
    command.args(["mutants", "--in-place", "--baseline=skip", "--no-shuffle", "--colors=never", "--no-times", "-d"]);
    command.arg(tree).arg("-o").arg(&out);
    command.args(["-p", package.name, "--test-package", &round.packages.join(",")]);
    command.arg(format!("--timeout={}", limit.as_secs()));
    command.args(round.targets.iter().map(|target| format!("--cargo-test-arg={target}")));
    command.args(todo.iter().map(|mutant| format!("--re=^{}$", literal(&mutant.name))));
    // Not every kind is chosen by its name: without the files it would run those of the whole package.
    command.args(
        todo.iter().map(|mutant| &mutant.file).collect::<BTreeSet<_>>().iter().map(|file| format!("--file={file}")),
    );
    surroundings(&mut command);
    eprintln!("{} mutants of {}, against {}", todo.len(), package.name, round.targets.join(" "));
    // It exits with an error if something survived, so its lists are asked and not its exit code.
    let output = command.output().map_err(|e| format!("cargo-mutants could not be started: {e}"))?;
    // A command line that cargo refuses, or a full disk, would make every mutant look unviable.
    let unviable = lines(&out.join("mutants.out/unviable.txt"))?.len();
    let refused = refused_by_the_compiler(&out.join("mutants.out/log"))?;
    if refused < unviable {
        return Err(format!(
            "{unviable} mutants did not build, but only {refused} because of the compiler: see {}",
            out.display()
        ));
    }
    let mut survivors = Vec::new();
    let mut counted = 0;
    for verdict in Verdict::ALL {
        let names = lines(&out.join("mutants.out").join(format!("{}.txt", verdict.word())))?;
        for mutant in todo.iter().filter(|mutant| names.contains(&mutant.name)) {
            known.set(mutant, verdict);
            counted += 1;
            if verdict == Verdict::Missed {
                survivors.push(*mutant);
            }
        }
    }
    if counted == todo.len() {
        return Ok(survivors);
    }
    Err(format!("{counted} of {} have an outcome\n{}", todo.len(), String::from_utf8_lossy(&output.stderr)))
}

fn lines(path: &Path) -> Result<Vec<String>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// How many of these logs say that the compiler refused the code.
fn refused_by_the_compiler(logs: &Path) -> Result<usize, String> {
    let cannot = |e: std::io::Error| format!("cannot read {}: {e}", logs.display());
    let mut refused = 0;
    for log in std::fs::read_dir(logs).map_err(cannot)? {
        let text = std::fs::read(log.map_err(cannot)?.path()).map_err(cannot)?;
        refused += usize::from(String::from_utf8_lossy(&text).contains("error: could not compile"));
    }
    Ok(refused)
}

/// A target folder of its own: the tree itself, built there too, would take what was built of a mutant for its own. And nothing
/// for a debugger: linking is most of what a mutant costs. A little optimised, since the tests that try every bit run for long.
pub(super) fn surroundings(command: &mut Command) {
    command.env("CARGO_TARGET_DIR", folder().join("build")).env_remove("RUSTFLAGS");
    command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
}

/// A text as a regular expression that is that text.
fn literal(text: &str) -> String {
    let escaped =
        |c: char| if c.is_ascii_punctuation() && !"<>_ ".contains(c) { format!("\\{c}") } else { c.to_string() };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_as_a_regular_expression_is_that_name() {
        assert_eq!(
            literal("a.rs:1:5: replace f -> Vec<u8> with vec![]"),
            r"a\.rs\:1\:5\: replace f \-> Vec<u8> with vec\!\[\]"
        );
    }
}
