//! The CA bundle that the connector trusts: whether it is the one that a person was told of out of band, and putting that one in
//! its place. A certificate that the peer shows is never written anywhere.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use recover_engine::Digest;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::config::TrustConfig;
use crate::files;
use crate::trouble::{Trouble, code};

/// No bundle is longer. Bytes.
const MOST: usize = 1 << 20;

/// The bundle of one connector.
#[derive(Debug)]
pub(crate) struct Trust {
    config: TrustConfig,
}

impl Trust {
    pub(crate) const fn new(config: TrustConfig) -> Self {
        Self { config }
    }

    /// Where the connector looks for it.
    pub(crate) fn bundle(&self) -> &Path {
        &self.config.bundle
    }

    /// The copy that a person brought.
    pub(crate) fn source(&self) -> &Path {
        &self.config.source
    }

    /// What is wrong with the connector's bundle; `None` if it holds pinned certificates and nothing else.
    pub(crate) fn wrong(&self) -> Result<Option<String>, Trouble> {
        let path = &self.config.bundle;
        match read(path) {
            Ok(Some(bytes)) => Ok(self.unpinned(&bytes).map(|why| format!("{}: {why}", path.display()))),
            Ok(None) => Ok(Some(format!("{} is not there", path.display()))),
            Err(e) => Err(self.refused(path, &e)),
        }
    }

    /// Puts the copy where the connector looks for it. Says where what was there before is kept.
    ///
    /// # Errors
    /// If the copy is not what a person was told of, or cannot be put there.
    pub(crate) fn install(&self, run: &str) -> Result<Option<String>, Trouble> {
        let (bundle, source) = (&self.config.bundle, &self.config.source);
        let bytes = read(source).map_err(|e| self.refused(source, &e))?;
        let bytes = bytes.ok_or_else(|| {
            Trouble::refused(
                code::STORAGE,
                format!("{} is not there: bring the CA bundle there first", source.display()),
            )
        })?;
        if let Some(why) = self.unpinned(&bytes) {
            return Err(Trouble::refused(
                code::CERTIFICATE,
                format!("{} is not the bundle that was told out of band: {why}", source.display()),
            ));
        }
        self.put(&bytes, run).map_err(|e| self.refused(bundle, &e))
    }

    /// Each step is done only where it is not done yet, so that whoever is killed in the middle finishes it the next time.
    fn put(&self, bytes: &[u8], run: &str) -> io::Result<Option<String>> {
        let (folder, name) = files::split(&self.config.bundle)?;
        let dir = files::open_dir(folder)?;
        let beside = |ending: &str| {
            let mut beside = name.as_os_str().to_owned();
            beside.push(ending);
            PathBuf::from(beside)
        };
        let (kept, fresh) = (beside(&format!(".before-{run}")), beside(".recover-new"));
        let before = files::stat_in(std::os::fd::AsFd::as_fd(&dir), name)?;
        if !self.holds(&dir, name, bytes)? {
            if before.is_some() {
                match rustix::fs::linkat(&dir, name, &dir, &kept, AtFlags::empty()) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            match rustix::fs::unlinkat(&dir, &fresh, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(e.into()),
            }
            let file =
                files::open_in(&dir, &fresh, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, Mode::RUSR | Mode::WUSR)?;
            files::write_all(&file, bytes)?;
            // Whoever could read the one before can read this one; where there was none, everybody: nothing in it is a secret.
            if let Some(before) = before {
                rustix::fs::fchown(&file, Some(Uid::from_raw(before.st_uid)), Some(Gid::from_raw(before.st_gid)))?;
            }
            rustix::fs::fchmod(&file, before.map_or(Mode::from_raw_mode(0o644), |b| Mode::from_raw_mode(b.st_mode)))?;
            rustix::fs::fsync(&file)?;
            rustix::fs::renameat(&dir, &fresh, &dir, name)?;
        }
        rustix::fs::fsync(&dir)?;
        let kept_there = files::stat_in(std::os::fd::AsFd::as_fd(&dir), &kept)?.is_some();
        Ok(kept_there.then(|| folder.join(kept).display().to_string()))
    }

    fn holds(&self, dir: &OwnedFd, name: &Path, bytes: &[u8]) -> io::Result<bool> {
        match files::open_in(dir, name, OFlags::RDONLY, Mode::empty()) {
            Ok(file) => Ok(files::read_capped(&file, MOST)? == bytes),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Why these bytes are not pinned certificates and nothing else.
    fn unpinned(&self, bytes: &[u8]) -> Option<String> {
        let mut certificates = 0;
        for certificate in CertificateDer::pem_slice_iter(bytes) {
            let Ok(certificate) = certificate else { return Some("it is no PEM".to_owned()) };
            let digest = Digest::of(&certificate);
            if !self.config.pins(digest) {
                return Some(format!("a certificate in it has fingerprint {digest}, which is not configured"));
            }
            certificates += 1;
        }
        (certificates == 0).then(|| "no certificate is in it".to_owned())
    }

    fn refused(&self, path: &Path, why: &io::Error) -> Trouble {
        Trouble::refused(code::STORAGE, format!("the CA bundle {} cannot be used: {why}", path.display()))
    }
}

/// A file, whole; `None` if there is none.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let (folder, name) = files::split(path)?;
    match files::open_in(files::open_dir(folder)?, name, OFlags::RDONLY, Mode::empty()) {
        Ok(file) => files::read_capped(&file, MOST).map(Some),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
