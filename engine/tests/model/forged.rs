//! One record that follows the chain and is wrong in one thing is not believed, whatever a run is in the middle of.

use recover_engine::{
    Action, Answered, Asked, Attempt, CancelRequested, Digest, Ending, Fenced, Header, Intent, Json, Key, Kind, Latch,
    Millis, Open, Performed, Phase, Position, Reason, Record, Resolved, Resulted, Seen, Told, Verdict, Waiting,
};

use crate::scenario::{Did, begin, the_charter};

/// A run that finds nothing unexpected, or one that asks a person: each position, and the record that came next.
fn history(look: &Did) -> Vec<(Position, Option<Record>)> {
    let (mut run, mut entries, mut now) = (begin(1), Vec::new(), 1);
    loop {
        match run.next(Millis(now), &|_: Key| None).unwrap() {
            Action::Commit(batch) => {
                entries.extend(batch);
                run.committed();
            }
            Action::Perform(act) => {
                let did = if act.doing.step == "look" { look } else { &Did::Done };
                run.performed(Millis(now), Performed::Happened(Seen::plain(Told::of(did)))).unwrap();
            }
            Action::Wait(until) => now = until.0,
            _ => break,
        }
    }
    let mut position = Position::begin(entries[0].header(), entries[0].hash(), the_charter()).unwrap();
    let mut all = Vec::new();
    for entry in &entries[1..] {
        let record = Record::parse(entry.header().kind, entry.payload()).unwrap();
        all.push((position.clone(), Some(record.clone())));
        position.advance(entry.header(), entry.hash(), record).unwrap();
    }
    all.push((position, None));
    all
}

fn other() -> Did {
    Did::Other { what: "else".into() }
}

/// Where the run is before the intent of this step.
fn before(step: &str) -> (Position, Intent) {
    let found = history(&Did::Done).into_iter().find_map(|(position, next)| match next {
        Some(Record::Intent(intent)) if intent.step == step => Some((position, intent)),
        _ => None,
    });
    found.unwrap()
}

/// Where the run is after it.
fn open(step: &str) -> Position {
    let (position, intent) = before(step);
    after(&position, Record::Intent(intent)).unwrap()
}

fn of(position: &Position) -> &Open {
    let Phase::Open(open) = &position.phase else { panic!("nothing is open") };
    open
}

fn before_the_wait() -> (Position, Waiting) {
    let found = history(&Did::Done).into_iter().find_map(|(position, next)| match next {
        Some(Record::Waiting(waiting)) => Some((position, waiting)),
        _ => None,
    });
    found.unwrap()
}

fn before_the_question() -> (Position, Asked) {
    let found = history(&other()).into_iter().find_map(|(position, next)| match next {
        Some(Record::Asked(asked)) => Some((position, asked)),
        _ => None,
    });
    found.unwrap()
}

fn after_at(position: &Position, at: Millis, record: Record) -> Result<Position, String> {
    let (latch, key) = position.latch(&record);
    let (run, seq, prev) = (position.run, position.seq + 1, position.head);
    let header = Header { run, seq, kind: record.kind(), latch, key, at, prev };
    let mut next = position.clone();
    next.advance(&header, Digest::of(b"the next"), record).map(|()| next).map_err(|illegal| illegal.to_string())
}

/// With the header that belongs to it: only what it says can be wrong.
fn after(position: &Position, record: Record) -> Result<Position, String> {
    after_at(position, position.at, record)
}

#[track_caller]
fn refused(result: Result<Position, String>, why: &str) {
    let told = result.expect_err(why);
    assert!(told.contains(why), "{told}, and not: {why}");
}

fn result(label: &str, event: Option<&Did>, refusal: Option<&str>, to: &str) -> Resulted {
    Resulted {
        label: label.into(),
        event: event.map(Json::of),
        refused: refusal.map(|code| Reason::new(code, "it says so")),
        probed: false,
        to: to.into(),
        evidence: Vec::new(),
    }
}

fn outcome(label: &str, event: Option<&Did>, refusal: Option<&str>, to: &str) -> Record {
    Record::Outcome(result(label, event, refusal, to))
}

