//! What the world and people say while a run is in the middle of something, and what it does next.

use recover_engine::{
    Action, Entry, FenceRaised, Header, Json, Key, Kind, Millis, Performed, Phase, Probed, Reason, Record, Request,
    Resulted, Run, RunError, Seen, Stop, Told, Unwilling, Wish,
};

use crate::scenario::{Did, begin, entry, the_charter};

fn happened(did: &Did) -> Performed {
    Performed::Happened(Seen::plain(Told::of(did)))
}

fn refused(code: &'static str) -> Performed {
    Performed::Refused(Reason::new(code, "it says so"))
}

fn unknown() -> Performed {
    Performed::Unknown { why: "no reply".into() }
}

fn retry() -> Performed {
    Performed::Retry { why: "not yet".into(), after_ms: None }
}

/// A run in one process, its clock, and all that it made durable.
struct Process {
    run: Run,
    now: Millis,
    entries: Vec<Entry>,
}

impl Process {
    /// Asked for its next step for the first time in this state.
    fn performing(state: &str) -> Self {
        let mut process = Self { run: begin(1), now: Millis(1), entries: Vec::new() };
        loop {
            match process.next() {
                Action::Perform(_) if process.run.position().state == state => return process,
                Action::Perform(_) => process.performed(happened(&Did::Done)),
                Action::Wait(until) => process.now = until,
                other => panic!("{other:?}"),
            }
        }
    }

    /// What it asks for once all that led to it is durable.
    fn next(&mut self) -> Action {
        loop {
            match self.run.next(self.now, &|_: Key| None).unwrap() {
                Action::Commit(batch) => {
                    self.entries.extend(batch);
                    self.run.committed();
                }
                action => return action,
            }
        }
    }

    fn performed(&mut self, performed: Performed) {
        self.run.performed(self.now, performed).unwrap();
    }

    fn ask(&mut self, wish: Wish) {
        self.run.request(self.now, Request { id: 7, actor: "{}".into(), wish }).unwrap();
    }

    fn state(&self) -> &str {
        &self.run.position().state
    }

    fn last(&self) -> Kind {
        self.entries.last().unwrap().header().kind
    }
}

fn cancel() -> Wish {
    Wish::Cancel { reason: "enough".into() }
}

#[test]
fn a_refusal_is_believed_but_absence_only_where_nothing_arrives_late() {
    let mut process = Process::performing("making");
    process.performed(refused("no"));
    assert!(matches!(process.next(), Action::Perform(act) if act.doing.step == "make" && act.ordinal == 1));
    process.performed(refused(Reason::ABSENT));
    assert!(matches!(process.next(), Action::Probe(_)), "it may still arrive");
    // This one has no fence, and needs none.
    let mut process = Process::performing("preparing");
    process.performed(refused(Reason::ABSENT));
    assert!(matches!(process.next(), Action::Perform(_)));
    assert_eq!(process.state(), "undoing");
}

#[test]
fn what_nobody_knows_is_done_again_where_that_is_safe_and_looked_for_where_it_is_not() {
    let mut process = Process::performing("preparing");
    process.performed(unknown());
    assert_eq!(process.next(), Action::Wait(Millis(process.now.0 + 1000)), "it counts as a failure");
    let mut process = Process::performing("making");
    process.performed(unknown());
    assert!(matches!(process.next(), Action::Probe(_)));
    process.run.probed(process.now, Probed::Absent("not there".into())).unwrap();
    assert!(matches!(process.next(), Action::Fence(_)), "absence is no promise before the fence");
    process.run.fenced(process.now, FenceRaised::Up("it is closed".into())).unwrap();
    assert!(matches!(process.next(), Action::Probe(_)));
    assert_eq!(process.last(), Kind::Fenced, "before it is relied upon");
    process.run.probed(process.now, Probed::Absent("not there".into())).unwrap();
    assert!(matches!(process.next(), Action::Perform(act) if act.doing.step == "make" && act.ordinal == 1));
    assert_eq!(process.entries.iter().filter(|entry| entry.header().kind == Kind::Fenced).count(), 1);
}

#[test]
fn a_doubt_is_written_down_once_and_a_person_may_end_it_in_the_same_process() {
    let mut process = Process::performing("committing");
    process.performed(unknown());
    let before = process.entries.len();
    for _ in 0..2 {
        let Action::Stop(Stop::InDoubt { step, why }) = process.next() else { panic!("it goes on") };
        assert_eq!((&*step, &*why), ("commit", "no reply"));
        assert_eq!((process.entries.len(), process.last()), (before + 1, Kind::Attempt));
    }
    process.ask(Wish::Resolve { step: "commit".into(), happened: Some(Json::null()), reason: "I looked".into() });
    assert_eq!(process.next(), Action::Reply(7, Ok(())));
    assert_eq!((process.state(), process.entries[before + 1].header().kind), ("checking", Kind::Resolved));
}

