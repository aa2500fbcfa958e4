//! What the engine does not believe, and what it does not wait for.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use recover_engine::{
    Act, Action, Begun, Charter, Consumed, Entry, FenceRaised, Host, Journal, JournalError, Json, Key, Millis, OpenRun,
    Performed, Phase, Probed, Reason, Receipt, Request, Run, RunId, Seen, Stop, Told, Unwilling, Wish, Woken, World,
    charter, drive,
};

use crate::scenario::{Did, begin, entry, the_charter};

fn done() -> Performed {
    Performed::Happened(Seen::plain(Told::of(&Did::Done)))
}

/// Commits and waits until the run asks for an effect, answering those before with `done`.
fn until(run: &mut Run, step: &str, entries: &mut Vec<Entry>, now: &mut i64) {
    for _ in 0..40 {
        match run.next(Millis(*now), &|_: Key| None).unwrap() {
            Action::Commit(batch) => {
                entries.extend(batch);
                run.committed();
            }
            Action::Perform(act) if act.doing.step == step => return,
            Action::Perform(_) => run.performed(Millis(*now), done()).unwrap(),
            Action::Wait(until) => *now = until.0,
            other => panic!("{other:?}"),
        }
    }
    panic!("it never asks for {step}");
}

#[test]
fn absence_before_the_fence_is_not_believed() {
    let (mut run, mut entries, mut now) = (begin(1), Vec::new(), 1);
    until(&mut run, "make", &mut entries, &mut now);
    let absent = Performed::Refused(Reason::new(Reason::ABSENT, "it says so"));
    run.performed(Millis(now), absent).expect("an adapter's mistake is no illegal record");
    let next = run.next(Millis(now), &|_: Key| None).unwrap();
    assert!(matches!(next, Action::Probe(_)), "{next:?}");
    assert!(matches!(run.position().phase, Phase::Open(_)));
}

#[test]
fn an_attempt_is_given_the_time_that_its_step_says() {
    let (mut run, mut entries, mut now) = (begin(1), Vec::new(), 1);
    until(&mut run, "prepare", &mut entries, &mut now);
    let Action::Perform(act) = run.next(Millis(now), &|_: Key| None).unwrap() else { panic!("it is to be performed") };
    assert_eq!((act.doing.timeout_ms, act.doing.attempts), (1000, 3));
}

/// The clock went an hour back between the intent and its attempt, or while a retry was waited for: the run stood still for an hour.
#[test]
fn a_clock_that_goes_back_delays_no_attempt() {
    const HOUR: i64 = 3_600_000;
    let (mut run, mut entries, mut now) = (begin(1), Vec::new(), HOUR);
    until(&mut run, "prepare", &mut entries, &mut now);
    let next = |run: &mut Run, now| run.next(Millis(now), &|_: Key| None).unwrap();
    let asked = next(&mut run, now - HOUR);
    assert!(matches!(asked, Action::Perform(_)), "{asked:?}");
    run.performed(Millis(now), Performed::Retry { why: "not yet".into(), after_ms: None }).unwrap();
    let Action::Commit(batch) = next(&mut run, now) else { panic!("a retry is journaled") };
    entries.extend(batch);
    run.committed();
    let Action::Wait(until) = next(&mut run, now) else { panic!("a retry is waited for") };
    assert!(until > Millis(now));
    let asked = next(&mut run, now - HOUR);
    assert!(matches!(asked, Action::Perform(_)), "{asked:?}");
}

#[test]
fn an_attempt_after_a_failure_waits_and_the_next_twice_as_long() {
    let (mut run, mut entries, mut now) = (begin(1), Vec::new(), 1);
    until(&mut run, "prepare", &mut entries, &mut now);
    let next = |run: &mut Run, now| run.next(Millis(now), &|_: Key| None).unwrap();
    for pause in [1000, 2000] {
        run.performed(Millis(now), Performed::Retry { why: "not yet".into(), after_ms: None }).unwrap();
        assert!(matches!(next(&mut run, now), Action::Commit(_)));
        run.committed();
        assert_eq!(next(&mut run, now), Action::Wait(Millis(now + pause)));
        assert_eq!(next(&mut run, now + pause - 1), Action::Wait(Millis(now + pause)));
        now += pause;
        assert!(matches!(next(&mut run, now), Action::Perform(_)));
    }
    run.performed(Millis(now), Performed::Retry { why: "not yet".into(), after_ms: None }).unwrap();
    until(&mut run, "prepare", &mut entries, &mut now);
    assert_eq!(run.position().state, "undoing", "three attempts are all");
}

