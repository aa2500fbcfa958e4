//! The binary under strace.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};

use crate::plan::{CHANGING, Injection};
use crate::sandbox::{RECOVER, Sandbox};

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--yes", "--output", "json"];

pub fn is_there() -> bool {
    Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Detached at `execve`: the connector that it starts lives on, and is none of the tracer's business. `timeout` is there for
/// what does not end.
fn strace(words: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "90", "strace", "-f", "-qq", "-b", "execve", "-e"]);
    command.arg(format!("trace={}", CHANGING.join(","))).args(words).args([RECOVER, "--config"]);
    command
}

/// The recovery with one call failing.
pub fn recovery(sandbox: &Sandbox, injection: &Injection) -> Output {
    let argument = injection.argument();
    strace(&["-o", "/dev/null", "-e", &argument]).arg(sandbox.config()).args(GO).output().unwrap()
}

/// How many calls of each name the busiest thread makes in one recovery.
pub fn calls_of_a_run(sandbox: &Sandbox) -> BTreeMap<String, usize> {
    sandbox.lose(false);
    let trace = sandbox.dir().join("trace");
    let words = ["-o", trace.to_str().unwrap()];
    let output = strace(&words).arg(sandbox.config()).args(GO).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in std::fs::read_to_string(&trace).unwrap().lines() {
        let mut words = line.splitn(2, ' ');
        let (Some(thread), Some(rest)) = (words.next(), words.next()) else { continue };
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        if CHANGING.contains(&call) {
            *counts.entry((call.to_owned(), thread.to_owned())).or_default() += 1;
        }
    }
    let mut busiest = BTreeMap::new();
    for ((call, _), count) in counts {
        let most: &mut usize = busiest.entry(call).or_default();
        *most = (*most).max(count);
    }
    busiest
}
