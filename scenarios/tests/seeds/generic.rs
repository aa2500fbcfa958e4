//! An outside for any scenario: what a step comes to is one of its own endings, and what may not be repeated is remembered by
//! effect key. It never lies and never deduplicates.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use recover_engine::{
    Act, FenceRaised, Input, Json, Key, Machine, Next, Outcome, Performed, Probed, Reason, Redo, RunId, Seen, Told,
};

use crate::broken::{Broken, Invariant};
use crate::choices::Choices;
use crate::faults::Fault;

/// What became of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Applied(Told),
    /// On its way: it may still be applied, until the fence is up.
    Late(Told),
    Lost,
}

/// An effect that is consumed across runs is known by its key alone; another one belongs to its run.
type Slot = (Option<RunId>, Key);

type Endings = Rc<[Outcome<Told>]>;

/// Of so many steps the endings are remembered: a scenario has fewer, unless their data differ with every run.
const REMEMBERED: usize = 4_096;

thread_local! {
    /// The endings of a step with its data: they follow from nothing else, and putting them together is what costs most.
    static ENDINGS: RefCell<HashMap<&'static str, HashMap<String, Endings>>> = RefCell::default();
}

fn endings(act: &Act, machine: &dyn Machine) -> Endings {
    ENDINGS.with_borrow_mut(|all| {
        let of_step = all.entry(act.doing.step).or_default();
        if let Some(known) = of_step.get(act.doing.body.as_str()) {
            return Rc::clone(known);
        }
        let made: Endings = machine.endings().into();
        if of_step.len() == REMEMBERED {
            of_step.clear();
        }
        of_step.insert(act.doing.body.as_str().to_owned(), Rc::clone(&made));
        made
    })
}

/// The outside of one subject.
#[derive(Debug, Default)]
pub(crate) struct Generic {
    fates: BTreeMap<Slot, Fate>,
    /// The last try of each step that is consumed, by loss and step.
    tried: BTreeMap<(String, &'static str), Slot>,
    /// The ending that a step mostly has here, so that not every run ends at its first look.
    habits: BTreeMap<&'static str, usize>,
}

fn slot(act: &Act, latched: bool) -> Slot {
    ((!latched).then_some(act.run), act.key)
}

fn guarded(act: &Act) -> bool {
    matches!(act.doing.redoing.redo, Redo::OnlyIfAbsent | Redo::AtMostOnce)
}

impl Generic {
    /// An attempt at an effect.
    pub(crate) fn perform(
        &mut self,
        act: &Act,
        latched: bool,
        machine: &dyn Machine,
        fault: Fault,
        choices: &mut Choices,
    ) -> Result<Performed, Broken> {
        let slot = slot(act, latched);
        let twice = |fate: &Fate| {
            let what = format!("{} is tried again, and the try before it is {fate:?}", act.doing.step);
            Err(Broken::new(Invariant::OnceOnly, what))
        };
        if guarded(act)
            && let Some(fate) = self.fates.get(&slot)
        {
            return twice(fate);
        }
        if latched {
            let before = self.tried.insert((act.epoch.clone().unwrap_or_default(), act.doing.step), slot);
            if let Some(fate @ (Fate::Applied(_) | Fate::Late(_))) = before.and_then(|slot| self.fates.get(&slot)) {
                return twice(fate);
            }
        }
        let unknown = |why: &str| Ok(Performed::Unknown { why: why.into() });
        let ending = self.ending(act, machine, choices);
        match (ending, fault) {
            (_, Fault::Busy) => Ok(Performed::Retry { why: "busy".into(), after_ms: None }),
            (_, Fault::Lost) => {
                self.becomes(act, slot, Fate::Lost);
                unknown("the request was lost")
            }
            // Only a probe may call an effect absent; from an attempt it is a request that was lost.
            (Outcome::Refused(reason), _) if guarded(act) && reason.code == Reason::ABSENT => {
                self.becomes(act, slot, Fate::Lost);
                unknown("nobody knows")
            }
            (Outcome::Happened(told), Fault::Late) if guarded(act) && act.doing.redoing.fence.is_some() => {
                self.becomes(act, slot, Fate::Late(told));
                unknown("it is on its way")
            }
            (Outcome::Happened(told), Fault::Drop | Fault::Late) => {
                self.becomes(act, slot, Fate::Applied(told));
                unknown("the reply was lost")
            }
            (Outcome::Happened(told), _) => {
                self.becomes(act, slot, Fate::Applied(told.clone()));
                Ok(Performed::Happened(Seen::plain(told)))
            }
            (Outcome::Refused(reason), _) => Ok(Performed::Refused(reason)),
        }
    }

    fn becomes(&mut self, act: &Act, slot: Slot, fate: Fate) {
        if guarded(act) {
            self.fates.insert(slot, fate);
        }
    }

    /// One of the step's endings: mostly its habit, seldom one that ends the run at once.
    fn ending(&mut self, act: &Act, machine: &dyn Machine, choices: &mut Choices) -> Outcome<Told> {
        let endings = endings(act, machine);
        let any = endings.len().max(1);
        let habit = *self
            .habits
            .entry(act.doing.step)
            .or_insert_with(|| if choices.once_in(2) { choices.one_of(any) } else { 0 });
        let mut at = if choices.once_in(4) { choices.one_of(any) } else { habit };
        let ends = |at: usize| {
            let mut after = machine.boxed_clone();
            let input = endings.get(at % any).cloned().map(Input::Outcome);
            input.is_some_and(|input| after.apply(act.doing.step, &input).is_ok())
                && matches!(after.next(), Next::Done(_))
        };
        if !choices.once_in(4) {
            at = (at..at + any).find(|at| !ends(*at)).unwrap_or(at);
        }
        let nothing = || Outcome::Refused(Reason::new("nothing", "it has no ending"));
        endings.get(at % any).cloned().unwrap_or_else(nothing)
    }

    /// Something that is on its way arrives.
    pub(crate) fn arrive(&mut self) -> Option<Key> {
        let (slot, fate) = self.fates.iter_mut().find(|(_, fate)| matches!(fate, Fate::Late(_)))?;
        if let Fate::Late(told) = fate {
            *fate = Fate::Applied(told.clone());
        }
        Some(slot.1)
    }

    /// Nothing of this effect arrives any more.
    pub(crate) fn fence(&mut self, act: &Act, latched: bool) -> FenceRaised {
        self.end(slot(act, latched));
        FenceRaised::Up("it is up".into())
    }

    fn end(&mut self, slot: Slot) {
        if let Some(fate @ Fate::Late(_)) = self.fates.get_mut(&slot) {
            *fate = Fate::Lost;
        }
    }

    /// Looks. What it says is true at this moment.
    pub(crate) fn probe(&self, act: &Act, latched: bool) -> Probed {
        match self.fates.get(&slot(act, latched)) {
            Some(Fate::Applied(told)) => Probed::Happened(Seen::plain(told.clone())),
            Some(Fate::Late(_) | Fate::Lost) | None => Probed::Absent("it is not there".into()),
        }
    }

    /// What a person says who made sure that nothing can arrive any more, and looked.
    pub(crate) fn truth(&mut self, run: RunId, key: Key, latched: bool) -> Option<Json> {
        let slot = ((!latched).then_some(run), key);
        self.end(slot);
        match self.fates.get(&slot) {
            Some(Fate::Applied(told)) => Some(told.data.clone()),
            Some(Fate::Late(_) | Fate::Lost) | None => None,
        }
    }
}
