//! A directory as storage: looking at its identity, searching for the original, trying whether it can be written.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use recover_steps::{Original, Searched};
use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::identity::{self, Looked};
use super::recorded::{Recorded, is_original};
use crate::config::DirectoryConfig;
use crate::facts::{Facts, STORAGE_FILE, STORAGE_ON, STORAGE_PATH};
use crate::files;
use crate::trouble::{Trouble, code};

/// How many directories in one place are looked into.
const MOST_IN_A_PLACE: usize = 1_000;

/// One workload's directory.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(super) config: DirectoryConfig,
    pub(super) recorded: Option<Recorded>,
}

impl Directory {
    pub(crate) fn new(config: DirectoryConfig) -> Self {
        Self { config, recorded: None }
    }

    /// What it is, for a baseline.
    pub(crate) fn facts(&self, facts: &mut Facts) -> Result<(), String> {
        let path = &self.config.path;
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let folder = files::open_dir(path).map_err(|e| failed(&e))?;
        let stat = rustix::fs::fstat(&folder).map_err(|e| failed(&e))?;
        let on = self.on(&folder).map_err(|trouble| trouble.text().to_owned())?;
        let mut note = |name: &str, value: String| facts.insert(name.to_owned(), value);
        note("storage.kind", "directory".into());
        note(STORAGE_PATH, path.to_str().ok_or("the storage's path is not text")?.to_owned());
        note(STORAGE_FILE, file_id(&stat));
        note(STORAGE_ON, on);
        note("storage.owner", format!("{}:{}", stat.st_uid, stat.st_gid));
        note("storage.mode", format!("{:04o}", stat.st_mode & 0o7777));
        Ok(())
    }

    /// What a person recorded of it.
    pub(crate) fn recorded(&mut self, facts: &Facts) {
        self.recorded = Recorded::of(facts);
    }

    /// The configured places, and the recorded one where that is another than the workload's own.
    fn searched(&self) -> impl Iterator<Item = &Path> {
        let recorded = self.recorded.iter().map(|recorded| Path::new(&recorded.place));
        let known = |path: &Path| self.config.originals.iter().any(|original| original == path);
        let elsewhere = recorded.filter(move |path| *path != self.config.path && !known(path));
        self.config.originals.iter().map(PathBuf::as_path).chain(elsewhere)
    }

    /// The identity at the workload's own place.
    pub(crate) fn identity(&self) -> Looked {
        identity::look(&self.config.path, &self.config.identity)
    }

    /// Looks for the lost identity in every configured place and in the directories directly in it.
    pub(crate) fn search(&self, epoch: &str) -> Searched {
        let mut unreadable = None;
        let mut note = |path: &Path, why: String| {
            unreadable.get_or_insert(Searched::Unreadable { path: path.display().to_string(), why });
        };
        for place in self.searched() {
            let mut candidates = vec![place.to_owned()];
            match within(place) {
                Ok(found) => candidates.extend(found),
                Err(why) => note(place, why),
            }
            for path in candidates {
                match self.candidate(&path, epoch) {
                    Ok(Some(original)) => return Searched::Found { original },
                    Ok(None) => {}
                    Err(why) => note(&path, why),
                }
            }
        }
        let searched = self.searched().map(|p| p.display().to_string()).collect();
        unreadable.unwrap_or(Searched::Gone { searched })
    }

    /// The directory as the original, if the lost identity is in it; an error if something else is.
    fn candidate(&self, path: &Path, epoch: &str) -> Result<Option<Original>, String> {
        // The same descriptor for both looks: what is identified is what was read.
        let folder = match files::open_dir(path) {
            Ok(folder) => folder,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.to_string()),
        };
        let looked = identity::look_in(&folder, &self.config.identity);
        if !is_original(looked, epoch, self.recorded.as_ref())? {
            return Ok(None);
        }
        let stat = rustix::fs::fstat(&folder).map_err(|e| e.to_string())?;
        let path = path.to_str().ok_or("its path is not text")?.to_owned();
        Ok(Some(Original { path, file_id: file_id(&stat) }))
    }

    /// Whether the workload could write: makes, syncs and removes a file of a name that is the run's own.
    pub(super) fn try_to_write(&self, folder: &OwnedFd, run: &str) -> Result<(), Errno> {
        let name = PathBuf::from(format!(".recover-write-test-{run}"));
        let make = || {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            files::open_in(folder, &name, flags, Mode::RUSR | Mode::WUSR)
        };
        let file = match make() {
            // Left by an attempt of this run that was killed; nobody else has that name.
            Err(Errno::EXIST) => {
                rustix::fs::unlinkat(folder, &name, AtFlags::empty())?;
                make()?
            }
            made => made?,
        };
        let written = files::write_all(&file, &[0; 4_096]).and_then(|()| rustix::fs::fsync(&file));
        let removed = rustix::fs::unlinkat(folder, &name, AtFlags::empty());
        written.and(removed)
    }
}

