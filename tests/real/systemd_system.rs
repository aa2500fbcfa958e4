//! systemd as PID 1, in a container of an Engine of our own, with the connector as a unit of the system's manager.
//!
//! The container has the host's `/usr`, read-only, and nothing else of it but the sandbox's folders: so its systemd, message bus and
//! polkit are the host's own programs, and nothing has to be downloaded. `recover` runs in the container, as it would on such a host.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::engine::Engine;
use crate::lane::{self, Ran, System as _};
use crate::sandbox::{RECOVER, Sandbox};
use crate::unit::{self, AS_FOUND, Manager, UNIT, Unit};

const NAME: &str = "host-1";
const IMAGE: &str = "host:1";
/// A user of the container without any right of his own.
const PERSON: u32 = 1_000;

/// What `/etc` has to have.
const FILES: [(&str, &str); 4] = [
    (
        "passwd",
        "root:x:0:0:root:/root:/bin/sh\nmessagebus:x:101:101::/nonexistent:/usr/sbin/nologin\n\
         polkitd:x:102:102::/nonexistent:/usr/sbin/nologin\nrecover:x:1000:1000::/home/recover:/bin/sh\n\
         nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n",
    ),
    ("group", "root:x:0:\nmessagebus:x:101:\npolkitd:x:102:\nrecover:x:1000:\nnogroup:x:65534:\n"),
    ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    // Empty: a new one is made at each boot.
    ("machine-id", ""),
];

/// What a person who may use the unit, and nothing else, is given. The same text is in `docs/access.md`.
const RULE: &str = r#"polkit.addRule(function (action, subject) {
    if (action.id == "org.freedesktop.systemd1.manage-units" &&
        action.lookup("unit") == "edge-connector.service" &&
        (action.lookup("verb") == "start" || action.lookup("verb") == "stop") &&
        subject.user == "recover") {
        return polkit.Result.YES;
    }
});
"#;

struct Host {
    engine: Engine,
    pid: String,
    home: tempfile::TempDir,
}

