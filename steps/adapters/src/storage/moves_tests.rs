//! Every state that a kill between two renames can leave, for each of the moves.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;
use crate::config::DirectoryConfig;

const RUN: &str = "run_1";

struct Bench {
    dir: tempfile::TempDir,
    directory: Directory,
}

impl Bench {
    /// `data` with a file `new`, `original` with a file `old`.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (name, file) in [("data", "new"), ("original", "old")] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join(file), file).unwrap();
        }
        let config = DirectoryConfig { path: at("data"), originals: vec![at("original")], identity: "i".into() };
        Self { directory: Directory::new(config), dir }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn original(&self) -> Original {
        let stat = rustix::fs::stat(self.at("original")).unwrap();
        Original { path: self.at("original").display().to_string(), file_id: file_id(&stat) }
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.at(from), self.at(to)).unwrap();
    }

    /// Every path below, in order.
    fn tree(&self) -> Vec<String> {
        let mut all = Vec::new();
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                all.extend(
                    fs::read_dir(&path)
                        .unwrap()
                        .map(|f| format!("{name}/{}", f.unwrap().file_name().to_str().unwrap())),
                );
            }
            all.push(name);
        }
        all.sort();
        all
    }
}

const FOUND: [&str; 4] = ["data", "data/new", "original", "original/old"];
const ATTACHED: [&str; 4] = ["data", "data.replaced-run_1", "data.replaced-run_1/new", "data/old"];

#[test]
fn an_original_is_reattached_and_detached_from_every_state_between() {
    type Cut = fn(&Bench);
    let cuts: [(&str, Cut); 3] = [
        ("nothing done", |_| ()),
        ("the target is aside", |b| b.rename("data", "data.replaced-run_1")),
        ("both are done", |b| {
            b.rename("data", "data.replaced-run_1");
            b.rename("original", "data");
        }),
    ];
    for (what, cut) in cuts {
        let bench = Bench::new();
        let original = bench.original();
        cut(&bench);
        for _ in 0..2 {
            bench.directory.reattach(&original, RUN).unwrap();
            assert_eq!(bench.tree(), ATTACHED, "{what}");
        }
        let bench = Bench::new();
        let original = bench.original();
        cut(&bench);
        for _ in 0..2 {
            bench.directory.detach(&original, RUN).unwrap();
            assert_eq!(bench.tree(), FOUND, "{what}");
        }
    }
}

#[test]
fn a_target_that_was_not_there_is_not_there_again() {
    let bench = Bench::new();
    let original = bench.original();
    fs::remove_dir_all(bench.at("data")).unwrap();
    bench.directory.reattach(&original, RUN).unwrap();
    assert_eq!(bench.tree(), ["data", "data/old"]);
    bench.directory.detach(&original, RUN).unwrap();
    assert_eq!(bench.tree(), ["original", "original/old"]);
}

#[test]
fn what_is_no_longer_the_original_is_not_touched() {
    let bench = Bench::new();
    let original = bench.original();
    bench.rename("original", "elsewhere");
    fs::create_dir(bench.at("original")).unwrap();
    let before = bench.tree();
    assert!(bench.directory.reattach(&original, RUN).is_err());
    assert!(bench.directory.detach(&original, RUN).is_err());
    assert_eq!(bench.tree(), before);
}

#[test]
fn a_target_that_somebody_made_anew_stops_the_move() {
    let bench = Bench::new();
    let original = bench.original();
    bench.rename("data", "data.replaced-run_1");
    fs::create_dir(bench.at("data")).unwrap();
    let before = bench.tree();
    assert!(bench.directory.reattach(&original, RUN).is_err());
    assert!(bench.directory.detach(&original, RUN).is_err());
    assert_eq!(bench.tree(), before);
}

