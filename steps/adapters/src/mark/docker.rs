//! The mark as things of Docker's: a name there is given once, so whoever makes a container of it has made it alone.
//!
//! The claim is a container that is never started, `recover-claim-NAME`; its label says whose it is. A loss that was paired for is an
//! empty volume, `recover-epoch-HASH`, that is only ever made: no volume is deleted here, so that it is not taken back either. That
//! refuses nobody whose own mark it is.

use recover_engine::Digest;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Claim, Holder, Meaning, held};
use crate::config::DockerConfig;
use crate::docker::{Container, Daemon, Failure, helper};
use crate::trouble::{Trouble, code};
use crate::workload::{Named, aside_prefix, find};

const CLAIM_LABEL: &str = "io.recover.claim";
const PAIRED_LABEL: &str = "io.recover.paired";
/// Between two looks at a claim that changes hands.
const TRIES: u32 = 5;

/// The mark of one container.
#[derive(Debug)]
pub(super) struct DockerMark {
    container: String,
    daemon: Daemon,
}

fn refused(text: impl Into<String>) -> Trouble {
    Trouble::refused(code::MARKED, text)
}

impl DockerMark {
    pub(super) fn on(docker: &DockerConfig) -> Self {
        Self { container: docker.container.clone(), daemon: Daemon::at(&docker.socket) }
    }

    pub(super) fn name(&self) -> String {
        format!("recover-claim-{}", self.container)
    }

    pub(super) async fn claim(&self, by: &Claim, epoch: Option<&str>, meaning: Meaning) -> Result<(), Trouble> {
        self.take(by).await?;
        let (Some(epoch), Meaning::Prepare | Meaning::Pair) = (epoch, meaning) else { return Ok(()) };
        let name = self.paired_name(epoch);
        let standing = match self.daemon.volume(&name).await.map_err(Failure::asking)? {
            None if meaning == Meaning::Pair => {
                let labels = json!({ PAIRED_LABEL: text_of(by) });
                // Where another was quicker, this is his.
                self.daemon.make_volume(&name, &labels).await.map_err(Failure::changing)?
            }
            None => return Ok(()),
            Some(standing) => standing,
        };
        let other: Claim = read(&standing["Labels"][PAIRED_LABEL])
            .ok_or_else(|| refused(format!("the volume {name} is no mark that this build knows")))?;
        if other.holder == by.holder {
            return Ok(());
        }
        Err(refused(format!(
            "the loss of identity {epoch} was paired for, or may have been, by {}; the volume {name} marks that",
            other.shown()
        )))
    }

    /// Makes the claim, or finds that it is made; another's is refused.
    async fn take(&self, by: &Claim) -> Result<(), Trouble> {
        for _ in 0..TRIES {
            if let Some((standing, claim)) = self.standing().await? {
                if claim.holder != by.holder {
                    return Err(held(&claim));
                }
                if claim == *by {
                    return Ok(());
                }
                // Of an earlier run of ours.
                self.daemon.remove(standing.id()).await.map_err(Failure::changing)?;
            }
            let body = helper(&self.image_of().await?, None, &json!({ CLAIM_LABEL: text_of(by) }));
            match self.daemon.create(&self.name(), &body).await {
                Ok(()) => return Ok(()),
                Err(failure) if failure.is_conflict() => {}
                Err(failure) => return Err(failure.changing()),
            }
        }
        Err(Trouble::retry(format!("the claim {} changes all the time", self.name())))
    }

    /// A container whose image is there for certain: the workload, or what a run moved aside.
    async fn image_of(&self) -> Result<Container, Trouble> {
        if let Named::There(container) = find(&self.daemon, &self.container).await? {
            return Ok(*container);
        }
        let prefix = aside_prefix(&self.container);
        let all = self.daemon.list(true).await.map_err(Failure::asking)?;
        let names = all.iter().flat_map(|brief| brief["Names"].as_array().into_iter().flatten());
        let mut names = names.filter_map(|name| name.as_str()?.strip_prefix('/'));
        let aside = match names.find(|name| name.starts_with(&prefix)) {
            Some(name) => self.daemon.named(name).await.map_err(Failure::asking)?,
            None => None,
        };
        aside.ok_or_else(|| Trouble::retry(format!("the container {} is being renamed", self.container)))
    }

    async fn standing(&self) -> Result<Option<(Container, Claim)>, Trouble> {
        let name = self.name();
        let Some(standing) = self.daemon.named(&name).await.map_err(Failure::asking)? else { return Ok(None) };
        // A guess could be that nobody holds it.
        let claim = standing.label(CLAIM_LABEL).and_then(|text| serde_json::from_str(text).ok());
        let claim = claim.ok_or_else(|| {
            refused(format!(
                "the container {name} is no mark that this build knows; remove it if nobody acts on the target"
            ))
        })?;
        Ok(Some((standing, claim)))
    }

