//! Builds a package with all its mutants in it; those that the compiler refuses are taken out on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::list::Mutant;
use super::switch::{self, Blame, Switched};
use super::{Package, Round, alone};
use crate::exec;

/// How often what was refused is taken out: a mutant can hide what is wrong with another one from the compiler.
const ROUNDS: usize = 12;
/// What the compiler says of a value or an operator that does not fit: it says so of the same code at the same place too, if it
/// is there alone. (Of what is borrowed or moved it might not.)
const TYPES: &[&str] = &[
    "E0015", "E0061", "E0063", "E0080", "E0107", "E0277", "E0282", "E0283", "E0308", "E0369", "E0423", "E0425",
    "E0433", "E0599", "E0600", "E0614",
];

/// A binary of tests.
#[derive(Clone, Debug)]
pub(super) struct Tests {
    pub(super) binary: PathBuf,
    /// The folder of its package, where it is run.
    pub(super) folder: PathBuf,
}

/// What can be built.
#[derive(Debug, Default)]
pub(super) struct Built {
    /// The compiler refused them, for what they are: by their numbers, as the rest.
    pub(super) unviable: BTreeSet<u32>,
    /// They could not be put in beside others: they need a build of their own.
    pub(super) left: BTreeSet<u32>,
    /// They are in the build, but what is evaluated while it is compiled goes past them.
    pub(super) early: BTreeSet<u32>,
}

/// Puts these mutants of a package, each with its number, into the copied tree, so that it builds.
pub(super) fn build(tree: &Path, package: &Package, mutants: &[(u32, &Mutant)]) -> Result<Built, String> {
    let mut files: BTreeMap<&str, Vec<(u32, &Mutant)>> = BTreeMap::new();
    for (number, mutant) in mutants {
        files.entry(&mutant.file).or_default().push((*number, *mutant));
    }
    let root = root_of(&files)?;
    // Its root has the switch in it, also if it has no mutant.
    files.entry(&root).or_default();
    let mut built = Built::default();
    for _ in 0..ROUNDS {
        let out: BTreeSet<u32> = built.unviable.union(&built.left).copied().collect();
        let made = put(tree, &root, &files, &out)?;
        built.left.extend(made.values().flat_map(|made| &made.left));
        built.early.extend(made.values().flat_map(|made| &made.early));
        let errors = errors(tree, package)?;
        if errors.is_empty() {
            built.early.retain(|number| !out.contains(number));
            return Ok(built);
        }
        let before = built.unviable.len() + built.left.len();
        for error in &errors {
            match blamed(error, &root, &made)? {
                Blame::Own(number) if TYPES.contains(&error.code.as_str()) => {
                    built.unviable.insert(number);
                }
                Blame::Own(number) => {
                    built.left.insert(number);
                }
                Blame::Around(numbers) => built.left.extend(numbers),
            }
        }
        built.left.retain(|number| !built.unviable.contains(number));
        let refused = built.unviable.len() + built.left.len();
        if refused == before {
            return Err(format!("the compiler refuses what is not in question: {:?}", errors.first()));
        }
        eprintln!("{refused} mutants of {} are out of the build that has them all", package.name);
    }
    Err(format!("{} does not build after {ROUNDS} rounds", package.name))
}

/// Where the crate begins.
fn root_of(files: &BTreeMap<&str, Vec<(u32, &Mutant)>>) -> Result<String, String> {
    let file = files.keys().next().ok_or("there is nothing to build")?;
    let (folder, _) = file.split_once("/src/").ok_or_else(|| format!("{file} is in no crate"))?;
    Ok(format!("{folder}/src/lib.rs"))
}

/// Writes the files, without the mutants that are out.
fn put<'a>(
    tree: &Path,
    root: &str,
    files: &BTreeMap<&'a str, Vec<(u32, &Mutant)>>,
    out: &BTreeSet<u32>,
) -> Result<BTreeMap<&'a str, Switched>, String> {
    let mut all = BTreeMap::new();
    for (file, mutants) in files {
        let source =
            std::fs::read_to_string(exec::root().join(file)).map_err(|e| format!("cannot read {file}: {e}"))?;
        let mutants: Vec<(u32, &Mutant)> =
            mutants.iter().filter(|(number, _)| !out.contains(number)).copied().collect();
        let made = switch::switched(&source, &mutants).map_err(|e| format!("{file}: {e}"))?;
        let text =
            if *file == root { format!("{}{}{}", switch::HEAD, made.text, switch::SWITCH) } else { made.text.clone() };
        let to = tree.join(file);
        // A file that stays as it is need not be built again.
        if std::fs::read_to_string(&to).is_ok_and(|old| old != text) {
            std::fs::write(&to, text).map_err(|e| format!("cannot write {}: {e}", to.display()))?;
        }
        all.insert(*file, made);
    }
    Ok(all)
}

/// An error of the compiler, at its place in the tree.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    code: String,
    /// Where it is, and if that is in a macro, where that was called, and so on outwards.
    places: Vec<(String, Range<usize>)>,
    message: String,
}

fn errors(tree: &Path, package: &Package) -> Result<Vec<Refused>, String> {
    // With what its own tests switch on in it.
    let mut command = exec::cargo(&["check", "--quiet", "--message-format=json", "--lib", "--all-features"]);
    command.arg("-p").arg(package.name);
    let (ok, messages) = asked(&mut command, tree, package)?;
    let errors: Vec<Refused> = messages.iter().filter_map(refused).collect();
    if ok || !errors.is_empty() { Ok(errors) } else { Err(format!("{} cannot be built", package.name)) }
}

