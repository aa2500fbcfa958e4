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
    apt(&[&["install", "--no-install-recommends"], packages.as_slice()].concat());
    match missing().first() {
        None => Ok(()),
        Some(package) => Err(format!("{package} could not be installed with apt-get")),
    }
}
