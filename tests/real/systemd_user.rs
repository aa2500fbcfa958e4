//! A user manager of systemd of our own, with the connector as its unit.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::lane::{self, Ran, System};
use crate::sandbox::Sandbox;

const UNIT: &str = "edge-connector.service";
/// The exit of a run that ends with everything as it was found.
const AS_FOUND: i32 = 2;
const SYSTEMD: &str = "/lib/systemd/systemd";

/// By these two names the manager knows the bus that it is to be on.
const BUS: [(&str, &str); 2] = [
    ("dbus.socket", "[Socket]\nListenStream=%t/bus\n"),
    (
        "dbus.service",
        "[Unit]
DefaultDependencies=no
Requires=dbus.socket

[Service]
Type=notify
ExecStart=/usr/bin/dbus-daemon --session --address=systemd: --nofork --nopidfile --systemd-activation
",
    ),
];

/// The manager, ended with everything it runs.
struct Manager {
    child: Child,
    home: tempfile::TempDir,
}

impl Manager {
    fn start() -> Result<Self, String> {
        for (program, package) in [(SYSTEMD, "systemd"), ("/usr/bin/dbus-daemon", "dbus-daemon")] {
            if !Path::new(program).exists() {
                return Err(format!("{program} is not there (Debian: apt-get install {package})"));
            }
        }
        // What `sd_booted(3)` looks for; a user's manager does not start without it.
        std::fs::create_dir_all("/run/systemd/system").map_err(|e| format!("/run/systemd/system: {e}"))?;
        let home = tempfile::tempdir().unwrap();
        let run = home.path().join("run");
        std::fs::create_dir(&run).unwrap();
        std::fs::set_permissions(&run, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let units = home.path().join(".config/systemd/user");
        std::fs::create_dir_all(&units).unwrap();
        BUS.iter().for_each(|(name, text)| std::fs::write(units.join(name), text).unwrap());
        let mut command = Command::new(SYSTEMD);
        command.args(["--user", "--unit=dbus.service"]).env_clear().envs(surroundings(home.path()));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let manager = Self { child: child.map_err(|e| format!("{SYSTEMD}: {e}"))?, home };
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let asked = manager.systemctl(&["is-system-running"]);
            let said = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
            if matches!(said.as_str(), "running" | "degraded") && manager.is_on_its_bus() {
                return Ok(manager);
            }
            if Instant::now() > until {
                let why = String::from_utf8_lossy(&asked.stderr).trim().to_owned();
                return Err(format!("the user's manager does not come up: {said} {why}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn is_on_its_bus(&self) -> bool {
        let mut command = Command::new("busctl");
        command.args(["--user", "--quiet", "status", "org.freedesktop.systemd1"]).env_clear().envs(self.surroundings());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    fn surroundings(&self) -> Vec<(&'static str, String)> {
        surroundings(self.home.path())
    }

    fn systemctl(&self, words: &[&str]) -> Output {
        let mut command = Command::new("systemctl");
        command.arg("--user").args(words).env_clear().envs(self.surroundings());
        command.output().unwrap()
    }

    fn done(&self, words: &[&str]) {
        let output = self.systemctl(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn property(&self, name: &str) -> String {
        let output = self.systemctl(&["show", "--value", "--property", name, UNIT]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn write_unit(&self, command: &[String]) {
        let quoted: Vec<String> = command.iter().map(|word| format!("{word:?}")).collect();
        let text = format!(
            "[Unit]\nDescription=the connector under test\nStartLimitIntervalSec=0\n\n[Service]\nExecStart={}\nRestart=on-failure\nRestartSec=100ms\n",
            quoted.join(" ")
        );
        std::fs::write(self.home.path().join(".config/systemd/user").join(UNIT), text).unwrap();
        self.done(&["daemon-reload"]);
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        drop(self.systemctl(&["stop", UNIT]));
        drop(self.systemctl(&["exit"]));
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn surroundings(home: &Path) -> Vec<(&'static str, String)> {
    let at = |name: &str| home.join(name).display().to_string();
    vec![
        ("HOME", at("")),
        ("XDG_RUNTIME_DIR", at("run")),
        ("XDG_CONFIG_HOME", at(".config")),
        ("PATH", "/usr/bin:/bin".to_owned()),
    ]
}

struct UserUnit {
    manager: Manager,
}

impl System for UserUnit {
    fn lose(&self, bench: &Bench, keep_original: bool) {
        self.manager.done(&["stop", UNIT]);
        // The sandbox pairs it anew and takes the identity away; the unit then finds what it finds in life: nothing.
        bench.sandbox().command(&["up"]);
        bench.sandbox().lose(keep_original);
        bench.end_the_sandboxs_own();
        self.manager.done(&["start", UNIT]);
    }

    fn problems(&self, bench: &Bench) -> Vec<String> {
        let mut problems = Vec::new();
        for (property, right) in
            [("ActiveState", "active"), ("SubState", "running"), ("NRestarts", "0"), ("DropInPaths", "")]
        {
            let found = self.manager.property(property);
            if found != right {
                problems.push(format!("systemd says {property}={found}, not {right}"));
            }
        }
        let processes = std::fs::read_dir("/proc").unwrap().filter(|entry| {
            let path = entry.as_ref().unwrap().path().join("cmdline");
            let words = std::fs::read(path).unwrap_or_default();
            let words: Vec<&[u8]> = words.split(|byte| *byte == 0).collect();
            let data = bench.sandbox().dir().join("data");
            words.get(2) == Some(&&b"connector"[..]) && words.contains(&data.as_os_str().as_encoded_bytes())
        });
        let processes = processes.count();
        if processes != 1 {
            problems.push(format!("{processes} connectors run, and not one"));
        }
        problems
    }
}

pub fn run(full: bool) -> Ran {
    let manager = match Manager::start() {
        Ok(manager) => manager,
        Err(why) => return Ran::Not(why),
    };
    let sandbox = Sandbox::up();
    let (command, token_file) = words(&sandbox);
    manager.write_unit(&command);
    let log = sandbox.dir().join("connector.log");
    let workload = format!(
        "workload = {{ systemd = {{ unit = {UNIT:?}, manager = \"user\", token_file = {token_file:?}, log = {log:?} }} }}"
    );
    let bench = Bench::new(sandbox, &workload, manager.surroundings());
    let system = UserUnit { manager };
    match lane::run(&system, &bench, if full { 200 } else { 20 }, 1) {
        Ran::Done { figures, mut problems } => {
            problems.extend(bad_input(&system, &bench));
            Ran::Done { figures, problems }
        }
        not @ Ran::Not(_) => not,
    }
}

/// What the workload's name or the bus can be wrong about: each is said, and nothing is changed.
fn bad_input(system: &UserUnit, bench: &Bench) -> Vec<String> {
    let masked = "masked-connector.service";
    system.manager.done(&["mask", masked]);
    let nowhere = ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere/bus".to_owned());
    let cases = [
        ("a unit that there is not", bench.with_workload(UNIT, "no-connector.service", None), "there is no such unit"),
        ("a unit that is masked", bench.with_workload(UNIT, masked, None), "the unit is masked"),
        ("no bus", bench.with_workload(UNIT, UNIT, Some(nowhere)), "systemd cannot be reached"),
    ];
    system.lose(bench, true);
    let before = bench.ledger();
    let mut problems = Vec::new();
    for (what, recovering, said) in cases {
        let mut recovering = recovering;
        let output = recovering.args(lane::GO).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(AS_FOUND) || !told.contains(said) {
            problems.push(format!("{what}: exit {:?}: {told}", output.status.code()));
        }
    }
    for effect in ["mints", "pairs", "starts"] {
        if bench.ledger()[effect] != before[effect] {
            problems.push(format!("{effect} changed where nothing may: {}", bench.ledger()));
        }
    }
    problems
}

/// The sandbox's connector: its command, and where it looks for a token.
pub fn words(sandbox: &Sandbox) -> (Vec<String>, PathBuf) {
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let line = text.lines().find(|line| line.starts_with("workload = ")).unwrap();
    let list = line.split_once('[').unwrap().1.split_once(']').unwrap().0;
    let command: Vec<String> = list.split(',').map(|word| word.trim().trim_matches('"').to_owned()).collect();
    let at = command.iter().position(|word| word == "--token-file").unwrap();
    let token_file = command[at + 1].clone().into();
    (command, token_file)
}
