//! The shape of the house: who depends on whom, what the pure crates leave out, and the rules that every file keeps.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as a test does")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One crate of the workspace, by the names of what it depends on.
#[derive(Default)]
struct Crate {
    /// What it is built from.
    built_from: BTreeSet<String>,
    /// And what only its tests use.
    tested_with: BTreeSet<String>,
}

fn strings<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The crates of the workspace, as cargo sees them.
fn crates() -> BTreeMap<String, Crate> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut crates = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let mut found = Crate::default();
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = strings(dependency, "name").to_owned();
            if strings(dependency, "kind") == "dev" {
                found.tested_with.insert(name);
            } else {
                found.built_from.insert(name);
            }
        }
        crates.insert(strings(package, "name").to_owned(), found);
    }
    crates
}

#[test]
fn dependencies_point_one_way() {
    let allowed = BTreeMap::from([
        ("recover-engine", &[] as &[&str]),
        ("recover-journal", &["recover-engine"]),
        ("recover-steps", &["recover-engine"]),
        ("recover-scenarios", &["recover-engine", "recover-steps"]),
        ("recover-adapters", &["recover-engine", "recover-steps"]),
        ("xtask", &[]),
    ]);
    let crates = crates();
    let ours = |name: &&String| crates.contains_key(*name);
    for (name, of) in &crates {
        // The binary sees everything; it must only not be seen.
        let may = match allowed.get(name.as_str()) {
            Some(may) => *may,
            None => {
                assert_eq!(name, "recover", "a new crate: give it its place in this test and in ARCHITECTURE.md");
                continue;
            }
        };
        // A crate whose tests need more of itself than others do names itself.
        let others = of.tested_with.iter().filter(|dependency| *dependency != name);
        for dependency in of.built_from.iter().chain(others).filter(ours) {
            assert!(may.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
        }
    }
    assert!(allowed.keys().all(|name| crates.contains_key(*name)), "a crate is gone: take it out of this test");
}

/// Every package of the lock file with what it is built from. Of registry packages the lock file names no tests' dependencies.
fn locked() -> BTreeMap<String, BTreeSet<String>> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let Some(name) = package.lines().find_map(|line| line.strip_prefix("name = ")) else { continue };
        let of = packages.entry(name.trim_matches('"').to_owned()).or_default();
        let listed =
            package.split("dependencies = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap_or_default();
        // "name" or "name version".
        of.extend(listed.split('"').skip(1).step_by(2).filter_map(|d| d.split(' ').next()).map(str::to_owned));
    }
    packages
}

/// Everything that a crate is built from, however far away.
fn everything_below(name: &str) -> BTreeSet<String> {
    let (crates, locked) = (crates(), locked());
    let mut below = BTreeSet::new();
    let mut todo = vec![name.to_owned()];
    while let Some(name) = todo.pop() {
        // Of our own crates the lock file does not tell what only tests use; cargo does.
        let of = crates.get(&name).map(|of| &of.built_from).or_else(|| locked.get(&name));
        for dependency in of.into_iter().flatten() {
            if below.insert(dependency.clone()) {
                todo.push(dependency.clone());
            }
        }
    }
    below
}

#[test]
fn the_pure_crates_are_built_from_nothing_that_acts() {
    for name in ["recover-engine", "recover-steps", "recover-scenarios"] {
        let below = everything_below(name);
        assert!(below.contains("serde"), "{name}: its dependencies were not found");
        for acting in
            ["tokio", "rand", "rand_core", "getrandom", "fastrand", "rustix", "nix", "mio", "socket2", "chrono"]
        {
            assert!(!below.contains(acting), "{name} is built from {acting}");
        }
    }
    assert!(!everything_below("recover-journal").contains("tokio"), "the journal has threads of its own, no tokio");
}

