//! The mark as a Lease of Kubernetes, changed only from what was read: who is slower is refused by the API server and looks again.

use super::{FORMAT, Stands};
use crate::config::KubernetesConfig;
use crate::kubernetes::{Cluster, Failure, Noted};
use crate::trouble::{Trouble, code};

/// The mark of one workload: `recover-NAME` in its namespace.
#[derive(Debug)]
pub(super) struct LeaseMark {
    cluster: Box<Cluster>,
}

impl LeaseMark {
    pub(super) fn on(config: &KubernetesConfig) -> Self {
        Self { cluster: Box::new(Cluster::of(config)) }
    }

    pub(super) fn place(&self) -> String {
        format!("the Lease {}/{}", self.cluster.config().namespace, self.cluster.mark_name())
    }

    fn read(&self, said: Option<&str>) -> Result<Stands, Trouble> {
        let Some(said) = said else { return Ok(Stands::default()) };
        // A guess could be that nobody holds it.
        let stands = serde_json::from_str(said).ok().filter(|stands: &Stands| stands.format == FORMAT);
        stands.ok_or_else(|| {
            let why = "is no mark that this build knows; remove it if nobody acts on the target";
            Trouble::refused(code::MARKED, format!("{} {why}", self.place()))
        })
    }

    /// What stands there.
    pub(super) async fn look(&self) -> Result<Stands, Trouble> {
        let found = self.cluster.note(Noted::Mark).await.map_err(Failure::asking)?;
        self.read(found.as_ref().and_then(|lease| lease["metadata"]["annotations"][Noted::Mark.annotation()].as_str()))
    }

    /// Changes what stands there, while nobody else does. Nothing is written where nothing changes.
    pub(super) async fn change(&self, change: impl Fn(Stands) -> Result<Stands, Trouble>) -> Result<(), Trouble> {
        self.cluster
            .noted(Noted::Mark, |said| {
                let before = self.read(said)?;
                let after = change(before.clone())?;
                match said {
                    // In the very bytes that stand there, so that it is seen that nothing changes.
                    Some(said) if after == before => Ok((said.to_owned(), None)),
                    _ => {
                        let says = serde_json::to_string(&after).unwrap_or_default();
                        Ok((says, after.claim.map(|claim| format!("{} {}", claim.holder.host, claim.run))))
                    }
                }
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use recover_engine::Redo;

    use super::super::{Holder, Mark};
    use super::*;
    use crate::config::{StorageConfig, WorkloadConfig};
    use crate::kubernetes::fake::{Fake, claim_config};

    fn mark(fake: &Fake, state_dir: &str) -> Mark {
        let holder = Holder { machine: "m".into(), host: "h".into(), state_dir: state_dir.into() };
        Mark::new(
            holder,
            &WorkloadConfig::Kubernetes(fake.config()),
            &StorageConfig::KubernetesClaim(claim_config(&[])),
        )
    }

    async fn claim(mark: &Mark, run: &str, step: &str) -> Result<(), Trouble> {
        let redo = if step == "observe" { Redo::Pure } else { Redo::Idempotent };
        mark.claim(run, step, redo, Some("s1")).await
    }

    #[tokio::test]
    async fn one_holds_the_workload_until_it_is_given_free() {
        let fake = Fake::new().await;
        let (a, b) = (mark(&fake, "/a"), mark(&fake, "/b"));
        claim(&a, "run_1", "observe").await.unwrap();
        assert!(fake.site().changes.is_empty(), "a look leaves nothing");
        for _ in 0..2 {
            claim(&a, "run_1", "stop").await.unwrap();
        }
        assert_eq!(fake.site().changes.len(), 1, "and nothing again");
        let refused = claim(&b, "run_2", "stop").await.unwrap_err();
        assert!(refused.text().contains("held by run run_1 of the state directory /a"), "{refused:?}");
        b.release().await.unwrap();
        assert!(claim(&b, "run_2", "stop").await.is_err(), "what another holds is not given free");
        a.release().await.unwrap();
        claim(&b, "run_2", "stop").await.unwrap();
        assert_eq!(a.other().await.unwrap().map(|claim| claim.run).as_deref(), Some("run_2"));
    }

    #[tokio::test]
    async fn a_paired_loss_stays_marked_for_everybody_else_until_it_surely_was_none() {
        let fake = Fake::new().await;
        let (a, b) = (mark(&fake, "/a"), mark(&fake, "/b"));
        claim(&a, "run_1", "pair").await.unwrap();
        a.release().await.unwrap();
        assert!(claim(&b, "run_2", "mint").await.unwrap_err().text().contains("paired for"));
        assert!(b.claim("run_2", "mint", Redo::Idempotent, Some("s2")).await.is_ok(), "another loss is another");
        b.release().await.unwrap();
        a.unpaired(Some("s1")).await.unwrap();
        claim(&b, "run_3", "pair").await.unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_never_taken_for_nobodys() {
        let fake = Fake::new().await;
        let a = mark(&fake, "/a");
        claim(&a, "run_1", "stop").await.unwrap();
        fake.site().leases[0]["metadata"]["annotations"]["recover.io/mark"] = "garbage".into();
        assert!(claim(&a, "run_1", "stop").await.is_err() && a.other().await.is_err() && a.release().await.is_err());
    }

    #[tokio::test]
    async fn of_many_who_claim_at_once_one_holds_it() {
        let fake = Fake::new().await;
        let marks: Vec<Mark> = (0..16).map(|n| mark(&fake, &format!("/{n}"))).collect();
        let claims = marks.into_iter().map(|mark| tokio::spawn(async move { claim(&mark, "run_1", "stop").await }));
        let mut held = 0;
        for claim in claims.collect::<Vec<_>>() {
            held += usize::from(claim.await.unwrap().is_ok());
        }
        assert_eq!(held, 1);
    }
}
