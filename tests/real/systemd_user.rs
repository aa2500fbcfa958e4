//! A user manager of systemd of our own, with the connector as its unit.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::crash_loop;
use crate::lane::{self, Ran};
use crate::sandbox::Sandbox;
use crate::unit::{self, Manager, UNIT, Unit};

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
struct UserManager {
    child: Child,
    home: tempfile::TempDir,
}

impl UserManager {
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
}

impl Manager for UserManager {
    fn units(&self) -> PathBuf {
        self.home.path().join(".config/systemd/user")
    }

    fn systemctl(&self, words: &[&str]) -> Output {
        let mut command = Command::new("systemctl");
        command.arg("--user").args(words).env_clear().envs(self.surroundings());
        command.output().unwrap()
    }
}

impl Drop for UserManager {
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

pub fn run(kills: u32) -> Ran {
    let manager = match UserManager::start() {
        Ok(manager) => manager,
        Err(why) => return Ran::Not(why),
    };
    let sandbox = Sandbox::up();
    let (command, token_file) = unit::words(&sandbox);
    let (command, variable) = (unit::with(command, "--data", "${PAM_AGENT_DATA_DIR}"), "PAM_AGENT_DATA_DIR");
    let (data, originals) = (sandbox.dir().join("data"), sandbox.dir().join("original"));
    let told = format!("Environment={variable}={}\n", data.display());
    manager.write_unit(&command, &told);
    let log = sandbox.dir().join("connector.log");
    let workload = format!(
        "workload = {{ systemd = {{ unit = {UNIT:?}, manager = \"user\", token_file = {token_file:?}, log = {log:?} }} }}"
    );
    let bench = Bench::new(sandbox, &workload, manager.surroundings());
    bench.configure(&format!(
        "storage = {{ systemd-unit = {{ path = {data:?}, variable = {variable:?}, originals = [{originals:?}] }} }}"
    ));
    let system = Unit::new(manager, "Environment", &format!("{variable}="));
    match lane::run(&system, &bench, kills, 1) {
        Ran::Done { figures, mut problems } => {
            if problems.is_empty() {
                problems.extend(unit::bad_input(&system, &bench, "DBUS_SESSION_BUS_ADDRESS"));
                let found = by_variable(&system, &bench, &command, &told, &token_file);
                problems.extend(found.into_iter().map(|problem| format!("a token in a variable: {problem}")));
                bench.configure(&workload);
                let found = crash_loop::c13(&system, &bench, &command, &told);
                problems.extend(found.into_iter().map(|problem| format!("a crash loop: {problem}")));
            }
            Ran::Done { figures, problems }
        }
        not @ Ran::Not(_) => not,
    }
}

/// A connector that takes its token from a variable alone: the script here writes the variable to where the sandbox's connector looks.
fn by_variable(
    system: &Unit<UserManager>,
    bench: &Bench,
    command: &[String],
    told: &str,
    token_file: &Path,
) -> Vec<String> {
    let (script, handed) = (bench.sandbox().dir().join("start.sh"), token_file.with_file_name("handed"));
    let handed = handed.display();
    let text = format!(
        "#!/bin/sh\numask 077\nrm -f {handed}\n[ -z \"$PAM_AGENT_TOKEN\" ] || printf %s \"$PAM_AGENT_TOKEN\" >{handed}\nunset PAM_AGENT_TOKEN\nexec \"$@\"\n"
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let command = unit::with(command.to_vec(), "--token-file", &handed.to_string());
    let command = [vec![script.display().to_string()], command].concat();
    system.manager.write_unit(&command, told);
    let token = "token = { environment = \"PAM_AGENT_TOKEN\" }";
    bench.configure(&format!(
        "workload = {{ systemd = {{ unit = {UNIT:?}, manager = \"user\", token_file = {token_file:?}, {token} }} }}"
    ));
    // What was lost before is lost still, and its original goes with it.
    std::fs::remove_dir_all(bench.sandbox().dir().join("original")).unwrap();
    system.manager.done(&["restart", UNIT]);
    let output = bench.recover(lane::GO);
    let mut problems = Vec::new();
    if !output.status.success() {
        problems.push(format!("exit {:?}: {}", output.status.code(), String::from_utf8_lossy(&output.stderr)));
    }
    let ledger = bench.ledger();
    if ledger["pairs"] != 1 || ledger["live_tokens"] != 0 {
        problems.push(format!("there was not one pairing, or a token works: {ledger}"));
    }
    if !system.manager.property("DropInPaths").is_empty() || token_file.exists() {
        problems.push("something is left of the token".to_owned());
    }
    problems
}