#[test]
fn a_run_begins_with_its_first_record_that_claims_its_subject() {
    let subject = Key::subject("s");
    let (run, prev) = (begin(1).position().run, Digest::ZERO);
    let first = Header { run, seq: 1, kind: Kind::Begun, latch: Latch::Claim, key: subject, at: Millis(1), prev };
    let begun = |header: Header| Position::begin(&header, Digest::of(b"first"), the_charter()).is_ok();
    assert!(begun(first));
    assert!(!begun(Header { seq: 2, ..first }));
    assert!(!begun(Header { kind: Kind::Intent, ..first }));
    assert!(!begun(Header { prev: Digest::of(b"before"), ..first }));
    assert!(!begun(Header { latch: Latch::None, ..first }));
    assert!(!begun(Header { key: Key::subject("another"), ..first }));
}

#[test]
fn an_intent_is_that_of_its_state_its_loss_and_its_effect() {
    let (position, intent) = before("look");
    assert_eq!(after(&position, Record::Intent(intent.clone())).unwrap().steps, 1);
    let elsewhere = Intent { state: "checking".into(), ..intent.clone() };
    refused(after(&position, Record::Intent(elsewhere)), "it says state checking, the run is in looking");
    let step = Intent { step: "prepare".into(), key: Key::effect("s", "", "prepare", 0), ..intent.clone() };
    refused(after(&position, Record::Intent(step)), "state looking does not ask for prepare");
    refused(after(&position, Record::Intent(Intent { ordinal: 1, ..intent })), "its effect key is not that of");
    let (position, intent) = before("make");
    assert_eq!(after(&position, Record::Intent(intent.clone())).unwrap().steps, 3);
    for epoch in [Some("e2".to_owned()), None] {
        let key = Key::effect("s", epoch.as_deref().unwrap_or_default(), "make", intent.ordinal);
        let other = Intent { epoch, key, ..intent.clone() };
        refused(after(&position, Record::Intent(other)), "it belongs to another loss than the run");
    }
}

#[test]
fn what_happens_once_is_consumed_by_its_intent_and_given_back_only_where_it_surely_did_not_happen() {
    let (position, intent) = before("make");
    assert_eq!(position.latch(&Record::Intent(intent.clone())), (Latch::Consume, intent.key));
    let resolved = |step: &str, event: Option<&Did>| {
        let (event, step) = (event.map(Json::of), step.to_owned());
        let ending = if event.is_some() { "done" } else { "refused" };
        Record::Resolved(Resolved {
            label: format!("{step}:{ending}"),
            step,
            event,
            reason: "r".into(),
            to: "t".into(),
        })
    };
    let made = open("make");
    let restored = (Latch::Restore, intent.key);
    assert_eq!(made.latch(&outcome("make:refused", None, Some("no"), "making")), restored);
    assert_eq!(made.latch(&outcome("make:done", Some(&Did::Done), None, "committing")), (Latch::None, Key::NONE));
    assert_eq!(made.latch(&resolved("make", None)), restored);
    assert_eq!(made.latch(&resolved("make", Some(&Did::Done))), (Latch::None, Key::NONE));
    // Another step may be done again, and is not kept track of.
    let (position, intent) = before("prepare");
    assert_eq!(position.latch(&Record::Intent(intent)), (Latch::None, Key::NONE));
    let prepared = open("prepare");
    assert_eq!(prepared.latch(&outcome("prepare:refused", None, Some("no"), "undoing")), (Latch::None, Key::NONE));
    assert_eq!(prepared.latch(&resolved("prepare", None)), (Latch::None, Key::NONE));
}

fn attempt(attempt: u32, failed: u32, doubt: bool) -> Record {
    Record::Attempt(Attempt { attempt, why: "why".into(), failed, not_before: Millis(0), doubt })
}