#[test]
fn what_is_under_way_is_in_nobodys_hands() {
    let mut process = Process::performing("committing");
    process.ask(Wish::Resolve { step: "commit".into(), happened: None, reason: "I looked".into() });
    assert!(matches!(process.next(), Action::Reply(7, Err(Unwilling::NotInDoubt(_)))));
}

#[test]
fn a_cancel_between_two_attempts_turns_the_run_back_and_on_the_way_back_changes_nothing() {
    let mut process = Process::performing("preparing");
    process.performed(retry());
    assert!(matches!(process.next(), Action::Wait(_)));
    process.ask(cancel());
    let Action::Reply(7, Ok(())) = process.next() else { panic!("it is not cancelled") };
    assert!(matches!(process.next(), Action::Perform(_)));
    assert_eq!(process.state(), "undoing");
    let mut process = Process::performing("preparing");
    process.performed(refused("no"));
    assert!(matches!(process.next(), Action::Perform(_)));
    process.performed(retry());
    let waits = process.next();
    process.ask(cancel());
    assert_eq!((process.next(), process.state()), (waits, "undoing"), "what is put back is put back");
}

#[test]
fn an_interrupt_ends_a_wait_and_a_question_but_no_step() {
    let mut process = Process::performing("preparing");
    assert!(process.run.performs());
    process.performed(happened(&Did::Done));
    assert!(matches!((process.next(), process.state()), (Action::Wait(_), "resting")));
    assert!(!process.run.performs(), "nothing is performed in a wait");
    assert_eq!(process.run.stop_at_question(), None);
    process.ask(Wish::Interrupt);
    assert_eq!(process.next(), Action::Reply(7, Ok(())));
    assert_eq!(process.next(), Action::Stop(Stop::Interrupted));
    let mut process = Process::performing("looking");
    process.ask(Wish::Interrupt);
    assert!(!process.run.performs(), "a look may be dropped");
}

#[test]
fn an_answer_is_to_the_question_that_is_open() {
    let mut process = Process::performing("looking");
    process.performed(happened(&Did::Other { what: "else".into() }));
    let Action::WaitForPerson(until) = process.next() else { panic!("it asks nobody") };
    let Phase::Asked { seq, .. } = process.run.position().phase else { panic!("no question is open") };
    match process.run.stop_at_question() {
        Some(Stop::Asked { seq: number, question, deadline }) => {
            assert_eq!((number, &*question.id, deadline), (seq, "go-on", until));
        }
        other => panic!("{other:?}"),
    }
    let answer = |question| Wish::Answer { question, choice: "approve".into(), reason: "yes".into() };
    process.ask(answer(Some(seq + 1)));
    assert!(matches!(process.next(), Action::Reply(7, Err(Unwilling::QuestionChanged(_)))));
    process.ask(answer(Some(seq)));
    assert_eq!(process.next(), Action::Reply(7, Ok(())));
    assert_eq!(process.state(), "preparing");
}

/// The graph knows both ways on from a refusal; only the machine knows which one it was.
#[test]
fn a_history_that_the_machine_would_not_have_written_is_not_gone_on_with() {
    let process = Process::performing("making");
    let last = process.entries.last().unwrap();
    let resumed = |to: &str| {
        let refused = Record::Outcome(Resulted {
            label: "make:refused".into(),
            event: None,
            refused: Some(Reason::new("no", "no")),
            probed: false,
            to: to.into(),
            evidence: Vec::new(),
        });
        let (latch, key) = process.run.position().latch(&refused);
        let (seq, prev) = (last.header().seq + 1, last.hash());
        let header = Header { seq, kind: Kind::Outcome, latch, key, prev, ..*last.header() };
        let mut entries = process.entries.clone();
        entries.push(Entry::encode(header, "{}", refused.payload().as_str()).unwrap());
        Run::resume(&entries, the_charter(), entry().begin(&Json::null()).unwrap(), "{}".into()).map(drop)
    };
    assert_eq!(resumed("making"), Ok(()));
    match resumed("undoing") {
        Err(RunError::Diverged { recorded, machine, .. }) => assert_eq!((&*recorded, &*machine), ("undoing", "making")),
        other => panic!("{other:?}"),
    }
}
