//! `cargo xtask package`: what was built for others is tried out as they would, in clean containers. Nothing of it is believed
//! because it was built.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    dead_code,
    missing_docs,
    reason = "a program for developers: what does not hold ends it, and nobody links against it"
)]

#[path = "../real/engine.rs"]
mod engine;
mod machine;
#[path = "../harness/packages.rs"]
mod packages;

use std::path::{Path, PathBuf};
use std::process::Command;

use engine::Engine;
use machine::Machine;

/// What the unit may be exposed to at most, as `systemd-analyze security` counts it, times ten.
const EXPOSURE: &str = "20";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What was built; none where `cargo xtask package` has not built it.
fn built() -> Option<(PathBuf, PathBuf)> {
    let folder = root().join("target/package");
    let deb = std::fs::read_dir(&folder).ok()?.filter_map(|file| Some(file.ok()?.path()));
    let deb = deb.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb"))?;
    Some((deb, folder.join("image/recover")))
}

fn said(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    let told = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(output.status.success(), "{program} {words:?}: {told}");
    told
}

#[test]
fn the_unit_is_exposed_to_little() {
    let unit = root().join("packaging/recover.service");
    let threshold = format!("--threshold={EXPOSURE}");
    let words = ["security", "--offline=yes", "--no-pager", &threshold, unit.to_str().unwrap()];
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        return println!("package: NOT RUN: systemd-analyze is not there (Debian: apt-get install systemd)");
    }
    let told = said("systemd-analyze", &words);
    let level = told.lines().rev().find(|line| line.contains("exposure level")).unwrap().trim();
    println!("package: {}", level.trim_start_matches(['→', ' ']));
}

#[test]
fn the_binary_needs_no_library() {
    let Some((_, binary)) = built() else { return println!("package: NOT RUN: nothing was built") };
    let told = said("readelf", &["--program-headers", "--dynamic", binary.to_str().unwrap()]);
    assert!(!told.contains("INTERP") && !told.contains("NEEDED"), "{told}");
    println!("package: the binary names no interpreter and no library");
}

#[test]
fn a_container_has_nothing_but_the_binary() {
    let Some((_, binary)) = built() else { return println!("package: NOT RUN: nothing was built") };
    let engine = match Engine::start() {
        Ok(engine) => engine,
        Err(why) => return println!("package: NOT RUN: {why}"),
    };
    let folder = binary.parent().unwrap().to_str().unwrap();
    let file = root().join("packaging/Containerfile");
    engine.said(&["build", "--quiet", "--file", file.to_str().unwrap(), "--tag", "recover", folder]);
    let version = engine.said(&["run", "--rm", "--network", "none", "recover", "--version"]);
    assert_eq!(version, format!("recover {}", env!("CARGO_PKG_VERSION")));
    // The tour: the sandbox is processes of the binary itself, so a container that has nothing else can take it.
    let words = [
        "run",
        "--rm",
        "--network",
        "none",
        "--tmpfs",
        "/tmp",
        "--tmpfs",
        "/run",
        "--env",
        "HOME=/tmp",
        "--volume",
        "/etc/machine-id:/etc/machine-id:ro",
        // What a container is made of does not outlive it, and `recover` would rightly start nothing on that.
        "--volume",
        "state:/var/lib/recover",
        "recover",
    ];
    let tour = engine.said(&[words.as_slice(), &["--scenario", "identity-loss", "--target", "sandbox"]].concat());
    assert!(tour.contains("recovered"), "{tour}");
    println!("package: in a container with one file, a lost identity of the sandbox was recovered");
}

#[test]
fn the_debian_package_is_installed_started_killed_and_purged() {
    let Some((deb, _)) = built() else { return println!("package: NOT RUN: nothing was built") };
    let engine = match Engine::start() {
        Ok(engine) => engine,
        Err(why) => return println!("package: NOT RUN: {why}"),
    };
    let machine = match Machine::boot(&engine, deb.parent().unwrap()) {
        Ok(machine) => machine,
        Err(why) => return println!("package: NOT RUN: {why}"),
    };
    let package = deb.display().to_string();
    machine.done(&["dpkg", "--install", &package]);
    assert_eq!(machine.said(&["recover", "--version"]), format!("recover {}", env!("CARGO_PKG_VERSION")));
    assert_eq!(
        machine.said(&["systemctl", "is-enabled", "recover"]),
        "disabled",
        "nothing is started by installing it"
    );
    for file in [
        "/usr/share/man/man1/recover.1.gz",
        "/usr/share/bash-completion/completions/recover",
        "/usr/share/zsh/vendor-completions/_recover",
        "/usr/share/fish/vendor_completions.d/recover.fish",
        "/usr/share/doc/recover/copyright",
    ] {
        machine.done(&["test", "-s", file]);
    }
    let mode = machine.said(&["stat", "-c", "%U:%G %a", "/etc/recover/recover.toml", "/etc/recover"]);
    assert_eq!(mode, "root:recover 640\nroot:recover 750");
    machine.done(&["recover", "config", "show"]);

    machine.done(&["systemctl", "start", "recover"]);
    machine.answers("/healthz");
    let owner = machine.said(&["stat", "-c", "%U:%G %a", "/var/lib/recover", "/run/recover"]);
    assert_eq!(owner, "recover:recover 700\nrecover:recover 700");
    let exposed =
        machine.said(&["systemd-analyze", "security", "--no-pager", &format!("--threshold={EXPOSURE}"), "recover"]);
    assert!(exposed.contains("Overall exposure level"), "{exposed}");

    let pid = machine.said(&["systemctl", "show", "--property=MainPID", "--value", "recover"]);
    machine.done(&["kill", "-9", &pid]);
    machine.until("it was not started again", || {
        let now = machine.said(&["systemctl", "show", "--property=MainPID", "--value", "recover"]);
        now != pid && now != "0"
    });
    machine.answers("/healthz");
    machine.done(&["systemctl", "stop", "recover"]);
    assert_eq!(machine.said(&["systemctl", "show", "--property=Result", "--value", "recover"]), "success");

    // A package goes, what it recorded stays.
    machine.done(&["dpkg", "--install", &package]);
    machine.done(&["dpkg", "--purge", "recover"]);
    machine.done(&["test", "-d", "/var/lib/recover/log"]);
    machine.done(&["sh", "-c", "! test -e /usr/bin/recover && ! test -e /etc/recover/recover.toml"]);
    println!(
        "package: installed with dpkg, started under systemd, killed and started again, purged; its journal was kept"
    );
}
