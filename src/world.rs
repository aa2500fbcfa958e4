//! The world of one target, as runs act on it: the adapters, and nothing else.

use std::path::PathBuf;

use recover_adapters::Connector;
use recover_adapters::config::ConnectorConfig;
use recover_engine::{Act, FenceRaised, Performed, Probed, RunId, World};

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
}

impl TargetWorld {
    /// What a person wrote, without the secrets that are used here.
    pub(crate) fn without_secrets(&self, run: Option<RunId>, text: &str) -> String {
        self.connector.without_secrets(run, text)
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
