//! Steps that stop, start and move: the workload and its storage.

use recover_steps::{
    Detach, Detached, Durability, ProveDurable, Proven, Reattach, Reattached, Repair, Repaired, Restart, Restarted,
    Restored, Search, Searched, Started, Stopped,
};

use super::evidence::evidence;
use crate::connector::{Connector, Witnessed};
use crate::redact;
use crate::trouble::{Trouble, code};
use crate::workload::Lock;

impl Connector {
    pub(crate) async fn stop(&self) -> Result<Stopped, Trouble> {
        let lock = self.workload.lock().await?;
        self.workload.stop(&lock).await?;
        Ok(Stopped::Stopped)
    }

    pub(crate) async fn prove_stopped(&self) -> Result<Proven, Trouble> {
        let lock = self.workload.lock().await?;
        Ok(self
            .workload
            .traces(&lock)
            .await?
            .map_or(Proven::Stopped, |what| Proven::Running { what: redact::line(&what) }))
    }

    pub(crate) async fn start(&self) -> Result<Started, Trouble> {
        let lock = self.workload.lock().await?;
        Ok(Started::Started { instance: self.workload.start(&lock).await? })
    }

    pub(crate) async fn restart(&self, step: &Restart) -> Result<Restarted, Trouble> {
        let lock = self.workload.lock().await?;
        Ok(Restarted::Restarted { instance: self.workload.restart(&lock, &step.from).await? })
    }

    pub(crate) async fn repair(&self, step: &Repair) -> Result<Repaired, Trouble> {
        let lock = self.workload.lock().await?;
        let instance = match &step.from {
            Some(from) => self.workload.restart(&lock, from).await?,
            None => self.workload.start(&lock).await?,
        };
        Ok(Repaired::Repaired { instance })
    }

    pub(crate) async fn search(&self, step: &Search, run: &str) -> Result<Searched, Trouble> {
        Ok(match self.storage.search(&step.epoch, run).await {
            Searched::Unreadable { path, why } => Searched::Unreadable { path, why: redact::line(&why) },
            found @ (Searched::Found { .. } | Searched::Gone { .. }) => found,
        })
    }

    pub(crate) async fn prove_durable(
        &self,
        step: &ProveDurable,
        run: &str,
        epoch: Option<&str>,
    ) -> Result<Durability, Trouble> {
        self.storage.prove_durable(&step.storage, run, epoch).await
    }

    pub(crate) async fn reattach(&self, step: &Reattach, run: &str) -> Result<Witnessed<Reattached>, Trouble> {
        let _stopped = self.stopped().await?;
        let changed = self.storage.reattach(&step.original, run).await?;
        Ok(self.witnessed(Reattached::Reattached, changed))
    }

    pub(crate) async fn detach(&self, step: &Detach, run: &str) -> Result<Witnessed<Detached>, Trouble> {
        let _stopped = self.stopped().await?;
        let changed = self.storage.detach(&step.original, run).await?;
        Ok(self.witnessed(Detached::Detached, changed))
    }

    pub(crate) async fn set_aside(&self, run: &str) -> Result<Witnessed<Restored>, Trouble> {
        let _stopped = self.stopped().await?;
        let changed = self.storage.set_aside(run).await?;
        Ok(self.witnessed(Restored::Done, changed))
    }

    pub(crate) async fn put_back(&self, run: &str) -> Result<Witnessed<Restored>, Trouble> {
        let _stopped = self.stopped().await?;
        let changed = self.storage.put_back(run).await?;
        Ok(self.witnessed(Restored::Done, changed))
    }

    /// The event, with what a step changed besides what the event says.
    fn witnessed<E>(&self, event: E, changed: Option<String>) -> Witnessed<E> {
        let evidence = changed.iter().map(|text| evidence("what was changed", text, self.known())).collect();
        Witnessed { event, evidence }
    }

    /// The lock, with nothing of the workload running: whoever has it may move the storage or hand a token over.
    pub(super) async fn stopped(&self) -> Result<Lock, Trouble> {
        let lock = self.workload.lock().await?;
        match self.workload.traces(&lock).await? {
            None => Ok(lock),
            Some(what) => Err(Trouble::refused(code::WORKLOAD, format!("it must be stopped, and this runs: {what}"))),
        }
    }
}
