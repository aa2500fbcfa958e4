//! One simulation: what there is, the loop that decides what happens next, and the calm end in which every run must end.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use recover_engine::{Begun, Charter, Json, Millis, RunId, ScenarioEntry};

use crate::broken::{Broken, Invariant};
use crate::choices::Choices;
use crate::connector::Connector;
use crate::disk::Disk;
use crate::faults::Rates;
use crate::generic::Generic;
use crate::port::{Plant, lock};
use crate::process::Process;
use crate::trace::Trace;
use crate::watch::Watch;

/// Events of the calm end; beyond it a run does not end.
const CALM_EVENTS_MAX: u32 = 6_000;
/// When every simulation begins. Milliseconds.
pub(crate) const BEGINNING: i64 = 1_000_000;

/// What is simulated.
pub(crate) struct Setup {
    pub(crate) name: String,
    pub(crate) entry: ScenarioEntry,
    /// A charter with the scenario's graph and guards; subject and parameters are filled in.
    pub(crate) charter: Arc<Charter>,
    /// Whether the outside is the detailed one.
    pub(crate) detailed: bool,
    /// Whether everything that the outside can tell counts, or the pairings alone: a small scenario leaves things lying about.
    pub(crate) strict: bool,
    pub(crate) plant: Plant,
}

/// The outside of one subject.
pub(crate) enum Outside {
    Generic(Generic),
    Detailed(Box<Connector>),
}

/// A run that was ever begun.
pub(crate) struct Known {
    pub(crate) subject: usize,
    pub(crate) charter: Arc<Charter>,
    /// Answers that a person gave it in the calm end.
    pub(crate) answers: u32,
}

/// What happened, counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) events: u64,
    pub(crate) runs: u64,
    pub(crate) kills: u64,
    pub(crate) acts: u64,
}

/// What one simulation came to.
pub(crate) struct Went {
    pub(crate) broken: Option<Broken>,
    pub(crate) digest: u64,
    pub(crate) counts: Counts,
    pub(crate) lines: Vec<String>,
    pub(crate) decisions: Vec<u32>,
    /// Which of the graph's transitions runs took.
    pub(crate) taken: Vec<bool>,
}

/// See the file's first line.
pub(crate) struct Sim<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) choices: Choices,
    pub(crate) trace: Trace,
    pub(crate) rates: Rates,
    pub(crate) disk: Arc<Mutex<Disk>>,
    pub(crate) outsides: Vec<Outside>,
    /// Until when an outside does not answer.
    pub(crate) down: Vec<i64>,
    pub(crate) watches: BTreeMap<RunId, Watch>,
    pub(crate) known: BTreeMap<RunId, Known>,
    pub(crate) process: Option<Process>,
    /// Committed intents less the refused ones, of steps that are consumed across runs: by subject, loss and step.
    pub(crate) spent: BTreeMap<(usize, String, String), i32>,
    pub(crate) counts: Counts,
    pub(crate) taken: Vec<bool>,
    /// The world's time, and how far the process's clock is from it. Milliseconds.
    pub(crate) now: i64,
    pub(crate) skew: i64,
    pub(crate) calm: bool,
    pub(crate) requests: u64,
    pub(crate) actor: Arc<str>,
}

/// Plays one simulation to its end.
pub(crate) fn play(setup: &Setup, choices: Choices, keep: bool) -> Went {
    let mut sim = Sim {
        setup,
        choices,
        trace: Trace::new(keep),
        rates: Rates::default(),
        disk: Arc::default(),
        outsides: Vec::new(),
        down: Vec::new(),
        watches: BTreeMap::new(),
        known: BTreeMap::new(),
        process: None,
        spent: BTreeMap::new(),
        counts: Counts::default(),
        taken: vec![false; setup.charter.graph.edges.len()],
        now: BEGINNING,
        skew: 0,
        calm: false,
        requests: 0,
        actor: r#"{"uid":0}"#.into(),
    };
    let told = catch_unwind(AssertUnwindSafe(|| sim.story()));
    let broken = match told {
        Ok(Ok(())) => None,
        Ok(Err(broken)) => Some(broken),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Some(Broken::new(Invariant::GoesOn, text.unwrap_or_else(|| "it panicked".into())))
        }
    };
    sim.counts.events = sim.trace.events();
    let (counts, digest) = (sim.counts, sim.trace.digest());
    let (lines, decisions) = (sim.trace.lines(), sim.choices.made());
    Went { broken, digest, counts, lines, decisions, taken: sim.taken }
}

/// A run by its number in the simulation.
pub(crate) struct Number(pub(crate) RunId);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The last two of the eight bytes in which the number was put.
        let bytes = self.0.as_bytes();
        write!(f, "run {}", u16::from_be_bytes([bytes[12], bytes[13]]))
    }
}

macro_rules! note {
    ($sim:expr, $($what:tt)+) => { $sim.trace.note($sim.now - $crate::sim::BEGINNING, format_args!($($what)+)) };
}
pub(crate) use note;

