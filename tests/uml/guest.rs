//! A guest of user-mode Linux: the host's files as its root, an ext4 of its own, and a script of ours as its init.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::Programs;

const RECOVER: &str = env!("CARGO_BIN_EXE_recover");
/// A boot takes two seconds; whatever takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// One recovery's machine: what is on the host, and the disk.
pub struct Machine<'a> {
    programs: &'a Programs,
    /// On the host, and seen by the guest under the same name.
    pub home: PathBuf,
    synchronous: bool,
}

impl<'a> Machine<'a> {
    /// With an empty disk.
    pub fn new(programs: &'a Programs, home: PathBuf, synchronous: bool) -> Self {
        fs::create_dir_all(home.join("disk")).unwrap();
        fs::create_dir_all(home.join("plane")).unwrap();
        let image = home.join("image");
        fs::File::create(&image).unwrap().set_len(256 << 20).unwrap();
        let made = Command::new(&programs.mkfs).args(["-q", "-F"]).arg(&image).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { programs, home, synchronous }
    }

    /// What the guest said in a file of its own.
    pub fn said(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.home.join(name)).ok()
    }

    /// Boots it with this script after the common beginning.
    pub fn boot(&self, script: &str) -> Guest {
        for name in ["go", "code", "end", "replayed", "events", "ledger", "verify", "out", "err", "asked"] {
            _ = fs::remove_file(self.home.join(name));
        }
        let init = self.home.join("init");
        fs::write(&init, self.script(script)).unwrap();
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).unwrap();
        let console = fs::File::create(self.home.join("console")).unwrap();
        let disk = if self.synchronous { "ubd0s" } else { "ubd0" };
        let mut command = Command::new(&self.programs.kernel);
        command.arg("mem=256M").arg(format!("{disk}={}", self.home.join("image").display()));
        command.args(["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", "quiet"]);
        command.args(["con=null", "con0=null,fd:1", "ssl=null"]).arg(format!("init={}", init.display()));
        command.stdin(Stdio::null()).stderr(console.try_clone().unwrap()).stdout(console);
        // Its processes are processes of the host: one group, so that the power goes for all of them at once.
        Guest { child: command.process_group(0).spawn().unwrap(), home: self.home.clone() }
    }

    fn script(&self, rest: &str) -> String {
        let (busybox, home) = (self.programs.busybox.display(), self.home.display());
        format!(
            "#!{busybox} sh\n\
             H={home}\nB={busybox}\nS=$H/disk/sandbox\nR={RECOVER}\n\
             exec >$H/log 2>&1\n\
             $B mount -t proc proc /proc\n$B mount -t sysfs sysfs /sys\n\
             $B mkdir -p /dev/shm\n$B mount -t tmpfs tmpfs /dev/shm\n$B mount -t tmpfs tmpfs /run\n\
             $B ip link set lo up\n\
             $B mount -t ext4 /dev/ubda $H/disk || $B halt -f\n\
             $B dmesg | $B grep -q 'EXT4-fs.*recovery complete' && echo 1 >$H/replayed\n\
             recover() {{ $R --config $S/recover.toml --state-dir $H/disk/state \"$@\"; }}\n\
             bind() {{ $B touch $H/starts $S/starts.jsonl; $B mount -o bind $H/starts $S/starts.jsonl; \
             $B mount -o bind $H/plane $S/control-plane; }}\n\
             {rest}\n\
             $B sync\necho 1 >$H/end\n$B umount $S/starts.jsonl $S/control-plane $H/disk\n$B halt -f\n"
        )
    }
}

/// A guest that runs. Whatever happens, it does not outlive us.
pub struct Guest {
    child: Child,
    home: PathBuf,
}

impl Guest {
    /// Waits until the guest has written that file, or has ended.
    pub fn until(&mut self, name: &str) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.home.join(name).exists() {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return self.home.join(name).exists();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// The power goes.
    pub fn cut(mut self) {
        self.kill();
    }

    /// Waits for the guest to halt.
    pub fn halted(mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.child.try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn kill(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        _ = rustix::process::kill_process_group(group, Signal::KILL);
        _ = self.child.wait();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether a guest boots here at all: not everywhere may a process trace another.
pub fn works(programs: &Programs, home: &Path) -> Result<(), String> {
    let machine = Machine::new(programs, home.join("probe"), false);
    let mut guest = machine.boot("echo 0 >$H/code");
    if guest.until("code") && guest.halted() {
        return Ok(());
    }
    let console = machine.said("console").unwrap_or_default();
    Err(format!("a guest does not boot here: {}", console.lines().last().unwrap_or("it says nothing")))
}
