//! A story: runs of `identity-loss` over one subject, with crashes, lost replies, late effects and people's requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use recover_engine::{
    Act, Action, Charter, Entry, Json, Ledger, Millis, Phase, Record, Request, Run, RunId, Stop, Wish,
};
use recover_scenarios::{Registered, find};

use crate::{Choices, Oracle, Outside};

/// Actions in one story; beyond it nothing new is found for the time it takes.
const ACTIONS_MAX: usize = 300;

struct Story {
    scenario: &'static Registered,
    actor: Arc<str>,
    now: Millis,
    ledger: Ledger,
    outside: Outside,
    /// What is durable, by run.
    log: BTreeMap<RunId, Vec<Entry>>,
    charters: BTreeMap<RunId, Arc<Charter>>,
    oracles: BTreeMap<RunId, Oracle>,
    /// The effect that was asked for last, for the operator who is asked about it.
    last_act: Option<Act>,
}

/// Tells one story, checks it on the way, and gives the records of its runs.
pub fn tell(choices: &mut Choices<'_>) -> Vec<Vec<Entry>> {
    let scenario = find("identity-loss").expect("it is registered");
    let mut story = Story {
        scenario,
        actor: r#"{"uid":0}"#.into(),
        now: Millis(1_000_000),
        ledger: Ledger::default(),
        outside: Outside::default(),
        log: BTreeMap::new(),
        charters: BTreeMap::new(),
        oracles: BTreeMap::new(),
        last_act: None,
    };
    let mut run = None;
    for _ in 0..ACTIONS_MAX {
        if choices.are_over() {
            break;
        }
        run = match run.take() {
            None => Some(story.begin_or_resume(choices)),
            // A crash forgets everything but the log and the outside.
            Some(run) => story.act(run, choices),
        };
    }
    for id in story.log.keys() {
        story.resume(*id);
    }
    story.log.into_values().collect()
}

impl Story {
    fn begin_or_resume(&mut self, choices: &mut Choices<'_>) -> Run {
        if let Some((id, _)) = self.ledger.open().next() {
            return self.resume(id);
        }
        let id = RunId::new(self.now, [self.log.len() as u8; 10]);
        let samples = self.scenario.entry.samples();
        let params = samples[choices.one_of(samples.len())].clone();
        let machine = self.scenario.entry.begin(&params).expect("a sample fits");
        let charter = Arc::new(self.scenario.charter(|mut begun| {
            begun.target = "t".into();
            begun.subject = "authority/agent".into();
            begun.params = params;
            // Long, parsed by the target `record`, and not read here again: the charter has it.
            begun.graph = Json::null();
            begun
        }));
        self.charters.insert(id, Arc::clone(&charter));
        Run::begin(id, self.now, Arc::clone(&self.actor), charter, machine).expect("a run can begin")
    }

    /// The run as its records tell it; they are ours, so this never fails.
    fn resume(&self, id: RunId) -> Run {
        let charter = Arc::clone(&self.charters[&id]);
        let machine = self.scenario.entry.begin(&charter.begun.params).expect("they fitted");
        Run::resume(&self.log[&id], charter, machine, Arc::clone(&self.actor)).expect("our records are legal")
    }

    /// One action; `None` after a crash or an end.
    fn act(&mut self, mut run: Run, choices: &mut Choices<'_>) -> Option<Run> {
        self.now = self.now.plus(u64::from(choices.byte()));
        if choices.once_in(16) {
            let wish = self.wish(&run, choices);
            self.request(&mut run, wish);
        }
        let action = run.next(self.now, &|key| self.ledger.effect(key)).expect("our run goes on");
        let crash = choices.once_in(16);
        match action {
            Action::Commit(_) if crash && choices.once_in(2) => return None,
            Action::Commit(batch) => {
                self.commit(&batch);
                run.committed();
            }
            Action::Perform(act) => {
                let endings = run.machine().endings();
                let performed = self.outside.perform(&act, &endings, choices, self.now.0);
                self.last_act = Some(act);
                if !crash {
                    run.performed(self.now, performed).expect("a reply is taken");
                }
            }
            Action::Fence(act) => {
                let raised = self.outside.fence(&act, choices, self.now.0);
                if !crash {
                    run.fenced(self.now, raised).expect("a fence is taken");
                }
            }
            Action::Probe(act) => {
                let probed = self.outside.probe(&act, choices, self.now.0);
                self.last_act = Some(act);
                if !crash {
                    run.probed(self.now, probed).expect("an answer is taken");
                }
            }
            Action::Wait(until) => self.now = self.now.max(until),
            Action::WaitForPerson(until) => match self.answer(&run, choices) {
                Some(wish) => self.request(&mut run, wish),
                None => self.now = self.now.max(until),
            },
            Action::Reply(..) => {}
            Action::Stop(Stop::InDoubt { step, .. }) => {
                // A person gives up on it, says what is known, or leaves it for later.
                let reason = "seen".to_owned();
                let wish = match self.last_act.as_ref().and_then(|act| self.outside.truth(act)) {
                    _ if choices.once_in(2) => Wish::Abandon { reason },
                    Some(happened) => Wish::Resolve { step, happened, reason },
                    None => return None,
                };
                self.request(&mut run, wish);
            }
            Action::Stop(Stop::Closed(_) | Stop::Asked { .. } | Stop::Interrupted) => return None,
        }
        (!crash).then_some(run)
    }

    fn commit(&mut self, batch: &[Entry]) {
        self.ledger.admit(batch).expect("one writer never contradicts itself");
        for entry in batch {
            let header = entry.header();
            self.ledger.note(header, entry.hash());
            let record = Record::parse(header.kind, entry.payload()).expect("our own record");
            let oracle = self.oracles.entry(header.run).or_default();
            oracle.judge(&record).expect("what was accepted keeps the rules");
            self.log.entry(header.run).or_default().push(entry.clone());
        }
    }

    fn request(&self, run: &mut Run, wish: Wish) {
        let request = Request { id: 1, actor: Arc::clone(&self.actor), wish };
        run.request(self.now, request).expect("a request is taken or refused, never fatal");
    }

    /// Some wish, fitting or not. An operator's word is true, or it is about nothing that is open.
    fn wish(&self, run: &Run, choices: &mut Choices<'_>) -> Wish {
        let reason = "because".to_owned();
        match choices.byte() % 6 {
            0 => Wish::Cancel { reason },
            1 => Wish::Interrupt,
            2 if !matches!(run.position().phase, Phase::Closed(_)) => Wish::Abandon { reason },
            3 => Wish::Resolve { step: "no-such-step".into(), happened: Some(Json::null()), reason },
            4 => Wish::Answer { question: Some(u32::from(choices.byte())), choice: "deny".into(), reason },
            _ => Wish::Answer { question: None, choice: "maybe".into(), reason },
        }
    }

    /// One of the answers to the open question, or none.
    fn answer(&self, run: &Run, choices: &mut Choices<'_>) -> Option<Wish> {
        let Phase::Asked { seq, asked } = &run.position().phase else { return None };
        let choice = asked.question.choices.get(choices.one_of(asked.question.choices.len() + 1))?;
        Some(Wish::Answer { question: Some(*seq), choice: choice.id.clone().into_owned(), reason: "so".into() })
    }
}
