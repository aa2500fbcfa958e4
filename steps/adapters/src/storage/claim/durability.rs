//! Whether what is mounted outlives the pod: told by what kind of mount it is, and the file system that a container sees there.

use recover_steps::{Durability, Original, Searched, Storage};

use super::looking::View;
use super::{Bound, Claim, claim_of, refused};
use crate::kubernetes::{Answer, Lasts, Mounted};
use crate::storage::durability::Wanted;
use crate::trouble::Trouble;

/// Volumes that are made for a pod and go with it.
const OF_THE_POD: [&str; 6] = ["ephemeral", "csi", "configMap", "secret", "downwardAPI", "projected"];

/// Whether a volume of this kind in a pod template surely goes with the pod.
pub(super) fn goes_with_the_pod(kind: &str) -> bool {
    OF_THE_POD.contains(&kind)
}

impl Claim {
    /// See [`recover_steps::ProveDurable`].
    pub(crate) async fn prove_durable(&self, storage: &Storage, epoch: Option<&str>) -> Result<Durability, Trouble> {
        match storage {
            Storage::Original(original) => self.prove_original(original).await,
            Storage::Target => match self.surveyed(epoch).await? {
                Some(durability) => Ok(durability),
                None => self.prove_target(Wanted::Nothing { lost: epoch }).await,
            },
            Storage::Held { serial } => self.prove_target(Wanted::Identity(serial)).await,
        }
    }

    /// Before it is stopped, a workload on scratch space is asked about for where its identity is going to be: on the original claim, if
    /// that is there to be put in its place. Once it is stopped only what is mounted counts, since an identity may be made there.
    async fn surveyed(&self, epoch: Option<&str>) -> Result<Option<Durability>, Trouble> {
        let owner = self.cluster.owner().await?;
        let mounted = self.mounted(&owner);
        let Some(epoch) = epoch.filter(|_| owner.replicas() > 0 && mounted == Mounted::EmptyDir) else {
            return Ok(None);
        };
        let Searched::Found { original } = self.search(epoch).await else { return Ok(None) };
        let instead = |on: String| format!("{on}, which takes the place of {}", self.no_claim(&mounted));
        Ok(match self.prove_original(&original).await? {
            Durability::Durable { on } => Some(Durability::Durable { on: instead(on) }),
            Durability::Undecided { on } => Some(Durability::Undecided { on: instead(on) }),
            Durability::Refuted { .. } | Durability::Occupied { .. } | Durability::Unwritable { .. } => None,
        })
    }

    async fn prove_original(&self, original: &Original) -> Result<Durability, Trouble> {
        let owner = self.cluster.owner().await?;
        let bound = self.original(original).await?;
        let name = claim_of(&original.path).unwrap_or_default();
        self.unused(&owner, name).await?;
        // Once it is mounted, what runs there sees it; otherwise a pod of its own looks.
        let answer = match self.mounted(&owner) {
            Mounted::Claim(claimed) if claimed.name == name => match self.view(&owner).await? {
                View::Answer(answer) => answer,
                View::Gone => return Err(refused(format!("the original is no longer there: {}", original.path))),
            },
            Mounted::Claim(_) | Mounted::EmptyDir | Mounted::Other(_) | Mounted::Above(_) | Mounted::Nothing => {
                self.through_claim(&owner, name, true).await?
            }
        };
        Ok(judged(&bound, &answer))
    }

    /// The original, if it is still the one that was found.
    pub(super) async fn original(&self, original: &Original) -> Result<Bound, Trouble> {
        let name = claim_of(&original.path).ok_or_else(|| refused(format!("{} is no claim", original.path)))?;
        let bound = self.bound(name).await?;
        bound
            .filter(|bound| bound.file_id() == original.file_id)
            .ok_or_else(|| refused(format!("the original is no longer there: {}", original.path)))
    }

    async fn prove_target(&self, wanted: Wanted<'_>) -> Result<Durability, Trouble> {
        let owner = self.cluster.owner().await?;
        let mounted = self.mounted(&owner);
        let claimed = match &mounted {
            Mounted::Claim(claimed) => claimed,
            Mounted::Other(kind) if !goes_with_the_pod(kind) => {
                return Ok(Durability::Undecided { on: self.no_claim(&mounted) });
            }
            Mounted::EmptyDir | Mounted::Other(_) | Mounted::Above(_) | Mounted::Nothing => {
                return Ok(Durability::Refuted { on: self.no_claim(&mounted) });
            }
        };
        let Some(bound) = self.bound(&claimed.name).await? else {
            return Err(refused(format!("the claim {} is gone, and the pod template names it", claimed.name)));
        };
        self.unused(&owner, &claimed.name).await?;
        let on = bound.on();
        if !claimed.writable {
            return Ok(Durability::Unwritable { why: format!("{on} is mounted read-only") });
        }
        let View::Answer(answer) = self.view(&owner).await? else {
            return Err(refused(format!("{on} cannot be looked into")));
        };
        let durability = judged(&bound, &answer);
        if let (false, Some(why)) = (matches!(durability, Durability::Refuted { .. }), &answer.unwritable) {
            return Ok(Durability::Unwritable { why: format!("{on}: {}", crate::redact::line(why)) });
        }
        wanted.judge(durability, answer.looked()).map_err(|why| refused(format!("{on}: {why}")))
    }
}

/// A claim outlives its pods; what it is on must too.
fn judged(bound: &Bound, answer: &Answer) -> Durability {
    let on = bound.on();
    match &answer.on {
        Some((file_system, lasts)) => {
            let on = format!("{on}, {}", crate::redact::line(file_system));
            match lasts {
                Lasts::Durable => Durability::Durable { on },
                Lasts::Refuted => Durability::Refuted { on },
                Lasts::Undecided => Durability::Undecided { on },
            }
        }
        None => Durability::Undecided { on },
    }
}
