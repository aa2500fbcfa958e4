//! The mark at the target: who acts on it, and which losses were paired for. Another state directory, user or bastion finds it
//! there, where our journal cannot be seen.
//!
//! It is claimed with the first effect that changes something and checked before every other. The journal remains the authority
//! for whoever made the mark: his own mark never refuses him.

mod docker;
mod file;
mod lease;

use std::path::Path;

use recover_engine::{Effect, Redo};
use recover_steps::{Mint, Pair};
use serde::{Deserialize, Serialize};

use crate::config::{StorageConfig, WorkloadConfig};
use crate::trouble::{Trouble, code};
use docker::DockerMark;
use file::FileMark;
use lease::LeaseMark;

/// Who marks: one state directory on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The machine's id.
    pub machine: String,
    /// The machine's name, for people.
    pub host: String,
    /// The state directory's path there.
    pub state_dir: String,
}

/// One run of one holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Who.
    #[serde(flatten)]
    pub holder: Holder,
    /// Which of his runs.
    pub run: String,
}

impl Claim {
    fn shown(&self) -> String {
        format!("run {} of the state directory {} on {}", self.run, self.holder.state_dir, self.holder.host)
    }
}

/// What stands at the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stands {
    /// The version of this format.
    format: u8,
    /// Who acts on it.
    claim: Option<Claim>,
    /// Losses that were paired for, or may have been, oldest first.
    paired: Vec<Paired>,
}

const FORMAT: u8 = 1;

