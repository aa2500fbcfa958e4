//! What can be mutated, and by what a mutant is known again after its file was edited elsewhere.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::{exec, tools};

/// What is test code although it is not below `cfg(test)`: the fault-injecting storage and the contract suite.
const NOT_JUDGED: &str = "journal/src/testing/**";
/// Tests that are built for loom alone, and that cargo-mutants does not know for tests.
const FOR_LOOM: &str = "loom_tests::";

/// What a mutant does, and where.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    /// Its kind, by cargo-mutants' word.
    pub(crate) genre: String,
    /// Where what is replaced begins, from 1.
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) replacement: String,
}

/// One change of one place of the source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mutant {
    pub(crate) package: String,
    /// As cargo-mutants names it, with line and column.
    pub(crate) name: String,
    pub(crate) file: String,
    /// Line within the function, and column.
    pub(crate) place: String,
    /// What is replaced with what, in which function.
    pub(crate) what: String,
    /// Of the function's text: an outcome holds as long as it does.
    pub(crate) hash: String,
    pub(crate) change: Change,
}

/// The mutants of a package, in the order of the source.
pub(crate) fn of(tree: &Path, package: &str) -> Result<Vec<Mutant>, String> {
    let mut command = exec::command(tools::MUTANTS.binary()?);
    command
        .args(["mutants", "--list", "--json", "--colors=never", "--exclude", NOT_JUDGED])
        .args(["--exclude-re", FOR_LOOM, "-p", package, "-d"])
        .arg(tree);
    let output = command.output().map_err(|e| format!("cargo-mutants could not be started: {e}"))?;
    if !output.status.success() {
        return Err(format!("cargo-mutants cannot list: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let listed: Vec<Value> = serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo-mutants' list: {e}"))?;
    if listed.is_empty() {
        return Err(format!("{package} has nothing to mutate"));
    }
    let mut sources = BTreeMap::new();
    let mutants = listed.iter().map(|entry| mutant(tree, entry, &mut sources));
    // The list does not leave out every kind by its name.
    mutants.filter(|mutant| !mutant.as_ref().is_ok_and(|mutant| mutant.what.contains(FOR_LOOM))).collect()
}

fn mutant(tree: &Path, entry: &Value, sources: &mut BTreeMap<String, String>) -> Result<Mutant, String> {
    let text =
        |key: &str| entry[key].as_str().map(str::to_owned).ok_or_else(|| format!("a mutant without `{key}`: {entry}"));
    let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
    let line = |span: &Value, end: &str| number(&span[end]["line"]);
    let (file, name) = (text("file")?, text("name")?);
    let own = &entry["span"];
    // A mutant outside of any function is known by its own lines.
    let around = entry["function"].get("span").unwrap_or(own);
    let (Some(first), Some(last), Some(at), Some(column)) =
        (line(around, "start"), line(around, "end"), line(own, "start"), number(&own["start"]["column"]))
    else {
        return Err(format!("a mutant without its place: {entry}"));
    };
    // `file:line:column: what`, where the file's name has no colon.
    let what = name.split_once(": ").map(|(_, what)| what.to_owned()).unwrap_or_default();
    if !sources.contains_key(&file) {
        let source = std::fs::read_to_string(tree.join(&file)).map_err(|e| format!("cannot read {file}: {e}"))?;
        sources.insert(file.clone(), source);
    }
    let lines = sources[&file].lines().skip(first.saturating_sub(1)).take(last + 1 - first);
    Ok(Mutant {
        package: text("package")?,
        place: format!("+{}:{column}", at.saturating_sub(first)),
        hash: hash(lines),
        change: Change { genre: text("genre")?, line: at, column, replacement: text("replacement")? },
        name,
        file,
        what,
    })
}

/// FNV-1a: the same on every machine and in every release of Rust, and nobody attacks it.
pub(super) fn hash<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let bytes = lines.flat_map(|line| line.bytes().chain([b'\n']));
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_elsewhere_in_the_file_leaves_a_mutant_what_it_is_and_one_in_its_function_does_not() {
        let known = |first: u64, source: &str| {
            let mut sources = BTreeMap::from([("a.rs".to_owned(), source.to_owned())]);
            let at = |line: u64| serde_json::json!({ "start": { "line": line, "column": 5 }, "end": { "line": line, "column": 9 } });
            let mut around = at(first);
            around["end"]["line"] = (first + 2).into();
            let name = format!("a.rs:{}:5: replace f -> bool with true", first + 1);
            let entry = serde_json::json!({ "package": "p", "file": "a.rs", "name": name, "span": at(first + 1), "function": { "span": around },
                "genre": "FnValue", "replacement": "true" });
            let Mutant { place, what, hash, .. } = mutant(Path::new("."), &entry, &mut sources).unwrap();
            (place, what, hash)
        };
        let f = "fn f() -> bool {\n    a < b\n}\n";
        let first = known(1, f);
        assert_eq!((first.0.as_str(), first.1.as_str()), ("+1:5", "replace f -> bool with true"));
        assert_eq!(first, known(3, &format!("//! New.\n\n{f}fn g() {{}}\n")));
        assert_ne!(first.2, known(1, &f.replace('<', ">")).2);
    }
}
