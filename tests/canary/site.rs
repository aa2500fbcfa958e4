//! One sandbox with a credential that is a canary, a talkative control plane, and the runs on it.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::encodings::{Scanner, leak};
use crate::plane::{Manner, Plane};
use crate::sandbox::{RECOVER, Sandbox};
use crate::{Report, TOKENS, surroundings};

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--yes", "--output", "json"];
/// The caller's environment: which canary stands in which variable.
const ENVIRONMENT: &[(usize, &str)] = &[
    (17, "AWS_SECRET_ACCESS_KEY"),
    (18, "VAULT_TOKEN"),
    (19, "PAM_TOKEN"),
    (20, "RECOVER_TOKEN"),
    (21, "PGPASSWORD"),
    (22, "CREDENTIAL"),
];
/// The same in proxies that must not be used.
const PROXIES: &[(usize, &str)] = &[
    (29, "HTTP_PROXY"),
    (29, "http_proxy"),
    (30, "HTTPS_PROXY"),
    (30, "https_proxy"),
    (31, "ALL_PROXY"),
    (31, "all_proxy"),
];

pub struct Site<'a> {
    canaries: &'a [String],
    sandbox: Sandbox,
    plane: Plane,
    sink: String,
    /// Connections to the sink of the proxies.
    reached: Arc<AtomicUsize>,
    tmpfs: PathBuf,
    scanner: Scanner,
}

impl<'a> Site<'a> {
    pub fn new(canaries: &'a [String], minted: &Arc<AtomicUsize>) -> Self {
        let sandbox = Sandbox::up();
        sandbox.command(&["down"]);
        let credential = sandbox.dir().join("credential");
        std::fs::write(&credential, format!("{}\n", canaries[0])).unwrap();
        std::fs::set_permissions(&credential, std::fs::Permissions::from_mode(0o600)).unwrap();
        let up = sandbox.command(&["up"]);
        let base = up["base"].as_str().unwrap();
        let plane =
            Plane::before(base, &canaries[0], canaries[TOKENS].to_vec(), minted, sandbox.dir().join("connector.log"));
        let text = std::fs::read_to_string(sandbox.config()).unwrap();
        std::fs::write(sandbox.config(), text.replace(base, &plane.base)).unwrap();
        let mark: serde_json::Value =
            serde_json::from_slice(&std::fs::read(sandbox.dir().join("sandbox.json")).unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sink = listener.local_addr().unwrap().to_string();
        let reached = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&reached);
        std::thread::spawn(move || listener.incoming().for_each(|_| _ = counted.fetch_add(1, Ordering::SeqCst)));
        let tmpfs = mark["tmpfs"].as_str().unwrap().into();
        let scanner = Scanner::new(canaries);
        Self { canaries, sandbox, plane, sink, reached, tmpfs, scanner }
    }

    /// The binary as talkative as it gets, in an environment full of secrets.
    fn command(&self, words: &[&str]) -> Command {
        self.talkative(Command::new(RECOVER), words)
    }

    fn talkative(&self, mut command: Command, words: &[&str]) -> Command {
        command.arg("--config").arg(self.sandbox.config()).args(words).current_dir(self.sandbox.dir());
        command.env("RECOVER_LOG", "trace").env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
        for (canary, name) in ENVIRONMENT {
            command.env(name, &self.canaries[*canary]);
        }
        for (canary, name) in PROXIES {
            command.env(name, format!("http://user:{}@{}", self.canaries[*canary], self.sink));
        }
        command.env_remove("NO_PROXY").env_remove("no_proxy").stdin(Stdio::null());
        command
    }

    fn spawn(&self, mut command: Command) -> Child {
        command.stdout(self.output("stdout")).stderr(self.output("stderr")).spawn().unwrap()
    }

    /// What a process says goes into a file, which is scanned like the others.
    fn output(&self, name: &str) -> Stdio {
        let dir = self.sandbox.dir().join("said");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::OpenOptions::new().append(true).create(true).open(dir.join(name)).unwrap().into()
    }

