//! The explorer: walks a scenario exhaustively, checks its guards, and finds its graph.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::effect::{Doing, Outcome, Reason, Redo, Told};
use crate::graph::{Asks, Edge, Graph, Node};
use crate::guard::{Breach, Guard, Tally};
use crate::machine::{Entry, Machine};
use crate::scenario::{Illegal, Input, Next, Verdict};

/// A flaw in a scenario, with the shortest way to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A guard would have to stop it.
    #[error("{breach}, reached by {path:?}")]
    Guard {
        /// The guard.
        breach: Breach,
        /// The inputs that lead there.
        path: Vec<String>,
    },
    /// A state does not take an input that can come.
    #[error("{illegal}, reached by {path:?}")]
    Illegal {
        /// What it does not take.
        illegal: Illegal,
        /// The inputs that lead there.
        path: Vec<String>,
    },
    /// From here no end can be reached.
    #[error("no end can be reached from state {state}, reached by {path:?}")]
    Endless {
        /// The state.
        state: String,
        /// The inputs that lead there.
        path: Vec<String>,
    },
    /// An end without a reason, or a residue that is empty.
    #[error("the end {state} is silent, reached by {path:?}")]
    Silent {
        /// The state.
        state: String,
        /// The inputs that lead there.
        path: Vec<String>,
    },
    /// The run goes back over the point of no return.
    #[error("the point of no return is undone by {input}, reached by {path:?}")]
    Returned {
        /// The input.
        input: String,
        /// The inputs that lead there.
        path: Vec<String>,
    },
    /// A state before the point of no return cannot be cancelled.
    #[error("state {state} cannot be cancelled, reached by {path:?}")]
    Uncancellable {
        /// The state.
        state: String,
        /// The inputs that lead there.
        path: Vec<String>,
    },
    /// One name stands for states that ask for different things.
    #[error("state {state} asks for different things, reached by {path:?}")]
    Ambiguous {
        /// The state.
        state: String,
        /// The inputs that lead there.
        path: Vec<String>,
    },
    /// The parameters do not fit.
    #[error("the sample parameters do not fit: {0}")]
    Params(String),
    /// There are more states than the explorer walks.
    #[error("more than {0} states: a counter has no bound")]
    Unbounded(usize),
}

/// What the explorer found.
#[derive(Clone, Debug, Default)]
pub struct Explored {
    /// The graph over every sample.
    pub graph: Graph,
    /// Distinct situations walked: machine state and guard tally.
    pub situations: usize,
    /// Transitions walked.
    pub transitions: usize,
    /// The verdicts that can be reached.
    pub verdicts: BTreeSet<Verdict>,
    /// What each state asks for in full, and each end says, in the situation that is reached first.
    pub asked: BTreeMap<(String, Option<Verdict>), AskedFor>,
    /// The flaws. A scenario with one is not shipped.
    pub flaws: Vec<Flaw>,
}

/// What is asked for in a situation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedFor {
    /// The loss that the run is about, once it is known.
    pub epoch: Option<String>,
    /// What is to be done, waited for, decided or said.
    pub next: Next<Doing>,
}

const SITUATIONS_MAX: usize = 500_000;

struct Situation {
    machine: Box<dyn Machine>,
    tally: Tally,
    /// Index of the situation before and the input that led here.
    from: Option<(usize, String)>,
    cancelled: bool,
}

/// Every input that can come in this state, with its label. A crash before or after an effect, a late reply and a
/// resume all reach the machine as one of these: that is what the redo policies are for.
fn inputs(machine: &dyn Machine, cancelled: bool) -> Vec<(String, String, Input<Told>)> {
    let mut inputs = Vec::new();
    match machine.next() {
        Next::Do(doing) => {
            let mut codes = BTreeSet::new();
            for outcome in machine.endings() {
                let label = match &outcome {
                    Outcome::Happened(told) => format!("{}:{}", doing.step, told.ending),
                    Outcome::Refused(reason) => {
                        codes.insert(reason.code.clone());
                        format!("{}:refused", doing.step)
                    }
                };
                inputs.push((doing.step.to_owned(), label, Input::Outcome(outcome)));
            }
            // What the engine itself can say, whatever the step's own list is.
            let mut own = vec![Reason::EXHAUSTED];
            if !matches!(doing.redoing.redo, Redo::Pure | Redo::Idempotent) {
                own.push(Reason::ABSENT);
            }
            if doing.not_after.is_some() {
                own.push(Reason::TOO_LATE);
            }
            if !machine.committed() && !cancelled {
                own.push(Reason::CANCELLED);
            }
            for code in own.into_iter().filter(|code| !codes.contains(*code)) {
                let reason = Reason::new(code, "as the engine says it");
                inputs.push((
                    doing.step.to_owned(),
                    format!("{}:refused", doing.step),
                    Input::Outcome(Outcome::Refused(reason)),
                ));
            }
        }
        Next::Wait(wait) => inputs.push((String::new(), format!("{}:elapsed", wait.id), Input::Expired)),
        Next::Ask(question) => {
            for choice in &question.choices {
                inputs.push((
                    String::new(),
                    format!("{}:{}", question.id, choice.id),
                    Input::Answer(choice.id.clone().into_owned()),
                ));
            }
            inputs.push((String::new(), format!("{}:expired", question.id), Input::Expired));
        }
        Next::Done(_) => {}
    }
    inputs
}

