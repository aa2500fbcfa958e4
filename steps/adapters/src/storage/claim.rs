//! What is mounted at one path of a pod: a claim of Kubernetes, or something that goes with the pod.
//!
//! No claim and no volume is ever deleted; a volume's reclaim policy is set to `Retain` before anything that could set it free. What is
//! mounted is changed by one field of the pod template, by server-side apply in our name.

mod durability;
mod looking;
mod seen;
mod swap;

use recover_steps::{Original, Searched};
use serde_json::Value;

use super::identity::Looked;
use super::recorded::{Recorded, is_original};
use crate::config::{ClaimConfig, KubernetesConfig};
use crate::facts::{Facts, STORAGE_FILE, STORAGE_ON, STORAGE_PATH};
use crate::kubernetes::{Cluster, Failure, Mounted, Owner};
use crate::trouble::{Trouble, code};

/// What is mounted in one pod.
#[derive(Debug)]
pub(crate) struct Claim {
    config: ClaimConfig,
    cluster: Box<Cluster>,
    recorded: Option<Recorded>,
}

/// A claim with the volume that it has.
#[derive(Debug)]
struct Bound {
    claim: Value,
    volume: Value,
}

impl Bound {
    /// Which volume this is, also where another is made that has its name.
    fn file_id(&self) -> String {
        let word = |name: &str| self.volume["metadata"][name].as_str().unwrap_or_default().to_owned();
        format!("{}@{}", word("name"), word("uid"))
    }

    /// What the volume is, in a word: the name of its source, and its driver.
    fn source(&self) -> (String, String) {
        let known = ["claimRef", "capacity", "accessModes", "persistentVolumeReclaimPolicy", "storageClassName"];
        let more = ["volumeMode", "mountOptions", "nodeAffinity", "volumeAttributesClassName"];
        let fields = self.volume["spec"].as_object();
        let mut kinds = fields.into_iter().flatten().map(|(key, _)| key.as_str());
        let kind = kinds.find(|key| !known.contains(key) && !more.contains(key)).unwrap_or("unknown");
        let driver = self.volume["spec"][kind]["driver"].as_str().unwrap_or_default();
        (kind.to_owned(), crate::redact::line(driver))
    }

    fn reclaim(&self) -> &str {
        self.volume["spec"]["persistentVolumeReclaimPolicy"].as_str().unwrap_or("Retain")
    }

    /// In words.
    fn on(&self) -> String {
        let (kind, driver) = self.source();
        let driver = if driver.is_empty() { String::new() } else { format!(" {driver}") };
        let name = |value: &Value| value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        format!("the claim {} on the volume {} ({kind}{driver})", name(&self.claim), name(&self.volume))
    }
}

/// A claim as a baseline and a run call it.
fn place_of(claim: &str) -> String {
    format!("claim:{claim}")
}

fn claim_of(place: &str) -> Option<&str> {
    place.strip_prefix("claim:")
}

fn refused(text: impl Into<String>) -> Trouble {
    Trouble::refused(code::STORAGE, text)
}

impl Claim {
    pub(crate) fn new(config: ClaimConfig, kubernetes: &KubernetesConfig) -> Self {
        Self { config, cluster: Box::new(Cluster::of(kubernetes)), recorded: None }
    }

    fn mounted(&self, owner: &Owner) -> Mounted {
        owner.mounted(&self.config.mount)
    }

    /// See [`super::Storage::place`].
    pub(crate) fn place(&self) -> String {
        format!("{}/{} in the pod of {}", self.config.mount, self.config.identity, self.cluster.shown())
    }

    /// A claim with its volume; `None` if there is no such claim. One that has no volume is said to have none.
    async fn bound(&self, name: &str) -> Result<Option<Bound>, Trouble> {
        let Some(claim) = self.cluster.claim(name).await.map_err(Failure::asking)? else { return Ok(None) };
        let (phase, of) =
            (claim["status"]["phase"].as_str().unwrap_or("Pending"), claim["spec"]["volumeName"].as_str());
        let volume = match of {
            Some(volume) if phase == "Bound" => self.cluster.volume(volume).await.map_err(Failure::asking)?,
            Some(_) | None => None,
        };
        match volume {
            Some(volume) => Ok(Some(Bound { claim, volume })),
            None => Err(refused(format!("the claim {name} is {phase}: it has no volume"))),
        }
    }

