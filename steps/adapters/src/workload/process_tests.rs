//! The process adapter on real processes, also stubborn ones, also with its starter killed at any instant.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::Command;

use super::*;

struct Bench {
    dir: tempfile::TempDir,
    process: Process,
}

impl Bench {
    fn new(command: &[&str]) -> Self {
        Self::stopping(command, 3_000)
    }

    fn stopping(command: &[&str], ms: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let process = Process::new(config(dir.path(), command), Duration::from_millis(ms));
        Self { dir, process }
    }

    async fn start(&self) -> Instance {
        let lock = self.process.lock().await.unwrap();
        self.process.start(&lock).unwrap()
    }

    async fn stop(&self) {
        let lock = self.process.lock().await.unwrap();
        self.process.stop(&lock).await.unwrap();
    }

    /// The processes with this command line. For an instant after `execve` the kernel shows none of one that is there.
    async fn seen(&self, expected: Option<i32>) -> Vec<i32> {
        loop {
            let there = self.process.strangers().unwrap();
            let alive = expected.is_some_and(|pid| Path::new(&format!("/proc/{pid}/exe")).exists());
            if !there.is_empty() || !alive {
                return there;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn traces(&self) -> Option<String> {
        let lock = self.process.lock().await.unwrap();
        self.process.traces(&lock).unwrap()
    }
}

impl Drop for Bench {
    /// Whatever a failed test left is killed by its session, not by its name.
    fn drop(&mut self) {
        if let (Ok(Some(life)), Ok(boot)) = (pidfile::read(&self.process.config.pidfile), table::boot_id()) {
            for left in members(&life, &boot).unwrap_or_default() {
                signal_entry(left, Signal::KILL);
            }
        }
    }
}

fn config(dir: &Path, command: &[&str]) -> ProcessConfig {
    ProcessConfig {
        command: command.iter().map(|w| (*w).to_owned()).collect(),
        pidfile: dir.join("run/pid"),
        log: dir.join("log"),
        token_file: dir.join("token"),
        token_arguments: Vec::new(),
        cwd: None,
    }
}

fn pid(instance: &Instance) -> i32 {
    instance.0.parse::<Life>().unwrap().pid
}

/// A command line that no other test has, so that none takes the other's process for a stranger.
fn unique(seconds: u32) -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("{seconds}.{}{n:04}", std::process::id())
}

#[tokio::test]
async fn it_is_started_once_and_stopped_for_good() {
    let bench = Bench::new(&["/bin/sleep", &unique(600)]);
    assert_eq!(bench.traces().await, None);
    let first = bench.start().await;
    assert_eq!(bench.start().await, first, "what runs is not started again");
    assert_eq!(bench.process.running().unwrap(), Some(first.clone()));
    assert!(bench.traces().await.unwrap().contains("the workload"));
    let entry = table::entry(pid(&first)).unwrap();
    assert_eq!((entry.session, entry.group), (entry.pid, entry.pid));
    bench.stop().await;
    assert_eq!((bench.process.running().unwrap(), bench.traces().await), (None, None));
    bench.stop().await;
    assert!(!bench.process.config.pidfile.exists());
}

#[tokio::test]
async fn it_gets_nothing_of_ours() {
    let script = "env; pwd; ls -l /proc/$$/fd; echo out; echo err >&2; sleep 600";
    let bench = Bench::new(&["/bin/sh", "-c", script]);
    let leak = rustix::io::dup(std::fs::File::open("/dev/null").unwrap()).unwrap();
    assert!(!rustix::io::fcntl_getfd(&leak).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    bench.start().await;
    let mut text = String::new();
    for _ in 0..250 {
        text = std::fs::read_to_string(&bench.process.config.log).unwrap();
        if text.contains("err\n") {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    assert!(text.contains("out\n") && text.contains("err\n") && text.contains("\n/\n"), "{text}");
    let variables = text.lines().filter(|l| l.contains('=')).map(|l| l.split('=').next().unwrap());
    // The last three are the shell's own.
    assert!(variables.into_iter().all(|v| ["PATH", "PWD", "OLDPWD", "SHLVL", "_"].contains(&v)), "{text}");
    let descriptors: Vec<_> = text.lines().filter(|l| l.contains(" -> ")).collect();
    assert!(descriptors.len() <= 4 && !descriptors.iter().any(|l| l.contains("lock")), "{text}");
    bench.stop().await;
}

#[tokio::test]
async fn a_restart_is_done_once_for_the_life_it_names() {
    let bench = Bench::new(&["/bin/sleep", &unique(600)]);
    let first = bench.start().await;
    let lock = bench.process.lock().await.unwrap();
    let second = bench.process.restart(&lock, &first).await.unwrap();
    assert_ne!(second, first);
    assert_eq!(bench.process.restart(&lock, &first).await.unwrap(), second, "it has been done");
    bench.process.stop(&lock).await.unwrap();
    let third = bench.process.restart(&lock, &second).await.unwrap();
    assert_ne!(third, second, "a crash between stop and start is made good");
    bench.process.stop(&lock).await.unwrap();
}

#[tokio::test]
async fn the_stubborn_and_the_left_behind_end_too() {
    let stubborn = format!("trap '' TERM; sleep {} & while :; do sleep 0.{}; done", unique(600), std::process::id());
    let bench = Bench::stopping(&["/bin/sh", "-c", &stubborn], 300);
    let life: Life = bench.start().await.0.parse().unwrap();
    for _ in 0..250 {
        if members(&life, &life.boot).unwrap().len() >= 3 {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    assert!(members(&life, &life.boot).unwrap().len() >= 3);
    // The leader alone dies, by somebody else's hand: what it left still counts as running.
    assert!(signal(&open(life.pid).unwrap().unwrap(), Signal::KILL).is_ok());
    while life.runs(&life.boot) {
        tokio::time::sleep(PAUSE).await;
    }
    assert_eq!(bench.process.running().unwrap(), None);
    assert!(bench.traces().await.unwrap().contains("what the workload started"));
    let lock = bench.process.lock().await.unwrap();
    assert!(bench.process.start(&lock).is_err(), "no second one beside it");
    bench.process.stop(&lock).await.unwrap();
    assert!(members(&life, &life.boot).unwrap().is_empty());
}

#[tokio::test]
async fn a_stranger_with_the_same_command_is_seen_and_left_alone() {
    let argument = unique(600);
    let bench = Bench::new(&["/bin/sleep", &argument]);
    let mut stranger = Command::new("/bin/sleep").arg(&argument).spawn().unwrap();
    let lock = bench.process.lock().await.unwrap();
    // Until `exec` its command line is ours.
    while !table::runs_command(stranger.id() as i32, &bench.process.config.command) {
        tokio::time::sleep(PAUSE).await;
    }
    let traces = bench.process.traces(&lock).unwrap().unwrap();
    let started = bench.process.start(&lock);
    let stopped = bench.process.stop(&lock).await;
    assert_eq!(stranger.try_wait().unwrap(), None, "it was not killed");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert!(traces.contains("somebody else"), "{traces}");
    assert!(matches!(started, Err(Trouble::Refused(_))) && matches!(stopped, Err(Trouble::Refused(_))));
    assert_eq!(bench.process.traces(&lock).unwrap(), None);
}

#[tokio::test]
async fn a_number_that_was_reused_is_never_signalled() {
    let bench = Bench::new(&["/bin/sleep", &unique(600)]);
    let mut bystander = Command::new("/bin/sleep").arg(unique(601)).process_group(0).spawn().unwrap();
    let entry = table::entry(bystander.id() as i32).unwrap();
    let boot = table::boot_id().unwrap();
    std::fs::create_dir(bench.dir.path().join("run")).unwrap();
    for (start, boot) in [(entry.start - 1, boot.as_str()), (entry.start, "another-boot")] {
        let text = format!(r#"{{"pid":{},"start":{start},"boot":"{boot}"}}"#, entry.pid);
        std::fs::write(&bench.process.config.pidfile, text).unwrap();
        assert_eq!(bench.process.running().unwrap(), None);
        bench.stop().await;
        assert_eq!(bystander.try_wait().unwrap(), None);
    }
    // The very process, but one that leads no session: nobody started it by this discipline.
    let text = format!(r#"{{"pid":{},"start":{},"boot":"{boot}"}}"#, entry.pid, entry.start);
    std::fs::write(&bench.process.config.pidfile, text).unwrap();
    let lock = bench.process.lock().await.unwrap();
    assert!(bench.process.stop(&lock).await.is_err());
    assert_eq!(bystander.try_wait().unwrap(), None);
    std::fs::remove_file(&bench.process.config.pidfile).unwrap();
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[tokio::test]
async fn a_program_that_cannot_be_started_leaves_nothing() {
    let bench = Bench::new(&["/nowhere/program"]);
    let lock = bench.process.lock().await.unwrap();
    assert!(matches!(bench.process.start(&lock), Err(Trouble::Refused(_))));
    assert!(!bench.process.config.pidfile.exists());
    assert_eq!(bench.process.traces(&lock).unwrap(), None);
}

#[tokio::test]
async fn one_that_ends_at_once_is_no_zombie_that_runs() {
    let bench = Bench::new(&["/bin/true"]);
    bench.start().await;
    for _ in 0..250 {
        if bench.process.running().unwrap().is_none() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    assert_eq!((bench.process.running().unwrap(), bench.traces().await), (None, None));
}

/// The body of the process that the next test kills: starts the workload, over and over.
#[tokio::test]
#[ignore = "runs only as the child of the next test"]
async fn starter() {
    let dir = PathBuf::from(std::env::var_os("RECOVER_TEST_DIR").unwrap());
    let argument = std::fs::read_to_string(dir.join("argument")).unwrap();
    let process = Process::new(config(&dir, &["/bin/sleep", &argument]), Duration::from_secs(3));
    loop {
        let lock = process.lock().await.unwrap();
        process.start(&lock).unwrap();
        drop(lock);
        let lock = process.lock().await.unwrap();
        process.stop(&lock).await.unwrap();
    }
}

#[tokio::test]
async fn a_starter_killed_at_any_instant_never_leaves_two_or_one_unknown() {
    let argument = unique(600);
    let bench = Bench::new(&["/bin/sleep", &argument]);
    std::fs::write(bench.dir.path().join("argument"), &argument).unwrap();
    let (mut found, mut seed) = (0, 0x9e37_79b9_u64);
    for round in 0..50 {
        let mut starter = Command::new(std::env::current_exe().unwrap());
        starter.args(["--exact", "workload::process::tests::starter", "--ignored", "--nocapture"]);
        starter.env("RECOVER_TEST_DIR", bench.dir.path()).stdout(std::process::Stdio::null());
        let mut starter = starter.spawn().unwrap();
        // A fixed sequence of instants, finely spread over the first loops of the starter.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        tokio::time::sleep(Duration::from_micros(8_000 + (seed >> 33) % 40_000)).await;
        starter.kill().unwrap();
        assert_eq!(starter.wait().unwrap().signal(), Some(9), "round {round}");
        let lock = bench.process.lock().await.unwrap();
        // Under the lock every process with this command line is the one that the pid file names.
        let mut named = bench.process.running().unwrap().map(|i| pid(&i));
        let there = bench.seen(named).await;
        // One that the starter had already told to stop may have ended between the two looks.
        if there.is_empty() {
            named = bench.process.running().unwrap().map(|i| pid(&i));
        }
        assert!(there.len() <= 1, "round {round}: {there:?}");
        assert_eq!(there.first().copied(), named, "round {round}");
        found += there.len();
        let mut instance = pid(&bench.process.start(&lock).unwrap());
        let mut there = bench.seen(Some(instance)).await;
        // One that the starter had already told to stop was still there to be started, and is gone now.
        if there.is_empty() {
            instance = pid(&bench.process.start(&lock).unwrap());
            there = bench.seen(Some(instance)).await;
        }
        assert_eq!(there, [instance], "round {round}");
        if round % 2 == 0 {
            bench.process.stop(&lock).await.unwrap();
        }
    }
    bench.stop().await;
    assert!(found > 0, "the starter was always killed too early to show anything");
}
