//! Another claim in the place of what is mounted, and back: one volume of the pod template, changed only from what was read.
//!
//! What was there is noted in a lease first, so that the way back is known also to whoever finds a run that was cut off. Notes and
//! template alone tell how far a run came: each of the two is done only if it is not yet so.

use std::collections::BTreeMap;

use recover_steps::Original;
use serde_json::{Value, json};

use super::{Bound, Claim, claim_of, refused};
use crate::kubernetes::{Claimed, Failure, LABEL_OF, LABEL_RUN, Mounted, Noted, Owner, lower};
use crate::trouble::Trouble;

/// What was in the template before each change, by its reason and run.
type Before = BTreeMap<String, Value>;

impl Claim {
    /// See [`recover_steps::Reattach`]. What was changed, in words.
    pub(crate) async fn reattach(&self, original: &Original, run: &str) -> Result<String, Trouble> {
        let bound = self.original(original).await?;
        self.swap(&format!("original:{run}"), claim_of(&original.path).unwrap_or_default(), &bound).await
    }

    /// See [`recover_steps::Detach`].
    pub(crate) async fn detach(&self, run: &str) -> Result<String, Trouble> {
        self.swap_back(&format!("original:{run}")).await
    }

    /// See [`recover_steps::SetAside`].
    pub(crate) async fn set_aside(&self, run: &str) -> Result<String, Trouble> {
        let owner = self.cluster.owner().await?;
        let fresh = format!("{}-data-recover-{}", self.cluster.config().name, lower(run));
        let present = match self.mounted(&owner) {
            Mounted::Claim(claimed) if claimed.name == fresh => {
                return Ok(format!("the claim {fresh} is mounted already"));
            }
            Mounted::Claim(claimed) => claimed,
            other @ (Mounted::EmptyDir | Mounted::Other(_) | Mounted::Above(_) | Mounted::Nothing) => {
                return Err(refused(format!("{}: a claim is needed to set it aside", self.no_claim(&other))));
            }
        };
        self.changeable(&owner, &present)?;
        let made = self.made_like(&present.name, &fresh, run).await?;
        if made["metadata"]["labels"][LABEL_RUN] != lower(run).as_str() {
            return Err(refused(format!("there is a claim {fresh} already, and it is not of this run")));
        }
        self.swap_to(&format!("aside:{run}"), &owner, &fresh).await
    }

    /// See [`recover_steps::PutBack`]. The claim that was made stays: none is ever deleted.
    pub(crate) async fn put_back(&self, run: &str) -> Result<String, Trouble> {
        self.swap_back(&format!("aside:{run}")).await
    }

