//! Nothing is left of a sandbox whose test was killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::guard::{Sandbox, eventually, lives};

const PATIENCE: Duration = Duration::from_secs(15);

/// What a test is that times out: it brings a sandbox up, and is never done.
#[test]
#[ignore = "the test below starts it, to kill it"]
fn a_test_that_hangs() {
    let sandbox = Sandbox::new();
    sandbox.up();
    let pids = ["connector", "control-plane"].map(|name| sandbox.pid(name).to_string());
    println!("left {} {} {} {}", pids[0], pids[1], sandbox.dir().display(), sandbox.token_file().display());
    std::thread::sleep(4 * PATIENCE);
    panic!("nobody has ended it");
}

#[test]
fn of_a_test_that_is_killed_no_process_and_no_file_is_left() {
    let mut hangs = Command::new(std::env::current_exe().expect("is known"));
    hangs.args(["--exact", "left::a_test_that_hangs", "--ignored", "--nocapture"]);
    let mut hangs = hangs.stdout(Stdio::piped()).spawn().expect("starts");
    let mut lines = BufReader::new(hangs.stdout.take().expect("is piped")).lines().map_while(Result::ok);
    // libtest may have begun the line with the test's name.
    let said = lines.find_map(|line| line.split_once("left ").map(|(_, rest)| rest.to_owned())).expect("says so");
    let words: Vec<&str> = said.split(' ').collect();
    let [connector, plane, dir, token] = words.as_slice() else { panic!("{said}") };
    let pids = [connector, plane].map(|pid| pid.parse().expect("is a number"));
    assert!(pids.iter().all(|pid| lives(*pid)) && Path::new(dir).exists(), "{said}");

    hangs.kill().expect("is killed");
    hangs.wait().expect("is reaped");
    assert!(eventually(PATIENCE, || pids.iter().all(|pid| !lives(*pid))), "{said}");
    let root = Path::new(dir).parent().expect("has a folder");
    let tmpfs = Path::new(token).parent().expect("has a folder");
    let gone = root.with_extension("gone");
    assert!(eventually(PATIENCE, || !root.exists() && !gone.exists() && !tmpfs.exists()), "{said}");
}