    /// Gives the target free. What another holds stays.
    pub(super) async fn release(&self, holder: &Holder) -> Result<(), Trouble> {
        match self.standing().await? {
            Some((standing, claim)) if claim.holder == *holder => {
                self.daemon.remove(standing.id()).await.map_err(Failure::changing)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Who holds the target.
    pub(super) async fn look(&self) -> Result<Option<Claim>, Trouble> {
        Ok(self.standing().await?.map(|(_, claim)| claim))
    }

    fn paired_name(&self, epoch: &str) -> String {
        let digest = Digest::of(format!("{}\0{epoch}", self.container).as_bytes()).to_string();
        format!("recover-epoch-{}", digest.get(..32).unwrap_or(&digest))
    }
}

fn text_of(claim: &Claim) -> String {
    json!(claim).to_string()
}

fn read<T: DeserializeOwned>(label: &Value) -> Option<T> {
    serde_json::from_str(label.as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use recover_engine::Redo;

    use super::super::Mark;
    use super::*;
    use crate::config::{StorageConfig, VolumeConfig, WorkloadConfig};
    use crate::docker::fake::{Fake, Site};

    fn site() -> Fake {
        let mut site = Site::default();
        site.add("edge-connector", true, &json!([]));
        Fake::new(site)
    }

    fn mark(fake: &Fake, state_dir: &str) -> Mark {
        let docker =
            DockerConfig { container: "edge-connector".into(), socket: fake.socket(), token_file: "/t".into() };
        let volume = VolumeConfig { mount: "/data".into(), originals: Vec::new(), identity: "i".into() };
        let holder = Holder { machine: "m".into(), host: "h".into(), state_dir: state_dir.into() };
        Mark::new(holder, &WorkloadConfig::Docker(docker), &StorageConfig::DockerVolume(volume))
    }

    async fn claim(mark: &Mark, run: &str, step: &str) -> Result<(), Trouble> {
        let redo = if step == "observe" { Redo::Pure } else { Redo::Idempotent };
        mark.claim(run, step, redo, Some("s1")).await
    }

    #[tokio::test]
    async fn one_holds_the_container_until_it_is_given_free() {
        let fake = site();
        let (a, b) = (mark(&fake, "/a"), mark(&fake, "/b"));
        claim(&a, "run_1", "observe").await.unwrap();
        assert!(fake.site().changes.is_empty(), "a look leaves nothing");
        claim(&a, "run_1", "stop").await.unwrap();
        assert_eq!(fake.site().names(), ["edge-connector", "recover-claim-edge-connector"]);
        claim(&a, "run_1", "stop").await.unwrap();
        assert_eq!(fake.site().changes.len(), 1, "and nothing again");
        let refused = claim(&b, "run_2", "stop").await.unwrap_err();
        assert!(refused.text().contains("held by run run_1 of the state directory /a"), "{refused:?}");
        assert_eq!(b.other().await.unwrap().map(|claim| claim.run).as_deref(), Some("run_1"));
        assert_eq!((a.other().await.unwrap(), b.place()), (None, "the container recover-claim-edge-connector".into()));
        b.release().await.unwrap();
        assert!(claim(&b, "run_2", "stop").await.is_err(), "what another holds is not given free");
        claim(&a, "run_3", "stop").await.unwrap();
        assert_eq!(b.other().await.unwrap().map(|claim| claim.run).as_deref(), Some("run_3"));
        a.release().await.unwrap();
        claim(&b, "run_2", "stop").await.unwrap();
        assert!(fake.site().names().iter().all(|name| !name.contains("look")));
    }

    #[tokio::test]
    async fn a_paired_loss_stays_marked_for_everybody_else() {
        let fake = site();
        let (a, b) = (mark(&fake, "/a"), mark(&fake, "/b"));
        claim(&a, "run_1", "mint").await.unwrap();
        assert!(fake.site().volumes.is_empty(), "a mint is no pairing");
        for _ in 0..2 {
            claim(&a, "run_1", "pair").await.unwrap();
        }
        assert_eq!(fake.site().volumes.len(), 1);
        a.release().await.unwrap();
        let refused = claim(&b, "run_2", "mint").await.unwrap_err();
        assert!(refused.text().contains("paired for") && refused.text().contains("recover-epoch-"), "{refused:?}");
        assert!(b.claim("run_2", "mint", Redo::Idempotent, Some("s2")).await.is_ok(), "another loss is another");
        b.release().await.unwrap();
        claim(&a, "run_3", "pair").await.unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_never_taken_for_nobodys() {
        let fake = site();
        let a = mark(&fake, "/a");
        claim(&a, "run_1", "stop").await.unwrap();
        fake.site().containers[1]["Config"]["Labels"] = json!({ CLAIM_LABEL: "garbage" });
        assert!(claim(&a, "run_1", "stop").await.is_err() && a.other().await.is_err() && a.release().await.is_err());
        fake.site().containers.pop();
        claim(&a, "run_1", "pair").await.unwrap();
        fake.site().volumes[0]["Labels"] = json!({});
        assert!(claim(&a, "run_1", "pair").await.is_err());
    }

    #[tokio::test]
    async fn a_claim_can_be_made_while_the_container_has_no_name() {
        let fake = site();
        fake.site().containers[0]["Name"] = "/edge-connector-recover-run_1".into();
        claim(&mark(&fake, "/a"), "run_1", "reattach").await.unwrap();
    }

    #[tokio::test]
    async fn of_many_who_claim_at_once_one_holds_it() {
        let fake = site();
        let marks: Vec<Mark> = (0..16).map(|n| mark(&fake, &format!("/{n}"))).collect();
        let mut held = 0;
        let claims = marks.into_iter().map(|mark| tokio::spawn(async move { claim(&mark, "run_1", "stop").await }));
        for claim in claims.collect::<Vec<_>>() {
            held += usize::from(claim.await.unwrap().is_ok());
        }
        assert_eq!(held, 1);
    }
}