impl Host {
    fn boot(engine: Engine, sandbox: &Sandbox, token_folder: &Path) -> Result<Self, String> {
        let home = tempfile::tempdir().unwrap();
        let (root, units) = (home.path().join("root"), home.path().join("units"));
        for folder in
            ["etc/polkit-1/rules.d", "usr", "var/lib", "run", "tmp", "proc", "sys", "dev", "root", "home/recover"]
        {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::fs::create_dir(&units).unwrap();
        for folder in ["bin", "sbin", "lib", "lib64"] {
            std::os::unix::fs::symlink(format!("usr/{folder}"), root.join(folder)).unwrap();
        }
        FILES.iter().for_each(|(name, text)| std::fs::write(root.join("etc").join(name), text).unwrap());
        drop(std::fs::copy("/etc/ld.so.cache", root.join("etc/ld.so.cache")));
        engine.import_folder(&root, IMAGE, &[])?;
        let folder = |path: &Path| format!("{0}:{0}", path.display());
        let binary = Path::new(RECOVER).parent().unwrap();
        let (units, sandbox, token, binary) = (
            format!("{}:/etc/systemd/system", units.display()),
            folder(&sandbox.dir()),
            folder(token_folder),
            format!("{}:ro", folder(binary)),
        );
        let mut words = vec!["run", "--detach", "--name", NAME, "--network", "host", "--cgroupns", "host"];
        words.extend(["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"]);
        words.extend(["--tmpfs", "/run", "--volume", "/usr:/usr:ro", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup"]);
        for volume in [&units, &sandbox, &token, &binary] {
            words.extend(["--volume", volume]);
        }
        // As the root of a host is, and of a container is not: a credential is mounted elsewhere, and moved to where the unit sees it.
        let boot = "mount --make-rshared / && exec /lib/systemd/systemd --unit=basic.target";
        words.extend([IMAGE, "/bin/sh", "-c", boot]);
        engine.said(&words);
        let pid = engine.said(&["inspect", "--format", "{{.State.Pid}}", NAME]);
        let host = Self { engine, pid, home };
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let asked = host.systemctl(&["is-system-running"]);
            let said = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
            // The bus may come a moment after the manager.
            if matches!(said.as_str(), "running" | "degraded")
                && host.systemctl(&["is-active", "dbus.service"]).status.success()
            {
                return Ok(host);
            }
            if said == "running" {
                host.systemctl(&["start", "dbus.service"]);
            }
            if Instant::now() > until {
                return Err(format!("systemd does not come up as PID 1: {said}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The command that runs another one in the container, as a user of it.
    fn inside(&self, user: Option<u32>) -> Vec<String> {
        let mut words: Vec<String> =
            ["nsenter", "--target", &self.pid, "--mount", "--pid", "--"].map(str::to_owned).to_vec();
        if let Some(user) = user {
            words.extend([
                "setpriv".to_owned(),
                format!("--reuid={user}"),
                format!("--regid={user}"),
                "--clear-groups".to_owned(),
            ]);
        }
        words
    }
}

impl Manager for Host {
    fn units(&self) -> PathBuf {
        self.home.path().join("units")
    }

    fn systemctl(&self, words: &[&str]) -> Output {
        self.engine.docker(&[&["exec", NAME, "systemctl"], words].concat())
    }
}

pub fn run(kills: u32) -> Ran {
    for (program, package) in [
        ("/lib/systemd/systemd", "systemd"),
        ("/lib/systemd/system/dbus.service", "dbus"),
        ("/usr/bin/nsenter", "util-linux"),
    ] {
        if !Path::new(program).exists() {
            return Ran::Not(format!("{program} is not there (Debian: apt-get install {package})"));
        }
    }
    let engine = match Engine::start() {
        Ok(engine) => engine,
        Err(why) => return Ran::Not(why),
    };
    let sandbox = Sandbox::up();
    let (command, token_file) = unit::words(&sandbox);
    let command = unit::with(command, "--log", "-");
    let host = match Host::boot(engine, &sandbox, token_file.parent().unwrap()) {
        Ok(host) => host,
        Err(why) => return Ran::Not(why),
    };
    host.write_unit(&unit::with(command.clone(), "--token-file", "%d/pairing-token"), "");
    let (data, originals) = (sandbox.dir().join("data"), sandbox.dir().join("original"));
    let token = "token = { credential = \"pairing-token\" }";
    // On the tmpfs of the container: systemd hides what is in /dev/shm where it reads a credential.
    let workload =
        format!("workload = {{ systemd = {{ unit = {UNIT:?}, token_file = \"/run/edge/token\", {token} }} }}");
    let bench = Bench::new(sandbox, &workload, Vec::new()).inside(host.inside(None));
    let own_storage = bench.storage();
    bench.configure(&format!("storage = {{ systemd-unit = {{ path = {data:?}, originals = [{originals:?}] }} }}"));
    let system = Unit::new(host, "BindPaths", "");
    match lane::run(&system, &bench, kills, 3) {
        Ran::Done { figures, mut problems } => {
            if problems.is_empty() {
                problems.extend(unit::bad_input(&system, &bench, "DBUS_SYSTEM_BUS_ADDRESS"));
                // A person may not write where units are: here the directory itself is moved, and the token read as a file.
                let system = Unit::new(system.manager, unit::NOTHING, "");
                system.manager.write_unit(&command, "");
                bench.configure(&own_storage);
                bench.configure(&format!(
                    "workload = {{ systemd = {{ unit = {UNIT:?}, token_file = {token_file:?} }} }}"
                ));
                problems.extend(access(&system, bench, token_file.parent().unwrap()));
            }
            Ran::Done { figures, problems }
        }
        not @ Ran::Not(_) => not,
    }
}

/// A person without the right is refused and told which it is; with the documented rule of polkit, and nothing more, he recovers.
fn access(system: &Unit<Host>, bench: Bench, token_folder: &Path) -> Vec<String> {
    if !Path::new("/usr/lib/polkit-1/polkitd").exists() {
        println!(
            "real: systemd-system: polkit is not there (Debian: apt-get install polkitd), so its rule was NOT RUN"
        );
        return Vec::new();
    }
    let mut problems = Vec::new();
    // What is lost still is.
    let bench = bench.inside(system.manager.inside(Some(PERSON)));
    for folder in [&bench.sandbox().dir(), token_folder] {
        own(folder);
    }
    let before = bench.ledger();
    let refused = bench.recover(lane::GO);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    if refused.status.code() != Some(AS_FOUND) || !told.contains("polkit") {
        problems.push(format!("without a right: exit {:?}: {told}", refused.status.code()));
    }
    if bench.ledger()["starts"] != before["starts"] {
        problems.push("without a right: it was started".to_owned());
    }
    let rule = format!("cat > /etc/polkit-1/rules.d/50-recover.rules <<'RULE'\n{RULE}RULE\n");
    system.manager.engine.said(&["exec", NAME, "sh", "-c", &rule]);
    // polkit reads a new rule by itself, a moment later.
    let until = Instant::now() + Duration::from_secs(10);
    let mut allowed = bench.recover(lane::GO);
    while !allowed.status.success() && Instant::now() < until {
        allowed = bench.recover(lane::GO);
    }
    if !allowed.status.success() {
        let told = String::from_utf8_lossy(&allowed.stderr);
        problems.push(format!("with the documented rule: exit {:?}: {told}", allowed.status.code()));
    }
    problems.extend(system.problems(&bench));
    problems
}

/// Gives a folder and all in it to the person.
fn own(path: &Path) {
    let owner = nix::unistd::Uid::from_raw(PERSON);
    nix::unistd::chown(path, Some(owner), Some(nix::unistd::Gid::from_raw(PERSON))).unwrap();
    if path.is_dir() && !path.is_symlink() {
        std::fs::read_dir(path).unwrap().for_each(|entry| own(&entry.unwrap().path()));
    }
}
