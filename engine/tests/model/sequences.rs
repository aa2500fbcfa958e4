//! A run is driven by random answers of the world, random requests and random crashes.

use proptest::prelude::*;
use recover_engine::{
    Action, Entry, FenceRaised, Json, Key, Ledger, Millis, Performed, Phase, Probed, Reason, Request, Run, Seen, Stop,
    Told, Wish,
};

use crate::scenario::{Did, begin, entry, the_charter};

/// What comes next, whatever the run asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chance {
    /// Chooses among the answers to what the run asks.
    answer: u8,
    /// Chooses the request that comes first, if any.
    request: u8,
    /// Whether the process dies before (1) or after (2) what the run asked for.
    crash: u8,
    /// How far the clock moves.
    ms: u16,
}

pub(crate) fn chances() -> impl Strategy<Value = Vec<Chance>> {
    let chance = (any::<u8>(), 0_u8..40, 0_u8..24, prop_oneof![0_u16..50, 0_u16..20_000])
        .prop_map(|(answer, request, crash, ms)| Chance { answer, request, crash, ms });
    proptest::collection::vec(chance, 1..120)
}

/// Everything durable of one run, and the process that executes it.
pub(crate) struct Model {
    run: Run,
    pub(crate) entries: Vec<Entry>,
    ledger: Ledger,
    now: i64,
    pub(crate) crashes: u32,
    pub(crate) stopped: Option<Stop>,
    asked: u64,
    replied: Vec<u64>,
}

fn seen(answer: u8) -> Seen {
    Seen::plain(Told::of(&if answer.is_multiple_of(3) { Did::Other { what: "else".into() } } else { Did::Done }))
}

fn wish(request: u8) -> Option<Wish> {
    let reason = || "because".to_owned();
    Some(match request {
        0 => Wish::Cancel { reason: reason() },
        1 => Wish::Interrupt,
        2 => Wish::Abandon { reason: reason() },
        3 => Wish::Answer { question: None, choice: "approve".into(), reason: reason() },
        4 => Wish::Answer { question: Some(3), choice: "deny".into(), reason: reason() },
        5 => Wish::Answer { question: None, choice: "perhaps".into(), reason: reason() },
        6 => Wish::Resolve { step: "make".into(), happened: None, reason: reason() },
        7 => Wish::Resolve { step: "commit".into(), happened: Some(Json::null()), reason: reason() },
        8 => Wish::Resolve { step: "make".into(), happened: Some(Json::of(&Did::Done)), reason: reason() },
        9 => Wish::Resolve { step: "commit".into(), happened: Some(Json::of(&7)), reason: reason() },
        _ => return None,
    })
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            run: begin(1),
            entries: Vec::new(),
            ledger: Ledger::default(),
            now: 1,
            crashes: 0,
            stopped: None,
            asked: 0,
            replied: Vec::new(),
        }
    }

    /// The process died, or stopped and is started again: only the records are left.
    fn taken_up(&mut self) {
        self.crashes += 1;
        self.asked = 0;
        self.replied.clear();
        self.run = if self.entries.is_empty() {
            begin(self.now)
        } else {
            let machine = entry().begin(&Json::null()).unwrap();
            Run::resume(&self.entries, the_charter(), machine, "{}".into()).expect("what it wrote itself")
        };
    }

    /// The fold of what was read is where the live run is.
    fn folds(&self) {
        let machine = entry().begin(&Json::null()).unwrap();
        let read = Run::resume(&self.entries, the_charter(), machine, "{}".into()).expect("what it wrote itself");
        assert_eq!(read.position(), self.run.position());
        assert_eq!(read.machine().fingerprint(), self.run.machine().fingerprint());
    }

    pub(crate) fn step(&mut self, chance: Chance) {
        self.now += i64::from(chance.ms);
        let now = Millis(self.now);
        if let Some(wish) = wish(chance.request) {
            let request = Request { id: self.asked, actor: "{}".into(), wish };
            self.asked += 1;
            self.run.request(now, request).expect("a request is carried out or refused, never an error");
        }
        let ledger = &self.ledger;
        let action = self.run.next(now, &|key: Key| ledger.effect(key)).expect("what the world may say is legal");
        if chance.crash == 1 {
            self.taken_up();
            return;
        }
        match action {
            Action::Commit(batch) => {
                self.ledger.admit(&batch).expect("the run writes nothing that the journal must refuse");
                batch.iter().for_each(|e| self.ledger.note(e.header(), e.hash()));
                self.entries.extend(batch);
                self.run.committed();
                self.folds();
            }
            Action::Perform(_) => self.run.performed(now, performed(chance.answer)).expect("an outcome is taken"),
            Action::Fence(act) => {
                assert_eq!(act.doing.step, "make", "the others have no fence");
                let raised = match chance.answer % 3 {
                    0 => FenceRaised::Failed("not now".into()),
                    _ => FenceRaised::Up("closed".into()),
                };
                self.run.fenced(now, raised).expect("a fence is taken");
            }
            Action::Probe(act) => {
                assert_eq!(act.doing.step, "make", "the others have no probe");
                let probed = match chance.answer % 4 {
                    0 => Probed::Happened(seen(chance.answer)),
                    1 => Probed::Unknown("cannot tell".into()),
                    _ => Probed::Absent("not there".into()),
                };
                self.run.probed(now, probed).expect("a probe is taken");
            }
            Action::Wait(until) | Action::WaitForPerson(until) => {
                if chance.answer.is_multiple_of(2) {
                    self.now = self.now.max(until.0);
                }
            }
            Action::Reply(id, _) => {
                assert!(id < self.asked && !self.replied.contains(&id), "a reply to nobody");
                self.replied.push(id);
            }
            Action::Stop(stop) => {
                assert_eq!(self.replied.len() as u64, self.asked, "it stopped and owes a reply: {stop:?}");
                self.stopped = Some(stop);
                self.taken_up();
            }
        }
        if chance.crash == 2 {
            self.taken_up();
        }
    }

    pub(crate) fn closed(&self) -> bool {
        matches!(self.run.position().phase, Phase::Closed(_))
    }
}