impl Sim<'_> {
    fn story(&mut self) -> Result<(), Broken> {
        self.rates = Rates::chosen(&mut self.choices);
        for _ in 0..=self.choices.one_of(3) {
            self.add_subject();
        }
        let events = 40 + self.choices.one_of(200);
        self.open_process()?;
        self.start(0)?;
        for _ in 0..events {
            self.chaos()?;
            if !self.progress()? && !self.pass_time()? {
                self.client()?;
            }
            self.check()?;
        }
        self.finish()
    }

    /// One thing more that runs can be about.
    pub(crate) fn add_subject(&mut self) {
        let outside = if self.setup.detailed {
            Outside::Detailed(Box::new(Connector::chosen(&mut self.choices, self.setup.strict)))
        } else {
            Outside::Generic(Generic::default())
        };
        note!(self, "subject {} is there, {}", self.outsides.len(), self.setup.name);
        self.outsides.push(outside);
        self.down.push(0);
    }

    /// What goes wrong, or comes unasked, before the next thing happens.
    fn chaos(&mut self) -> Result<(), Broken> {
        self.now += 1;
        if self.choices.once_in(self.rates.kill) {
            self.kill("the process is killed")?;
        }
        if self.choices.once_in(self.rates.client) {
            self.client()?;
        }
        if self.choices.once_in(self.rates.jump) {
            let by: i64 = [60_000, -60_000, 3_600_000, -3_600_000, 90_000_000, -90_000_000][self.choices.one_of(6)];
            if self.choices.once_in(2) {
                self.now += by.abs() / 10;
                note!(self, "time passes, {} ms of it", by.abs() / 10);
            } else {
                self.skew += by;
                note!(self, "the clock jumps by {by} ms");
            }
        }
        let subjects = self.outsides.len();
        if self.choices.once_in(self.rates.arrive) {
            let at = self.choices.one_of(subjects);
            self.arrive(at);
        }
        if self.choices.once_in(self.rates.down) {
            let at = self.choices.one_of(subjects);
            let length = [2_000, 30_000][self.choices.one_of(2)];
            self.down[at] = self.now + length;
            note!(self, "subject {at}: nobody answers for {length} ms");
        }
        if !self.setup.detailed {
            return Ok(());
        }
        if self.choices.once_in(self.rates.hand) {
            let at = self.choices.one_of(subjects);
            if let Some(Outside::Detailed(connector)) = self.outsides.get_mut(at) {
                let what = connector.by_hand(&mut self.choices, self.now);
                note!(self, "subject {at}: the second operator {what}");
            }
        }
        if self.choices.once_in(self.rates.reboot) {
            let at = self.choices.one_of(subjects);
            if let Some(Outside::Detailed(connector)) = self.outsides.get_mut(at) {
                connector.reboot();
                note!(self, "subject {at}: the host reboots");
            }
            self.kill("the process goes down with its host")?;
        }
        if self.choices.once_in(self.rates.loses_again) {
            let at = self.choices.one_of(subjects);
            if let Some(Outside::Detailed(connector)) = self.outsides.get_mut(at)
                && connector.lose_again()
            {
                note!(self, "subject {at}: the identity is lost again");
            }
        }
        Ok(())
    }

    fn arrive(&mut self, at: usize) {
        match self.outsides.get_mut(at) {
            Some(Outside::Generic(generic)) => {
                if let Some(key) = generic.arrive() {
                    note!(self, "subject {at}: {key} arrives late");
                }
            }
            Some(Outside::Detailed(connector)) => {
                let any = connector.state.settle(self.now);
                note!(self, "subject {at}: what was on its way arrives: {any}");
            }
            None => {}
        }
    }

    /// What must hold after every event.
    fn check(&self) -> Result<(), Broken> {
        for outside in &self.outsides {
            if let Outside::Detailed(connector) = outside {
                connector.check(self.now)?;
            }
        }
        Ok(())
    }

    /// Faults are over, and a person answers: every run ends, and nothing arrives that breaks anything.
    fn finish(&mut self) -> Result<(), Broken> {
        self.calm = true;
        self.skew = 0;
        self.rates = Rates::default();
        self.down.fill(0);
        note!(self, "faults are over");
        if self.process.is_none() {
            self.open_process()?;
        }
        for event in 0.. {
            if event > CALM_EVENTS_MAX {
                return Err(Broken::new(Invariant::Ends, "some run goes on for ever"));
            }
            self.now += 1;
            let goes_on = self.progress()? || self.help()? || self.pass_time()?;
            self.check()?;
            if !goes_on {
                break;
            }
        }
        for at in 0..self.outsides.len() {
            self.arrive(at);
        }
        self.check()?;
        for (run, watch) in &self.watches {
            if watch.verdict().is_none() {
                return Err(Broken::new(Invariant::Ends, format!("{run} is open in {}", watch.position.state)));
            }
        }
        lock(&self.disk).kept().map_err(|why| Broken::new(Invariant::Kept, why))
    }

    /// The time as the process has it.
    pub(crate) fn host_now(&self) -> Millis {
        Millis(self.now + self.skew)
    }

    /// A charter for a run on this subject.
    pub(crate) fn charter(&self, subject: usize, params: Json, request_id: Option<String>) -> Arc<Charter> {
        let Charter { begun, graph, guards } = &*self.setup.charter;
        let begun = Begun {
            scenario: begun.scenario.clone(),
            version: begun.version,
            target: format!("edge-{subject}"),
            subject: format!("https://cp.example edge-{subject}"),
            params,
            // Long, and never read here again: the charter has them.
            graph: Json::null(),
            guards: Json::null(),
            digest: begun.digest,
            alert: None,
            ticket: None,
            plan: None,
            request_id,
            despite: None,
            second_person: false,
            consumed: Vec::new(),
        };
        Arc::new(Charter { begun, graph: Arc::clone(graph), guards: Arc::clone(guards) })
    }

    /// Whether a step's effect is consumed across runs.
    pub(crate) fn latched(&self, step: &str) -> bool {
        self.setup.charter.guards.iter().any(|g| matches!(g, recover_engine::Guard::Once { step: s } if s == step))
    }
}
