//! A clock that only moves when it is asked or waited for, and a person whose requests come at chosen moments.

use std::cell::{Cell, RefCell};

use recover_engine::{Entry, Host, Millis, Receipt, Request, Unwilling, Wish, Woken};

/// A wish and the moment at which it comes: the number of times that the run looked for one, from 0.
#[derive(Clone, Debug)]
pub(crate) struct Scripted {
    pub(crate) at: u32,
    pub(crate) wish: Wish,
}

/// See the file's first line.
#[derive(Debug)]
pub(crate) struct SimHost<'a> {
    clock: &'a Cell<i64>,
    script: RefCell<Vec<Scripted>>,
    looked: Cell<u32>,
    asked: Cell<u64>,
    waits_for_people: bool,
    pub(crate) replies: RefCell<Vec<(u64, Result<(), Unwilling>)>>,
}

impl<'a> SimHost<'a> {
    pub(crate) fn new(clock: &'a Cell<i64>, script: &[Scripted], waits_for_people: bool) -> Self {
        Self {
            clock,
            script: RefCell::new(script.to_vec()),
            looked: Cell::new(0),
            asked: Cell::new(0),
            waits_for_people,
            replies: RefCell::default(),
        }
    }

    /// Requests that came and were not answered.
    pub(crate) fn unanswered(&self) -> u64 {
        self.asked.get() - self.replies.borrow().len() as u64
    }

    fn due(&self) -> Option<Request> {
        let mut script = self.script.borrow_mut();
        let at = script.iter().position(|s| s.at <= self.looked.get())?;
        let id = self.asked.get();
        self.asked.set(id + 1);
        Some(Request { id, actor: r#"{"uid":1000}"#.into(), wish: script.remove(at).wish })
    }
}

impl Host for SimHost<'_> {
    fn now(&self) -> Millis {
        self.clock.set(self.clock.get() + 1);
        Millis(self.clock.get())
    }

    async fn wait(&self, until: Millis) -> Woken {
        if let Some(request) = self.due() {
            return Woken::Request(request);
        }
        self.clock.set(self.clock.get().max(until.0));
        Woken::Elapsed
    }

    fn request(&self) -> Option<Request> {
        let due = self.due();
        if due.is_none() {
            self.looked.set(self.looked.get() + 1);
        }
        due
    }

    fn waits_for_people(&self) -> bool {
        self.waits_for_people
    }

    fn reply(&self, id: u64, reply: Result<(), Unwilling>) {
        let mut replies = self.replies.borrow_mut();
        assert!(
            id < self.asked.get() && replies.iter().all(|(known, _)| *known != id),
            "request {id} is answered twice"
        );
        replies.push((id, reply));
    }

    fn recorded(&self, entries: &[Entry], _receipt: Receipt) {
        assert!(!entries.is_empty(), "an empty commit costs a sync for nothing");
    }
}
