//! Ends a sandbox when the test that started it is gone, however it went.
//!
//! A sandbox outlives its commands by design, so nothing in the system ends it with a test that timed out or was killed: no `Drop`
//! runs then. The warden is a shell that waits for the end of a pipe whose other end only the test has.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The folder goes away under its name before the sandbox is ended: a command that outlives the test starts nothing in it any
/// more, and what it had started before is found by the pid files that went along.
const SCRIPT: &str = r#"
read -r _
gone="$2.gone"
mv "$2" "$gone" || exit
tmpfs=$(sed -n 's/.*"tmpfs": *"\([^"]*\)".*/\1/p' "$gone/$3/sandbox.json" 2>/dev/null)
if [ -e "$gone/$3/sandbox.json" ]; then "$1" sandbox down --dir "$gone/$3" || failed=1; fi
case "$tmpfs" in */recover-sandbox-*) rm -rf "$tmpfs" ;; esac
rm -rf "$gone"
exit "${failed:-0}"
"#;

/// As long as this lives, so does the sandbox.
pub struct Warden {
    shell: Child,
}

impl Warden {
    /// Stands by for the sandbox `name` in the folder `root`, before it is started.
    pub fn of(root: &Path, name: &str) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", SCRIPT, "warden", env!("CARGO_BIN_EXE_recover")]).arg(root).arg(name);
        // An interrupt from the keyboard and the end of a session are for the tests, not for who cleans up after them.
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
        Self { shell: shell.spawn().unwrap() }
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // Nothing may panic here: the test may be unwinding.
        if !self.shell.wait().is_ok_and(|status| status.success()) {
            eprintln!("a sandbox was not ended");
        }
    }
}
