//! What reaches the outside, and what comes of it.

use recover_engine::{Act, FenceRaised, Performed, Probed, RunId};

use crate::broken::Broken;
use crate::faults::Fault;
use crate::port::{Answer, Call};
use crate::process::goes_on;
use crate::sim::{Number, Outside, Sim, note};
use crate::words::{Came, Told};

impl Sim<'_> {
    /// A run's call reaches the outside.
    pub(crate) fn reach(&mut self, id: RunId) -> Result<(), Broken> {
        let Some(call) = self.task(id).and_then(|task| task.call.clone()) else { return Ok(()) };
        let answer = match &call {
            Call::Perform(act) => {
                let down = self.is_down(act);
                let fault = if down { Fault::Busy } else { self.rates.fault(&mut self.choices) };
                Answer::Performed(self.attempt(act, fault)?)
            }
            Call::Fence(act) => Answer::Fenced(self.fence(act)),
            Call::Probe(act) => Answer::Probed(self.probe(act)),
            Call::Append(_) | Call::Wait(_) => return Ok(()),
        };
        match &answer {
            Answer::Fenced(raised) => note!(self, "{} fences: {raised:?}", Number(id)),
            Answer::Probed(probed) => note!(self, "{} probes: {}", Number(id), Told(probed)),
            Answer::Appended(_) | Answer::Performed(_) | Answer::Woken(_) => {}
        }
        if let Some(task) = self.task_mut(id) {
            task.answer = Some(answer);
        }
        Ok(())
    }

    fn subject_of(&self, act: &Act) -> usize {
        self.known.get(&act.run).map_or(0, |known| known.subject)
    }

    fn is_down(&self, act: &Act) -> bool {
        self.down.get(self.subject_of(act)).is_some_and(|until| self.now < *until)
    }

    /// An effect is attempted.
    pub(crate) fn attempt(&mut self, act: &Act, fault: Fault) -> Result<Performed, Broken> {
        self.counts.acts += 1;
        let (at, latched) = (self.subject_of(act), self.latched(act.doing.step));
        let Some(watch) = self.watches.get(&act.run) else { return Err(goes_on("an act of no run")) };
        let performed = match self.outsides.get_mut(at) {
            Some(Outside::Generic(generic)) => {
                generic.perform(act, latched, &*watch.machine, fault, &mut self.choices)?
            }
            Some(Outside::Detailed(connector)) => connector.perform(act, fault, &mut self.choices, self.now),
            None => return Err(goes_on("an act on no subject")),
        };
        if let Performed::Unknown { .. } = performed {
            self.now += 1_000;
        }
        note!(self, "{} performs {}, {fault:?}: {}", Number(act.run), act.doing.step, Came(&performed));
        Ok(performed)
    }

    fn fence(&mut self, act: &Act) -> FenceRaised {
        if self.is_down(act) || self.choices.once_in(self.rates.no_fence) {
            return FenceRaised::Failed("nobody answers".into());
        }
        let (at, latched) = (self.subject_of(act), self.latched(act.doing.step));
        match self.outsides.get_mut(at) {
            Some(Outside::Generic(generic)) => generic.fence(act, latched),
            Some(Outside::Detailed(connector)) => {
                connector.state.one_call(self.now);
                connector.state.raise(act, self.now, false)
            }
            None => FenceRaised::Failed("there is nothing".into()),
        }
    }

    fn probe(&mut self, act: &Act) -> Probed {
        if self.is_down(act) || self.choices.once_in(self.rates.no_probe) {
            return Probed::Unknown("nobody answers".into());
        }
        let (at, latched) = (self.subject_of(act), self.latched(act.doing.step));
        match self.outsides.get_mut(at) {
            Some(Outside::Generic(generic)) => generic.probe(act, latched),
            Some(Outside::Detailed(connector)) => {
                connector.state.one_call(self.now);
                connector.state.look(act, self.now)
            }
            None => Probed::Unknown("there is nothing".into()),
        }
    }
}