    /// Looks for the lost identity in the configured claims, and in the recorded one.
    pub(crate) async fn search(&self, epoch: &str) -> Searched {
        let unreadable = |place: String, why: String| Searched::Unreadable { path: place, why };
        let owner = match self.cluster.owner().await {
            Ok(owner) => owner,
            Err(why) => return unreadable(self.cluster.shown(), why.text().to_owned()),
        };
        let mut trouble = None;
        for name in self.searched(&owner) {
            match self.candidate(&owner, name, epoch).await {
                Ok(Some(original)) => return Searched::Found { original },
                Ok(None) => {}
                Err(why) => _ = trouble.get_or_insert_with(|| unreadable(place_of(name), why)),
            }
        }
        trouble.unwrap_or_else(|| Searched::Gone { searched: self.searched(&owner).map(place_of).collect() })
    }

    /// The claims that may have the original: not the one that is mounted.
    fn searched<'a>(&'a self, owner: &Owner) -> impl Iterator<Item = &'a str> {
        let present = match self.mounted(owner) {
            Mounted::Claim(claimed) => Some(claimed.name),
            Mounted::EmptyDir | Mounted::Other(_) | Mounted::Above(_) | Mounted::Nothing => None,
        };
        let configured = &self.config.originals;
        let recorded = self.recorded.iter().filter_map(|recorded| claim_of(&recorded.place));
        let recorded = recorded.filter(|name| !configured.iter().any(|one| one == name));
        let all = configured.iter().map(String::as_str).chain(recorded);
        all.filter(move |name| present.as_deref() != Some(*name))
    }

    /// The claim as the original, if the lost identity is on it; an error if something else is.
    async fn candidate(&self, owner: &Owner, name: &str, epoch: &str) -> Result<Option<Original>, String> {
        let told = |trouble: Trouble| trouble.text().to_owned();
        let Some(bound) = self.bound(name).await.map_err(told)? else { return Ok(None) };
        let looked = self.through_claim(owner, name, true).await.map_err(told)?.looked();
        let original = is_original(looked, epoch, self.recorded.as_ref())?;
        Ok(original.then(|| Original { path: place_of(name), file_id: bound.file_id() }))
    }

    /// A claim that another workload's pod writes to is nobody's to take.
    async fn unused(&self, owner: &Owner, claim: &str) -> Result<(), Trouble> {
        let pods = self.cluster.pods(owner, &[claim]).await.map_err(Failure::asking)?;
        match pods.iter().find(|pod| pod.uses(claim) && !owner.selects(pod.labels())) {
            None => Ok(()),
            Some(pod) => {
                Err(refused(format!("the claim {claim} is in use by the pod {}; stop that first", pod.name())))
            }
        }
    }

    /// What it is, for a baseline.
    pub(crate) async fn facts(&self, facts: &mut Facts) -> Result<(), String> {
        let told = |trouble: Trouble| trouble.text().to_owned();
        let owner = self.cluster.owner().await.map_err(told)?;
        let name = match self.mounted(&owner) {
            Mounted::Claim(claimed) => claimed.name,
            other @ (Mounted::EmptyDir | Mounted::Other(_) | Mounted::Above(_) | Mounted::Nothing) => {
                return Err(self.no_claim(&other));
            }
        };
        let bound = self.bound(&name).await.map_err(told)?.ok_or_else(|| format!("there is no claim {name}"))?;
        let mut note = |name: &str, value: String| facts.insert(name.to_owned(), value);
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        note("storage.kind", "kubernetes-claim".into());
        note(STORAGE_PATH, place_of(&name));
        note(STORAGE_FILE, bound.file_id());
        let (kind, driver) = bound.source();
        note(STORAGE_ON, format!("{kind} {driver}").trim_end().to_owned());
        note("storage.mount", self.config.mount.clone());
        note("storage.class", word(&bound.claim["spec"]["storageClassName"]));
        note("storage.claim.uid", word(&bound.claim["metadata"]["uid"]));
        note("storage.reclaim", bound.reclaim().to_owned());
        Ok(())
    }

    /// What a person recorded of it.
    pub(crate) fn recorded(&mut self, facts: &Facts) {
        self.recorded = Recorded::of(facts);
    }

    /// What there is instead of a claim.
    fn no_claim(&self, mounted: &Mounted) -> String {
        let (at, pod) = (&self.config.mount, format!("the pod of {}", self.cluster.shown()));
        match mounted {
            Mounted::EmptyDir => format!("emptyDir at {at} in {pod}, which goes with the pod"),
            Mounted::Other(kind) => format!("a volume of the kind {kind} at {at} in {pod}"),
            Mounted::Above(above) => format!("nothing is mounted at {at} in {pod}, and something at {above}"),
            Mounted::Nothing => format!("the container's own layer: nothing is mounted at {at} in {pod}"),
            Mounted::Claim(claimed) => place_of(&claimed.name),
        }
    }

    /// The identity at the workload's own place.
    pub(crate) async fn identity(&self) -> Looked {
        match self.looked().await {
            Ok(looked) => looked,
            Err(trouble) => Looked::Unreadable(trouble.text().to_owned()),
        }
    }
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
