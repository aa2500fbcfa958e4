//! The real one: a dev server, in memory, on a port of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Peer, ROOT};

pub struct Real {
    child: Child,
    address: SocketAddr,
}

impl Real {
    /// Why it cannot be had, if it cannot.
    pub fn start(home: &Path) -> Result<Self, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let bao = std::env::split_paths(&path).map(|folder| folder.join("bao")).find(|file| file.is_file());
        let bao = bao.ok_or("bao is not on PATH")?;
        // A port that was free a moment ago.
        let address = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap();
        let log = File::create(home.join("bao.log")).unwrap();
        let child = Command::new(bao)
            .args(["server", "-dev", "-dev-no-store-token", &format!("-dev-listen-address={address}")])
            .arg(format!("-dev-root-token-id={ROOT}"))
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .map_err(|e| e.to_string())?;
        let real = Self { child, address };
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            // It listens before it is set up.
            let log = std::fs::read_to_string(home.join("bao.log")).unwrap_or_default();
            if log.contains("Root Token:") && std::net::TcpStream::connect(address).is_ok() {
                return Ok(real);
            }
            if Instant::now() > until {
                return Err(format!("bao does not come up: {log}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Peer for Real {
    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
