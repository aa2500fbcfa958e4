//! A person's word counts where it is asked for and in time, and nowhere else.

use recover_engine::{
    Action, Digest, Entry, Evidence, Json, Kind, Millis, Performed, Probed, Record, Request, Resulted, Run, Seen, Stop,
    Told, Unwilling, Wish,
};

use crate::scenario::{Did, begin, entry, the_charter};

/// One run, its records, and a clock.
struct Bench {
    run: Run,
    entries: Vec<Entry>,
    now: i64,
    replies: Vec<Result<(), Unwilling>>,
}

impl Bench {
    fn new() -> Self {
        Self { run: begin(1), entries: Vec::new(), now: 1, replies: Vec::new() }
    }

    /// Goes on until the run asks for something that is not a commit, a reply or a wait.
    fn on(&mut self) -> Action {
        loop {
            match self.run.next(Millis(self.now), &|_| None).unwrap() {
                Action::Commit(batch) => {
                    self.entries.extend(batch);
                    self.run.committed();
                }
                Action::Reply(_, reply) => self.replies.push(reply),
                Action::Wait(until) => self.now = until.0,
                action => return action,
            }
        }
    }

    /// Performs until the step of that name is to be performed.
    fn until(&mut self, step: &str) {
        loop {
            match self.on() {
                Action::Perform(act) if act.doing.step == step => return,
                Action::Perform(_) => self.did(Performed::Happened(Seen::plain(Told::of(&Did::Done)))),
                other => panic!("{other:?}"),
            }
        }
    }

    fn did(&mut self, performed: Performed) {
        self.run.performed(Millis(self.now), performed).unwrap();
    }

    fn wish(&mut self, wish: Wish) {
        self.run.request(Millis(self.now), Request { id: 0, actor: "{}".into(), wish }).unwrap();
    }

    fn crash(&mut self) {
        let machine = entry().begin(&Json::null()).unwrap();
        self.run = Run::resume(&self.entries, the_charter(), machine, "{}".into()).unwrap();
    }
}

fn resolve(step: &str) -> Wish {
    Wish::Resolve { step: step.into(), happened: Some(Json::null()), reason: "I saw it".into() }
}

#[test]
fn what_is_under_way_in_this_process_is_not_in_doubt_however_it_began() {
    for crash_before in [false, true] {
        let mut bench = Bench::new();
        bench.until("prepare");
        if crash_before {
            bench.crash();
        }
        bench.until("make");
        bench.wish(resolve("make"));
        assert!(matches!(bench.on(), Action::Perform(_)), "it was resolved before it was tried");
        assert_eq!(bench.replies, [Err(Unwilling::NotInDoubt("make".into()))], "crash before: {crash_before}");
    }
}

#[test]
fn what_a_crash_left_open_is_in_doubt_and_another_step_is_not() {
    let mut bench = Bench::new();
    bench.until("commit");
    bench.crash();
    bench.wish(resolve("make"));
    assert!(matches!(bench.on(), Action::Stop(Stop::InDoubt { step, .. }) if step == "commit"));
    bench.wish(resolve("commit"));
    assert!(matches!(bench.on(), Action::Perform(act) if act.doing.step == "look"));
    assert_eq!(bench.replies, [Err(Unwilling::NotInDoubt("make".into())), Ok(())]);
    assert!(bench.entries.iter().any(|e| e.header().kind == Kind::Resolved));
}

#[test]
fn abandoning_what_has_ended_is_refused() {
    let mut bench = Bench::new();
    bench.until("look");
    bench.wish(Wish::Abandon { reason: "enough".into() });
    assert!(matches!(bench.on(), Action::Stop(Stop::Closed(_))));
    bench.wish(Wish::Abandon { reason: "enough".into() });
    assert!(matches!(bench.on(), Action::Stop(Stop::Closed(_))));
    assert!(matches!(bench.replies.as_slice(), [Ok(()), Err(Unwilling::NotNow(_))]), "{:?}", bench.replies);
}

