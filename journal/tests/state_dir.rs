//! The state directory: what is refused, who owns it, which machine it belongs to.
#![cfg(not(loom))]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use recover_engine::{Journal, Kind, Millis, RunId};
use recover_journal::testing::entries;
use recover_journal::{Author, FileJournal, Host, OpenError, Options};

const OPTIONS: Options = Options { segment_len: 1 << 16 };
const AUTHOR: Author<'static> = Author { actor: entries::ACTOR, at: Millis(1) };

fn host(machine: &str) -> Host {
    Host { machine: machine.into(), boot: "boot-1".into() }
}

fn open(path: &Path) -> Result<FileJournal, OpenError> {
    FileJournal::open(path, &host("here"), OPTIONS)
}

/// One test at a time: a child that another test forks has this one's lock, too, until it becomes another program.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[test]
fn everything_in_it_is_its_owners_alone() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/state");
    let journal = open(&path).unwrap();
    journal.append_blocking(entries::run(1, 2)).unwrap();
    drop(journal);
    let mut seen = 0;
    let mut folders = vec![path];
    while let Some(folder) = folders.pop() {
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o7777, 0o700, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            seen += 1;
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{}", entry.path().display());
            }
        }
    }
    assert!(seen >= 4, "lock, machine, log and what is in it: {seen}");
}

#[test]
fn what_is_no_directory_of_ours_is_refused() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("real")).unwrap();
    fs::set_permissions(at("real"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink(at("real"), at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    fs::write(at("file"), "").unwrap();
    assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    for name in ["link", "link/", "dangling"] {
        assert!(matches!(open(&at(name)), Err(OpenError::Link(_))), "{name}");
    }
    for name in ["file", "fifo"] {
        assert!(matches!(open(&at(name)), Err(OpenError::NotADirectory(_))), "{name}");
    }
    for mode in [0o720, 0o702, 0o777, 0o1777] {
        fs::set_permissions(at("real"), fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(open(&at("real")), Err(OpenError::Writable { mode: m, .. }) if m == mode), "{mode:o}");
    }
    assert!(fs::read_dir(at("real")).unwrap().next().is_none(), "nothing was made in what was refused");
}

#[test]
fn a_place_that_cannot_be_looked_at_is_told_and_nothing_is_made() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let told = open(&dir.path().join("file/state")).unwrap_err().to_string();
    assert!(told.contains("look at"), "it was not found to be missing: {told}");
}

#[test]
fn another_users_directory_is_refused() {
    let _alone = alone();
    if !rustix::process::geteuid().is_root() {
        // Only root can give a directory away, and nobody else can make the case.
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(65_534), None).unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::Owner { owner: 65_534, .. })));
}

#[test]
fn a_link_or_fifo_planted_inside_is_not_followed() {
    let _alone = alone();
    for name in ["lock", "machine", "log"] {
        let dir = tempfile::tempdir().unwrap();
        let victim = tempfile::tempdir().unwrap();
        symlink(victim.path(), dir.path().join(name)).unwrap();
        assert!(open(dir.path()).is_err(), "{name}");
        assert!(fs::read_dir(victim.path()).unwrap().next().is_none(), "{name}");
    }
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    fs::remove_file(dir.path().join("log/acked")).unwrap();
    assert!(Command::new("mkfifo").arg(dir.path().join("log/acked")).status().unwrap().success());
    assert!(open(dir.path()).is_err(), "and does not hang");
}

#[test]
fn the_second_owner_is_told_who_the_first_is() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    match open(dir.path()) {
        Err(OpenError::Locked { pid, boot }) => {
            assert_eq!((pid, boot.as_deref()), (Some(std::process::id()), Some("boot-1")));
        }
        other => panic!("{other:?}"),
    }
    drop(first);
    open(dir.path()).unwrap();
}

#[test]
fn a_program_that_was_started_meanwhile_owns_nothing() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    let mut waits = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
    drop(journal);
    let again = open(dir.path());
    drop(waits.stdin.take());
    waits.wait().unwrap();
    again.unwrap();
}

#[test]
fn of_two_processes_one_owns_it_and_a_killed_one_owns_nothing() {
    let _alone = alone();
    if let Ok(path) = std::env::var("RECOVER_TEST_OWN") {
        let journal = open(Path::new(&path)).unwrap();
        journal.append_blocking(entries::run(7, 1)).unwrap();
        println!("owned");
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "of_two_processes_one_owns_it_and_a_killed_one_owns_nothing", "--nocapture"])
        .env("RECOVER_TEST_OWN", dir.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(lines.any(|line| line.unwrap().contains("owned")));
    assert!(matches!(open(dir.path()), Err(OpenError::Locked { pid, .. }) if pid == Some(child.id())));
    child.kill().unwrap();
    child.wait().unwrap();
    let journal = open(dir.path()).unwrap();
    assert_eq!(journal.read(entries::id(7)).unwrap(), entries::run(7, 1));
}

#[test]
fn another_machine_does_not_act_until_it_adopts() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).unwrap().append_blocking(entries::run(1, 1)).unwrap();
    let there = host("there");
    match FileJournal::open(dir.path(), &there, OPTIONS) {
        Err(OpenError::OtherMachine { of, here }) => assert_eq!((of.as_str(), here.as_str()), ("here", "there")),
        other => panic!("{other:?}"),
    }
    let journal = FileJournal::adopt(dir.path(), &there, OPTIONS, AUTHOR, "the disk was moved").unwrap();
    let own = journal.read(RunId::JOURNAL).unwrap();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].header().kind, Kind::Adopted);
    assert_eq!(own[0].payload(), r#"{"from":"here","reason":"the disk was moved","to":"there"}"#);
    drop(journal);
    assert!(matches!(open(dir.path()), Err(OpenError::OtherMachine { .. })));
    let journal = FileJournal::adopt(dir.path(), &there, OPTIONS, AUTHOR, "again").unwrap();
    assert_eq!(journal.read(RunId::JOURNAL).unwrap().len(), 1, "what is this machine's is not adopted again");
    drop(journal);
    fs::remove_file(dir.path().join("machine")).unwrap();
    assert!(matches!(FileJournal::open(dir.path(), &there, OPTIONS), Err(OpenError::OtherMachine { .. })));
}