    /// An empty claim like another one, or the one that was made before.
    async fn made_like(&self, like: &str, name: &str, run: &str) -> Result<Value, Trouble> {
        if let Some(made) = self.cluster.claim(name).await.map_err(Failure::asking)? {
            return Ok(made);
        }
        let like = self.cluster.claim(like).await.map_err(Failure::asking)?;
        let like = like.ok_or_else(|| refused("the claim that is to be set aside is gone"))?;
        let mut spec = json!({ "resources": { "requests": like["spec"]["resources"]["requests"] } });
        for key in ["accessModes", "storageClassName", "volumeMode"] {
            if let Some(value) = like["spec"].get(key) {
                spec[key] = value.clone();
            }
        }
        let labels = json!({ LABEL_OF: self.cluster.config().name, LABEL_RUN: lower(run) });
        let body = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": { "name": name, "labels": labels }, "spec": spec,
        });
        match self.cluster.make_claim(&body).await {
            Err(failure) if failure.is_conflict() => {
                let made = self.cluster.claim(name).await.map_err(Failure::asking)?;
                made.ok_or_else(|| Trouble::retry(format!("the claim {name} comes and goes")))
            }
            made => made.map_err(Failure::changing),
        }
    }

    /// The pod template of a StatefulSet cannot name another claim in the place of one that it makes itself.
    fn changeable(&self, _: &Owner, present: &Claimed) -> Result<(), Trouble> {
        if !present.templated {
            return Ok(());
        }
        Err(refused(format!(
            "the claim {} is made from a template of {}, whose pods can have no other: bind the claim of that name to the right volume \
             by hand, or name the claim in the pod template's own volumes",
            present.name,
            self.cluster.shown()
        )))
    }

    async fn swap(&self, key: &str, claim: &str, bound: &Bound) -> Result<String, Trouble> {
        let owner = self.cluster.owner().await?;
        match self.mounted(&owner) {
            Mounted::Claim(present) if present.name == claim => {
                return Ok(format!(
                    "the claim {claim} is mounted at {} of {}",
                    self.config.mount,
                    self.cluster.shown()
                ));
            }
            Mounted::Claim(present) => self.changeable(&owner, &present)?,
            Mounted::EmptyDir => {}
            other @ (Mounted::Other(_) | Mounted::Above(_) | Mounted::Nothing) => {
                return Err(refused(format!(
                    "{}: its pod template has to name a claim there first",
                    self.no_claim(&other)
                )));
            }
        }
        self.retained(bound).await?;
        self.swap_to(key, &owner, claim).await
    }

    /// Notes what is there and names another claim.
    async fn swap_to(&self, key: &str, owner: &Owner, claim: &str) -> Result<String, Trouble> {
        if let Mounted::Claim(present) = self.mounted(owner)
            && let Some(bound) = self.bound(&present.name).await.unwrap_or(None)
        {
            self.retained(&bound).await?;
        }
        let (name, old) = self.volume(owner)?;
        self.note(|mut before| {
            before.entry(key.to_owned()).or_insert_with(|| old.clone());
            before
        })
        .await?;
        self.apply(owner, json!({ "name": name, "persistentVolumeClaim": { "claimName": claim } })).await?;
        Ok(format!(
            "the volume {name} in the pod template of {} was {} and is the claim {claim}; both volumes stay when their claims go",
            self.cluster.shown(),
            brief(&old)
        ))
    }

    async fn swap_back(&self, key: &str) -> Result<String, Trouble> {
        let owner = self.cluster.owner().await?;
        let (name, present) = self.volume(&owner)?;
        let Some(old) = self.before().await?.remove(key) else {
            return Ok(format!("the pod template of {} was not changed", self.cluster.shown()));
        };
        if kind_of(&old) != kind_of(&present) {
            self.apply(&owner, old.clone()).await?;
        }
        Ok(format!("the volume {name} in the pod template of {} is {} again", self.cluster.shown(), brief(&old)))
    }

    /// The volume that is mounted, as the pod template has it.
    fn volume(&self, owner: &Owner) -> Result<(String, Value), Trouble> {
        let name = owner.mount(&self.config.mount).and_then(|mount| mount["name"].as_str());
        let volume = name.and_then(|name| Some((name.to_owned(), owner.volume(name)?.clone())));
        volume.ok_or_else(|| refused(format!("{}: that cannot be changed", self.no_claim(&self.mounted(owner)))))
    }

    async fn apply(&self, owner: &Owner, mut volume: Value) -> Result<(), Trouble> {
        // A volume is of one kind: the other one's field is somebody else's, and goes only if it is named.
        let (_, present) = self.volume(owner)?;
        for (key, _) in kind_of(&present) {
            if volume.get(key).is_none() {
                volume[key] = Value::Null;
            }
        }
        self.cluster.apply_volume(owner, &volume).await.map_err(Failure::changing)?;
        let after = self.cluster.owner().await.map_err(Trouble::midway)?;
        let (_, is) = self.volume(&after).map_err(Trouble::midway)?;
        if kind_of(&is) == kind_of(&volume) {
            return Ok(());
        }
        Err(Trouble::Unknown(format!("the pod template was to have {} and has {}", brief(&volume), brief(&is))))
    }

    /// Sees to it that a volume stays when its claim goes.
    async fn retained(&self, bound: &Bound) -> Result<(), Trouble> {
        if bound.reclaim() == "Retain" {
            return Ok(());
        }
        self.cluster.retain(&bound.volume).await.map_err(Failure::changing)
    }

    async fn before(&self) -> Result<Before, Trouble> {
        let found = self.cluster.note(Noted::Before).await.map_err(Failure::asking)?;
        let said =
            found.as_ref().and_then(|lease| lease["metadata"]["annotations"][Noted::Before.annotation()].as_str());
        read(said)
    }

    async fn note(&self, change: impl Fn(Before) -> Before) -> Result<(), Trouble> {
        self.cluster
            .noted(Noted::Before, |said| {
                let after = change(read(said)?);
                Ok((serde_json::to_string(&after).unwrap_or_default(), None))
            })
            .await
    }

    /// Takes away what was kept only for a way back, if the workload is to run: that is how a run ends well. Claims stay.
    pub(crate) async fn tidy(&self) -> Result<(), Trouble> {
        self.sweep().await?;
        if self.cluster.owner().await?.replicas() == 0 || self.before().await?.is_empty() {
            return Ok(());
        }
        self.note(|_| Before::new()).await
    }
}

fn read(said: Option<&str>) -> Result<Before, Trouble> {
    let Some(said) = said else { return Ok(Before::new()) };
    serde_json::from_str(said).map_err(|_| refused("the note of what was in the pod template is not understood"))
}

/// A volume without its name and without what is said to be nothing.
fn kind_of(volume: &Value) -> Vec<(&String, &Value)> {
    let fields = volume.as_object();
    fields.into_iter().flatten().filter(|(key, value)| *key != "name" && !value.is_null()).collect()
}

fn brief(volume: &Value) -> String {
    match (volume["persistentVolumeClaim"]["claimName"].as_str(), kind_of(volume).first()) {
        (Some(claim), _) => format!("the claim {claim}"),
        (None, Some((kind, _))) => (*kind).clone(),
        (None, None) => "nothing".to_owned(),
    }
}
