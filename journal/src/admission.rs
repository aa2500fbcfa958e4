//! Which of the waiting batches go into the next frame: those the ledger admits, and no two that touch the same thing.

use std::collections::HashSet;

use recover_engine::{BadEntry, Conflict, Entry, JournalError, Key, Latch, Ledger, RunId};

/// Whether a batch may be written now, as far as the ledger knows.
///
/// # Errors
/// [`JournalError::Conflict`], or [`JournalError::Entry`] for a batch that is none.
pub(crate) fn admit(ledger: &Ledger, batch: &[Entry]) -> Result<(), JournalError> {
    let Some(first) = batch.first() else { return Err(BadEntry::Short.into()) };
    if batch.iter().any(|entry| entry.header().run != first.header().run) {
        return Err(Conflict::Chain.into());
    }
    ledger.admit(batch)?;
    // The ledger looks at each record by itself: a batch that consumes one effect twice is caught here.
    let mut consumed = batch.iter().map(Entry::header).filter(|header| header.latch == Latch::Consume);
    while let Some(header) = consumed.next() {
        if consumed.clone().any(|later| later.key == header.key) {
            return Err(Conflict::Consumed { by: header.run }.into());
        }
    }
    Ok(())
}

/// What the batches of one frame touch. The ledger learns of them only when they are durable, so a batch that touches the
/// same run or key waits for the next frame, and is judged then.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    runs: HashSet<RunId>,
    keys: HashSet<Key>,
    /// The journal's own records may block every subject: they share a frame with nothing.
    everything: bool,
}

impl Touched {
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.keys.clear();
        self.everything = false;
    }

    /// Whether nothing that the batch touches was touched before. It is touched now, either way.
    pub(crate) fn add(&mut self, batch: &[Entry]) -> bool {
        let Some(first) = batch.first() else { return true };
        let run = first.header().run;
        let own = run == RunId::JOURNAL;
        let latched = || batch.iter().map(Entry::header).filter(|header| header.latch != Latch::None);
        let alone = self.runs.is_empty();
        let free = self.runs.insert(run)
            && !self.everything
            && (!own || alone)
            && latched().all(|header| !self.keys.contains(&header.key));
        self.keys.extend(latched().map(|header| header.key));
        self.everything |= own;
        free
    }
}

/// Batches that wait, and those of them that go into the next frame.
#[derive(Debug)]
pub(crate) struct Waiting<R> {
    /// In the order they came.
    pub(crate) later: Vec<R>,
    /// What goes into the next frame.
    pub(crate) group: Vec<R>,
    touched: Touched,
}

impl<R> Default for Waiting<R> {
    fn default() -> Self {
        Self { later: Vec::new(), group: Vec::new(), touched: Touched::default() }
    }
}

