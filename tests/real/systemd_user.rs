//! A user manager of systemd of our own, with the connector as its unit.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::bench::Bench;
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
    manager.write_unit(&command);
    let log = sandbox.dir().join("connector.log");
    let workload = format!(
        "workload = {{ systemd = {{ unit = {UNIT:?}, manager = \"user\", token_file = {token_file:?}, log = {log:?} }} }}"
    );
    let bench = Bench::new(sandbox, &workload, manager.surroundings());
    let system = Unit { manager };
    match lane::run(&system, &bench, kills, 1) {
        Ran::Done { figures, mut problems } => {
            if problems.is_empty() {
                problems.extend(unit::bad_input(&system, &bench, "DBUS_SESSION_BUS_ADDRESS"));
            }
            Ran::Done { figures, problems }
        }
        not @ Ran::Not(_) => not,
    }
}
