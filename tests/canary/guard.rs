//! Other users, and somebody who swaps paths while they are used.

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::sandbox::{RECOVER, Sandbox};

type Check = fn() -> Result<String, String>;

pub const CHECKS: &[(&str, Check)] = &[
    ("control.sock", another_user),
    ("another's state directory", foreign),
    ("a core dump", core),
    ("swapped paths", swapped),
];

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--yes"];
const NOBODY: u32 = 65_534;

/// Another user can neither connect nor, let to the socket, be heard.
fn another_user() -> Result<String, String> {
    if !rustix::process::geteuid().is_root() {
        return Ok("NOT RUN: only root can become another user".to_owned());
    }
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let mut owner = Command::new(RECOVER);
    owner.arg("--config").arg(sandbox.config()).args(GO).stdout(Stdio::null()).stderr(Stdio::null());
    let mut owner = owner.spawn().map_err(|e| e.to_string())?;
    let socket = sandbox.state().join("control.sock");
    let until = Instant::now() + Duration::from_secs(10);
    while !socket.exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    let asked = |path: &std::path::Path| {
        let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.settimeout(5)\ntry:\n s.connect(sys.argv[1])\nexcept OSError as e:\n print('no connection:',e.errno)\n sys.exit()\ns.sendall(b'{}\\n')\nprint(s.makefile().read())";
        let output = Command::new("python3").args(["-c", script]).arg(path).uid(NOBODY).gid(NOBODY).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let Ok(first) = asked(&socket) else { return Ok("NOT RUN: no python3 to be another user with".to_owned()) };
    // Even where the way to the socket is opened by mistake, the kernel's word on the peer counts.
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).map_err(|e| e.to_string())
    };
    let open = [sandbox.dir().parent().map(std::path::Path::to_owned), Some(sandbox.dir()), Some(sandbox.state())];
    for dir in open.iter().flatten() {
        mode(dir, 0o755)?;
    }
    mode(&socket, 0o666)?;
    let second = asked(&socket).unwrap_or_default();
    mode(&sandbox.state(), 0o700)?;
    let ended = owner.wait().map_err(|e| e.to_string())?;
    if !first.contains("no connection: 13") || !second.contains("may not ask the owner") || !ended.success() {
        return Err(format!("another user: {first:?}, then {second:?}; the run {ended}"));
    }
    Ok("another user gets no connection, and let to it no hearing".to_owned())
}

/// A state directory of somebody else is not used, by root neither, and nothing is left in it.
fn foreign() -> Result<String, String> {
    if !rustix::process::geteuid().is_root() {
        return Ok("NOT RUN: only root can make another user's directory".to_owned());
    }
    let sandbox = Sandbox::up();
    let home = tempfile::tempdir().map_err(|e| e.to_string())?;
    let at = |name: &str| home.path().join(name);
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).map_err(|e| e.to_string())
    };
    // Where another user gets at them.
    mode(home.path(), 0o755)?;
    std::fs::copy(sandbox.config(), at("recover.toml")).map_err(|e| e.to_string())?;
    std::fs::copy(RECOVER, at("recover")).map_err(|e| e.to_string())?;
    mode(&at("recover.toml"), 0o644)?;
    mode(&at("recover"), 0o755)?;
    let cases = [
        ("root", 0, NOBODY, 0o700),
        ("root", 0, NOBODY, 0o755),
        ("nobody", NOBODY, 0, 0o755),
        ("nobody", NOBODY, 1, 0o755),
    ];
    for (number, (who, user, owner, bits)) in cases.into_iter().enumerate() {
        let state = at(&format!("state-{number}"));
        std::fs::create_dir(&state).map_err(|e| e.to_string())?;
        std::os::unix::fs::chown(&state, Some(owner), Some(owner)).map_err(|e| e.to_string())?;
        mode(&state, bits)?;
        let mut command = Command::new(at("recover"));
        command.arg("--config").arg(at("recover.toml")).arg("--state-dir").arg(&state).args(GO);
        let output = command.uid(user).gid(user).current_dir("/").output().map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(64) || !said.contains("error[RCV0015]") {
            return Err(format!("{who} on the directory of {owner}, {bits:o}: {} {said}", output.status));
        }
        if !surrounding(&state).is_empty() {
            return Err(format!("{who} left something in the directory of {owner}: {:?}", surrounding(&state)));
        }
    }
    Ok(format!("{} ways, each RCV0015 and nothing written", cases.len()))
}