#[test]
fn an_attempt_is_the_next_one_and_of_what_is_in_doubt_only_one_that_can_do_no_harm() {
    let why = "it is not the next attempt of the open intent";
    for step in ["prepare", "make"] {
        let position = open(step);
        for failed in [0, 1] {
            let again = after(&position, attempt(2, failed, false)).unwrap();
            assert_eq!((of(&again).attempts, of(&again).failed), (2, failed), "{step}");
        }
        for (number, failed) in [(1, 0), (3, 0), (2, 2)] {
            refused(after(&position, attempt(number, failed, false)), why);
        }
        refused(after(&position, attempt(2, 2, true)), why);
        let doubted = after(&position, attempt(2, 0, true)).unwrap();
        assert_eq!((of(&doubted).attempts, of(&doubted).doubt.as_deref()), (1, Some("why")), "{step}");
        match after(&doubted, attempt(2, 0, false)) {
            Ok(again) => assert_eq!((step, of(&again).attempts), ("prepare", 2)),
            illegal => {
                assert_eq!(step, "make");
                refused(illegal, why);
            }
        }
    }
}

#[test]
fn a_fence_is_raised_once_and_only_where_one_is_needed() {
    let fence = || Record::Fenced(Fenced { how: "the door is closed".into() });
    let fenced = after(&open("make"), fence()).unwrap();
    assert!(of(&fenced).fenced);
    refused(after(&fenced, fence()), "a record of kind fenced cannot follow in state making while an intent is open");
    refused(after(&open("prepare"), fence()), "a record of kind fenced cannot follow in state preparing");
}

#[test]
fn absence_counts_before_the_fence_only_where_nothing_can_arrive_late() {
    let absent = |step: &str, to: &str| outcome(&format!("{step}:refused"), None, Some(Reason::ABSENT), to);
    let made = open("make");
    refused(after(&made, absent("make", "making")), "absence is claimed before the fence");
    after(&made, outcome("make:refused", None, Some("no"), "making")).unwrap();
    let fenced = after(&made, Record::Fenced(Fenced { how: "it is closed".into() })).unwrap();
    after(&fenced, absent("make", "making")).unwrap();
    // One that is there at once or never, and one that may be done twice.
    let (position, intent) = before("make");
    let at_once = after(&position, Record::Intent(Intent { fence: false, ..intent })).unwrap();
    after(&at_once, absent("make", "making")).unwrap();
    let (position, intent) = before("prepare");
    let twice = after(&position, Record::Intent(Intent { fence: true, ..intent })).unwrap();
    after(&twice, absent("prepare", "undoing")).unwrap();
}

#[test]
fn what_came_of_a_step_is_what_its_event_says_and_leads_where_the_graph_says() {
    let position = open("look");
    let done = Some(&Did::Done);
    let next = after(&position, outcome("look:done", done, None, "preparing")).unwrap();
    assert_eq!((next.state.as_str(), &next.phase), ("preparing", &Phase::Ready));
    let why = "its label is not that of its event";
    refused(after(&position, outcome("look:other", done, None, "asking")), why);
    refused(after(&position, outcome("make:done", done, None, "preparing")), why);
    refused(after(&position, outcome("cancel", done, None, "closed")), why);
    let why = "an outcome has either an event or a refusal";
    refused(after(&position, outcome("look:done", None, None, "preparing")), why);
    refused(after(&position, outcome("look:done", done, Some("no"), "preparing")), why);
    let elsewhere = after(&position, outcome("look:done", done, None, "resting"));
    refused(elsewhere, "look:done does not lead from looking to resting");
}

#[test]
fn a_wait_is_the_one_the_state_asks_for_and_ends_in_nothing_but_its_time() {
    let (position, waiting) = before_the_wait();
    let why = "a record of kind waiting cannot follow in state resting while ready";
    refused(after(&position, Record::Waiting(Waiting { id: "another".into(), ..waiting.clone() })), why);
    refused(after(&position, Record::Waiting(Waiting { state: "making".into(), ..waiting.clone() })), why);
    let until = waiting.until;
    let rests = after(&position, Record::Waiting(waiting.clone())).unwrap();
    refused(after(&rests, Record::Waiting(waiting)), "in state resting while waiting");
    let elapsed = |event: Option<&Did>, refusal| outcome("rest:elapsed", event, refusal, "making");
    after_at(&rests, until, elapsed(None, None)).unwrap();
    refused(after_at(&rests, Millis(until.0 - 1), elapsed(None, None)), "ends before its time");
    let why = "a wait or question ends in nothing but its time";
    refused(after_at(&rests, until, elapsed(Some(&Did::Done), None)), why);
    refused(after_at(&rests, until, elapsed(None, Some("no"))), why);
    refused(after_at(&rests, until, outcome("cancel", None, None, "undoing")), why);
    refused(after_at(&rests, until, outcome("rest:elapsed", None, None, "undoing")), "does not lead from resting");
}

