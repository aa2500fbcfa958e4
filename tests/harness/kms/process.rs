//! Processes that a test starts and `recover` may end and start: who runs is in a file, in the form that `recover` writes too.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// When a process began, in ticks since the boot; nothing once it is gone or waits to be reaped.
fn began(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let words: Vec<_> = rest.split(' ').collect();
    (!["Z", "X"].contains(&words[0])).then(|| words[19].parse().ok())?
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned()
}

/// Starts it in a session of its own, as `recover` does, and notes who it is. Its end is waited for, so that none is left over.
pub fn start(words: &[String], log: &Path, pidfile: &Path) {
    let log = File::options().append(true).create(true).open(log).unwrap();
    // It keeps its pid: `setsid` forks only where it leads a group.
    let mut command = Command::new("/usr/bin/setsid");
    // Those in Go may use memory rather than time.
    command
        .args(words)
        .env("GOGC", "400")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let mut child = command.spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let start = began(pid).unwrap_or_default();
    std::thread::spawn(move || child.wait());
    fs::write(pidfile, json!({ "pid": pid, "start": start, "boot": boot() }).to_string()).unwrap();
}

/// Who runs by this file.
pub fn running(pidfile: &Path) -> Option<i32> {
    let noted: Value = serde_json::from_slice(&fs::read(pidfile).ok()?).ok()?;
    let pid = i32::try_from(noted["pid"].as_i64()?).ok()?;
    (noted["boot"] == boot().as_str() && began(pid) == noted["start"].as_u64()).then_some(pid)
}

/// Sends it a signal, and waits for its end if that is what it means.
pub fn signal(pidfile: &Path, signal: Signal) {
    let Some(pid) = running(pidfile) else { return };
    let _gone = kill(Pid::from_raw(pid), signal);
    if ![Signal::SIGTERM, Signal::SIGKILL].contains(&signal) {
        return;
    }
    let until = Instant::now() + Duration::from_secs(20);
    while began(pid).is_some() {
        if Instant::now() > until {
            let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until something holds, and says whether it came to that.
pub fn eventually(within: Duration, holds: impl Fn() -> bool) -> bool {
    let until = Instant::now() + within;
    while !holds() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

/// What a shell does once the other end of its pipe is gone: the folder goes under another name, whoever is named in it is ended, and
/// then it is removed. A pid alone could be somebody else's by now; when it began tells.
const SCRIPT: &str = r#"
read -r _
gone="$1.gone"
mv "$1" "$gone" || exit
for file in "$gone"/*/provider.pid "$gone"/*/apiserver/pid "$gone"/kubernetes/etcd.pid "$gone"/bao/pid; do
  pid=$(sed -n 's/.*"pid":\([0-9]*\).*/\1/p' "$file" 2>/dev/null)
  start=$(sed -n 's/.*"start":\([0-9]*\).*/\1/p' "$file" 2>/dev/null)
  [ -n "$pid" ] || continue
  [ "$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | cut -d' ' -f20)" = "$start" ] && kill -9 "$pid"
done
sleep 0.2
rm -rf "$gone"
"#;

/// As long as this lives, so do the processes of a folder. They outlive the test's own by design, and no `Drop` runs where a test is killed.
pub struct Guard {
    shell: Child,
}

impl Guard {
    pub fn of(folder: &Path) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", SCRIPT, "guard"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // An interrupt from the keyboard is for the tests, not for who cleans up after them.
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        Self { shell: shell.spawn().unwrap() }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
    }
}
