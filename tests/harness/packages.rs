//! Programs of Debian, installed where root may.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

pub fn found(program: &str) -> Option<String> {
    let paths = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    paths.split(':').map(|folder| format!("{folder}/{program}")).find(|path| Path::new(path).exists())
}

/// Makes sure that these programs are there, each with the package that has it.
pub fn needed(programs: &[(&str, &str)]) -> Result<(), String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _only = ONE_AT_A_TIME.lock();
    let missing = || -> Vec<&str> {
        programs.iter().filter(|(program, _)| found(program).is_none()).map(|(_, package)| *package).collect()
    };
    let packages = missing();
    if packages.is_empty() {
        return Ok(());
    }
    if found("apt-get").is_none() || !nix::unistd::geteuid().is_root() {
        return Err(format!("{} is not there, and cannot be installed here", packages.join(" and ")));
    }
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-y"]).args(words).env("DEBIAN_FRONTEND", "noninteractive");
        drop(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status());
    };
    apt(&["update"]);
    let policy = NotStarted::new();
    apt(&[&["install", "--no-install-recommends"], packages.as_slice()].concat());
    drop(policy);
    if packages.contains(&"etcd-server") {
        // Nor at the next boot.
        drop(Command::new("systemctl").args(["disable", "--quiet", "etcd"]).stderr(Stdio::null()).status());
    }
    match missing().first() {
        None => Ok(()),
        Some(package) => Err(format!("{package} could not be installed with apt-get")),
    }
}

/// Debian starts the servers that it installs, unless this file says no. Here each is started by the test that needs it.
struct NotStarted(Option<&'static Path>);

impl NotStarted {
    fn new() -> Self {
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = Path::new("/usr/sbin/policy-rc.d");
        let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(path);
        let said = made.and_then(|mut file| std::io::Write::write_all(&mut file, b"#!/bin/sh\nexit 101\n"));
        Self(said.is_ok().then_some(path))
    }
}

impl Drop for NotStarted {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            drop(std::fs::remove_file(path));
        }
    }
}
