//! The world of one target, as runs act on it: the adapters, and nothing else.

use std::path::PathBuf;

use recover_adapters::config::ConnectorConfig;
use recover_adapters::kms::KmsExamined;
use recover_adapters::{Connector, Examination, Facts, Holder, Kms, KmsConfig, SeenFacts};
use recover_engine::{Act, FenceRaised, Performed, Probed, RunId, World};
use recover_steps::examined::{Look, Observations, RightsSeen};

use crate::fault::{Code, Fault};

/// The error of a target that is described in a way that cannot be.
pub(crate) fn unusable(why: &dyn std::error::Error) -> Fault {
    Fault::caused(Code::BadConfig, "the target cannot be used", why)
}

/// What acts on a target.
#[derive(Debug)]
pub(crate) enum TargetWorld {
    Connector(Box<Connector>),
    Kms(Box<Kms>),
}

/// What was read of a target without a run.
#[derive(Debug)]
pub(crate) enum Examined {
    Connector(Box<Observations>),
    Kms(Box<KmsExamined>),
}

impl TargetWorld {
    pub(crate) fn connector(config: ConnectorConfig, secrets: Option<PathBuf>) -> Result<Self, Fault> {
        let connector = Connector::with_secrets_in(config, secrets).map_err(|e| unusable(&e))?;
        Ok(Self::Connector(Box::new(connector)))
    }

    pub(crate) fn kms(config: KmsConfig) -> Result<Self, Fault> {
        Ok(Self::Kms(Box::new(Kms::new(config).map_err(|e| unusable(&e))?)))
    }

    /// The world, acted on for a state directory: its mark is put at the target before anything is changed.
    pub(crate) fn held_by(self, holder: Holder) -> Self {
        match self {
            Self::Connector(connector) => Self::Connector(Box::new(connector.held_by(holder))),
            Self::Kms(kms) => Self::Kms(Box::new(kms.held_by(holder))),
        }
    }

    /// The world, with what a person recorded of its target while that was well.
    pub(crate) fn recorded_as(self, facts: Option<&Facts>) -> Self {
        let Some(facts) = facts else { return self };
        match self {
            Self::Connector(connector) => Self::Connector(Box::new(connector.recorded_as(facts))),
            Self::Kms(kms) => Self::Kms(Box::new(kms.recorded_as(facts))),
        }
    }

    /// What the target is like now.
    pub(crate) async fn facts(&self) -> Result<SeenFacts, String> {
        match self {
            Self::Connector(connector) => connector.facts().await,
            Self::Kms(kms) => kms.facts().await,
        }
    }

    /// Refuses a target that another state directory acts on.
    pub(crate) async fn is_free(&self) -> Result<(), Fault> {
        let held = match self {
            Self::Connector(connector) => connector.held_by_another().await,
            Self::Kms(kms) => kms.held_by_another().await,
        };
        match held {
            Ok(None) => Ok(()),
            Ok(Some((claim, place))) => {
                let (run, dir, host) = (&claim.run, &claim.holder.state_dir, &claim.holder.host);
                Err(Fault::new(Code::Held, format!("the target is held by {run} of the state directory {dir} on {host}"))
                    .hint(format!(
                        "resume or cancel it there; only if that directory is gone for good, see what was left of the run, and \
                         then remove {place}"
                    )))
            }
            Err(why) => {
                Err(Fault::new(Code::Held, why).hint("whether somebody else acts on the target cannot be told"))
            }
        }
    }

    /// Gives the target free after a run. What cannot be given free now is when the next run of this directory ends.
    pub(crate) async fn release(&self) {
        let released = match self {
            Self::Connector(connector) => connector.release().await,
            Self::Kms(kms) => kms.release().await,
        };
        if let Err(why) = released {
            tracing::warn!(why, "something of the run stays at the target");
        }
    }

    /// What a person wrote, without the secrets that are used here.
    pub(crate) fn without_secrets(&self, run: Option<RunId>, text: &str) -> String {
        match self {
            Self::Connector(connector) => connector.without_secrets(run, text),
            Self::Kms(kms) => kms.without_secrets(text),
        }
    }

    /// Reads everything that tells what is wrong here. Changes nothing.
    pub(crate) async fn examine(&self, given: &Examination) -> Examined {
        match self {
            Self::Connector(connector) => Examined::Connector(Box::new(connector.examine(given).await)),
            Self::Kms(kms) => Examined::Kms(Box::new(kms.examine().await)),
        }
    }

    /// What our credential may do at a connector's authority; a KMS tells of its own with everything else.
    pub(crate) async fn rights(&self) -> Option<Look<RightsSeen>> {
        match self {
            Self::Connector(connector) => Some(connector.rights().await),
            Self::Kms(_) => None,
        }
    }
}

impl World for TargetWorld {
    async fn perform(&self, act: &Act) -> Performed {
        match self {
            Self::Connector(connector) => connector.perform(act).await,
            Self::Kms(kms) => kms.perform(act).await,
        }
    }

    async fn fence(&self, act: &Act) -> FenceRaised {
        match self {
            Self::Connector(connector) => connector.fence(act).await,
            Self::Kms(kms) => kms.fence(act).await,
        }
    }

    async fn probe(&self, act: &Act) -> Probed {
        match self {
            Self::Connector(connector) => connector.probe(act).await,
            Self::Kms(kms) => kms.probe(act).await,
        }
    }
}