#[test]
fn what_another_run_did_for_this_loss_ends_the_run_before_it_changes_anything() {
    let by = RunId::new(Millis(9), [9; 10]);
    let make = |ordinal| Key::effect("s", "e1", "make", ordinal);
    let (mut run, mut entries, mut now) = (begin(1), Vec::new(), 1);
    until(&mut run, "look", &mut entries, &mut now);
    run.performed(Millis(now), done()).unwrap();
    let taken = |key: Key| (key == make(0)).then_some(Consumed { by, restored: false });
    assert!(matches!(run.next(Millis(now), &taken), Ok(Action::Commit(_))));
    run.committed();
    let Ok(Action::Stop(Stop::Closed(ending))) = run.next(Millis(now), &taken) else { panic!("it goes on") };
    assert_eq!(ending.verdict, recover_engine::Verdict::GuardRefused);
    assert!(ending.reason.contains(&by.to_string()), "{}", ending.reason);
    // What another run surely did not do is this one's to do, under the next number.
    let (mut run, mut asked) = (begin(1), None);
    while asked.is_none() {
        let restored = |key: Key| (key == make(0)).then_some(Consumed { by, restored: true });
        match run.next(Millis(now), &restored).unwrap() {
            Action::Commit(_) => run.committed(),
            Action::Perform(act) if act.doing.step == "make" => asked = Some(act),
            Action::Perform(_) => run.performed(Millis(now), done()).unwrap(),
            Action::Wait(until) => now = until.0,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(asked.map(|act| (act.ordinal, act.key)), Some((1, make(1))));
}

#[test]
fn a_run_is_resumed_with_its_own_charter_only() {
    let (mut run, mut entries, mut now) = (begin(1), Vec::new(), 1);
    until(&mut run, "prepare", &mut entries, &mut now);
    let resume = |charter: Arc<Charter>| {
        Run::resume(&entries, charter, entry().begin(&Json::null()).unwrap(), "{}".into()).map(|_| ())
    };
    assert_eq!(resume(the_charter()), Ok(()));
    let own = &the_charter().begun;
    let guards = Json::of::<[u8]>(&[]);
    let digest = recover_engine::charter_digest(&own.scenario, own.version, own.graph.as_str(), guards.as_str());
    for (what, begun) in [
        ("without its guards", Begun { guards, digest, ..own.clone() }),
        ("with other parameters", Begun { params: Json::of(&7), ..own.clone() }),
        ("for another target", Begun { target: "elsewhere".into(), ..own.clone() }),
    ] {
        let refused = resume(Arc::new(charter(begun).unwrap()));
        assert!(refused.is_err(), "{what} it was taken up");
    }
}

/// A journal of one run, in memory.
#[derive(Default)]
struct Kept(std::sync::Mutex<Vec<Entry>>);

impl Journal for Kept {
    async fn append(&self, batch: Vec<Entry>) -> Result<Receipt, JournalError> {
        self.0.lock().unwrap().extend(batch);
        Ok(Receipt { frame: 1, head: recover_engine::Digest::ZERO })
    }
    fn read(&self, _: RunId) -> Result<Vec<Entry>, JournalError> {
        Ok(self.0.lock().unwrap().clone())
    }
    fn open_runs(&self) -> Vec<(RunId, OpenRun)> {
        Vec::new()
    }
    fn holder(&self, _: Key) -> Option<RunId> {
        None
    }
    fn effect(&self, _: Key) -> Option<Consumed> {
        None
    }
}

/// Every effect but the stuck one is done at once; that one never ends.
struct Stuck(&'static str);

impl World for Stuck {
    async fn perform(&self, act: &Act) -> Performed {
        if act.doing.step == self.0 { std::future::pending().await } else { done() }
    }
    async fn fence(&self, _: &Act) -> FenceRaised {
        FenceRaised::Failed("not asked for".into())
    }
    async fn probe(&self, _: &Act) -> Probed {
        Probed::Unknown("not asked for".into())
    }
}

/// A signal that comes while something is under way.
struct Signalled {
    now: Cell<i64>,
    wish: RefCell<Option<Wish>>,
    replies: RefCell<Vec<bool>>,
    waits_for_people: bool,
}

impl Host for Signalled {
    fn now(&self) -> Millis {
        Millis(self.now.get())
    }
    async fn wait(&self, until: Millis) -> Woken {
        self.now.set(until.0);
        Woken::Elapsed
    }
    async fn hear(&self) -> Request {
        let wish = self.wish.borrow_mut().take();
        match wish {
            Some(wish) => Request { id: 0, actor: "{}".into(), wish },
            None => std::future::pending().await,
        }
    }
    fn request(&self) -> Option<Request> {
        None
    }
    fn waits_for_people(&self) -> bool {
        self.waits_for_people
    }
    fn reply(&self, _: u64, reply: Result<(), Unwilling>) {
        self.replies.borrow_mut().push(reply.is_ok());
    }
    fn recorded(&self, _: &[Entry], _: Receipt) {}
}

fn driven(stuck: &'static str, wish: Wish) -> (Option<Stop>, Vec<Entry>, Vec<bool>) {
    let (mut run, journal) = (begin(1), Kept::default());
    let host = Signalled {
        now: Cell::new(1),
        wish: RefCell::new(Some(wish)),
        replies: RefCell::default(),
        waits_for_people: false,
    };
    let world = Stuck(stuck);
    let stop = match pin!(drive(&mut run, &journal, &world, &host)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(stop) => Some(stop.unwrap()),
        Poll::Pending => None,
    };
    (stop, journal.0.into_inner().unwrap(), host.replies.into_inner())
}

#[test]
fn an_interrupt_does_not_wait_for_a_look_and_a_resume_looks_again() {
    let (stop, entries, replies) = driven("look", Wish::Interrupt);
    assert_eq!((stop, replies.as_slice()), (Some(Stop::Interrupted), [true].as_slice()));
    let machine = entry().begin(&Json::null()).unwrap();
    let mut run = Run::resume(&entries, the_charter(), machine, "{}".into()).unwrap();
    let Phase::Open(open) = &run.position().phase else { panic!("the intent stays open") };
    assert_eq!((&*open.intent.step, open.failed), ("look", 0));
    until(&mut run, "look", &mut Vec::new(), &mut 1);
}

#[test]
fn an_interrupt_waits_for_what_is_not_a_look() {
    let (stop, ..) = driven("prepare", Wish::Interrupt);
    assert_eq!(stop, None, "it was dropped while it was being applied");
}

#[test]
fn a_look_goes_on_when_a_request_does_not_end_it() {
    let (stop, ..) = driven("look", Wish::Answer { question: None, choice: "approve".into(), reason: "why".into() });
    assert_eq!(stop, None);
    let (stop, ..) = driven("look", Wish::Abandon { reason: "enough".into() });
    assert!(matches!(stop, Some(Stop::Closed(_))), "{stop:?}");
}

#[test]
fn a_question_is_waited_for_until_it_expires_or_ends_a_run_that_nobody_waits_for() {
    for waits_for_people in [true, false] {
        let (mut run, journal) = (begin(1), Kept::default());
        until(&mut run, "look", &mut journal.0.lock().unwrap(), &mut 1);
        let found = Told::of(&Did::Other { what: "else".into() });
        run.performed(Millis(1), Performed::Happened(Seen::plain(found))).unwrap();
        let (wish, replies) = (RefCell::default(), RefCell::default());
        let host = Signalled { now: Cell::new(1), wish, replies, waits_for_people };
        let mut driven = pin!(drive(&mut run, &journal, &Stuck("nothing"), &host));
        match driven.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Stop::Closed(ending))) => {
                assert_eq!((waits_for_people, ending.verdict), (true, recover_engine::Verdict::GivenUp));
            }
            Poll::Ready(Ok(Stop::Asked { question, deadline, .. })) => {
                assert_eq!((waits_for_people, &*question.id, deadline), (false, "go-on", Millis(10_001)));
            }
            other => panic!("{other:?}"),
        }
    }
}