struct Walk {
    seen: BTreeMap<String, usize>,
    all: Vec<Situation>,
    queue: VecDeque<usize>,
    /// For each situation, those it leads to.
    onward: Vec<Vec<usize>>,
    out: Explored,
    asks: BTreeMap<String, (Asks, bool)>,
    guards: Vec<Guard>,
    edges: BTreeSet<Edge>,
}

/// Walks a scenario from every sample of its parameters.
#[must_use]
pub fn explore(entry: &Entry) -> Explored {
    let mut walk = Walk {
        seen: BTreeMap::new(),
        all: Vec::new(),
        queue: VecDeque::new(),
        onward: Vec::new(),
        out: Explored::default(),
        asks: BTreeMap::new(),
        guards: entry.guards(),
        edges: BTreeSet::new(),
    };
    for params in entry.samples() {
        match entry.begin(&params) {
            Ok(machine) => {
                machine.state().clone_into(&mut walk.out.graph.initial);
                walk.visit(machine, Tally::default(), None, false);
            }
            Err(e) => walk.out.flaws.push(Flaw::Params(e.to_string())),
        }
    }
    while let Some(at) = walk.queue.pop_front() {
        if walk.all.len() > SITUATIONS_MAX {
            walk.out.flaws.push(Flaw::Unbounded(SITUATIONS_MAX));
            break;
        }
        walk.expand(at);
    }
    walk.finish()
}

impl Walk {
    fn visit(
        &mut self,
        machine: Box<dyn Machine>,
        tally: Tally,
        from: Option<(usize, String)>,
        cancelled: bool,
    ) -> usize {
        let key = format!("{}|{:?}|{cancelled}", machine.fingerprint(), tally.view(&self.guards));
        if let Some(at) = self.seen.get(&key) {
            return *at;
        }
        let at = self.all.len();
        self.seen.insert(key, at);
        self.all.push(Situation { machine, tally, from, cancelled });
        self.onward.push(Vec::new());
        self.queue.push_back(at);
        at
    }

    fn path(&self, mut at: usize) -> Vec<String> {
        let mut path = Vec::new();
        while let Some((from, label)) = self.all.get(at).and_then(|s| s.from.clone()) {
            path.push(label);
            at = from;
        }
        path.reverse();
        path
    }

    fn note_node(&mut self, at: usize) {
        let Some(situation) = self.all.get(at) else { return };
        let next = situation.machine.next();
        let (asks, verdict) = match &next {
            Next::Do(doing) => (Asks::Do(doing.step.to_owned()), None),
            Next::Wait(wait) => (Asks::Wait(wait.id.to_owned()), None),
            Next::Ask(question) => (Asks::Ask(question.id.clone().into_owned()), None),
            Next::Done(ending) => (Asks::Done, Some(ending.verdict)),
        };
        let node = (asks, situation.machine.committed());
        let state = situation.machine.state().to_owned();
        self.out
            .asked
            .entry((state.clone(), verdict))
            .or_insert_with(|| AskedFor { epoch: situation.machine.epoch().map(str::to_owned), next });
        match self.asks.get(&state) {
            Some(known) if *known != node => {
                let path = self.path(at);
                self.out.flaws.push(Flaw::Ambiguous { state, path });
            }
            Some(_) => {}
            None => {
                self.asks.insert(state, node);
            }
        }
    }

