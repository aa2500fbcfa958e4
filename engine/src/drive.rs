//! The only loop: asks the run what to do, does it through the journal, the world and the host, and tells the run.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use crate::effect::Redo;
use crate::journal::{Journal, JournalError};
use crate::run::{Action, Run, RunError, Stop};
use crate::world::{Act, Host, Performed, Woken, World};

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
    // Time passes where something is waited for, and is asked for again after that.
    let mut now = host.now();
    loop {
        while let Some(request) = host.request() {
            run.request(now, request)?;
        }
        match run.next(now, &|key| journal.effect(key))? {
            Action::Commit(batch) => {
                let receipt = journal.append(batch.clone()).await?;
                now = host.now();
                run.committed();
                host.recorded(&batch, receipt);
            }
            Action::Perform(act) => {
                let performed = perform(run, &act, world, host).await?;
                now = host.now();
                if let Some(performed) = performed {
                    run.performed(now, performed)?;
                }
            }
            Action::Fence(act) => {
                let raised = world.fence(&act).await;
                now = host.now();
                run.fenced(now, raised)?;
            }
            Action::Probe(act) => {
                let probed = world.probe(&act).await;
                now = host.now();
                run.probed(now, probed)?;
            }
            Action::WaitForPerson(_) if !host.waits_for_people() => {
                if let Some(stop) = run.stop_at_question() {
                    return Ok(stop);
                }
            }
            Action::Wait(until) | Action::WaitForPerson(until) => {
                let woken = host.wait(until).await;
                now = host.now();
                if let Woken::Request(request) = woken {
                    run.request(now, request)?;
                }
            }
            Action::Reply(id, reply) => host.reply(id, reply),
            Action::Stop(stop) => return Ok(stop),
        }
    }
}

/// Performs an effect. While a look is under way requests are heard, and one may make it pointless: then it is dropped and
/// nothing came of it. Every other effect is waited for; its own limit bounds that.
async fn perform<W: World, H: Host>(
    run: &mut Run,
    act: &Act,
    world: &W,
    host: &H,
) -> Result<Option<Performed>, RunError> {
    let mut performing = pin!(world.perform(act));
    if act.doing.redoing.redo != Redo::Pure {
        return Ok(Some(performing.await));
    }
    loop {
        let mut hearing = pin!(host.hear());
        let first = poll_fn(|context| match performing.as_mut().poll(context) {
            Poll::Ready(performed) => Poll::Ready(Ok(performed)),
            Poll::Pending => hearing.as_mut().poll(context).map(Err),
        });
        match first.await {
            Ok(performed) => return Ok(Some(performed)),
            Err(request) => {
                run.request(host.now(), request)?;
                if !run.performs() {
                    return Ok(None);
                }
            }
        }
    }
}