#[test]
fn nothing_stays_half_done_across_file_systems() {
    let bench = Bench::new();
    let shm = tempfile::tempdir_in("/dev/shm").unwrap();
    let far = shm.path().join("original");
    fs::create_dir(&far).unwrap();
    let original = Original { path: far.display().to_string(), file_id: file_id(&rustix::fs::stat(&far).unwrap()) };
    let before = bench.tree();
    let refused = bench.directory.reattach(&original, RUN).unwrap_err();
    assert!(matches!(&refused, Trouble::Refused(r) if r.text.contains("different file systems")), "{refused:?}");
    assert_eq!(bench.tree(), before);
    assert!(far.is_dir());
}

#[test]
fn a_directory_is_set_aside_and_put_back_from_every_state_between() {
    type Cut = fn(&Bench);
    let cuts: [(&str, Cut); 5] = [
        ("nothing done", |_| ()),
        ("the new one is made", |b| fs::create_dir(b.at("data.new-run_1")).unwrap()),
        ("the new one is made and the old one aside", |b| {
            fs::create_dir(b.at("data.new-run_1")).unwrap();
            b.rename("data", "data.aside-run_1");
        }),
        ("the old one is aside", |b| b.rename("data", "data.aside-run_1")),
        ("all is done", |b| {
            b.rename("data", "data.aside-run_1");
            fs::create_dir(b.at("data")).unwrap();
        }),
    ];
    for (what, cut) in cuts {
        let bench = Bench::new();
        cut(&bench);
        for _ in 0..2 {
            bench.directory.set_aside(RUN).unwrap();
            assert_eq!(
                bench.tree(),
                ["data", "data.aside-run_1", "data.aside-run_1/new", "original", "original/old"],
                "{what}"
            );
        }
        let bench = Bench::new();
        cut(&bench);
        for _ in 0..2 {
            bench.directory.put_back(RUN).unwrap();
            assert_eq!(bench.tree(), FOUND, "{what}");
        }
    }
}

#[test]
fn the_new_directory_has_the_owner_and_the_mode_of_the_old() {
    let bench = Bench::new();
    fs::set_permissions(bench.at("data"), fs::Permissions::from_mode(0o2750)).unwrap();
    let root = rustix::process::geteuid().is_root();
    if root {
        std::os::unix::fs::chown(bench.at("data"), Some(4_242), Some(4_343)).unwrap();
        fs::set_permissions(bench.at("data"), fs::Permissions::from_mode(0o2750)).unwrap();
    }
    let before = fs::metadata(bench.at("data")).unwrap();
    bench.directory.set_aside(RUN).unwrap();
    let after = fs::metadata(bench.at("data")).unwrap();
    assert_ne!(before.ino(), after.ino());
    assert_eq!((before.uid(), before.gid(), before.mode()), (after.uid(), after.gid(), after.mode()));
}

#[test]
fn what_came_into_the_new_directory_is_kept() {
    let bench = Bench::new();
    bench.directory.set_aside(RUN).unwrap();
    fs::write(bench.at("data/precious"), "p").unwrap();
    bench.directory.put_back(RUN).unwrap();
    assert_eq!(
        bench.tree(),
        ["data", "data.kept-run_1", "data.kept-run_1/precious", "data/new", "original", "original/old"]
    );
    // Cut off between keeping and putting back.
    let bench = Bench::new();
    bench.rename("data", "data.aside-run_1");
    fs::create_dir(bench.at("data.kept-run_1")).unwrap();
    bench.directory.put_back(RUN).unwrap();
    assert!(bench.at("data/new").exists() && bench.at("data.kept-run_1").exists());
}

#[test]
fn a_file_or_a_link_is_never_moved_for_a_directory() {
    let bench = Bench::new();
    let original = bench.original();
    bench.rename("data", "away");
    std::os::unix::fs::symlink(bench.at("away"), bench.at("data")).unwrap();
    let before = bench.tree();
    assert!(bench.directory.reattach(&original, RUN).is_err());
    assert!(bench.directory.set_aside(RUN).is_err());
    assert_eq!(bench.tree(), before);
}