/// That no core is dumped says something only where another program's is.
fn core() -> Result<String, String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let script = "ulimit -c unlimited; sleep 5 & kill -ABRT $!; wait";
    let run = Command::new("/bin/sh").args(["-c", script]).current_dir(dir.path()).stderr(Stdio::null()).status();
    run.map_err(|e| e.to_string())?;
    let dumped = std::fs::read_dir(dir.path()).map_err(|e| e.to_string())?.count();
    Ok(match dumped {
        0 => "NOT SHOWN: this machine dumps nobody's core here".to_owned(),
        _ => "another program's is dumped here, and recover's is not".to_owned(),
    })
}

/// State directory and token file change places with links to a victim all the time. The victim is never touched.
fn swapped() -> Result<String, String> {
    const SWAPS: usize = 100_000;
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let victim = tempfile::tempdir().map_err(|e| e.to_string())?;
    std::fs::write(victim.path().join("token"), "victim").map_err(|e| e.to_string())?;
    let config = std::fs::read_to_string(sandbox.config()).map_err(|e| e.to_string())?;
    let token =
        config.split("token_file = \"").nth(1).and_then(|rest| rest.split('"').next()).ok_or("no token file")?;
    let token = std::path::PathBuf::from(token);
    let home = tempfile::tempdir().map_err(|e| e.to_string())?;
    let (state, aside) = (home.path().join("state"), home.path().join("aside"));
    let beside = token.with_file_name("token-link");
    let made = std::fs::create_dir(&state).and_then(|()| symlink(victim.path(), &aside));
    made.and_then(|()| symlink(victim.path().join("token"), &beside)).map_err(|e| e.to_string())?;
    std::fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o700)).map_err(|e| e.to_string())?;
    let stop = AtomicBool::new(false);
    let swaps = AtomicUsize::new(0);
    let mut commands = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let exchange = rustix::fs::RenameFlags::EXCHANGE;
            let here = rustix::fs::CWD;
            while !stop.load(Ordering::Relaxed) {
                _ = rustix::fs::renameat_with(here, &state, here, &aside, exchange);
                // Where there is no token yet, the link stands in its place.
                if rustix::fs::renameat_with(here, &token, here, &beside, exchange).is_err() {
                    _ = rustix::fs::renameat(here, &beside, here, &token);
                }
                swaps.fetch_add(2, Ordering::Relaxed);
            }
        });
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until || (swaps.load(Ordering::Relaxed) < SWAPS && commands < 200) {
            let mut command = Command::new("timeout");
            command.args(["-s", "KILL", "4", RECOVER, "--config"]).arg(sandbox.config()).arg("--state-dir").arg(&state);
            _ = command.args(GO).stdout(Stdio::null()).stderr(Stdio::null()).status();
            commands += 1;
        }
        stop.store(true, Ordering::Relaxed);
    });
    let _cleared = [&token, &beside].map(std::fs::remove_file);
    let names: Vec<_> = surrounding(victim.path());
    let text = std::fs::read_to_string(victim.path().join("token")).map_err(|e| e.to_string())?;
    let swaps = swaps.into_inner();
    if names != ["token"] || text != "victim" {
        return Err(format!("the victim was touched: {names:?}, {text:?}"));
    }
    if swaps < SWAPS {
        return Err(format!("only {swaps} swaps"));
    }
    let ledger = sandbox.ledger();
    if ledger["pairs"].as_u64().is_none_or(|pairs| pairs > 1) {
        return Err(format!("paired more than once: {ledger}"));
    }
    Ok(format!("{swaps} swaps beneath {commands} commands, and the victim is as it was"))
}

fn surrounding(dir: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