fn performed(answer: u8) -> Performed {
    match answer % 7 {
        0 => Performed::Refused(Reason::new("no", "no")),
        1 => Performed::Retry { why: "busy".into(), after_ms: None },
        2 => Performed::Retry { why: "busy".into(), after_ms: Some(3) },
        3 => Performed::Unknown { why: "no reply".into() },
        _ => Performed::Happened(seen(answer)),
    }
}

/// The records of a run after these chances.
pub(crate) fn history(chances: &[Chance]) -> Vec<Entry> {
    let mut model = Model::new();
    chances.iter().for_each(|chance| model.step(*chance));
    model.entries
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_the_records_fold_to_where_the_run_is(chances in chances()) {
        let mut model = Model::new();
        for chance in chances {
            model.step(chance);
        }
    }
}

/// The chances reach what they are meant to reach.
#[test]
fn random_sequences_close_crash_doubt_and_ask() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut closed, mut doubts, mut questions, mut interrupted, mut longest) = (0, 0, 0, 0, 0);
    for _ in 0..400 {
        let chances = chances().new_tree(&mut runner).unwrap().current();
        let mut model = Model::new();
        for chance in chances {
            model.step(chance);
            match model.stopped.take() {
                Some(Stop::InDoubt { .. }) => doubts += 1,
                Some(Stop::Interrupted) => interrupted += 1,
                Some(Stop::Asked { .. } | Stop::Closed(_)) | None => {}
            }
        }
        closed += u32::from(model.closed());
        questions += u32::from(model.entries.iter().any(|e| e.header().kind.as_str() == "asked"));
        longest = longest.max(model.entries.len());
    }
    assert!(
        closed > 50 && doubts > 50 && questions > 20 && interrupted > 20 && longest > 20,
        "{closed} closed, {doubts} in doubt, {questions} asked, {interrupted} interrupted, {longest} records"
    );
}
