//! Ways to use the journal, each recorded with what was acknowledged, and when.

use std::sync::Arc;
use std::task::Poll;

use recover_engine::{Digest, Entry, Journal, Key, Kind, Latch, Millis, RunId};
use recover_journal::testing::contract::block_on;
use recover_journal::testing::entries::{self as made, Script, closed_run, id, run, subject};
use recover_journal::testing::sim::SimStorage;
use recover_journal::testing::{bind, salvage};
use recover_journal::{Author, CommitLog, Evidence, Options, Storage};

use crate::common::{SMALL, batches, frames};
use crate::states::Random;

pub(crate) const AUTHOR: Author<'static> = Author { actor: made::ACTOR, at: Millis(7) };

/// What was acknowledged when so many operations were done.
pub(crate) enum Promise {
    /// Every frame up to this one.
    Frames(u64),
    /// These are the first records of a run.
    Run(RunId, Vec<Entry>),
    /// A text.
    Evidence(Digest),
    /// The machine that the directory belongs to.
    Machine(&'static str),
}

/// A way to use the journal, recorded.
pub(crate) struct Workload {
    pub name: String,
    pub storage: SimStorage,
    pub promises: Vec<(usize, Promise)>,
    /// Every frame that was ever written, in order; none for a log that was salvaged, which is judged by its runs.
    pub frames: Option<Vec<Vec<Entry>>>,
    pub options: Options,
}

/// A storage over the recorded one, which may be a liar.
pub(crate) type Wrap = fn(SimStorage) -> Arc<dyn Storage>;

pub(crate) fn honest(storage: SimStorage) -> Arc<dyn Storage> {
    Arc::new(storage)
}

struct Recorder {
    sim: SimStorage,
    storage: Arc<dyn Storage>,
    promises: Vec<(usize, Promise)>,
    options: Options,
}

impl Recorder {
    fn on(sim: SimStorage, wrap: Wrap, options: Options) -> Self {
        Self { storage: wrap(sim.clone()), sim, promises: Vec::new(), options }
    }

    fn open(&mut self) -> CommitLog {
        let log = CommitLog::open_inline(Arc::clone(&self.storage), self.options).unwrap();
        // Whoever opened it acts on what it shows.
        self.promise(Promise::Frames(log.head().frame));
        log
    }

    fn promise(&mut self, promise: Promise) {
        self.promises.push((self.sim.len(), promise));
    }

    fn append(&mut self, log: &CommitLog, batch: Vec<Entry>) {
        let receipt = log.append_blocking(batch).unwrap();
        self.promise(Promise::Frames(receipt.frame));
        log.settled();
    }

    /// Appends all of them at once: they go into one frame.
    fn append_together(&mut self, log: &CommitLog, batches: Vec<Vec<Entry>>) {
        let mut appends: Vec<_> = batches.into_iter().map(|batch| Box::pin(log.append(batch))).collect();
        let mut last = 0;
        block_on(std::future::poll_fn(|context| {
            appends.retain_mut(|append| match append.as_mut().poll(context) {
                Poll::Ready(receipt) => {
                    last = last.max(receipt.unwrap().frame);
                    false
                }
                Poll::Pending => true,
            });
            if appends.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        }));
        self.promise(Promise::Frames(last));
        log.settled();
    }