#[test]
fn a_cancel_that_comes_to_nothing_is_told_why() {
    let cancel = || Wish::Cancel { reason: "enough".into() };
    let refused = |why: &str| Err(Unwilling::NotNow(format!("the run stopped before it could be cancelled: {why}")));
    let mut bench = Bench::new();
    bench.until("commit");
    bench.crash();
    bench.wish(cancel());
    assert!(matches!(bench.on(), Action::Stop(Stop::InDoubt { .. })));
    assert_eq!(bench.replies, [refused("commit is in doubt and must be resolved first")]);
    let mut bench = Bench::new();
    bench.until("look");
    bench.wish(Wish::Abandon { reason: "enough".into() });
    bench.wish(cancel());
    assert!(matches!(bench.on(), Action::Stop(Stop::Closed(_))));
    assert_eq!(bench.replies, [Ok(()), refused("it ended abandoned")]);
}

#[test]
fn an_outcome_holds_what_was_captured_and_whether_it_was_a_probe_that_saw_it() {
    let mut bench = Bench::new();
    bench.until("prepare");
    let text = Evidence { name: "log".into(), sha256: Digest::of(b"a"), text: Some("a".into()), file: None, cut: None };
    bench.did(Performed::Happened(Seen { told: Told::of(&Did::Done), evidence: vec![text.clone()] }));
    bench.until("make");
    bench.crash();
    assert!(matches!(bench.on(), Action::Probe(_)));
    bench.run.probed(Millis(bench.now), Probed::Happened(Seen::plain(Told::of(&Did::Done)))).unwrap();
    bench.until("commit");
    let outcome = |label: &str| -> Resulted {
        let outcomes = bench.entries.iter().filter_map(|e| match Record::parse(e.header().kind, e.payload()) {
            Ok(Record::Outcome(outcome)) => Some(outcome),
            _ => None,
        });
        outcomes.into_iter().find(|outcome| outcome.label == label).unwrap()
    };
    let (prepared, made) = (outcome("prepare:done"), outcome("make:done"));
    assert_eq!((prepared.evidence, prepared.probed), (vec![text], false));
    assert_eq!((made.event, made.probed), (Some(Told::of(&Did::Done).data), true));
}

#[test]
fn what_shows_itself_shows_which_one_it_is() {
    assert_eq!(format!("{:?}", entry()), "Entry { name: \"each\", version: 1, .. }");
    assert!(format!("{:?}", begin(1)).starts_with("Run { position: Position {"), "{:?}", begin(1));
}

/// A record at another time than the run made it.
fn at(of: &Entry, at: i64) -> Entry {
    Entry::encode(recover_engine::Header { at: Millis(at), ..*of.header() }, of.actor(), of.payload()).unwrap()
}

fn believed(entries: &[Entry]) -> bool {
    Run::resume(entries, the_charter(), entry().begin(&Json::null()).unwrap(), "{}".into()).is_ok()
}

#[test]
fn a_wait_does_not_end_before_its_time_in_any_history() {
    let mut bench = Bench::new();
    bench.until("make");
    let is_end = |e: &Entry| matches!(Record::parse(e.header().kind, e.payload()), Ok(Record::Outcome(o)) if o.label == "rest:elapsed");
    let end = bench.entries.iter().position(is_end).unwrap();
    let began = bench.entries[end - 1].header().at.0;
    for (ms, legal) in [(5000, true), (5001, true), (4999, false), (0, false)] {
        let mut history = bench.entries[..end].to_vec();
        history.push(at(&bench.entries[end], began + ms));
        assert_eq!(believed(&history), legal, "after {ms} ms of 5000");
    }
}

#[test]
fn a_question_is_answered_before_its_deadline_and_expires_after_it_in_any_history() {
    for (choice, label) in [(Some("approve"), Kind::Answered), (Some("deny"), Kind::Denied), (None, Kind::Outcome)] {
        let mut bench = Bench::new();
        bench.until("look");
        bench.did(Performed::Happened(Seen::plain(Told::of(&Did::Other { what: "else".into() }))));
        let Action::WaitForPerson(deadline) = bench.on() else { panic!("it asks") };
        match choice {
            Some(choice) => {
                bench.wish(Wish::Answer { question: None, choice: choice.into(), reason: "so".into() });
            }
            None => bench.now = deadline.0,
        }
        bench.on();
        let end = bench.entries.iter().rposition(|e| e.header().kind == label).unwrap();
        for (ms, in_time) in [(-1, true), (0, false), (1, false)] {
            let mut history = bench.entries[..end].to_vec();
            history.push(at(&bench.entries[end], deadline.0 + ms));
            assert_eq!(believed(&history), in_time == choice.is_some(), "{choice:?} at the deadline and {ms} ms");
        }
    }
}
