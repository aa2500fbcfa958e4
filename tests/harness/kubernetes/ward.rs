//! A server that ends with the test that started it, however that ends.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The server is the shell's child, and the shell waits for the end of a pipe whose other end only the test has.
const SCRIPT: &str = r#"
home=$1; log=$2; shift 2
"$@" >>"$log" 2>&1 </dev/null &
server=$!
read -r _
kill "$server" 2>/dev/null
for _ in $(seq 100); do kill -0 "$server" 2>/dev/null || break; sleep 0.05; done
kill -9 "$server" 2>/dev/null
wait "$server"
[ -z "$home" ] || for _ in $(seq 20); do rm -rf "$home" 2>/dev/null && break; sleep 0.1; done
exit 0
"#;

pub struct Ward {
    shell: Child,
}

impl Ward {
    /// Starts it. What it says goes to the end of the log; after it a folder is removed, where one is named.
    pub fn start(program: &Path, words: &[String], log: &Path, home: Option<&Path>) -> Self {
        let mut shell = Command::new("/bin/sh");
        // Those in Go may use memory rather than time.
        shell.env("GOGC", "400");
        shell.args(["-c", SCRIPT, "ward"]).arg(home.unwrap_or(Path::new(""))).arg(log).arg(program).args(words);
        // An interrupt from the keyboard is for the test, not for who cleans up after it.
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { shell: shell.spawn().unwrap() }
    }
}

impl Drop for Ward {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
    }
}
