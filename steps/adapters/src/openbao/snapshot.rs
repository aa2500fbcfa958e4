//! A raft snapshot of OpenBao, taken to a file. There is no way back in here: restoring one is a person's act.

use std::path::{Path, PathBuf};
use std::time::Duration;

use recover_engine::Digest;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::request::Request;
use super::{Failure, OpenBao};
use crate::files;

/// How long it may take to come.
const WITHIN: Duration = Duration::from_secs(110);
/// A storage that is larger is backed up by other means. Bytes.
const LONGEST: u64 = 64 << 30;
/// A snapshot is a compressed archive.
const GZIP: [u8; 2] = [0x1f, 0x8b];

impl OpenBao {
    /// Takes a snapshot into a folder, under this name: whole or not at all, readable by its owner alone. One that is there stays. Gives
    /// its path and its digest.
    ///
    /// # Errors
    /// If none was taken.
    pub async fn snapshot(&self, folder: &Path, name: &str) -> Result<(PathBuf, String), Failure> {
        let here = |e: &dyn std::fmt::Display| Failure::NotSent(format!("{}: {e}", folder.display()));
        let path = folder.join(name);
        let dir = files::open_dir(folder).map_err(|e| here(&e))?;
        if files::open_in(&dir, Path::new(name), OFlags::RDONLY, Mode::empty()).is_ok() {
            return crate::facts::digest_of(&path).map(|sha256| (path, sha256)).map_err(|e| here(&e));
        }
        let request = Request::get(self.transport.paths.snapshot.into(), None);
        let mut response = self.transport.open(request, WITHIN).await?;
        let status = response.status().as_u16();
        if status != 200 {
            let body = crate::client::body(&mut response).await.map_err(Failure::Lost)?;
            return Err(self.transport.failed(&super::transport::Answer { status, body }));
        }
        let fresh = PathBuf::from(format!(".{name}.new"));
        match rustix::fs::unlinkat(&dir, &fresh, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(here(&e)),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let file = files::open_in(&dir, &fresh, flags, Mode::RUSR | Mode::WUSR).map_err(|e| here(&e))?;
        let (mut hasher, mut length, mut first) = (Sha256::new(), 0_u64, Vec::new());
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    length += chunk.len() as u64;
                    if length > LONGEST {
                        return Err(Failure::Lost("the snapshot is larger than 64 GiB".into()));
                    }
                    if first.len() < GZIP.len() {
                        first.extend_from_slice(chunk.get(..chunk.len().min(GZIP.len())).unwrap_or_default());
                    }
                    hasher.update(&chunk);
                    files::write_all(&file, &chunk).map_err(|e| here(&e))?;
                }
                Ok(None) => break,
                Err(_) => return Err(Failure::Lost("the snapshot broke off".into())),
            }
        }
        if !first.starts_with(&GZIP) {
            return Err(Failure::Lost("what came is no snapshot".into()));
        }
        rustix::fs::fsync(&file).map_err(|e| here(&e))?;
        rustix::fs::renameat(&dir, &fresh, &dir, name).map_err(|e| here(&e))?;
        rustix::fs::fsync(&dir).map_err(|e| here(&e))?;
        Ok((path, Digest(hasher.finalize().into()).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;
    use crate::fake::{Reply, Server};

    async fn taken(body: &'static str) -> (Result<(PathBuf, String), Failure>, tempfile::TempDir, Vec<String>) {
        let server = Server::new(move |_| {
            Reply::Raw(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/gzip\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ))
        })
        .await;
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("token");
        std::fs::write(&token, "s.t0k3n-canary").unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
        let config = json!({ "address": server.base, "mount": "transit", "key": "kms", "namespace": "team",
            "token": format!("file:{}", token.display()) });
        let bao = OpenBao::new(&serde_json::from_value(config).unwrap()).unwrap();
        let _first = bao.snapshot(dir.path(), "run.snap").await;
        let second = bao.snapshot(dir.path(), "run.snap").await;
        (second, dir, server.requests())
    }

    #[tokio::test]
    async fn what_is_no_snapshot_is_not_kept_and_only_the_whole_is_asked_for() {
        let (taken, dir, requests) = taken("<html>").await;
        assert_eq!(taken, Err(Failure::Lost("what came is no snapshot".into())));
        assert!(!dir.path().join("run.snap").exists());
        assert!(requests.iter().all(|r| r.starts_with("GET /v1/sys/storage/raft/snapshot HTTP/1.1")));
        assert!(requests.iter().all(|r| !r.contains("x-vault-namespace")), "it is of the whole OpenBao");
    }
}
