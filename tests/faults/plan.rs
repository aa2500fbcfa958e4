//! Which calls are made to fail, and how.

use std::collections::BTreeMap;
use std::fmt;

/// How many calls of one name are taken for one fault in the bounded form.
const SPREAD: usize = 3;

/// One call that fails, or is the last.
#[derive(Clone, Debug)]
pub struct Injection {
    pub call: String,
    /// An error's name; none for SIGKILL before the call.
    pub error: Option<&'static str>,
    /// Which call of that name of a thread, from 1.
    pub nth: usize,
    /// Every later one too.
    pub for_ever: bool,
}

impl Injection {
    pub const fn is_kill(&self) -> bool {
        self.error.is_none()
    }

    /// As strace wants it.
    pub fn argument(&self) -> String {
        let what = self.error.map_or("signal=SIGKILL".to_owned(), |error| format!("error={error}"));
        let on = if self.for_ever { "+" } else { "" };
        format!("inject={}:{what}:when={}{on}", self.call, self.nth)
    }
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.argument())
    }
}

/// What a call may fail with on a machine in trouble.
fn errors(call: &str) -> &'static [&'static str] {
    match call {
        // `write` is also what wakes a thread and what prints: errors of a disk would be lies there. The log uses `pwrite64`.
        "pwrite64" => &["EIO", "ENOSPC", "EDQUOT", "EINTR"],
        "fdatasync" | "fsync" => &["EIO", "ENOSPC", "EINTR"],
        "openat" | "openat2" => &["EMFILE", "EROFS", "ENOSPC", "EIO"],
        "renameat" | "renameat2" | "rename" | "mkdir" | "mkdirat" | "unlink" | "unlinkat" | "ftruncate"
        | "fallocate" | "linkat" => &["EIO", "ENOSPC", "EROFS"],
        "socket" | "pidfd_open" => &["EMFILE"],
        "sendto" | "writev" | "sendmsg" => &["EIO", "EINTR"],
        _ => &[],
    }
}

/// The calls whose success changes something outside of the process. Before the next one is after this one: between the
/// two nothing outside changes.
pub const CHANGING: &[&str] = &[
    "write",
    "writev",
    "pwrite64",
    "fdatasync",
    "fsync",
    "openat",
    "openat2",
    "renameat",
    "renameat2",
    "rename",
    "mkdir",
    "mkdirat",
    "unlink",
    "unlinkat",
    "ftruncate",
    "fallocate",
    "linkat",
    "socket",
    "sendto",
    "sendmsg",
    "pidfd_open",
    "pidfd_send_signal",
    "kill",
    "clone",
    "clone3",
    "execve",
];

/// Every injection for a run that makes so many calls of each name in a thread.
pub fn of(calls: &BTreeMap<String, usize>, full: bool) -> Vec<Injection> {
    let mut plan = Vec::new();
    for (call, &count) in calls {
        let places = |offset: usize| -> Vec<usize> {
            let step = if full { 1 } else { count.div_ceil(SPREAD).max(1) };
            // Another spread for each fault, so that together they cover more.
            (1..=count).filter(|n| (n + offset).is_multiple_of(step)).collect()
        };
        // A thread or a program that is not started is the system's refusal, not a crash of ours.
        let kill = places(0).into_iter().map(|nth| Injection { call: call.clone(), error: None, nth, for_ever: false });
        plan.extend(kill);
        for (at, error) in errors(call).iter().enumerate() {
            for nth in places(at + 1) {
                // A call that is interrupted is made again, so one that is interrupted for ever never ends, and does not exist.
                for for_ever in [false, true].into_iter().filter(|for_ever| !for_ever || *error != "EINTR") {
                    plan.push(Injection { call: call.clone(), error: Some(error), nth, for_ever });
                }
            }
        }
    }
    plan
}
