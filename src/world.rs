//! The world of one target, as runs act on it: the adapters, and nothing else.

use recover_adapters::Connector;
use recover_adapters::config::ConnectorConfig;
use recover_engine::{Act, FenceRaised, Performed, Probed, RunId, World};

use crate::fault::{Code, Fault};

/// What acts on a target.
#[derive(Debug)]
pub(crate) struct TargetWorld {
    connector: Connector,
}

impl TargetWorld {
    pub(crate) fn new(config: ConnectorConfig) -> Result<Self, Fault> {
        let connector =
            Connector::new(config).map_err(|e| Fault::caused(Code::BadConfig, "the target cannot be used", &e))?;
        Ok(Self { connector })
    }

    /// The run is over: what it kept on tmpfs goes.
    pub(crate) fn forget(&self, run: RunId) {
        if let Err(e) = self.connector.forget(run) {
            tracing::warn!(%run, error = %e, "the run's folder on tmpfs could not be removed");
        }
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