/// The directories directly in a place; none if there is no such place.
fn within(place: &Path) -> Result<Vec<PathBuf>, String> {
    let folder = match files::open_dir(place) {
        Ok(folder) => folder,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e.to_string()),
    };
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(&folder).map_err(|e| e.to_string())? {
        let entry = entry.map_err(|e| e.to_string())?;
        let name = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
        let stat = files::stat_in(folder.as_fd(), name).map_err(|e| e.to_string())?;
        let is_dir = stat.is_some_and(|s| rustix::fs::FileType::from_raw_mode(s.st_mode).is_dir());
        if is_dir && name != Path::new(".") && name != Path::new("..") {
            if found.len() == MOST_IN_A_PLACE {
                return Err(format!("more than {MOST_IN_A_PLACE} directories are in it"));
            }
            found.push(place.join(name));
        }
    }
    // The newest last, by the names that backups have: looked into in an order that does not change.
    found.sort();
    found.reverse();
    Ok(found)
}

/// What a directory is, wherever it is renamed to.
pub(super) fn file_id(stat: &Stat) -> String {
    format!("{}:{}", stat.st_dev, stat.st_ino)
}

pub(super) fn refused(path: &Path, why: impl std::fmt::Display) -> Trouble {
    Trouble::refused(code::STORAGE, format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench(originals: &[&str]) -> (tempfile::TempDir, Directory) {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("data")).unwrap();
        let originals = originals.iter().map(|o| at(o)).collect();
        let config = DirectoryConfig { path: at("data"), originals, identity: "identity.json".into() };
        (dir, Directory::new(config))
    }

    fn put(dir: &Path, place: &str, text: &str) {
        std::fs::create_dir_all(dir.join(place)).unwrap();
        std::fs::write(dir.join(place).join("identity.json"), text).unwrap();
    }

    #[test]
    fn the_original_is_found_in_a_place_or_one_below_it_and_preferred_to_trouble() {
        let (dir, directory) = bench(&["a", "b"]);
        assert!(matches!(directory.search("s1"), Searched::Gone { searched } if searched.len() == 2));
        put(dir.path(), "a", "garbage");
        assert!(matches!(directory.search("s1"), Searched::Unreadable { path, .. } if path.ends_with("/a")));
        put(dir.path(), "b/backup-1", r#"{"serial":"s0"}"#);
        put(dir.path(), "b/backup-2", r#"{"serial":"s1"}"#);
        let Searched::Found { original } = directory.search("s1") else { panic!("is found") };
        assert!(original.path.ends_with("/b/backup-2"));
        let stat = rustix::fs::stat(&original.path).unwrap();
        assert_eq!(original.file_id, file_id(&stat));
        put(dir.path(), "a", r#"{"serial":"s1"}"#);
        assert!(matches!(directory.search("s1"), Searched::Found { original } if original.path.ends_with("/a")));
    }

    #[test]
    fn another_identity_is_no_original_and_an_empty_directory_is_nothing() {
        let (dir, directory) = bench(&["a"]);
        std::fs::create_dir_all(dir.path().join("a/empty")).unwrap();
        assert!(matches!(directory.search("s1"), Searched::Gone { .. }));
        put(dir.path(), "a", r#"{"serial":"s0"}"#);
        assert!(matches!(directory.search("s1"), Searched::Unreadable { why, .. } if why.contains("s0")));
        std::os::unix::fs::symlink(dir.path().join("data"), dir.path().join("a/link")).unwrap();
        put(dir.path(), "data", r#"{"serial":"s1"}"#);
        assert!(!matches!(directory.search("s1"), Searched::Found { .. }), "a link is not followed");
    }

    #[test]
    fn the_write_test_leaves_nothing_and_survives_its_own_leftover() {
        let (dir, directory) = bench(&[]);
        let data = dir.path().join("data");
        let folder = files::open_dir(&data).unwrap();
        std::fs::write(data.join(".recover-write-test-run_1"), "left").unwrap();
        directory.try_to_write(&folder, "run_1").unwrap();
        assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0);
        let proc = files::open_dir(Path::new("/proc/sys")).unwrap();
        assert!(directory.try_to_write(&proc, "run_1").is_err());
    }
}
