//! The only loop: asks the run what to do, does it through the journal, the world and the host, and tells the run.

use crate::journal::{Journal, JournalError};
use crate::run::{Action, Run, RunError, Stop};
use crate::world::{Host, Woken, World};

/// Why driving ended without a stop of the run's own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriveError {
    /// The history is illegal: a bug, or records that are not ours.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The journal did not take the records. Nothing that depended on them was done.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Drives a run until it stops. Dropping the future is a crash and nothing worse.
///
/// # Errors
/// [`DriveError`]; the run must then be taken up again from its records.
pub async fn drive<J: Journal, W: World, H: Host>(
    run: &mut Run,
    journal: &J,
    world: &W,
    host: &H,
) -> Result<Stop, DriveError> {
    loop {
        while let Some(request) = host.request() {
            run.request(host.now(), request)?;
        }
        match run.next(host.now(), &|key| journal.effect(key))? {
            Action::Commit(batch) => {
                let receipt = journal.append(batch.clone()).await?;
                run.committed();
                host.recorded(&batch, receipt);
            }
            Action::Perform(act) => {
                let performed = world.perform(&act).await;
                run.performed(host.now(), performed)?;
            }
            Action::Fence(act) => {
                let raised = world.fence(&act).await;
                run.fenced(host.now(), raised)?;
            }
            Action::Probe(act) => {
                let probed = world.probe(&act).await;
                run.probed(host.now(), probed)?;
            }
            Action::WaitForPerson(_) if !host.waits_for_people() => {
                if let Some(stop) = run.stop_at_question() {
                    return Ok(stop);
                }
            }
            Action::Wait(until) | Action::WaitForPerson(until) => {
                if let Woken::Request(request) = host.wait(until).await {
                    run.request(host.now(), request)?;
                }
            }
            Action::Reply(id, reply) => host.reply(id, reply),
            Action::Stop(stop) => return Ok(stop),
        }
    }
}
