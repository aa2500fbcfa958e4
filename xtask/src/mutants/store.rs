//! The two committed files: what came of each mutant, and why a survivor is none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::list::Mutant;

/// What came of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A test failed.
    Caught,
    /// The tests did not end; that counts as caught.
    Timeout,
    /// The tests passed.
    Missed,
    /// It did not build.
    Unviable,
}

impl Verdict {
    pub(crate) const ALL: [Self; 4] = [Self::Caught, Self::Timeout, Self::Missed, Self::Unviable];

    /// Its word; cargo-mutants names its lists so too.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::Timeout => "timeout",
            Self::Missed => "missed",
            Self::Unviable => "unviable",
        }
    }

    /// Whether it built.
    pub(crate) const fn is_viable(self) -> bool {
        !matches!(self, Self::Unviable)
    }

    /// Whether the tests noticed.
    pub(crate) const fn is_killed(self) -> bool {
        matches!(self, Self::Caught | Self::Timeout)
    }
}

/// File, place, hash, what.
pub(crate) type Key = [String; 4];

fn key(mutant: &Mutant) -> Key {
    [mutant.file.clone(), mutant.place.clone(), mutant.hash.clone(), mutant.what.clone()]
}

/// What came of each mutant that was ever run and is still there.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    path: PathBuf,
    of: BTreeMap<Key, Verdict>,
    /// What came of those that were run in this process.
    new: BTreeMap<Key, Verdict>,
    /// What was read, and is of code that has changed.
    gone: BTreeSet<Key>,
}

impl Outcomes {
    /// Reads the file; without one nothing is known.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let mut of = BTreeMap::new();
        for [file, place, hash, word, what] in rows(&text(path)?)? {
            let known = Verdict::ALL.into_iter().find(|verdict| verdict.word() == word);
            of.insert([file, place, hash, what], known.ok_or_else(|| format!("`{word}` is no outcome of a mutant"))?);
        }
        Ok(Self { path: path.to_owned(), of, ..Self::default() })
    }

    /// Leaves what is about these mutants; how many were not.
    pub(crate) fn retain(&mut self, all: &[Mutant]) -> usize {
        let keys: BTreeSet<Key> = all.iter().map(key).collect();
        self.gone = self.of.keys().filter(|key| !keys.contains(*key)).cloned().collect();
        self.of.retain(|key, _| keys.contains(key));
        self.gone.len()
    }

    /// What there is an outcome of.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.of.keys()
    }

    /// What came of this one.
    pub(crate) fn of(&self, mutant: &Mutant) -> Option<Verdict> {
        self.of.get(&key(mutant)).copied()
    }

    /// Takes note of one.
    pub(crate) fn set(&mut self, mutant: &Mutant, verdict: Verdict) {
        self.of.insert(key(mutant), verdict);
        self.new.insert(key(mutant), verdict);
    }

    /// Writes the file; what another process, with another package or shard, has written meanwhile stays.
    pub(crate) fn write(&self) -> Result<(), String> {
        let mut all = Self::read(&self.path)?.of;
        all.retain(|key, _| !self.gone.contains(key));
        all.extend(self.new.clone());
        let row = |([file, place, hash, what], verdict): (&Key, &Verdict)| {
            format!("{file}\t{place}\t{hash}\t{}\t{what}\n", verdict.word())
        };
        let text: String = all.iter().map(row).collect();
        let beside = self.path.with_extension(format!("{}.new", std::process::id()));
        let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, &self.path));
        written.map_err(|e| format!("cannot write {}: {e}", self.path.display()))
    }
}

/// Why a mutant that survives changes nothing that could be seen.
#[derive(Debug, Default)]
pub(crate) struct Reasons(BTreeMap<[String; 3], String>);

impl Reasons {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        Self::parse(&text(path)?)
    }

    /// Reads its text: file, place, what, reason.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut reasons = BTreeMap::new();
        for [file, place, what, reason] in rows(text)? {
            if reason.trim().is_empty() {
                return Err(format!("{file} {place}: {what}: no reason is given"));
            }
            reasons.insert([file, place, what], reason);
        }
        Ok(Self(reasons))
    }

    /// Whether there is one for this mutant.
    pub(crate) fn has(&self, mutant: &Mutant) -> bool {
        self.0.contains_key(&[mutant.file.clone(), mutant.place.clone(), mutant.what.clone()])
    }

    /// Those that are for none of these mutants.
    pub(crate) fn unused(&self, all: &[Mutant]) -> Vec<String> {
        let about = |[file, place, what]: &[String; 3]| {
            all.iter().any(|mutant| mutant.file == *file && mutant.place == *place && mutant.what == *what)
        };
        self.0.keys().filter(|key| !about(key)).map(|key| key.join(" ")).collect()
    }
}

fn text(path: &Path) -> Result<String, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(format!("cannot read {}: {e}", path.display())),
    }
}

fn rows<const N: usize>(text: &str) -> Result<Vec<[String; N]>, String> {
    let row = |line: &str| {
        let fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
        fields.try_into().map_err(|_| format!("not {N} fields: {line}"))
    };
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(hash: &str) -> Mutant {
        let [package, name, file, place, what, hash] = ["p", "n", "a.rs", "+1:5", "replace", hash].map(str::to_owned);
        Mutant { package, name, file, place, what, hash, ..Mutant::default() }
    }

    #[test]
    fn what_is_written_is_read_again_and_forgotten_with_its_code() {
        let path = std::env::temp_dir().join(format!("outcomes-{}.tsv", std::process::id()));
        let mut outcomes = Outcomes { path: path.clone(), ..Outcomes::default() };
        for (hash, verdict) in ["0", "1", "2", "3"].iter().zip(Verdict::ALL) {
            outcomes.set(&mutant(hash), verdict);
        }
        outcomes.write().unwrap();
        let mut read = Outcomes::read(&path).unwrap();
        assert_eq!(read.of, outcomes.of);
        let mut beside = Outcomes::read(&path).unwrap();
        beside.set(&mutant("4"), Verdict::Caught);
        beside.write().unwrap();
        assert_eq!(read.retain(&[mutant("2"), mutant("4")]), 3);
        read.write().unwrap();
        let kept = Outcomes::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(kept.of.len(), 2, "the one that is still there, and the one that another process ran");
        assert_eq!((read.of(&mutant("2")), read.of(&mutant("4"))), (Some(Verdict::Missed), None));
    }

    #[test]
    fn a_reason_must_be_given_and_must_be_for_something() {
        assert!(Reasons::parse("a.rs\t+1:5\treplace\t \n").is_err());
        assert!(Reasons::parse("a.rs\t+1:5\treplace\n").is_err());
        let reasons = Reasons::parse("# a comment\na.rs\t+1:5\treplace\tthe same\n").unwrap();
        assert!(reasons.has(&mutant("any")) && reasons.unused(&[mutant("any")]).is_empty());
        assert_eq!(reasons.unused(&[]).len(), 1);
    }
}
