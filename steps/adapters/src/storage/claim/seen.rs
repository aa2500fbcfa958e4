//! What is mounted, told without trying anything out: nothing is made in the cluster, so what is on a claim is not looked at.

use recover_steps::examined::{Attachment, Lasting, Look, Sameness, StorageKind, StorageSeen};

use super::durability::goes_with_the_pod;
use super::{Claim, place_of};
use crate::kubernetes::Mounted;

impl Claim {
    /// Why the identity is not looked at where nothing may be changed.
    pub(crate) fn blind(&self) -> String {
        format!(
            "what is on a claim can only be seen from a pod, and none is made to look: `kubectl exec` shows {}/{}",
            self.config.mount, self.config.identity
        )
    }

    /// See [`super::super::Storage::seen`].
    pub(crate) async fn seen(&self) -> Look<StorageSeen> {
        let from = format!("the API server's word on {}", self.cluster.shown());
        let owner = match self.cluster.owner().await {
            Ok(owner) => owner,
            Err(why) => return Look::not_read(from, why.text()),
        };
        let mounted = self.mounted(&owner);
        let name = match &mounted {
            Mounted::Claim(claimed) => claimed.name.as_str(),
            other @ (Mounted::EmptyDir | Mounted::Other(_) | Mounted::Above(_) | Mounted::Nothing) => {
                let (kind, lasting) = match other {
                    Mounted::EmptyDir => (StorageKind::EmptyDir, Lasting::Refuted),
                    Mounted::Other(kind) if !goes_with_the_pod(kind) => (StorageKind::Volume, Lasting::Undecided),
                    Mounted::Other(_) | Mounted::Above(_) | Mounted::Nothing | Mounted::Claim(_) => {
                        (StorageKind::Anonymous, Lasting::Refuted)
                    }
                };
                let attachment = match other {
                    Mounted::EmptyDir | Mounted::Other(_) => Attachment::Attached,
                    Mounted::Above(_) | Mounted::Nothing | Mounted::Claim(_) => Attachment::Missing,
                };
                let (on, original) = (self.no_claim(other), self.sameness(None, ""));
                return Look::seen(from, StorageSeen { kind, attachment, lasting, on, original, elsewhere: None });
            }
        };
        let seen = match self.bound(name).await {
            Ok(Some(bound)) => StorageSeen {
                kind: StorageKind::Claim,
                attachment: Attachment::Attached,
                // A directory of a node is whatever that directory is.
                lasting: if bound.source().0 == "hostPath" { Lasting::Undecided } else { Lasting::Durable },
                original: self.sameness(Some(&bound.file_id()), name),
                on: format!("{}, reclaim policy {}", bound.on(), bound.reclaim()),
                elsewhere: None,
            },
            Ok(None) => self.missing(name, format!("the claim {name} is gone")),
            Err(why) if why.is(crate::trouble::code::STORAGE) => self.missing(name, why.text().to_owned()),
            Err(why) => return Look::not_read(from, why.text()),
        };
        Look::seen(from, seen)
    }

    fn missing(&self, name: &str, on: String) -> StorageSeen {
        StorageSeen {
            kind: StorageKind::Claim,
            attachment: Attachment::Missing,
            lasting: Lasting::Undecided,
            original: self.sameness(None, name),
            on,
            elsewhere: None,
        }
    }

    /// Whether it is what a person recorded while all was well. A claim that was made anew under the recorded name has another volume.
    fn sameness(&self, file: Option<&str>, claim: &str) -> Sameness {
        match &self.recorded {
            None => Sameness::Untold,
            Some(recorded) if recorded.place != place_of(claim) => Sameness::Other,
            Some(recorded) if recorded.file.is_none() => Sameness::Untold,
            Some(recorded) if recorded.file.as_deref() == file => Sameness::Same,
            Some(_) => Sameness::Other,
        }
    }
}
