//! The world of one target, as runs act on it: the adapters, and nothing else.

use std::path::PathBuf;

use recover_adapters::config::ConnectorConfig;
use recover_adapters::{Connector, Examination, Facts, Holder, SeenFacts};
use recover_engine::{Act, FenceRaised, Performed, Probed, RunId, World};
use recover_steps::examined::Observations;

use crate::fault::{Code, Fault};

/// The error of a target that is described in a way that cannot be.
pub(crate) fn unusable(why: &dyn std::error::Error) -> Fault {
    Fault::caused(Code::BadConfig, "the target cannot be used", why)
}

/// What acts on a target.
#[derive(Debug)]
pub(crate) struct TargetWorld {
    connector: Connector,
}

impl TargetWorld {
    pub(crate) fn new(config: ConnectorConfig, secrets: Option<PathBuf>) -> Result<Self, Fault> {
        let connector = Connector::with_secrets_in(config, secrets).map_err(|e| unusable(&e))?;
        Ok(Self { connector })
    }

    /// The world, acted on for a state directory: its mark is put at the target before anything is changed.
    pub(crate) fn held_by(self, holder: Holder) -> Self {
        Self { connector: self.connector.held_by(holder) }
    }

    /// The world, with what a person recorded of its target while that was well.
    pub(crate) fn recorded_as(self, facts: Option<&Facts>) -> Self {
        match facts {
            Some(facts) => Self { connector: self.connector.recorded_as(facts) },
            None => self,
        }
    }

    /// What the target is like now.
    pub(crate) async fn facts(&self) -> Result<SeenFacts, String> {
        self.connector.facts().await
    }

    /// Refuses a target that another state directory acts on.
    pub(crate) async fn is_free(&self) -> Result<(), Fault> {
        match self.connector.held_by_another().await {
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
        if let Err(why) = self.connector.release().await {
            tracing::warn!(why, "something of the run stays at the target");
        }
    }
}

impl TargetWorld {
    /// What a person wrote, without the secrets that are used here.
    pub(crate) fn without_secrets(&self, run: Option<RunId>, text: &str) -> String {
        self.connector.without_secrets(run, text)
    }

    /// Reads everything that tells what is wrong here. Changes nothing.
    pub(crate) async fn examine(&self, given: &Examination) -> Observations {
        self.connector.examine(given).await
    }
}

impl World for TargetWorld {
    async fn perform(&self, act: &Act) -> Performed {
        self.connector.perform(act).await
    }

    async fn fence(&self, act: &Act) -> FenceRaised {
        self.connector.fence(act).await
    }

    async fn probe(&self, act: &Act) -> Probed {
        self.connector.probe(act).await
    }
}
