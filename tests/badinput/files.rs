//! Files and directories that are not what they should be.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::{CANARY, Case, World, handled, refused};

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"];

/// Makes what is at a path.
type Make = fn(&Path);

pub fn fifo(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

fn directory(path: &Path, mode: u32) {
    std::fs::create_dir(path).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn copy(from: &Path, to: &Path) {
    directory(to, 0o700);
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else if path.is_file() {
            _ = std::fs::copy(&path, &to).unwrap();
        }
    }
}

pub fn cases(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    let unsafe_states: &[(&str, Make)] = &[
        ("a file", |path| std::fs::write(path, "").unwrap()),
        ("a FIFO", fifo),
        ("a socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
        ("a device", |path| symlink("/dev/null", path).unwrap()),
        ("a link", |path| symlink("/tmp", path).unwrap()),
        ("a link to nothing", |path| symlink("/no/such", path).unwrap()),
        ("a link to itself", |path| symlink(path, path).unwrap()),
        ("writable by its group", |path| directory(path, 0o770)),
        ("writable by everybody", |path| directory(path, 0o777)),
        ("sticky and writable by everybody", |path| directory(path, 0o1777)),
    ];
    for (what, make) in unsafe_states {
        let make = *make;
        let case = refused(format!("the state directory is {what}"), GO, "RCV0015", 64).config(&*world.config);
        cases.push(case.prepare(move |dir| make(&dir.join("state"))));
    }
    for (what, path, error) in [
        ("empty path", "", "RCV0002"),
        ("below a file", "/etc/passwd/state", "RCV0031"),
        ("in /proc", "/proc/recover-state", "RCV0031"),
    ] {
        let words = [&["--state-dir", path], GO].concat();
        cases.push(refused(format!("the state directory's path: {what}"), &words, error, 64).config(&*world.config));
    }
    credentials(world, &mut cases);
    journals(world, &mut cases);
    cases
}

fn credentials(world: &World, cases: &mut Vec<Case>) {
    let (head, rest) = world.config.split_once("credential = \"").unwrap();
    let (_, tail) = rest.split_once('"').unwrap();
    let config = format!("{head}credential = \"file:@/credential\"{tail}");
    let kinds: &[(&str, &str, Make)] = &[
        ("is not there", "credential", |_| {}),
        ("is a directory", "regular file", |path| directory(path, 0o700)),
        ("is a FIFO", "regular file", fifo),
        ("is a device", "credential", |path| symlink("/dev/zero", path).unwrap()),
        ("is empty", "empty", |path| std::fs::write(path, "").unwrap()),
        ("is two words", "one line", |path| std::fs::write(path, format!("{CANARY} {CANARY}")).unwrap()),
        ("is two lines", "one line", |path| std::fs::write(path, format!("{CANARY}\n{CANARY}\n")).unwrap()),
        ("is not text", "not text", |path| std::fs::write(path, b"\xff\xfe").unwrap()),
        ("has a NUL", "one line", |path| std::fs::write(path, format!("{CANARY}\0")).unwrap()),
        ("is too long", "credential", |path| std::fs::write(path, CANARY.repeat(10_000)).unwrap()),
        ("is another's", "credential", |path| std::fs::write(path, CANARY).unwrap()),
        ("can be read by everybody", "chmod 600", |path| {
            std::fs::write(path, CANARY).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
        }),
    ];
    for (what, said, make) in kinds {
        let make = *make;
        let case = handled(format!("the credential {what}"), GO, 2).config(&*config).says("given-up").says(*said);
        cases.push(case.prepare(move |dir| {
            let path = dir.join("credential");
            make(&path);
            if path.symlink_metadata().is_ok_and(|meta| meta.is_file()) && what != &"can be read by everybody" {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            }
        }));
    }
}

/// Harm to a copy of a journal with one run, and what reading and acting on it must say.
fn journals(world: &World, cases: &mut Vec<Case>) {
    fn segment(state: &Path) -> std::path::PathBuf {
        state.join("log/00000001.seg")
    }
    let harm: &[(&str, Make)] = &[
        ("its first segment is gone", |state| std::fs::remove_file(segment(state)).unwrap()),
        ("its first segment is empty", |state| std::fs::write(segment(state), "").unwrap()),
        ("its first segment is cut", |state| {
            let file = std::fs::OpenOptions::new().write(true).open(segment(state)).unwrap();
            file.set_len(1000).unwrap();
        }),
        ("its first segment is garbage", |state| std::fs::write(segment(state), [0xa5; 8192]).unwrap()),
        ("its first segment is zeros", |state| std::fs::write(segment(state), vec![0; 8 << 20]).unwrap()),
        ("its mark is ahead of it", |state| std::fs::write(state.join("log/acked"), u64::MAX.to_le_bytes()).unwrap()),
        ("its mark is cut", |state| std::fs::write(state.join("log/acked"), [1, 2, 3]).unwrap()),
    ];
    for (what, harm) in harm {
        for (verb, words) in [
            ("list", &["list"][..]),
            ("events", &["events"]),
            ("status", &["status"]),
            ("replay", &["replay", &world.run]),
            ("start", GO),
            ("resume", &["resume", "--all"]),
        ] {
            let (from, harm) = (world.state.clone(), *harm);
            let mark = what.contains("mark is");
            // The mark is about what was acknowledged; the frames of a run say for themselves whether they are sound.
            let case = if mark && verb == "replay" {
                handled(format!("{verb} on a log when {what}"), words, 0)
            } else if mark && ["list", "events", "status"].contains(&verb) {
                handled(format!("{verb} on a log when {what}"), words, 7).says("warning[RCV0018]")
            } else {
                refused(format!("{verb} on a log when {what}"), words, "RCV0018", 7)
            };
            cases.push(case.config(&*world.config).prepare(move |dir| {
                copy(&from, &dir.join("state"));
                harm(&dir.join("state"));
            }));
        }
    }
}