impl<R: AsRef<[Entry]>> Waiting<R> {
    /// Moves what goes into the next frame, at most `room` as `size` measures it unless one batch is longer, to `group`.
    /// What may not be written at all is refused.
    pub(crate) fn select(
        &mut self,
        ledger: &Ledger,
        room: usize,
        size: impl Fn(&[Entry]) -> usize,
        mut refuse: impl FnMut(R, JournalError),
    ) {
        self.touched.clear();
        let (mut taken, mut full) = (0, false);
        let mut later = Vec::new();
        for request in self.later.drain(..) {
            let len = size(request.as_ref());
            full |= !self.group.is_empty() && taken + len > room;
            if full || !self.touched.add(request.as_ref()) {
                later.push(request);
                continue;
            }
            match admit(ledger, request.as_ref()) {
                Ok(()) => {
                    taken += len;
                    self.group.push(request);
                }
                Err(error) => refuse(request, error),
            }
        }
        self.later = later;
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use recover_engine::Kind;

    use super::*;
    use crate::testing::entries::{Script, run, subject};

    /// Which of batches of these lengths go into one frame that has room for three records, and which wait.
    fn selected(lengths: &[u32]) -> (Vec<usize>, Vec<usize>) {
        let batches = (0..).zip(lengths).map(|(n, len)| run(n, *len));
        let mut waiting = Waiting { later: batches.collect(), ..Waiting::default() };
        waiting.select(&Ledger::default(), 3, <[Entry]>::len, |_, why| panic!("{why}"));
        let lengths = |batches: &[Vec<Entry>]| batches.iter().map(Vec::len).collect();
        (lengths(&waiting.group), lengths(&waiting.later))
    }

    #[test]
    fn a_frame_is_filled_to_its_room_and_in_the_order_they_came() {
        assert_eq!(selected(&[1, 1, 1, 1]), (vec![1, 1, 1], vec![1]));
        assert_eq!(selected(&[3, 1]), (vec![3], vec![1]));
        assert_eq!(selected(&[1, 3, 1]), (vec![1], vec![3, 1]), "nobody overtakes");
        assert_eq!(selected(&[5, 1]), (vec![5], vec![1]), "one that is longer goes alone");
        assert_eq!(selected(&[1, 5]), (vec![1], vec![5]));
    }

    #[test]
    fn the_journals_own_records_share_a_frame_with_nothing() {
        let own = [Script::new(RunId::JOURNAL).next(Kind::Cleared, Latch::Clear, subject(9), "{}")];
        let mut touched = Touched::default();
        assert!(touched.add(&own));
        assert!(!touched.add(&run(1, 1)), "after them");
        assert!(!touched.add(&run(2, 1)), "nor later");
        touched.clear();
        assert!(touched.add(&run(1, 1)));
        assert!(!touched.add(&own), "nor before them");
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    //! Two that claim one subject, or intend one effect, at the same time, with the queue and the pen of the real log.

    use super::*;
    use crate::handover::{Promise, Queue, lead, promise};
    use crate::sync::{Arc, Mutex};
    use loom::thread;
    use recover_engine::{Conflict, Digest, Header, Kind, Millis};

    struct Request {
        batch: Vec<Entry>,
        promise: Promise<Result<(), JournalError>>,
    }

    impl AsRef<[Entry]> for Request {
        fn as_ref(&self) -> &[Entry] {
            &self.batch
        }
    }

    #[derive(Default)]
    struct Pen {
        ledger: Ledger,
        waiting: Waiting<Request>,
        frames: usize,
    }

    impl Pen {
        fn write(&mut self, queue: &Queue<Request>) {
            loop {
                queue.take_now(&mut self.waiting.later);
                if self.waiting.later.is_empty() {
                    return;
                }
                self.waiting.select(&self.ledger, 1 << 20, |_| 1, |refused, why| refused.promise.keep(Err(why)));
                self.frames += usize::from(!self.waiting.group.is_empty());
                for request in self.waiting.group.drain(..) {
                    request.batch.iter().for_each(|entry| self.ledger.note(entry.header(), entry.hash()));
                    request.promise.keep(Ok(()));
                }
            }
        }
    }

    fn entry(run: u8, seq: u32, latch: Latch, key: Key, prev: Digest) -> Entry {
        let kind = if seq == 1 { Kind::Begun } else { Kind::Intent };
        let header = Header { run: RunId::new(Millis(0), [run; 10]), seq, kind, latch, key, at: Millis(0), prev };
        Entry::encode(header, "{}", "{}").unwrap()
    }

    /// Lets two threads append at once; what each was told, and the ledger then.
    fn race(before: fn() -> Ledger, batch: fn(u8) -> Vec<Entry>, check: fn(&[Result<(), JournalError>])) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(move || {
            let pen = Pen { ledger: before(), ..Pen::default() };
            let shared = Arc::new((Queue::new(), Mutex::new(pen)));
            let appenders: Vec<_> = (1..=2)
                .map(|run| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        let (queue, pen) = &*shared;
                        let (promise, ticket) = promise();
                        assert!(queue.leave(Request { batch: batch(run), promise }).is_ok());
                        lead(queue, pen, |pen: &mut Pen| pen.write(queue));
                        ticket.wait().unwrap()
                    })
                })
                .collect();
            let told: Vec<_> = appenders.into_iter().map(|appender| appender.join().unwrap()).collect();
            check(&told);
        });
    }

    fn one_wins(told: &[Result<(), JournalError>], lost: fn(&JournalError) -> bool) {
        assert_eq!(told.iter().filter(|told| told.is_ok()).count(), 1, "{told:?}");
        assert!(told.iter().filter_map(|told| told.as_ref().err()).all(lost), "{told:?}");
    }

    #[test]
    fn loom_of_two_claims_of_one_subject_one_wins() {
        let claim = |run| vec![entry(run, 1, Latch::Claim, Key::subject("s"), Digest::ZERO)];
        race(Ledger::default, claim, |told| {
            one_wins(told, |error| matches!(error, JournalError::Conflict(Conflict::Held { .. })));
        });
    }

    #[test]
    fn loom_of_two_intents_of_one_effect_one_wins() {
        fn begun(run: u8) -> Entry {
            entry(run, 1, Latch::Claim, Key::subject(if run == 1 { "s" } else { "t" }), Digest::ZERO)
        }
        let before = || {
            let mut ledger = Ledger::default();
            [1, 2].map(begun).iter().for_each(|entry| ledger.note(entry.header(), entry.hash()));
            ledger
        };
        let intent = |run| vec![entry(run, 2, Latch::Consume, Key::effect("s", "e", "pair", 0), begun(run).hash())];
        race(before, intent, |told| {
            one_wins(told, |error| matches!(error, JournalError::Conflict(Conflict::Consumed { .. })));
        });
    }
}
