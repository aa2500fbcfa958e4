//! A wall clock that is wrong or jumps. A few lines of C before the C library's clock make it so, in recover alone: the
//! connector and the control plane go by the real time, as other machines do.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::sandbox::{RECOVER, Sandbox};
use crate::{GO, result, said, verifies};

const SHIM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long long *shift(void) {
    static volatile long long *at; static long long none;
    if (!at) {
        const char *path = getenv("CLOCK_SHIFT");
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *map = fd < 0 ? MAP_FAILED : mmap(0, 8, PROT_READ, MAP_SHARED, fd, 0);
        if (fd >= 0) close(fd);
        at = map == MAP_FAILED ? &none : map;
    }
    return at;
}
int clock_gettime(clockid_t id, struct timespec *ts) {
    int done = (int)syscall(SYS_clock_gettime, id, ts);
    if (!done && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) ts->tv_sec += *shift();
    return done;
}
int gettimeofday(struct timeval *restrict tv, void *restrict zone) {
    struct timespec ts; (void)zone;
    int done = clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec; tv->tv_usec = ts.tv_nsec / 1000;
    return done;
}
time_t time(time_t *out) {
    struct timespec ts; clock_gettime(CLOCK_REALTIME, &ts);
    if (out) *out = ts.tv_sec;
    return ts.tv_sec;
}
"#;

/// The shim, built, and how far it moves the clock.
struct Clock {
    home: tempfile::TempDir,
}

impl Clock {
    fn build() -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let source = home.path().join("shim.c");
        std::fs::write(&source, SHIM).unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(home.path().join("shim.so")).arg(&source);
        let built = cc.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        built.then_some(Self { home })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn shift(&self, seconds: i64) {
        let path = self.path("shift");
        if !path.exists() {
            std::fs::write(&path, [0; 8]).unwrap();
        }
        // In place: a process that has it mapped sees it at once.
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &seconds.to_ne_bytes(), 0).unwrap();
    }

    fn command(&self, config: &Path, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", "120", "env"]).arg(format!("LD_PRELOAD={}", self.path("shim.so").display()));
        command.args([RECOVER, "--config"]).arg(config).args(words).env("CLOCK_SHIFT", self.path("shift"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, sandbox: &Sandbox, words: &[&str]) -> Output {
        self.command(&sandbox.config(), words).output().unwrap()
    }
}

fn until(year: i64) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().cast_signed();
    let at = match year {
        1970 => 1_000,
        // The second after the last that 32 bits hold.
        2038 => 2_147_483_648,
        _ => 4_102_444_800,
    };
    at - now
}

/// It ended by itself, with a word that is one of these, paired at most once, and the journal verifies.
fn sound(what: &str, sandbox: &Sandbox, output: &Output, exits: &[i32]) -> Result<String, String> {
    let told = said(output);
    if told.contains("panicked") || !output.status.code().is_some_and(|code| exits.contains(&code)) {
        return Err(format!("{what}: {told}"));
    }
    let ledger = sandbox.ledger();
    // Three in the run that found every token expired, one in the run after it.
    let many = |key: &str, most: u64| ledger[key].as_u64().is_none_or(|count| count > most);
    if many("pairs", 1) || many("mints", 4) {
        return Err(format!("{what}: {ledger}"));
    }
    verifies(sandbox).map_err(|why| format!("{what}: {why}"))?;
    Ok(format!("{what}: {} (pairs {}, mints {})", result(output)["verdict"], ledger["pairs"], ledger["mints"]))
}

/// Wrong from the beginning to the end; afterwards the right clock goes on with the same journal.
pub fn wrong() -> Result<String, String> {
    let Some(clock) = Clock::build() else { return Ok("clock: NOT RUN: no C compiler".to_owned()) };
    let mut shown = Vec::new();
    for year in [1970, 2038, 2100] {
        let sandbox = Sandbox::up();
        sandbox.lose(false);
        clock.shift(until(year));
        let output = clock.run(&sandbox, GO);
        let begins = result(&output);
        shown.push(sound(&format!("{year}"), &sandbox, &output, &[0, 2, 3, 4])?);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let at = text.lines().next().unwrap_or_default().to_owned();
        if !at.contains(&format!("\"at\":\"{year}-")) {
            return Err(format!("the clock was not {year}: {at} {begins}"));
        }
        // The right time is long before or after what is in the journal.
        let later = sandbox.recover(&["resume", "--all", "--output", "json"]);
        sound(&format!("after {year}"), &sandbox, &later, &[0, 2, 3, 4])?;
        let again = sandbox.recover(GO);
        shown.push(sound("then now", &sandbox, &again, &[0, 2, 3, 4, 6, 8])?);
    }
    Ok(format!("clock: {}", shown.join("; ")))
}

/// Jumps in the middle of a run, back and forth.
pub fn back_and_forth() -> Result<String, String> {
    let Some(clock) = Clock::build() else { return Ok("clock jumps: NOT RUN: no C compiler".to_owned()) };
    let mut shown = Vec::new();
    for (what, seconds) in
        [("an hour back", -3_600), ("to 1970", until(1970)), ("an hour forth", 3_600), ("to 2100", until(2100))]
    {
        for after in [300, 900, 1_600] {
            let sandbox = Sandbox::up();
            sandbox.lose(false);
            clock.shift(0);
            let child = clock.command(&sandbox.config(), GO).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(after));
            clock.shift(seconds);
            let output = child.wait_with_output().unwrap();
            let word = format!("{what} after {after} ms");
            // A jump back shortens nothing: the run recovers. A jump forth may pass a real deadline.
            let exits: &[i32] = if seconds < 0 { &[0] } else { &[0, 2, 3, 4] };
            let told = sound(&word, &sandbox, &output, exits)?;
            if after == 900 {
                shown.push(told);
            }
        }
    }
    Ok(format!("clock jumps: {}", shown.join("; ")))
}

/// A question's deadline does not pass because the clock went back; it does when the clock is beyond it.
pub fn question() -> Result<String, String> {
    let Some(clock) = Clock::build() else { return Ok("clock and questions: NOT RUN: no C compiler".to_owned()) };
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    std::fs::write(sandbox.config(), text.replace("\"allow\"", "\"ask\"")).unwrap();
    clock.shift(0);
    let words: Vec<&str> = GO.iter().copied().filter(|word| *word != "--yes").collect();
    let asked = clock.run(&sandbox, &words);
    if asked.status.code() != Some(4) {
        return Err(said(&asked));
    }
    for (what, seconds) in [("a minute back", -60), ("a year back", -31_536_000), ("1970", until(1970))] {
        clock.shift(seconds);
        let still = clock.run(&sandbox, &["resume", "--all", "--output", "json"]);
        if still.status.code() != Some(4) || result(&still)["question"] != result(&asked)["question"] {
            return Err(format!("{what}: {}", said(&still)));
        }
    }
    clock.shift(until(2100));
    let passed = clock.run(&sandbox, &["resume", "--all", "--output", "json"]);
    sound("2100", &sandbox, &passed, &[2, 3])?;
    if sandbox.ledger()["mints"] != 0 {
        return Err("minted without an answer".to_owned());
    }
    Ok("clock and questions: still open a minute, a year and decades back; past its deadline it takes its consequence"
        .to_owned())
}
