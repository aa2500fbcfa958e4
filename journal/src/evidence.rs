//! Captured texts too large for a record, by their SHA-256. They are durable before the record that names them is written.

use std::io;
use std::sync::Arc;

use recover_engine::Digest;

use crate::error::Failed;
use crate::storage::{Access, Storage, read_file, replace};

const FOLDER: &str = "evidence";

/// The evidence of a state directory.
#[derive(Clone)]
pub struct Evidence {
    storage: Arc<dyn Storage>,
}

impl std::fmt::Debug for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evidence").finish_non_exhaustive()
    }
}

/// Why evidence could not be had.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// There is none with this digest.
    #[error("there is no evidence {0}")]
    Missing(Digest),
    /// The file is not what its name says.
    #[error("evidence {0} was altered")]
    Altered(Digest),
    /// The system said no.
    #[error(transparent)]
    Failed(#[from] Failed),
}

impl Evidence {
    /// The evidence in this storage.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage }
    }

    /// Keeps a text, which must hold no secret. When this returns it survives a power cut.
    ///
    /// # Errors
    /// The system's.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, Failed> {
        let digest = Digest::of(bytes);
        let failed = || Failed::to(format!("keep evidence {digest}"));
        self.storage.create_dir(FOLDER).map_err(failed())?;
        self.storage.sync_dir("").map_err(failed())?;
        // Written again even if it is there: it may be visible without being durable.
        replace(&*self.storage, FOLDER, &digest.to_string(), bytes).map_err(failed())?;
        Ok(digest)
    }

    /// A text that was kept, checked against its digest.
    ///
    /// # Errors
    /// If it is not there, was altered, or cannot be read.
    pub fn get(&self, digest: Digest) -> Result<Vec<u8>, EvidenceError> {
        let mut bytes = Vec::new();
        match read_file(&*self.storage, &format!("{FOLDER}/{digest}"), &mut bytes) {
            Ok(()) if Digest::of(&bytes) == digest => Ok(bytes),
            Ok(()) => Err(EvidenceError::Altered(digest)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(EvidenceError::Missing(digest)),
            Err(error) => Err(Failed::to(format!("read evidence {digest}"))(error).into()),
        }
    }

    /// Every digest that a text is kept under.
    ///
    /// # Errors
    /// The system's.
    pub fn list(&self) -> Result<Vec<Digest>, Failed> {
        let names = self.storage.list(FOLDER).map_err(Failed::to("list the evidence"))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Whether one can be read without reading it.
    #[must_use]
    pub fn has(&self, digest: Digest) -> bool {
        self.storage.open(&format!("{FOLDER}/{digest}"), Access::Read).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sim::{Fate, SimStorage};

    #[test]
    fn what_was_put_survives_a_power_cut_and_is_checked() {
        let storage = SimStorage::new();
        let digest = Evidence::new(Arc::new(storage.clone())).put(b"captured").unwrap();
        let after = storage.power_cut(storage.len(), |_, _| Fate::Lost);
        let evidence = Evidence::new(Arc::new(after.clone()));
        assert_eq!(evidence.get(digest).unwrap(), b"captured");
        assert_eq!(evidence.list().unwrap(), [digest]);
        let file = after.open(&format!("evidence/{digest}"), Access::Write).unwrap();
        file.write_at(b"C", 0).unwrap();
        assert!(matches!(evidence.get(digest), Err(EvidenceError::Altered(_))));
        assert!(matches!(evidence.get(Digest::ZERO), Err(EvidenceError::Missing(_))));
    }
}
