//! Clients: they start what is running, answer what is over, cancel, resolve and abandon; and in the calm end one of them
//! answers whatever is asked.

use std::sync::Arc;

use recover_engine::{Admission, Charter, Json, Machine, Millis, Phase, Redo, Request, Run, RunId, Start, Wish};

use crate::broken::{Broken, Invariant};
use crate::port::{Call, lock};
use crate::process::done;
use crate::sim::{Known, Number, Outside, Sim, note};

/// Answers to one run in the calm end after which the person has had enough and denies.
const PATIENCE: u32 = 3;
/// Subjects of one simulation.
const SUBJECTS_MAX: usize = 8;

fn owner(what: impl Into<String>) -> Broken {
    Broken::new(Invariant::OneOpen, what)
}

impl Sim<'_> {
    /// The scenario in its first state, as this run was begun.
    pub(crate) fn machine(&self, charter: &Charter) -> Result<Box<dyn Machine>, Broken> {
        let machine = self.setup.entry.begin(&charter.begun.params);
        machine.map_err(|e| Broken::new(Invariant::GoesOn, format!("parameters that fitted: {e}")))
    }

    /// A client wants something.
    pub(crate) fn client(&mut self) -> Result<(), Broken> {
        if self.process.is_none() {
            self.open_process()?;
        }
        let runs: Vec<RunId> = self.known.keys().copied().collect();
        let open: Vec<RunId> = runs.iter().copied().filter(|id| self.verdict(*id).is_none()).collect();
        let among = if open.is_empty() || self.choices.once_in(12) { runs } else { open };
        let kind = self.choices.one_of(14);
        if kind < 3 || among.is_empty() {
            let subject = self.choices.one_of((self.outsides.len() + 1).min(SUBJECTS_MAX));
            if subject == self.outsides.len() {
                self.add_subject();
            }
            return self.start(subject);
        }
        let id = among[self.choices.one_of(among.len())];
        let reason = || "because".to_owned();
        match kind {
            3 | 4 => self.take_up(id, None),
            5 | 6 => {
                let Some((seq, choices)) = self.question(id) else { return self.take_up(id, None) };
                let choice = choices[self.choices.one_of(choices.len())].clone();
                let question = (!self.choices.once_in(3)).then_some(seq);
                self.wish(id, Wish::Answer { question, choice, reason: reason() })
            }
            7 => self.stale(id),
            8..=10 => self.wish(id, Wish::Cancel { reason: reason() }),
            11 => match self.truth(id) {
                Some((step, happened)) => self.wish(id, Wish::Resolve { step, happened, reason: reason() }),
                None => {
                    let step = if self.choices.once_in(2) { "pair" } else { "no-such-step" }.to_owned();
                    // Said of what is not open it must change nothing; of what is open it would be a lie.
                    let lie = matches!(self.phase(id), Some(Phase::Open(open)) if open.intent.step == step);
                    let happened = Some(Json::null());
                    if lie { Ok(()) } else { self.wish(id, Wish::Resolve { step, happened, reason: reason() }) }
                }
            },
            12 => self.wish(id, Wish::Interrupt),
            _ if self.task(id).is_some() => self.wish(id, Wish::Cancel { reason: reason() }),
            _ => self.wish(id, Wish::Abandon { reason: reason() }),
        }
    }

    fn phase(&self, id: RunId) -> Option<&Phase> {
        self.watches.get(&id).map(|watch| &watch.position.phase)
    }

    fn question(&self, id: RunId) -> Option<(u32, Vec<String>)> {
        match self.phase(id) {
            Some(Phase::Asked { seq, asked }) => {
                Some((*seq, asked.question.choices.iter().map(|choice| choice.id.clone().into_owned()).collect()))
            }
            _ => None,
        }
    }

    /// An answer to a question that was never asked, or is over, or has no such choice.
    fn stale(&mut self, id: RunId) -> Result<(), Broken> {
        let open = self.question(id).map(|(seq, _)| seq);
        let (question, choice) = match self.choices.one_of(3) {
            0 => (Some(self.choices.one_of(40) as u32), "approve"),
            1 => (None, "perhaps"),
            _ => (open.map(|seq| seq + 1), "perhaps"),
        };
        // Numbered rightly by chance it is no stale answer; it is one all the same.
        self.wish(id, Wish::Answer { question, choice: choice.into(), reason: "too late".into() })
    }

    /// A client starts a run, perhaps for the second time.
    pub(crate) fn start(&mut self, subject: usize) -> Result<(), Broken> {
        let samples = self.setup.entry.samples();
        let params = samples[self.choices.one_of(samples.len())].clone();
        let request_id = self.choices.once_in(3).then(|| format!("request-{}", self.choices.one_of(4)));
        let charter = self.charter(subject, params, request_id);
        let begun = &charter.begun;
        let start = Start {
            scenario: begun.scenario.clone(),
            target: begun.target.clone(),
            subject: begun.subject.clone(),
            params: begun.params.clone(),
            request_id: begun.request_id.clone(),
            attach: self.choices.once_in(4),
        };
        let Some(process) = &self.process else { return Ok(()) };
        let admission = process.owner.admit(&start);
        note!(self, "a client starts a run on subject {subject}: {}", Said(&admission));
        let live = |id: &RunId| process.live.contains_key(id);
        let held: Vec<RunId> =
            self.known.iter().filter(|(_, known)| known.subject == subject).map(|(id, _)| *id).collect();
        let holder = held.into_iter().find(|id| self.verdict(*id).is_none());
        match admission {
            Admission::Begin => match holder {
                Some(by) => Err(owner(format!("a run begins on what {by} holds"))),
                None => self.begin(subject, charter),
            },
            Admission::Resume(id) if live(&id) => Err(owner(format!("{id} is executed already"))),
            Admission::Resume(id) => self.take_up(id, None),
            Admission::Attach(id) if !live(&id) => Err(owner(format!("{id} is executed by nobody"))),
            Admission::Held { by, .. } if holder != Some(by) => Err(owner(format!("{by} holds nothing"))),
            Admission::Held { by, live: said, .. } if said != live(&by) => Err(owner(format!("{by} is live: {said}"))),
            Admission::Known(id) if self.verdict(id).is_none() => Err(owner(format!("{id} is open"))),
            Admission::Attach(_) | Admission::Held { .. } | Admission::Known(_) | Admission::RequestIdReused(_) => {
                Ok(())
            }
        }
    }

    fn begin(&mut self, subject: usize, charter: Arc<Charter>) -> Result<(), Broken> {
        let mut entropy = [0; 10];
        entropy[..8].copy_from_slice(&self.requests.to_be_bytes());
        self.requests += 1;
        let now = self.host_now();
        let id = RunId::new(Millis(now.0.max(0)), entropy);
        let machine = self.machine(&charter)?;
        let run = Run::begin(id, now, Arc::clone(&self.actor), Arc::clone(&charter), machine)
            .map_err(|e| Broken::new(Invariant::GoesOn, format!("a run cannot begin: {e}")))?;
        if let Some(process) = &mut self.process {
            process.owner.note(id, &charter.begun, true, true);
        }
        self.known.insert(id, Known { subject, charter, answers: 0 });
        let waits_for_people = self.choices.once_in(2);
        self.spawn(run, waits_for_people, None)
    }

    /// A run that nobody executes goes on where its records end.
    pub(crate) fn take_up(&mut self, id: RunId, request: Option<Request>) -> Result<(), Broken> {
        let Some(known) = self.known.get(&id) else { return Ok(()) };
        if self.task(id).is_some() || self.verdict(id).is_some() || !self.watches.contains_key(&id) {
            return Ok(());
        }
        let machine = self.machine(&known.charter)?;
        let charter = Arc::clone(&known.charter);
        let run = Run::resume(lock(&self.disk).entries(id), charter, machine, Arc::clone(&self.actor))
            .map_err(|e| Broken::new(Invariant::GoesOn, format!("{id} cannot be taken up: {e}")))?;
        note!(self, "{} is taken up in {}, {}", Number(id), run.position().state, run.position().phase.as_str());
        let waits_for_people = self.choices.once_in(2);
        self.spawn(run, waits_for_people, request)
    }

    /// A client's wish reaches the run, which is taken up for it if nobody executes it.
    pub(crate) fn wish(&mut self, id: RunId, wish: Wish) -> Result<(), Broken> {
        if self.verdict(id).is_some() {
            return Ok(());
        }
        self.requests += 1;
        note!(self, "a client wants of {}: {wish:?}", Number(id));
        let request = Request { id: self.requests, actor: Arc::clone(&self.actor), wish };
        let from = lock(&self.disk).acknowledged(id);
        match self.task_mut(id) {
            Some(task) => {
                task.wanted.insert(request.id, (done(&request.wish), from));
                lock(&task.wire).requests.push_back(request);
                Ok(())
            }
            None => self.take_up(id, Some(request)),
        }
    }

    /// What a person says of an effect in doubt who made sure that nothing arrives any more, and looked. Nobody can say it
    /// of one that is being attempted.
    fn truth(&mut self, id: RunId) -> Option<(String, Option<Json>)> {
        if matches!(self.task(id).and_then(|task| task.call.as_ref()), Some(Call::Perform(_))) {
            return None;
        }
        let known = self.known.get(&id)?;
        let Phase::Open(open) = &self.watches.get(&id)?.position.phase else { return None };
        if matches!(open.intent.redo, Redo::Pure | Redo::Idempotent)
            || (self.task(id).is_some() && open.doubt.is_none())
        {
            return None;
        }
        let open = open.clone();
        let (subject, latched) = (known.subject, self.latched(&open.intent.step));
        let happened = match self.outsides.get_mut(subject)? {
            Outside::Generic(generic) => generic.truth(id, open.intent.key, latched),
            Outside::Detailed(connector) => connector.truth(id, &open, self.now),
        };
        note!(self, "a person makes sure and looks: {} happened: {}", open.intent.step, happened.is_some());
        Some((open.intent.step, happened))
    }

    /// In the calm end: whatever a run waits for, a person gives it. False if there is nothing to give.
    pub(crate) fn help(&mut self) -> Result<bool, Broken> {
        let open: Vec<RunId> = self.watches.keys().copied().filter(|id| self.verdict(*id).is_none()).collect();
        for id in open {
            let reason = "looked at it".to_owned();
            let in_doubt = matches!(self.phase(id), Some(Phase::Open(open)) if open.doubt.is_some());
            if let Some((seq, choices)) = self.question(id) {
                let Some(known) = self.known.get_mut(&id) else { continue };
                known.answers += 1;
                let choice = if known.answers > PATIENCE { choices.last() } else { choices.first() };
                let choice = choice.cloned().unwrap_or_default();
                self.wish(id, Wish::Answer { question: Some(seq), choice, reason })?;
                return Ok(true);
            }
            if self.task(id).is_some() {
                continue;
            }
            match in_doubt.then(|| self.truth(id)).flatten() {
                Some((step, happened)) => self.wish(id, Wish::Resolve { step, happened, reason })?,
                None => self.take_up(id, None)?,
            }
            return Ok(true);
        }
        Ok(false)
    }
}

/// An admission, in words.
struct Said<'a>(&'a Admission);

impl std::fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Admission::Begin => f.write_str("it begins"),
            Admission::Resume(id) => write!(f, "{} goes on", Number(*id)),
            Admission::Attach(id) => write!(f, "{} is followed", Number(*id)),
            Admission::Held { by, .. } => write!(f, "{} holds it", Number(*by)),
            Admission::Known(id) => write!(f, "it was {}", Number(*id)),
            Admission::RequestIdReused(id) => write!(f, "its name was used for {}", Number(*id)),
        }
    }
}