#[test]
fn the_pure_crates_read_no_clock_no_file_no_socket_and_start_nothing() {
    let acting =
        ["std::fs", "std::net", "std::process", "std::thread", "std::env", "std::time::", "SystemTime", "Instant::now"];
    let mut seen = 0;
    for file in sources() {
        let path = relative(&file);
        if !["engine/src/", "steps/src/", "scenarios/src/"].iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        seen += 1;
        let text = std::fs::read_to_string(&file).unwrap();
        // What stands under `mod tests` at the end of a file is not built in.
        let built_in = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        for word in acting {
            assert!(
                !built_in.contains(word),
                "{path} names {word}: time, randomness and the outside come in as arguments"
            );
        }
    }
    assert!(seen > 20, "only {seen} files were found");
}

/// Every file of the repository that is ours: not what is built, fetched, found by the fuzzer, or git's own.
fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let skipped = ["target", ".git", "artifacts", "corpus", "coverage"].contains(&name.as_str());
            if path.is_dir() && !path.is_symlink() {
                if !skipped {
                    folders.push(path);
                }
            } else if !skipped {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn sources() -> Vec<PathBuf> {
    files().into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs")).collect()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().into_owned()
}

const LINES_MAX: usize = 500;

/// Longer than the rule allows, and how long: they may only shrink, and leave this list when they fit.
const TOO_LONG: &[(&str, usize)] = &[];

#[test]
fn every_source_file_says_what_it_is_for_and_has_an_end() {
    for file in sources() {
        let (path, text) = (relative(&file), std::fs::read_to_string(&file).unwrap());
        assert!(text.starts_with("//!"), "{path} does not begin with what it is for");
        let lines = text.lines().count();
        match TOO_LONG.iter().find(|(long, _)| *long == path) {
            Some((_, max)) => {
                assert!(lines <= *max, "{path} has grown to {lines} lines");
                assert!(lines > LINES_MAX, "{path} fits now: take it off the list");
            }
            None => assert!(lines <= LINES_MAX, "{path} has {lines} lines"),
        }
    }
    for (path, _) in TOO_LONG {
        assert!(root().join(path).exists(), "{path} is gone: take it off the list");
    }
}

#[test]
fn nothing_is_left_to_be_written() {
    // In two parts, so that this file is not found.
    let words = [concat!("todo", "!("), concat!("unimplemented", "!(")];
    for file in sources() {
        let text = std::fs::read_to_string(&file).unwrap();
        for word in words {
            assert!(!text.contains(word), "{} contains {word}", relative(&file));
        }
    }
}

#[test]
fn no_file_names_a_folder_of_somebodys_machine() {
    let folders = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    for file in files() {
        // What is not text has no words in it.
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        for folder in folders {
            assert!(!text.contains(folder), "{} names {folder}", relative(&file));
        }
    }
}

/// The rows of the connector's table that a test's name begins with, as in `c1_c7_what_is_held`.
fn rows_named(line: &str) -> Vec<u32> {
    let Some((_, name)) = line.split_once("fn ") else { return Vec::new() };
    let name = name.split(['(', '<']).next().unwrap_or_default();
    name.split('_').map_while(|word| word.strip_prefix('c')?.parse().ok()).collect()
}

#[test]
fn each_row_of_the_table_of_symptoms_has_tests_that_carry_its_name() {
    let rows: BTreeSet<u32> = (1..=14).collect();
    // What it is told by, and what the binary makes of it on a sandbox or a real system.
    for folders in [&["scenarios/tests/diagnosis"][..], &["tests/cli", "tests/real"]] {
        let of = |path: &PathBuf| folders.iter().any(|folder| relative(path).starts_with(folder));
        let texts = sources().into_iter().filter(of).map(|path| std::fs::read_to_string(path).unwrap());
        let named: BTreeSet<u32> =
            texts.flat_map(|text| text.lines().flat_map(rows_named).collect::<Vec<_>>()).collect();
        assert_eq!(&named & &rows, rows, "rows without a test in {folders:?}");
    }
}
