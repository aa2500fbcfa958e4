//! The command line as people and machines meet it, with the real binary and the real sandbox.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::duplicate_mod,
    unreachable_pub,
    missing_docs,
    reason = "a program for developers: what does not hold ends it, and nobody links against it"
)]

mod against;
mod bad_input;
mod baseline;
mod bootstrap;
mod brake;
mod bundle;
mod cancel;
#[path = "../harness/tls.rs"]
mod certificates;
mod concurrency;
mod contract;
mod diagnose;
mod disk;
mod doctor;
mod doors;
mod evidence;
mod frozen;
mod full;
mod handoff;
mod hooks;
mod hostile;
mod index;
mod init;
mod kill;
mod kms;
mod manual;
mod marks;
#[path = "../harness/openbao/mod.rs"]
mod openbao;
mod people;
mod plan;
mod plan_file;
mod plane;
mod readme;
mod reconnect;
mod recovery;
mod replay;
#[path = "../harness/sandbox.rs"]
mod sandbox;
mod serve;
#[path = "../harness/served.rs"]
mod served;
mod support;
mod terminal;
mod tls;
mod versions;
mod waiting;
mod words;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// The binary with nothing of this machine's configuration in sight.
pub fn recover(home: &Path) -> Command {
    let mut command = Command::new(sandbox::RECOVER);
    command.env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").stdin(std::process::Stdio::null());
    command
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The JSON lines on stdout.
pub fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

/// The result line, which is the last.
pub fn result(output: &Output) -> Value {
    let last = lines(output).pop().unwrap_or_else(|| panic!("nothing on stdout: {}", stderr(output)));
    assert_eq!(last["schema"], "recover.result/v1", "{last} {}", stderr(output));
    assert_eq!(last["exit"].as_i64(), output.status.code().map(i64::from), "the line and the process agree");
    last
}

/// Asserts an error by its stable code and exit code, and that it has a hint or a page.
pub fn assert_error(output: &Output, error: &str, exit: i32) {
    let text = stderr(output);
    assert!(text.contains(&format!("error[{error}]")), "wanted {error}, got ({}): {text}", code(output));
    assert_eq!(code(output), exit, "{text}");
}
