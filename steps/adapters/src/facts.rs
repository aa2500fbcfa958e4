//! What a target is like, fact by fact: for a baseline, which a person approves while it is well.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use recover_engine::Digest;
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use crate::connector::Connector;
use crate::files;
use crate::storage::Looked;

/// Facts by name. A value is what was seen, in words that are the same for the same thing.
pub type Facts = BTreeMap<String, String>;

/// The name of the fact that says where the storage is.
pub(crate) const STORAGE_PATH: &str = "storage.path";
/// The name of the fact that says which directory that is, whatever its name.
pub(crate) const STORAGE_FILE: &str = "storage.file";
/// The name of the fact that says what file system it is on.
pub(crate) const STORAGE_ON: &str = "storage.on";
/// The name of the fact that says which identity there is.
pub(crate) const IDENTITY_SERIAL: &str = "identity.serial";
/// The name of the fact that says how that identity is told from another.
pub(crate) const IDENTITY_FINGERPRINT: &str = "identity.fingerprint";

/// What was seen, and why it is no baseline, if it is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The facts.
    pub facts: Facts,
    /// What is wrong with the target now.
    pub unwell: Option<String>,
}

impl Connector {
    /// Looks at the target. Nothing is changed.
    ///
    /// # Errors
    /// With a sentence, if something that belongs to a baseline cannot be read.
    pub async fn facts(&self) -> Result<Seen, String> {
        let known = self.authority.known();
        let mut facts = Facts::new();
        self.workload.facts(&mut facts).await?;
        self.storage.facts(&mut facts).await?;
        self.authority.facts(&mut facts)?;
        let on_disk = self.storage.identity().await;
        let status = self.authority.status().await.map_err(|failure| known.line(&failure.text()))?.status;
        let running = self.workload.running().await.map_err(|trouble| known.line(trouble.text()))?;
        let unwell = match (&on_disk, status.serial()) {
            (Looked::There(identity), Some(serial)) if identity.serial == serial => {
                facts.insert(IDENTITY_SERIAL.into(), identity.serial.clone());
                facts.insert(IDENTITY_FINGERPRINT.into(), identity.fingerprint());
                match (status.is_online(), running) {
                    (true, Some(_)) => None,
                    (true, None) => Some("the authority says online, and the workload does not run".to_owned()),
                    (false, _) => Some(format!("the authority says {}", known.line(&status.status))),
                }
            }
            (Looked::There(identity), issued) => Some(format!(
                "identity {} is on the storage, and the authority issued {}",
                known.line(&identity.serial),
                known.line(issued.unwrap_or("none"))
            )),
            (Looked::Absent, _) => Some("no identity is on the storage".to_owned()),
            (Looked::Unreadable(why), _) => Some(format!("the identity cannot be read: {}", known.line(why))),
        };
        Ok(Seen { facts, unwell })
    }
}

/// The digest of a file's contents, however long it is.
pub(crate) fn digest_of(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::from(files::open_any(path, OFlags::RDONLY | OFlags::NONBLOCK)?);
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hasher.update(buffer.get(..n).unwrap_or_default()),
        }
    }
    Ok(Digest(hasher.finalize().into()).to_string())
}

/// The digest of words that may hold what is nobody's business.
pub(crate) fn digest_of_words(words: &[String]) -> String {
    Digest::of(words.join("\0").as_bytes()).to_string()
}
