//! One run's side of the simulation: its journal, its world and its host. Every call is put before the simulation and
//! stays pending until that has decided what comes of it, so that every await is a point at which the process can die.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use recover_engine::{
    Act, Consumed, Entry, FenceRaised, Host, Journal, JournalError, Key, Millis, OpenRun, Performed, Probed, Receipt,
    Request, RunId, Unwilling, Woken, World,
};

use crate::disk::Disk;

/// What a run waits for.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Append(Vec<Entry>),
    Perform(Act),
    Fence(Act),
    Probe(Act),
    Wait(Millis),
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Answer {
    Appended(Result<Receipt, JournalError>),
    Performed(Performed),
    Fenced(FenceRaised),
    Probed(Probed),
    Woken(Woken),
}

/// What a run and the simulation exchange.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) now: Millis,
    pub(crate) call: Option<Call>,
    pub(crate) answer: Option<Answer>,
    pub(crate) requests: VecDeque<Request>,
    /// The requests that the run took, and the replies that it gave.
    pub(crate) taken: Vec<u64>,
    pub(crate) replies: Vec<(u64, Result<(), Unwilling>)>,
    /// Batches that were said to be durable and are not yet: only of a journal with that bug.
    pub(crate) unsynced: VecDeque<Vec<Entry>>,
}

/// A bug that is planted, to see whether it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// None.
    Nothing,
    /// The journal says "durable" before it is: the next act comes before the records that lead to it.
    EagerJournal,
    /// What was open when the process died is taken to be absent, without a look.
    NoProbe,
    /// The disk forgets a record that it said was durable.
    ForgetfulDisk,
}

/// See the file's first line.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) wire: Arc<Mutex<Wire>>,
    pub(crate) disk: Arc<Mutex<Disk>>,
    pub(crate) waits_for_people: bool,
    pub(crate) plant: Plant,
}

/// Nothing in here panics while it holds a lock and goes on.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Port {
    fn ask(&self, call: Call) -> impl Future<Output = Answer> + Send {
        let (wire, mut call) = (Arc::clone(&self.wire), Some(call));
        poll_fn(move |_| {
            let mut wire = lock(&wire);
            if let Some(call) = call.take() {
                wire.call = Some(call);
                return Poll::Pending;
            }
            wire.answer.take().map_or(Poll::Pending, Poll::Ready)
        })
    }
}

fn wrong(call: &str, answer: &Answer) -> ! {
    panic!("{call} is answered with {answer:?}")
}

impl Journal for Port {
    async fn append(&self, batch: Vec<Entry>) -> Result<Receipt, JournalError> {
        if self.plant == Plant::EagerJournal {
            lock(&self.wire).unsynced.push_back(batch);
            return Ok(Receipt { frame: 0, head: recover_engine::Digest::ZERO });
        }
        match self.ask(Call::Append(batch)).await {
            Answer::Appended(appended) => appended,
            other => wrong("append", &other),
        }
    }
    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        Ok(lock(&self.disk).entries(run).to_vec())
    }
    fn open_runs(&self) -> Vec<(RunId, OpenRun)> {
        lock(&self.disk).ledger.open().collect()
    }
    fn holder(&self, subject: Key) -> Option<RunId> {
        lock(&self.disk).ledger.holder(subject)
    }
    fn effect(&self, key: Key) -> Option<Consumed> {
        lock(&self.disk).ledger.effect(key)
    }
}

impl World for Port {
    async fn perform(&self, act: &Act) -> Performed {
        match self.ask(Call::Perform(act.clone())).await {
            Answer::Performed(performed) => performed,
            other => wrong("perform", &other),
        }
    }
    async fn fence(&self, act: &Act) -> FenceRaised {
        match self.ask(Call::Fence(act.clone())).await {
            Answer::Fenced(raised) => raised,
            other => wrong("fence", &other),
        }
    }
    async fn probe(&self, act: &Act) -> Probed {
        if self.plant == Plant::NoProbe {
            return Probed::Absent("nobody looked".into());
        }
        match self.ask(Call::Probe(act.clone())).await {
            Answer::Probed(probed) => probed,
            other => wrong("probe", &other),
        }
    }
}

impl Host for Port {
    fn now(&self) -> Millis {
        lock(&self.wire).now
    }
    async fn wait(&self, until: Millis) -> Woken {
        match self.ask(Call::Wait(until)).await {
            Answer::Woken(woken) => woken,
            other => wrong("wait", &other),
        }
    }
    fn request(&self) -> Option<Request> {
        let mut wire = lock(&self.wire);
        let request = wire.requests.pop_front()?;
        wire.taken.push(request.id);
        Some(request)
    }
    fn waits_for_people(&self) -> bool {
        self.waits_for_people
    }
    fn reply(&self, id: u64, reply: Result<(), Unwilling>) {
        lock(&self.wire).replies.push((id, reply));
    }
    fn recorded(&self, entries: &[Entry], _receipt: Receipt) {
        assert!(!entries.is_empty(), "an empty commit costs a sync for nothing");
    }
}