#[test]
fn a_question_is_the_one_the_state_asks_and_an_answer_is_one_of_its_choices() {
    let (position, asked) = before_the_question();
    let why = "a record of kind asked cannot follow in state asking while ready";
    let mut another = asked.clone();
    another.question.id = "another".into();
    refused(after(&position, Record::Asked(another)), why);
    refused(after(&position, Record::Asked(Asked { state: "looking".into(), ..asked.clone() })), why);
    let deadline = asked.deadline;
    let asks = after(&position, Record::Asked(asked.clone())).unwrap();
    refused(after(&asks, Record::Asked(asked)), "in state asking while a question is open");
    let answer = |choice: &str, to: &str| Answered {
        question: asks.seq,
        label: format!("go-on:{choice}"),
        reason: "r".into(),
        to: to.into(),
    };
    let (yes, no) = (answer("approve", "preparing"), answer("deny", "closed"));
    assert_eq!(after(&asks, Record::Answered(yes.clone())).unwrap().state, "preparing");
    assert_eq!(after(&asks, Record::Denied(no.clone())).unwrap().state, "closed");
    let why = "the question has no such choice";
    refused(after(&asks, Record::Denied(yes.clone())), why);
    refused(after(&asks, Record::Answered(no)), why);
    refused(after(&asks, Record::Answered(answer("perhaps", "preparing"))), why);
    refused(after(&asks, Record::Answered(Answered { question: 1, ..yes.clone() })), "it answers another question");
    refused(after_at(&asks, deadline, Record::Answered(yes.clone())), "it answers a question that has expired");
    refused(after(&asks, Record::Answered(Answered { to: "resting".into(), ..yes })), "does not lead from asking");
}

#[test]
fn a_run_is_cancelled_once_and_never_in_the_middle_of_a_step() {
    let cancel = |to: &str| Record::CancelRequested(CancelRequested { reason: "r".into(), to: to.into() });
    let (position, _) = before_the_wait();
    let undoing = after(&position, cancel("undoing")).unwrap();
    assert!(undoing.cancelled && undoing.state == "undoing");
    refused(after(&undoing, cancel("undoing")), "a record of kind cancel-requested cannot follow in state undoing");
    refused(after(&position, cancel("making")), "cancel does not lead from resting to making");
    refused(after(&open("make"), cancel("undoing")), "while an intent is open");
}

#[test]
fn an_end_has_a_reason_comes_where_the_state_is_done_or_a_person_gives_up_and_is_the_last() {
    let end = |verdict, reason: &str| Record::Closed(Ending::new(verdict, reason));
    let all = history(&Did::Done);
    let (closed, _) = all.last().unwrap();
    assert!(matches!(closed.phase, Phase::Closed(_)));
    let ready = &all.iter().rfind(|(_, next)| matches!(next, Some(Record::Closed(_)))).unwrap().0;
    after(ready, end(Verdict::Recovered, "r")).unwrap();
    refused(after(ready, end(Verdict::Recovered, "")), "an end without a reason");
    for verdict in [Verdict::Abandoned, Verdict::GuardRefused, Verdict::Recovered] {
        refused(after(closed, end(verdict, "r")), "cannot be given while closed");
    }
    let (early, _) = before("prepare");
    refused(after(&early, end(Verdict::Recovered, "r")), "cannot be given while ready");
    after(&early, end(Verdict::GuardRefused, "r")).unwrap();
    let made = open("make");
    refused(after(&made, end(Verdict::GuardRefused, "r")), "cannot be given while an intent is open");
    after(&made, end(Verdict::Abandoned, "r")).unwrap();
}