    fn done(self, name: impl Into<String>) -> Workload {
        let (all, error) = frames(&self.sim);
        assert!(error.is_none(), "{error:?}");
        let frames = Some(all.into_iter().map(|frame| frame.entries).collect());
        Workload { name: name.into(), storage: self.sim, promises: self.promises, frames, options: self.options }
    }
}

/// One run from its beginning, in a segment that holds it all.
pub(crate) fn one_run(wrap: Wrap) -> Workload {
    let mut recorder = Recorder::on(SimStorage::new(), wrap, Options { segment_len: 4096 });
    let log = recorder.open();
    for entry in closed_run(1, 7) {
        recorder.append(&log, vec![entry]);
    }
    drop(log);
    recorder.done("one run")
}

/// Runs that take turns over several segments, each made ahead of need.
pub(crate) fn segments(wrap: Wrap) -> Workload {
    let mut recorder = Recorder::on(SimStorage::new(), wrap, SMALL);
    let log = recorder.open();
    for batch in batches() {
        recorder.append(&log, batch);
    }
    drop(log);
    recorder.done("segments")
}

/// Many runs at once: frames of several sectors, which can be torn in more ways.
pub(crate) fn many_at_once(wrap: Wrap) -> Workload {
    let mut recorder = Recorder::on(SimStorage::new(), wrap, Options { segment_len: 5 << 10 });
    let log = recorder.open();
    for round in 0..4_u64 {
        recorder.append_together(&log, (0..5).map(|n| run(round * 5 + n, 2)).collect());
    }
    drop(log);
    recorder.done("many at once")
}

/// The log is closed and opened between appends.
pub(crate) fn reopened(wrap: Wrap) -> Workload {
    let mut recorder = Recorder::on(SimStorage::new(), wrap, SMALL);
    for batch in batches() {
        let log = recorder.open();
        recorder.append(&log, batch);
    }
    recorder.done("reopened")
}

/// Texts are kept, the directory goes to another machine, and a person answers for a subject.
pub(crate) fn evidence_adopted_cleared(wrap: Wrap) -> Workload {
    let mut recorder = Recorder::on(SimStorage::new(), wrap, SMALL);
    bind(&*recorder.storage, "first").unwrap();
    recorder.promise(Promise::Machine("first"));
    let mut log = recorder.open();
    let evidence = Evidence::new(Arc::clone(&recorder.storage));
    for (n, entry) in (0_u8..).zip(run(1, 4)) {
        let digest = evidence.put(&vec![n; 700]).unwrap();
        recorder.promise(Promise::Evidence(digest));
        recorder.append(&log, vec![entry]);
    }
    drop(log);
    log = recorder.open();
    let mut own = Script::new(RunId::JOURNAL);
    recorder.append(&log, vec![own.next(Kind::Adopted, Latch::None, Key::NONE, r#"{"to":"second"}"#)]);
    bind(&*recorder.storage, "second").unwrap();
    recorder.promise(Promise::Machine("second"));
    recorder.append(&log, vec![own.next(Kind::Salvaged, Latch::Block, subject(9), "{}")]);
    recorder.append(&log, vec![own.next(Kind::Cleared, Latch::Clear, subject(9), "{}")]);
    drop(log);
    recorder.done("evidence, adopt, clear")
}

/// A log that a cut left in some state is opened and written on.
pub(crate) fn after_a_cut(wrap: Wrap, seed: u64) -> Workload {
    let before = if seed.is_multiple_of(2) { segments(honest) } else { many_at_once(honest) };
    let ops = before.storage.ops();
    let mut random = Random::new(seed);
    let cut = random.below(ops.len() as u64 + 1) as usize;
    let mut states = crate::states::fates(&ops, cut, 1, &mut random);
    let fates = states.pop().unwrap_or_default();
    let left = before
        .storage
        .power_cut(cut, |op, _| fates.get(&op).copied().unwrap_or(recover_journal::testing::sim::Fate::Lost));
    let mut recorder = Recorder::on(left, wrap, before.options);
    let log = recorder.open();
    recorder.append(&log, run(70, 2));
    recorder.append(&log, closed_run(71, 3));
    drop(log);
    recorder.done(format!("after a cut, seed {seed}"))
}

/// A damaged log is salvaged and written on.
pub(crate) fn salvaged(wrap: Wrap, victim: usize) -> Workload {
    let sound = SimStorage::new();
    let log = CommitLog::open_inline(Arc::new(sound.clone()), SMALL).unwrap();
    for n in 0..8 {
        log.append_blocking(closed_run(n, 2)).unwrap();
    }
    drop(log);
    let all = frames(&sound).0;
    let mut files = sound.files();
    let at = &all[victim];
    files.get_mut(&format!("log/{:08}.seg", at.segment)).unwrap()[at.offset as usize + 80] ^= 1;
    let mut recorder = Recorder::on(SimStorage::of(files), wrap, SMALL);
    for (n, _) in all.iter().enumerate().filter(|(n, _)| *n != victim) {
        recorder.promise(Promise::Run(id(n as u64), closed_run(n as u64, 2)));
    }
    salvage(&recorder.storage, SMALL, AUTHOR, "a test").unwrap();
    let log = CommitLog::open_inline(Arc::clone(&recorder.storage), SMALL).unwrap();
    let own = log.read(RunId::JOURNAL).unwrap();
    recorder.promise(Promise::Run(RunId::JOURNAL, own.clone()));
    let mut script = Script::after(own.last().unwrap());
    log.append_blocking(vec![script.next(Kind::Cleared, Latch::Clear, Key::NONE, "{}")]).unwrap();
    recorder.promise(Promise::Run(RunId::JOURNAL, log.read(RunId::JOURNAL).unwrap()));
    for n in 30..33 {
        log.append_blocking(closed_run(n, 2)).unwrap();
        recorder.promise(Promise::Run(id(n), closed_run(n, 2)));
        log.settled();
    }
    drop(log);
    let Recorder { sim, promises, options, .. } = recorder;
    Workload { name: format!("salvage of frame {}", victim + 1), storage: sim, promises, frames: None, options }
}

/// All of them; the seed chooses what a cut left before.
pub(crate) fn all(wrap: Wrap, round: u64) -> Vec<Workload> {
    let mut all: Vec<Workload> = (0..4).map(|n| after_a_cut(wrap, round * 4 + n)).collect();
    if round == 0 {
        all.extend([one_run(wrap), segments(wrap), many_at_once(wrap), reopened(wrap)]);
        all.push(evidence_adopted_cleared(wrap));
        all.extend([salvaged(wrap, 1), salvaged(wrap, 7)]);
    }
    all
}