impl Default for Stands {
    fn default() -> Self {
        Self { format: FORMAT, claim: None, paired: Vec::new() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Paired {
    epoch: String,
    by: Claim,
}

/// How many paired losses are kept. A connector that loses more identities has other troubles.
const PAIRED_MOST: usize = 64;

/// What an effect means for the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// It only looks.
    Look,
    /// It changes something, and nothing that is once for a loss.
    Change,
    /// It makes what pairing needs.
    Prepare,
    /// It pairs.
    Pair,
}

impl Meaning {
    fn of(step: &str, redo: Redo) -> Self {
        match step {
            Pair::NAME => Self::Pair,
            Mint::NAME => Self::Prepare,
            _ if redo == Redo::Pure => Self::Look,
            _ => Self::Change,
        }
    }
}

impl Stands {
    /// What stands there once this effect is claimed; an error if it is another's.
    fn claimed(mut self, by: &Claim, epoch: Option<&str>, meaning: Meaning) -> Result<Self, Trouble> {
        if let Some(other) = self.foreign(&by.holder) {
            return Err(held(other));
        }
        self.claim = Some(by.clone());
        let (Some(epoch), Meaning::Prepare | Meaning::Pair) = (epoch, meaning) else { return Ok(self) };
        if let Some(other) = self.paired.iter().find(|paired| paired.epoch == epoch && paired.by.holder != by.holder) {
            return Err(Trouble::refused(
                code::MARKED,
                format!("the loss of identity {epoch} was paired for, or may have been, by {}", other.by.shown()),
            ));
        }
        if meaning == Meaning::Pair {
            self.forget(epoch, &by.holder);
            self.paired.push(Paired { epoch: epoch.to_owned(), by: by.clone() });
            let more = self.paired.len().saturating_sub(PAIRED_MOST);
            self.paired.drain(..more);
        }
        Ok(self)
    }

    /// It is sure that this loss was not paired for.
    fn forget(&mut self, epoch: &str, holder: &Holder) {
        self.paired.retain(|paired| paired.epoch != epoch || paired.by.holder != *holder);
    }

    fn foreign(&self, holder: &Holder) -> Option<&Claim> {
        self.claim.as_ref().filter(|claim| claim.holder != *holder)
    }
}

fn held(other: &Claim) -> Trouble {
    Trouble::refused(code::MARKED, format!("the target is held by {}", other.shown()))
}

/// The mark of one target, as one holder sees it.
#[derive(Debug)]
pub(crate) struct Mark {
    holder: Holder,
    at: At,
}

/// Where it stands.
#[derive(Debug)]
enum At {
    File(FileMark),
    Docker(DockerMark),
    Lease(LeaseMark),
    /// A configuration that was not checked.
    Nowhere,
}

impl Mark {
    pub(crate) fn new(holder: Holder, workload: &WorkloadConfig, storage: &StorageConfig) -> Self {
        let at = match (storage, workload) {
            (StorageConfig::Directory(directory), _) => At::File(FileMark::beside(&directory.path)),
            // Wherever the unit is told to keep its files, this path stays.
            (StorageConfig::SystemdUnit(unit), _) => At::File(FileMark::beside(&unit.path)),
            (StorageConfig::DockerVolume(_), WorkloadConfig::Docker(docker)) => At::Docker(DockerMark::on(docker)),
            (StorageConfig::KubernetesClaim(_), WorkloadConfig::Kubernetes(owner)) => At::Lease(LeaseMark::on(owner)),
            (StorageConfig::DockerVolume(_) | StorageConfig::KubernetesClaim(_), _) => At::Nowhere,
        };
        Self { holder, at }
    }

    /// Beside a file of the target's.
    pub(crate) fn beside(holder: Holder, path: &Path) -> Self {
        Self { holder, at: At::File(FileMark::beside(path)) }
    }

    /// Where it stands, for people.
    pub(crate) fn place(&self) -> String {
        match &self.at {
            At::File(file) => file.path().display().to_string(),
            At::Docker(docker) => format!("the container {}", docker.name()),
            At::Lease(lease) => lease.place(),
            At::Nowhere => "nowhere".to_owned(),
        }
    }

    fn by(&self, run: &str) -> Claim {
        Claim { holder: self.holder.clone(), run: run.to_owned() }
    }

    /// Claims the target for an effect, before it. A look claims nothing.
    pub(crate) async fn claim(&self, run: &str, step: &str, redo: Redo, epoch: Option<&str>) -> Result<(), Trouble> {
        let meaning = Meaning::of(step, redo);
        if meaning == Meaning::Look {
            return Ok(());
        }
        let by = self.by(run);
        match &self.at {
            At::File(file) => file.change(|stands| stands.claimed(&by, epoch, meaning)).await,
            At::Docker(docker) => docker.claim(&by, epoch, meaning).await,
            At::Lease(lease) => lease.change(|stands| stands.claimed(&by, epoch, meaning)).await,
            At::Nowhere => Err(nowhere()),
        }
    }

    /// Takes back that a loss was paired for: it surely was not.
    pub(crate) async fn unpaired(&self, epoch: Option<&str>) -> Result<(), Trouble> {
        let Some(epoch) = epoch else { return Ok(()) };
        match &self.at {
            At::File(file) => {
                file.change(|mut stands| {
                    stands.forget(epoch, &self.holder);
                    Ok(stands)
                })
                .await
            }
            At::Lease(lease) => {
                lease
                    .change(|mut stands| {
                        stands.forget(epoch, &self.holder);
                        Ok(stands)
                    })
                    .await
            }
            // What is only ever made is not taken back.
            At::Docker(_) => Ok(()),
            At::Nowhere => Err(nowhere()),
        }
    }

    /// Gives the target free. What another holds stays.
    pub(crate) async fn release(&self) -> Result<(), Trouble> {
        match &self.at {
            At::File(file) => {
                file.change(|mut stands| {
                    if stands.foreign(&self.holder).is_none() {
                        stands.claim = None;
                    }
                    Ok(stands)
                })
                .await
            }
            At::Docker(docker) => docker.release(&self.holder).await,
            At::Lease(lease) => {
                lease
                    .change(|mut stands| {
                        if stands.foreign(&self.holder).is_none() {
                            stands.claim = None;
                        }
                        Ok(stands)
                    })
                    .await
            }
            At::Nowhere => Err(nowhere()),
        }
    }

    /// Who else holds the target.
    pub(crate) async fn other(&self) -> Result<Option<Claim>, Trouble> {
        match &self.at {
            At::File(file) => Ok(file.look().await?.foreign(&self.holder).cloned()),
            At::Lease(lease) => Ok(lease.look().await?.foreign(&self.holder).cloned()),
            At::Docker(docker) => Ok(docker.look().await?.filter(|claim| claim.holder != self.holder)),
            At::Nowhere => Err(nowhere()),
        }
    }
}

fn nowhere() -> Trouble {
    Trouble::refused(code::MARKED, "there is no place for a mark: the storage is not one of this workload's")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(state_dir: &str, run: &str) -> Claim {
        let holder = Holder { machine: "m".into(), host: "h".into(), state_dir: state_dir.into() };
        Claim { holder, run: run.into() }
    }

    #[test]
    fn a_target_that_another_holds_is_refused_and_ones_own_is_not() {
        let ours = claim("/a", "run_1");
        let stands = Stands::default().claimed(&ours, None, Meaning::Change).unwrap();
        let refused = stands.clone().claimed(&claim("/b", "run_2"), None, Meaning::Change).unwrap_err();
        assert!(refused.text().contains("run_1") && refused.text().contains("/a"), "{refused:?}");
        let next = claim("/a", "run_3");
        assert_eq!(stands.claimed(&next, None, Meaning::Change).unwrap().claim, Some(next));
        let elsewhere = Claim { holder: Holder { machine: "n".into(), ..ours.holder.clone() }, run: "run_1".into() };
        let stands = Stands { claim: Some(elsewhere), ..Stands::default() };
        assert!(stands.foreign(&ours.holder).is_some(), "the same path on another machine is another directory");
    }

    #[test]
    fn a_loss_that_another_paired_for_is_not_paired_for_again() {
        let paired = |by: &Claim, epoch: &str, stands: Stands| stands.claimed(by, Some(epoch), Meaning::Pair);
        let (first, second) = (claim("/a", "run_1"), claim("/b", "run_2"));
        let mut stands = paired(&first, "s1", Stands::default()).unwrap();
        stands.claim = None;
        assert!(paired(&second, "s1", stands.clone()).is_err());
        assert!(stands.clone().claimed(&second, Some("s1"), Meaning::Prepare).is_err(), "no token for it either");
        assert!(stands.clone().claimed(&second, Some("s1"), Meaning::Change).is_ok(), "what is put back may be");
        assert!(paired(&second, "s2", stands.clone()).is_ok());
        // The journal decides for whoever made it.
        assert!(paired(&claim("/a", "run_9"), "s1", stands.clone()).is_ok());
        stands.forget("s1", &second.holder);
        assert!(paired(&second, "s1", stands.clone()).is_err(), "only who made it takes it back");
        stands.forget("s1", &first.holder);
        assert!(paired(&second, "s1", stands).is_ok());
    }

    #[test]
    fn the_list_of_losses_is_bounded_and_has_each_once() {
        let by = claim("/a", "run_1");
        let mut stands = Stands::default();
        for n in 0..100 {
            for _ in 0..2 {
                stands = stands.claimed(&by, Some(&format!("s{n}")), Meaning::Pair).unwrap();
            }
        }
        assert_eq!((stands.paired.len(), stands.paired[0].epoch.as_str()), (PAIRED_MOST, "s36"));
    }
}