    /// Waits for the end or the moment to end it, looking at the processes all the time.
    fn watch(&self, mut child: Child, kill: Option<(u64, rustix::process::Signal)>, report: &Report) -> Option<i32> {
        let begun = Instant::now();
        let given: Vec<usize> = ENVIRONMENT.iter().chain(PROXIES).map(|(canary, _)| *canary).collect();
        let run = self.sandbox.dir().join("run");
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            if let Some((after, signal)) = kill
                && begun.elapsed() >= Duration::from_millis(after)
            {
                let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
                let _ended = rustix::process::kill_process(pid, signal);
                return child.wait().unwrap().code();
            }
            if begun.elapsed() > Duration::from_secs(120) {
                report.problem("a run does not end".to_owned());
                child.kill().unwrap();
                return child.wait().unwrap().code();
            }
            surroundings::process("recover", child.id(), &self.scanner, &given, report);
            for who in ["connector", "control-plane"] {
                if let Some(pid) = surroundings::pid(&run.join(format!("{who}.pid"))) {
                    surroundings::process(who, pid, &self.scanner, &[], report);
                }
            }
            surroundings::keep(&self.tmpfs, report);
            std::thread::sleep(Duration::from_millis(8));
        }
    }

    fn lose(&self, manner: Manner) {
        self.sandbox.command(&["up"]);
        self.sandbox.lose(false);
        // Tokens of earlier runs are known to nobody any more.
        std::fs::write(self.sandbox.dir().join("connector.log"), "").unwrap();
        self.plane.behaves(manner);
    }

    /// A run that recovers, perhaps killed on its way; scanned when it is dead and when it is over.
    pub fn recovered(&mut self, kill: Option<u64>, report: &Report) {
        self.lose(Manner::Chatty);
        let what = kill.map_or("a whole run".to_owned(), |after| format!("killed after {after} ms"));
        let signal = kill.map(|after| (after, rustix::process::Signal::KILL));
        let mut exit = self.watch(self.spawn(self.command(GO)), signal, report);
        if kill.is_some() {
            self.scan(&what, report);
            // The next process never saw a token that was withdrawn by now.
            self.plane.forget_encodings();
            exit = self.watch(self.spawn(self.command(&["resume", "--all"])), None, report);
            if self.sandbox.ledger()["pairs"] == 0 {
                exit = self.watch(self.spawn(self.command(GO)), None, report);
            }
        }
        let pairs = self.sandbox.ledger()["pairs"].clone();
        if exit != Some(0) || pairs != 1 {
            report.problem(format!("{what}: exit {exit:?}, {pairs} pairings"));
        }
        self.over(&what, report);
    }

    /// A run that cannot succeed: it gives up, and what it says of it is clean.
    pub fn refused(&mut self, manner: Manner, report: &Report) {
        self.lose(manner);
        let what = format!("{manner:?}");
        let exit = self.watch(self.spawn(self.command(GO)), None, report);
        if !matches!(exit, Some(2 | 8)) {
            report.problem(format!("{what}: exit {exit:?}"));
        }
        self.watch(self.spawn(self.command(&[&["plan"], &GO[..4]].concat())), None, report);
        self.watch(self.spawn(self.command(&[&["diagnose"], &GO[2..4]].concat())), None, report);
        // It is scanned with everything else that was said.
        let bundle = self.sandbox.dir().join("said/bundle.tar");
        drop(std::fs::remove_file(&bundle));
        let pack = self.command(&[&["support-bundle", "--out", bundle.to_str().unwrap()], &GO[2..4]].concat());
        self.watch(self.spawn(pack), None, report);
        if !bundle.exists() {
            report.problem(format!("{what}: no bundle was made"));
        }
        self.over(&what, report);
        self.mend(report);
    }

    /// Leaves the connector paired, so that the next trial can take its identity.
    fn mend(&self, report: &Report) {
        self.plane.behaves(Manner::Chatty);
        let exit = self.watch(self.spawn(self.command(GO)), None, report);
        if exit != Some(0) {
            report.problem(format!("afterwards: exit {exit:?}"));
        }
    }

    /// A person types the credential into a reason, an alert and a ticket.
    pub fn reason(&mut self, report: &Report) {
        self.lose(Manner::Chatty);
        let text = std::fs::read_to_string(self.sandbox.config()).unwrap();
        std::fs::write(self.sandbox.config(), text.replace("\"allow\"", "\"ask\"")).unwrap();
        let said = format!("I have sent {} there", leak(&self.canaries[0]));
        let words = [&GO[..4], &["--output", "json", "--alert", &said, "--ticket", &said]].concat();
        let asked = self.command(&words).output().unwrap();
        self.keep_output(&asked);
        let out = String::from_utf8_lossy(&asked.stdout).into_owned();
        let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap_or("null")).unwrap_or_default();
        let run = last["run"].as_str().unwrap_or_default();
        let answered = self.command(&["approve", run, "--reason", &said]).output().unwrap();
        self.keep_output(&answered);
        if (asked.status.code(), answered.status.code()) != (Some(4), Some(0)) {
            report.problem(format!("a reason: {} {}", asked.status, answered.status));
        }
        std::fs::write(self.sandbox.config(), text).unwrap();
        self.over("a reason", report);
    }

    fn keep_output(&self, output: &Output) {
        use std::io::Write as _;
        let path = self.sandbox.dir().join("said/more");
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(&[&output.stdout[..], &output.stderr].concat()).unwrap();
    }

    /// Told to dump its core in the middle of a run.
    pub fn aborted(&mut self, report: &Report) {
        self.lose(Manner::Chatty);
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "ulimit -c unlimited; exec \"$0\" \"$@\"", RECOVER]);
        self.watch(self.spawn(self.talkative(shell, GO)), Some((1_500, rustix::process::Signal::ABORT)), report);
        for file in surroundings::files(&self.sandbox.dir()) {
            if file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core")) {
                report.problem(format!("a core was dumped: {}", file.display()));
            }
        }
        self.scan("aborted", report);
        self.plane.forget_encodings();
        self.watch(self.spawn(self.command(&["resume", "--all"])), None, report);
        self.over("aborted and resumed", report);
    }

    /// Secrets in keys that are not for them.
    pub fn wrong_keys(&mut self, report: &Report) {
        let good = std::fs::read_to_string(self.sandbox.config()).unwrap();
        let quoted = |canary: usize| serde_json::to_string(&self.canaries[canary]).unwrap();
        let credential = good.split("credential = ").nth(1).unwrap().split(" }").next().unwrap().to_owned();
        let cases = [
            good.replace(&credential, &quoted(23)),
            good.replace(&credential, &format!("\"env:{}\"", self.canaries[24])),
            good.replace("agent = ", &format!("token = {}, agent = ", quoted(25))),
            good.replace("http://127", &format!("http://user:{}@127", self.canaries[26])),
            good.replace("\"1s\"", &quoted(27)),
            format!("{}\n{good}", self.canaries[28]),
            format!("password = {}\n{good}", quoted(28)),
            good.replace("reprovision = \"allow\"", &format!("reprovision = {}", quoted(28))),
        ];
        for (number, text) in cases.iter().enumerate() {
            assert_ne!(text, &good, "case {number} changes something");
            std::fs::write(self.sandbox.config(), text).unwrap();
            for words in [GO, &["config", "show"], &["resume", "--all"], &["plan", "--scenario", "identity-loss"]] {
                let output = self.command(words).output().unwrap();
                for said in [&output.stdout, &output.stderr] {
                    self.look(&format!("wrong key {number}: {words:?}"), said, report);
                }
            }
        }
        std::fs::write(self.sandbox.config(), good).unwrap();
    }

    /// A plane that says that the token's serial is the token: it is not journaled, and nobody can say what happened.
    pub fn token_as_serial(&mut self, report: &Report) {
        self.lose(Manner::SecretPairedSerial);
        self.watch(self.spawn(self.command(GO)), None, report);
        self.scan("a token as serial", report);
    }

    fn look(&self, place: &str, text: &[u8], report: &Report) {
        report.places.fetch_add(1, Ordering::Relaxed);
        for (canary, encoding) in self.scanner.find(text) {
            report.problem(format!("{place}: canary {canary}, {encoding}"));
        }
        if text.windows(8).any(|window| window == b"panicked") {
            report.problem(format!("{place}: a panic"));
        }
    }

    /// Every file of the state, everything that was said, and every export.
    fn scan(&self, what: &str, report: &Report) {
        let mut files = surroundings::files(&self.sandbox.state());
        files.extend(surroundings::files(&self.sandbox.dir().join("said")));
        files.push(self.sandbox.dir().join("control-plane.log"));
        for file in files {
            let name = file.strip_prefix(self.sandbox.dir()).unwrap().display().to_string();
            let text = std::fs::read(&file).unwrap_or_default();
            // A segment is mostly room for what is to come.
            let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            self.look(&format!("{what}: {name}"), &text[..end], report);
        }
        let listed = self.command(&["list", "--output", "json"]).output().unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let last: serde_json::Value = serde_json::from_str(listed.lines().last().unwrap_or("null")).unwrap_or_default();
        let run = last["run"].as_str().unwrap_or("none");
        let verbs: [&[&str]; 10] = [
            &["show", run],
            &["events"],
            &["events", run],
            &["replay", run],
            &["verify", "--all"],
            &["list"],
            &["status"],
            &["status", run],
            &["journal", "verify"],
            &["config", "show"],
        ];
        for verb in verbs {
            for form in ["text", "json"] {
                let output = self.command(&[verb, &["--output", form]].concat()).output().unwrap();
                for said in [&output.stdout, &output.stderr] {
                    self.look(&format!("{what}: {verb:?} as {form}"), said, report);
                }
            }
        }
    }

    /// After the end nothing is kept, and no request went to a proxy.
    fn over(&self, what: &str, report: &Report) {
        self.scan(what, report);
        for left in surroundings::files(&self.tmpfs) {
            report.problem(format!("{what}: left in memory: {}", left.display()));
        }
        if self.reached.load(Ordering::SeqCst) > 0 {
            report.problem(format!("{what}: a proxy was asked"));
        }
    }
}
