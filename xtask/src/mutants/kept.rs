//! The mutants that the committed outcomes are about, as far as their functions are still there: what can be told without
//! cargo-mutants, which would have to be built to list all that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::list::{self, Mutant};
use super::store::{Key, Outcomes};

/// The mutants with an outcome whose code is as it was.
pub(super) fn of(root: &Path, known: &Outcomes) -> Result<Vec<Mutant>, String> {
    let mut sources = BTreeMap::new();
    let mut mutants = Vec::new();
    for [file, place, hash, what] in known.keys() {
        if !sources.contains_key(file) {
            sources.insert(file.clone(), hashes(root, file)?);
        }
        if sources[file].contains(hash) {
            mutants.push(mutant([file, place, hash, what].map(String::clone)));
        }
    }
    Ok(mutants)
}

fn mutant([file, place, hash, what]: Key) -> Mutant {
    // `journal/src/log.rs` is of recover-journal.
    let package = format!("recover-{}", file.split('/').next().unwrap_or_default());
    let name = format!("{file}: {place}: {what}");
    Mutant { package, name, file, place, what, hash, ..Mutant::default() }
}

/// The hashes of everything in a file that a mutant can be known by: its functions, and single lines outside of them.
fn hashes(root: &Path, file: &str) -> Result<BTreeSet<String>, String> {
    let source = match std::fs::read_to_string(root.join(file)) {
        Ok(source) => source,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(e) => return Err(format!("cannot read {file}: {e}")),
    };
    let parsed = syn::parse_file(&source).map_err(|e| format!("cannot parse {file}: {e}"))?;
    let mut functions = Functions::default();
    functions.visit_file(&parsed);
    let lines: Vec<&str> = source.lines().collect();
    let whole = functions.0.into_iter().filter_map(|(first, last)| lines.get(first - 1..last));
    let single = lines.iter().map(std::slice::from_ref);
    Ok(whole.chain(single).map(|part| list::hash(part.iter().copied())).collect())
}

/// The first and the last line of each function.
#[derive(Default)]
struct Functions(Vec<(usize, usize)>);

impl Functions {
    fn found(&mut self, whole: Span) {
        self.0.push((whole.start().line, whole.end().line));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.found(item.span());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.found(item.span());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.found(item.span());
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec;

    #[test]
    fn the_outcomes_are_of_code_that_is_there_and_one_of_code_that_has_changed_is_left_out() {
        let root = exec::root();
        let known = Outcomes::read(&root.join("tests/mutants/outcomes.tsv")).unwrap();
        let mutants = of(&root, &known).unwrap();
        // A function that was changed a moment ago loses its outcomes; not half of them at once.
        assert!(mutants.len() * 2 > known.keys().count());
        let path = std::env::temp_dir().join(format!("kept-{}.tsv", std::process::id()));
        let gone = "engine/src/brake.rs\t+1:9\t0000000000000000\tcaught\treplace f with ()\n";
        std::fs::write(&path, gone).unwrap();
        let known = Outcomes::read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!((known.keys().count(), of(&root, &known).unwrap().len()), (1, 0));
    }

    #[test]
    fn a_mutant_is_of_the_package_whose_folder_it_is_in() {
        let mutant = mutant(["steps/src/token.rs", "+1:9", "0", "replace f"].map(str::to_owned));
        assert_eq!((mutant.package.as_str(), mutant.file.as_str()), ("recover-steps", "steps/src/token.rs"));
    }
}
