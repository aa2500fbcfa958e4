//! The simulated world as one process reaches it: every call needs an intent that is durable and open.

use std::cell::{Cell, RefCell};

use recover_engine::{Act, FenceRaised, Kind, Performed, Probed, Record, World};

use crate::journal::MemoryJournal;
use crate::world::State;

/// One act as it is seen from outside: the world right before it and right after it, and what came of it.
pub(crate) struct Sight<'a> {
    pub(crate) act: &'a Act,
    pub(crate) before: &'a State,
    pub(crate) after: &'a State,
    pub(crate) came: &'a Performed,
    pub(crate) now: i64,
    pub(crate) journal: &'a MemoryJournal,
}

/// Who looks on while things are done.
pub(crate) trait Onlooker {
    fn saw(&self, sight: &Sight<'_>);
}

/// The world of one process: the state outlives it.
pub(crate) struct SimWorld<'a> {
    pub(crate) state: &'a RefCell<State>,
    pub(crate) clock: &'a Cell<i64>,
    pub(crate) journal: &'a MemoryJournal,
    pub(crate) onlooker: Option<&'a dyn Onlooker>,
}

impl SimWorld<'_> {
    /// Every call begins with it: time passes, and the intent must be durable and open.
    fn enter(&self, act: &Act) {
        let journaled = self.journal.last(|last| match Record::parse(last.header().kind, last.payload()) {
            Ok(Record::Intent(intent)) => intent.key == act.key && intent.step == act.doing.step,
            Ok(Record::Attempt(_) | Record::Fenced(_)) => last.header().run == act.run,
            _ => false,
        });
        let mut state = self.state.borrow_mut();
        if journaled != Some(true) {
            let closed = self.journal.last(|last| last.header().kind == Kind::Closed) == Some(true);
            state.violations.push(format!("{} without a durable open intent, closed: {closed}", act.doing.step));
        }
        state.one_call(self.clock.get());
    }
}

impl World for SimWorld<'_> {
    async fn perform(&self, act: &Act) -> Performed {
        self.enter(act);
        let mut state = self.state.borrow_mut();
        let hit = state.hit(act.doing.step, false);
        let before = self.onlooker.map(|_| state.clone());
        let performed = state.attempt(act, self.clock.get(), hit);
        if let (Some(onlooker), Some(before)) = (self.onlooker, before) {
            let (came, now) = (&performed, self.clock.get());
            onlooker.saw(&Sight { act, before: &before, after: &state, came, now, journal: self.journal });
        }
        state.invariants(self.clock.get());
        performed
    }

    async fn fence(&self, act: &Act) -> FenceRaised {
        self.enter(act);
        let mut state = self.state.borrow_mut();
        let fault = state.hit(act.doing.step, true).is_some();
        let raised = state.raise(act, self.clock.get(), fault);
        state.invariants(self.clock.get());
        raised
    }

    async fn probe(&self, act: &Act) -> Probed {
        self.enter(act);
        let mut state = self.state.borrow_mut();
        let probed = state.look(act, self.clock.get());
        state.invariants(self.clock.get());
        probed
    }
}
