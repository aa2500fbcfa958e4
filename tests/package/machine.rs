//! A machine to install a package on: systemd as PID 1 in a container with the host's `/usr` beneath an overlay, and nothing else.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::engine::Engine;

const NAME: &str = "machine-1";
const IMAGE: &str = "machine:1";

/// What `/etc` has to have, and what dpkg takes for a machine without any package.
const FILES: [(&str, &str); 6] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nmessagebus:x:101:101::/nonexistent:/usr/sbin/nologin\n\
         nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n",
    ),
    ("etc/group", "root:x:0:\nmessagebus:x:101:\nnogroup:x:65534:\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    // Empty: a new one is made at each boot.
    ("etc/machine-id", ""),
    ("var/lib/dpkg/status", ""),
    ("var/lib/dpkg/available", ""),
];

/// As the root of a host is, and of a container is not; and `/usr` so that it can be installed into.
const BOOT: &str = "mount --make-rshared / && mount -t tmpfs tmpfs /overlay && mkdir /overlay/upper /overlay/work && \
     mount -t overlay overlay -o lowerdir=/usr,upperdir=/overlay/upper,workdir=/overlay/work /usr && \
     exec /lib/systemd/systemd --unit=basic.target";

/// The machine.
pub struct Machine<'a>(&'a Engine);

impl<'a> Machine<'a> {
    pub fn boot(engine: &'a Engine, packages: &Path) -> Result<Self, String> {
        for (program, package) in [
            ("/lib/systemd/systemd", "systemd"),
            ("/lib/systemd/system/dbus.service", "dbus"),
            ("/usr/bin/dpkg", "dpkg"),
        ] {
            if !Path::new(program).exists() {
                return Err(format!("{program} is not there (Debian: apt-get install {package})"));
            }
        }
        let home = tempfile::tempdir().unwrap();
        let root = home.path();
        let folders = ["usr", "run", "tmp", "proc", "sys", "dev", "root", "overlay", "var/lib/dpkg/info"];
        for folder in folders.into_iter().chain(["etc", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"]) {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        for folder in ["bin", "sbin", "lib", "lib64"] {
            std::os::unix::fs::symlink(format!("usr/{folder}"), root.join(folder)).unwrap();
        }
        FILES.iter().for_each(|(name, text)| std::fs::write(root.join(name), text).unwrap());
        drop(std::fs::copy("/etc/ld.so.cache", root.join("etc/ld.so.cache")));
        engine.import_folder(root, IMAGE, &[])?;
        let packages = format!("{0}:{0}:ro", packages.display());
        let mut words = vec!["run", "--detach", "--name", NAME, "--network", "none", "--cgroupns", "host"];
        words.extend(["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"]);
        words.extend(["--tmpfs", "/run", "--volume", "/usr:/usr:ro", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup"]);
        words.extend(["--volume", &packages, IMAGE, "/bin/sh", "-c", BOOT]);
        engine.said(&words);
        let machine = Self(engine);
        let up = || {
            let said =
                String::from_utf8_lossy(&machine.ran(&["systemctl", "is-system-running"]).stdout).trim().to_owned();
            if said == "running" {
                machine.ran(&["systemctl", "start", "dbus.service"]);
            }
            matches!(said.as_str(), "running" | "degraded")
                && machine.ran(&["systemctl", "is-active", "dbus.service"]).status.success()
        };
        if within(up) { Ok(machine) } else { Err("systemd does not come up as PID 1".into()) }
    }

    pub fn ran(&self, words: &[&str]) -> Output {
        self.0.docker(&[&["exec", NAME], words].concat())
    }

    pub fn done(&self, words: &[&str]) {
        let output = self.ran(words);
        let told = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        let log =
            || String::from_utf8_lossy(&self.ran(&["journalctl", "--no-pager", "-u", "recover"]).stdout).into_owned();
        assert!(output.status.success(), "{words:?}: {}\n{}", String::from_utf8_lossy(&told), log());
    }

    pub fn said(&self, words: &[&str]) -> String {
        String::from_utf8_lossy(&self.ran(words).stdout).trim().to_owned()
    }

    pub fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let log = || self.said(&["journalctl", "--no-pager", "-u", "recover"]);
        assert!(within(holds), "{what}\n{}", log());
    }

    /// Waits until `recover serve` answers 200 there.
    pub fn answers(&self, path: &str) {
        let ask = format!(
            "exec 3<>/dev/tcp/127.0.0.1/8087; printf 'GET {path} HTTP/1.1\\r\\nHost: 127.0.0.1:8087\\r\\nConnection: close\\r\\n\\r\\n' >&3; \
             head -n 1 <&3"
        );
        self.until("it does not answer", || self.said(&["bash", "-c", &ask]).contains(" 200 "));
    }
}

fn within(holds: impl Fn() -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