/// Runs cargo for the tree, and gives what it says in JSON.
fn asked(command: &mut std::process::Command, tree: &Path, package: &Package) -> Result<(bool, Vec<Value>), String> {
    command.current_dir(tree);
    alone::surroundings(command);
    // For this crate alone: a `const fn` that asks whether it is being compiled is not stable.
    command.env("RUSTC_BOOTSTRAP", package.name.replace('-', "_"));
    let output = command.stderr(std::process::Stdio::inherit()).output();
    let output = output.map_err(|e| format!("cargo could not be started: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((output.status.success(), text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()))
}

/// What a message of cargo's says of an error, if it is one with a place.
fn refused(message: &Value) -> Option<Refused> {
    let message = &message["message"];
    if message["level"] != "error" {
        return None;
    }
    let span = message["spans"].as_array()?.iter().find(|span| span["is_primary"] == true)?;
    let mut places = Vec::new();
    let mut next = Some(span);
    while let Some(span) = next.filter(|span| span.is_object()) {
        let byte = |key: &str| span[key].as_u64().and_then(|byte| usize::try_from(byte).ok());
        places.push((span["file_name"].as_str()?.to_owned(), byte("byte_start")?..byte("byte_end")?));
        next = Some(&span["expansion"]["span"]);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(Refused { code: text(&message["code"]["code"]), places, message: text(&message["message"]) })
}

fn blamed(error: &Refused, root: &str, made: &BTreeMap<&str, Switched>) -> Result<Blame, String> {
    for (file, bytes) in &error.places {
        let Some(made) = made.get(file.as_str()) else { continue };
        let head = if file == root { switch::HEAD.len() } else { 0 };
        let Some(bytes) = bytes.start.checked_sub(head).map(|start| start..bytes.end - head) else { continue };
        if let Some(blame) = made.blame(&bytes) {
            return Ok(blame);
        }
    }
    Err(format!("the compiler refuses what is of no mutant: {error:?}"))
}

/// Builds the tests of a round, with the mutants that are in the tree.
pub(super) fn tests(tree: &Path, package: &Package, round: &Round) -> Result<Vec<Tests>, String> {
    let mut command = exec::cargo(&["test", "--no-run", "--quiet", "--message-format=json"]);
    command.args(round.packages.iter().map(|package| format!("--package={package}"))).args(round.targets);
    let (ok, messages) = asked(&mut command, tree, package)?;
    let tests: Vec<Tests> = messages.iter().filter_map(binary).collect();
    if ok && !tests.is_empty() { Ok(tests) } else { Err(format!("{} does not build", round.targets.join(" "))) }
}

fn binary(message: &Value) -> Option<Tests> {
    let binary = message["executable"].as_str()?.into();
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
    (message["profile"]["test"] == true).then_some(Tests { binary, folder })
}

#[cfg(test)]
mod tests_of_it {
    use super::super::list::Change;
    use super::*;

    fn message(level: &str, start: usize, end: usize, expansion: &Value) -> Value {
        let span = serde_json::json!({ "is_primary": true, "file_name": "a/src/b.rs", "byte_start": start, "byte_end": end,
            "expansion": expansion });
        serde_json::json!({ "message": { "level": level, "message": "no", "code": { "code": "E0277" }, "spans": [span] } })
    }

    #[test]
    fn an_error_is_found_at_its_place_and_a_warning_is_none() {
        assert_eq!(refused(&message("warning", 1, 2, &Value::Null)), None);
        assert_eq!(refused(&message("error", 1, 2, &Value::Null)).unwrap().places, [("a/src/b.rs".into(), 1..2)]);
    }

    #[test]
    fn an_error_in_a_macro_is_blamed_where_the_macro_was_called() {
        let source = "fn f() -> Vec<u8> { g() }";
        let change = Change { genre: "FnValue".into(), line: 1, column: 21, replacement: "vec![xx]".into() };
        let mutant = Mutant { change, ..Mutant::default() };
        let made = switch::switched(source, &[(7, &mutant)]).unwrap();
        let at = made.text.find("vec!").unwrap();
        let called = serde_json::json!({ "span": { "file_name": "a/src/b.rs", "byte_start": at, "byte_end": at + 8 } });
        let mut message = message("error", 1, 2, &called);
        message["message"]["spans"][0]["file_name"] = "/rust/macros.rs".into();
        let error = refused(&message).unwrap();
        assert_eq!(blamed(&error, "a/src/lib.rs", &BTreeMap::from([("a/src/b.rs", made)])), Ok(Blame::Own(7)));
        assert!(blamed(&error, "a/src/lib.rs", &BTreeMap::new()).is_err());
    }

    #[test]
    fn a_binary_of_tests_is_told_from_others() {
        let message = |test: bool| serde_json::json!({ "executable": "/t/x", "manifest_path": "/p/Cargo.toml", "profile": { "test": test } });
        assert!(binary(&message(false)).is_none());
        let Tests { binary, folder } = binary(&message(true)).unwrap();
        assert_eq!((binary.as_path(), folder.as_path()), (Path::new("/t/x"), Path::new("/p")));
    }
}