    fn expand(&mut self, at: usize) {
        self.note_node(at);
        let Some(situation) = self.all.get(at) else { return };
        let (machine, tally, cancelled) =
            (situation.machine.boxed_clone(), situation.tally.clone(), situation.cancelled);
        let mut tally = tally;
        let step = match machine.next() {
            Next::Do(doing) => {
                if let Err(breach) = tally.allows(&self.guards, doing.step) {
                    let path = self.path(at);
                    self.out.flaws.push(Flaw::Guard { breach, path });
                    return;
                }
                Some(doing.step)
            }
            Next::Done(ending) => {
                self.out.verdicts.insert(ending.verdict);
                if let Err(breach) = tally.allows_verdict(&self.guards, ending.verdict) {
                    let path = self.path(at);
                    self.out.flaws.push(Flaw::Guard { breach, path });
                }
                if ending.reason.is_empty() || ending.residue.iter().any(String::is_empty) {
                    let path = self.path(at);
                    self.out.flaws.push(Flaw::Silent { state: machine.state().to_owned(), path });
                }
                return;
            }
            Next::Wait(_) | Next::Ask(_) => None,
        };
        // A cancel comes at a boundary, before the state's own step is intended.
        if !machine.committed() && !cancelled {
            let mut next = machine.boxed_clone();
            match next.apply("", &Input::Cancel) {
                Ok(()) => {
                    let mut after = tally.clone();
                    after.fact("cancel");
                    self.edge(at, &*machine, next, after, "cancel".into(), true);
                }
                Err(_) => {
                    let path = self.path(at);
                    self.out.flaws.push(Flaw::Uncancellable { state: machine.state().to_owned(), path });
                }
            }
        }
        if let Some(step) = step {
            tally.intent(step);
        }
        for (step, label, input) in inputs(&*machine, cancelled) {
            let mut next = machine.boxed_clone();
            match next.apply(&step, &input) {
                Ok(()) => {
                    let mut after = tally.clone();
                    if step.is_empty() {
                        after.fact(&label);
                    } else {
                        after.outcome(&step, &label, matches!(input, Input::Outcome(Outcome::Refused(_))));
                    }
                    self.edge(at, &*machine, next, after, label, cancelled);
                }
                Err(illegal) => {
                    let path = self.path(at);
                    self.out.flaws.push(Flaw::Illegal { illegal, path });
                }
            }
        }
    }

    fn edge(
        &mut self,
        at: usize,
        from: &dyn Machine,
        next: Box<dyn Machine>,
        tally: Tally,
        label: String,
        cancelled: bool,
    ) {
        self.out.transitions += 1;
        self.edges.insert((from.state().to_owned(), label.clone(), next.state().to_owned()));
        if from.committed() && !next.committed() && !matches!(next.next(), Next::Done(_)) {
            let path = self.path(at);
            self.out.flaws.push(Flaw::Returned { input: label.clone(), path });
        }
        let to = self.visit(next, tally, Some((at, label)), cancelled);
        if let Some(onward) = self.onward.get_mut(at) {
            onward.push(to);
        }
    }

    fn finish(mut self) -> Explored {
        for (state, (asks, committed)) in std::mem::take(&mut self.asks) {
            self.out.graph.nodes.push(Node { state, asks, committed });
        }
        self.out.graph.edges = std::mem::take(&mut self.edges).into_iter().collect();
        self.out.graph.normalise();
        self.out.situations = self.all.len();
        // Backwards from the ends: whatever is not reached cannot end.
        let mut back: Vec<Vec<usize>> = vec![Vec::new(); self.all.len()];
        for (from, onward) in self.onward.iter().enumerate() {
            for to in onward {
                if let Some(list) = back.get_mut(*to) {
                    list.push(from);
                }
            }
        }
        let mut ends: Vec<bool> = self.all.iter().map(|s| matches!(s.machine.next(), Next::Done(_))).collect();
        let mut queue: VecDeque<usize> = ends.iter().enumerate().filter(|(_, e)| **e).map(|(i, _)| i).collect();
        while let Some(at) = queue.pop_front() {
            for from in back.get(at).into_iter().flatten() {
                if let Some(end) = ends.get_mut(*from).filter(|end| !**end) {
                    *end = true;
                    queue.push_back(*from);
                }
            }
        }
        if let Some(at) = ends.iter().position(|end| !end) {
            let state = self.all.get(at).map(|s| s.machine.state().to_owned()).unwrap_or_default();
            let path = self.path(at);
            self.out.flaws.push(Flaw::Endless { state, path });
        }
        self.out
    }
}
