//! A Docker Engine of our own: on a socket in a folder of its own, without a network of the host's, ended with all it has.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::packages;

/// The daemon is the shell's child, and the shell waits for the end of a pipe whose other end only the test has: however the
/// test ends, its containers, networks, mounts and files go.
const SCRIPT: &str = r#"
home=$1
dockerd -H "unix://$home/docker.sock" --data-root "$home/data" --exec-root "$home/exec" --pidfile "$home/pid" \
    --bridge=none --iptables=false --ip6tables=false --ip-forward=false >"$home/log" 2>&1 &
daemon=$!
read -r _
export DOCKER_HOST="unix://$home/docker.sock"
containers=$(timeout 20 docker ps --all --quiet)
[ -z "$containers" ] || timeout 60 docker rm --force --volumes $containers >/dev/null
networks=$(timeout 20 docker network ls --quiet --filter type=custom)
[ -z "$networks" ] || timeout 20 docker network rm $networks >/dev/null
kill "$daemon" 2>/dev/null
for _ in $(seq 150); do kill -0 "$daemon" 2>/dev/null || break; sleep 0.1; done
kill -9 "$daemon" 2>/dev/null
wait "$daemon"
cut -d' ' -f2 /proc/mounts | grep "^$home/" | sort -r | while read -r mount; do umount -l "$mount"; done
rm -rf "$home"
"#;

/// The packages of Debian that are needed, by a program of each.
const NEEDED: [(&str, &str); 2] = [("dockerd", "docker.io"), ("busybox", "busybox-static")];

/// The daemon.
pub struct Engine {
    shell: Child,
    home: PathBuf,
}

/// The image that has the binary under test.
pub const IMAGE: &str = "edge:1";

impl Engine {
    pub fn start() -> Result<Self, String> {
        install()?;
        // What the daemon looks for to tell how to make control groups.
        std::fs::create_dir_all("/run/systemd/system").map_err(|e| format!("/run/systemd/system: {e}"))?;
        let home = tempfile::tempdir().unwrap().keep();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", SCRIPT, "engine"]).arg(&home).stdin(Stdio::piped()).stdout(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        let engine = Self { shell: shell.spawn().unwrap(), home };
        let until = Instant::now() + Duration::from_secs(60);
        while !engine.docker(&["version"]).status.success() {
            if Instant::now() > until {
                let log = std::fs::read_to_string(engine.home.join("log")).unwrap_or_default();
                return Err(format!("dockerd does not come up: {}", log.lines().last().unwrap_or_default()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(engine)
    }

    pub fn socket(&self) -> PathBuf {
        self.home.join("docker.sock")
    }

    pub fn docker(&self, words: &[&str]) -> Output {
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", self.socket().display())).args(words);
        command.output().unwrap()
    }

    /// What it prints, without the last line's end.
    pub fn said(&self, words: &[&str]) -> String {
        let output = self.docker(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// What it prints, in lines and sorted.
    pub fn lines(&self, words: &[&str]) -> Vec<String> {
        let mut lines: Vec<String> = self.said(words).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Nothing can be pulled: an image is the binary, the libraries that it needs, and busybox for what only has to be there.
    pub fn import(&self, binary: &Path) -> Result<(), String> {
        let root = self.home.join("image");
        let copy = |from: &Path, to: &Path| {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(from, to).map(|_| ()).map_err(|e| format!("{}: {e}", from.display()))
        };
        copy(binary, &root.join("bin/recover"))?;
        copy(Path::new(&packages::found("busybox").unwrap()), &root.join("bin/busybox"))?;
        let libraries = Command::new("ldd").arg(binary).output().map_err(|e| format!("ldd: {e}"))?;
        let libraries = String::from_utf8_lossy(&libraries.stdout).into_owned();
        for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            copy(Path::new(library), &root.join(library.trim_start_matches('/')))?;
        }
        // A path that it declares gets a volume that nobody named, in every container that says nothing of it.
        self.import_folder(&root, IMAGE, &["VOLUME /data", "VOLUME /cache"])?;
        std::fs::remove_dir_all(&root).unwrap();
        Ok(())
    }

    /// Makes an image of a folder.
    pub fn import_folder(&self, root: &Path, name: &str, changes: &[&str]) -> Result<(), String> {
        let mut tar = Command::new("tar");
        let mut tar = tar.arg("-C").arg(root).args(["-c", "."]).stdout(Stdio::piped()).spawn().unwrap();
        let mut import = Command::new("docker");
        import.arg("--host").arg(format!("unix://{}", self.socket().display())).arg("import");
        for change in changes {
            import.args(["--change", change]);
        }
        let imported = import.args(["-", name]).stdin(tar.stdout.take().unwrap()).output().unwrap();
        tar.wait().unwrap();
        let why = String::from_utf8_lossy(&imported.stderr);
        if imported.status.success() { Ok(()) } else { Err(format!("the image cannot be imported: {why}")) }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
        if self.home.exists() {
            eprintln!("the engine's folder {} was not removed", self.home.display());
        }
    }
}

/// Root alone can run a daemon.
fn install() -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("a Docker daemon of its own needs root".to_owned());
    }
    packages::needed(&NEEDED)
}
