//! Questions: who may answer what, until when, and what happens if nobody does.

use std::rc::Rc;

use recover_engine::{Ending, Kind, Question, Stop, Unwilling, Verdict, Wish};
use recover_scenarios::identity_loss::Reprovision;

use crate::host::Scripted;
use crate::site::Ground;
use crate::trial::{Crash, End, NEVER, Plan, Sim};
use crate::world::{Fault, Hit, State};

const DAY_MS: i64 = 24 * 3_600_000;

fn answer(at: u32, question: Option<u32>, choice: &str) -> Scripted {
    Scripted { at, wish: Wish::Answer { question, choice: choice.into(), reason: "a person said so".into() } }
}

fn asked(sim: &mut Sim) -> (u32, Question, i64) {
    match sim.go(NEVER, &[], false).end {
        End::Stopped(Stop::Asked { seq, question, deadline }) => (seq, question, deadline.0),
        other => panic!("{other:?}; {:#?}", sim.kinds()),
    }
}

fn closed(sim: &mut Sim, script: &[Scripted]) -> Ending {
    match sim.go(NEVER, script, false).end {
        End::Stopped(Stop::Closed(ending)) => ending,
        other => panic!("{other:?}; {:#?}", sim.kinds()),
    }
}

fn asking() -> Sim {
    Sim::new(&Plan::identity_loss(Reprovision::Ask), false, &[])
}

fn unchanged(sim: &Sim) {
    assert_eq!(sim.state.site.placement(), sim.found, "{:#?}", sim.kinds());
    assert_eq!((sim.state.authority.mints, sim.state.authority.revokes, sim.state.site.starts), (0, 0, 0));
}

#[test]
fn approved_it_goes_on_and_recovers() {
    let mut sim = asking();
    let (seq, question, _) = asked(&mut sim);
    assert_eq!(question.id, "reprovision");
    unchanged(&sim);
    // The word that --yes stands for is the routine choice, and the scenario names one here.
    let routine = question.routine.expect("replacing a lost identity is routine");
    let ending = closed(&mut sim, &[answer(0, Some(seq), &routine)]);
    assert_eq!((ending.verdict, sim.state.authority.pairs), (Verdict::Recovered, 1));
}

#[test]
fn denied_it_gives_up_and_nothing_has_changed() {
    let mut sim = asking();
    let (seq, ..) = asked(&mut sim);
    let ending = closed(&mut sim, &[answer(0, Some(seq), "deny")]);
    assert_eq!((ending.verdict, ending.residue.len()), (Verdict::GivenUp, 0));
    assert!(sim.holds(Kind::Denied) && !sim.holds(Kind::Answered));
    unchanged(&sim);
}

#[test]
fn unanswered_in_time_it_is_a_no_at_the_next_open_and_an_answer_then_is_too_late() {
    let mut sim = asking();
    let (seq, _, deadline) = asked(&mut sim);
    sim.now = deadline;
    let went = sim.go(NEVER, &[answer(0, Some(seq), "approve")], false);
    assert!(matches!(went.replies.as_slice(), [Err(Unwilling::QuestionChanged(_))]), "{went:?}");
    assert!(matches!(&went.end, End::Stopped(Stop::Closed(e)) if e.verdict == Verdict::GivenUp), "{went:?}");
    unchanged(&sim);
}

#[test]
fn where_people_are_waited_for_the_deadline_ends_the_wait() {
    let mut sim = asking();
    let begun = sim.now;
    let went = sim.go(NEVER, &[], true);
    assert!(matches!(&went.end, End::Stopped(Stop::Closed(e)) if e.verdict == Verdict::GivenUp), "{went:?}");
    assert!(sim.now >= begun + DAY_MS, "it did not wait");
    unchanged(&sim);
}

#[test]
fn an_answer_to_another_question_is_refused_and_the_question_stays_open() {
    let mut sim = asking();
    let (seq, ..) = asked(&mut sim);
    for (wrong, choice) in [(Some(seq - 1), "approve"), (Some(seq + 1), "approve"), (Some(seq), "retry")] {
        let went = sim.go(NEVER, &[answer(0, wrong, choice)], false);
        assert!(
            matches!(went.replies.as_slice(), [Err(Unwilling::QuestionChanged(_) | Unwilling::NoChoice { .. })]),
            "{went:?}"
        );
        assert!(matches!(went.end, End::Stopped(Stop::Asked { seq: open, .. }) if open == seq), "{went:?}");
    }
    unchanged(&sim);
    let ending = closed(&mut sim, &[answer(0, None, "approve")]);
    assert_eq!(ending.verdict, Verdict::Recovered);
    let went = sim.go(NEVER, &[answer(0, Some(seq), "approve")], false);
    assert!(matches!(went.replies.as_slice(), [Err(Unwilling::QuestionChanged(_))]), "{went:?}");
}

/// The second of two answers finds the question gone, however close they come.
#[test]
fn two_answers_at_once_are_one_answer() {
    for (first, second, verdict) in [("approve", "deny", Verdict::Recovered), ("deny", "approve", Verdict::GivenUp)] {
        let mut sim = asking();
        let (seq, ..) = asked(&mut sim);
        let went = sim.go(NEVER, &[answer(0, Some(seq), first), answer(0, Some(seq), second)], false);
        assert!(matches!(went.replies.as_slice(), [_, _]), "{went:?}");
        assert_eq!(went.replies.iter().filter(|r| r.is_ok()).count(), 1, "{went:?}");
        assert!(matches!(&went.end, End::Stopped(Stop::Closed(e)) if e.verdict == verdict), "{went:?}");
    }
}

#[test]
fn killed_at_every_boundary_of_an_answer_it_is_taken_once_or_asked_for_again() {
    let mut sim = asking();
    let (seq, ..) = asked(&mut sim);
    let mut asked_again = 0;
    for fuse in 0.. {
        let mut killed = sim.clone();
        if killed.go(fuse, &[answer(0, Some(seq), "approve")], false).end != End::Crashed {
            break;
        }
        killed.after(Crash::Kill);
        asked_again += u32::from(!killed.holds(Kind::Answered));
        let ending = killed.finish();
        assert_eq!((ending.verdict, killed.state.authority.pairs), (Verdict::Recovered, 1));
    }
    assert_eq!(asked_again, 1, "an answer is durable as soon as its commit is");
}

/// Each situation in which the runbook wants a person: the question, what yes and what no lead to.
fn situation(original: bool, hits: &[Hit], prepare: impl FnOnce(&mut State), id: &str, yes: Verdict) {
    let plan: Rc<Plan> = Plan::identity_loss(Reprovision::Allow);
    let sim = Sim::new(&plan, original, hits).prepared(prepare);
    let mut no = sim.clone();
    let (seq, question, deadline) = asked(&mut no);
    assert_eq!(question.id, id);
    assert_eq!(question.routine, None, "{id} is in doubt: --yes must not answer it");
    assert_eq!(question.choices.last().map(|c| &*c.id), Some("deny"));
    let (mut approved, mut expired) = (no.clone(), no.clone());

    let ending = closed(&mut no, &[answer(0, Some(seq), "deny")]);
    assert_eq!((ending.verdict, no.state.authority.pairs), (Verdict::GivenUp, 0), "{id}: {:#?}", no.kinds());
    assert_eq!(no.state.site.placement(), no.found, "{id}");

    expired.now = deadline + 1;
    let ending = closed(&mut expired, &[]);
    assert_eq!(ending.verdict, Verdict::GivenUp, "{id}");
    assert_eq!(expired.state.site.placement(), expired.found, "{id}");

    let ending = approved.finish();
    assert_eq!(ending.verdict, yes, "{id}: {:#?}", approved.kinds());
    for end in [&no, &approved, &expired] {
        assert!(end.state.violations.is_empty(), "{id}: {:?}", end.state.violations);
        assert!(!end.state.authority.live(end.now).any(|t| t.ours), "{id}");
    }
}

#[test]
fn an_original_that_cannot_be_read_is_given_up_only_on_a_persons_word() {
    let prepare = |state: &mut State| state.site.unreadable = true;
    situation(true, &[], prepare, "original-unrecoverable", Verdict::Recovered);
}

#[test]
fn an_original_that_does_not_come_online_is_given_up_only_on_a_persons_word() {
    let prepare = |state: &mut State| state.site.original_dead = true;
    situation(true, &[], prepare, "original-unrecoverable", Verdict::Recovered);
}

#[test]
fn storage_that_cannot_be_told_needs_a_persons_word() {
    let prepare = |state: &mut State| state.site.ground = Ground::Undecided;
    situation(false, &[], prepare, "storage-durable", Verdict::Recovered);
    situation(true, &[], prepare, "storage-durable", Verdict::Recovered);
}

#[test]
fn a_foreign_identity_in_the_way_is_set_aside_only_on_a_persons_word() {
    let prepare = |state: &mut State| state.site.target.serial = Some("s0".into());
    situation(false, &[], prepare, "set-aside", Verdict::Recovered);
}

#[test]
fn past_the_point_of_no_return_a_person_may_try_again_or_leave_it() {
    let plan = Plan::identity_loss(Reprovision::Allow);
    let hits = [Hit { step: "validate", fault: Fault::Bad, skip: 0, times: 1 }];
    let mut sim = Sim::new(&plan, false, &hits);
    let (seq, question, _) = asked(&mut sim);
    assert_eq!((&*question.id, question.routine), ("not-validated", None));
    let mut left = sim.clone();
    let ending = closed(&mut sim, &[answer(0, Some(seq), "retry")]);
    assert_eq!((ending.verdict, sim.state.authority.pairs), (Verdict::Recovered, 1));
    let ending = closed(&mut left, &[answer(0, Some(seq), "deny")]);
    assert_eq!((ending.verdict, ending.residue.len()), (Verdict::GivenUp, 1));
    assert!(left.state.site.running.is_some(), "it was paired; stopping it would help nobody");
}

/// Its pairing was doubled and the second one refused, so it runs and stands still. The next start asks for what was issued.
#[test]
fn a_retry_restarts_a_connector_that_stands_still() {
    let plan = Plan::identity_loss(Reprovision::Allow);
    let mut sim = Sim::new(&plan, false, &[Hit { step: "pair", fault: Fault::Duplicate, skip: 0, times: 1 }]);
    let (seq, question, _) = asked(&mut sim);
    assert_eq!(question.id, "not-validated");
    let (life, lives) = (sim.state.site.running, sim.state.site.lives);
    assert!(life.is_some(), "it runs, so a mere start would do nothing");
    let ending = closed(&mut sim, &[answer(0, Some(seq), "retry")]);
    assert_eq!((ending.verdict, sim.state.authority.pairs), (Verdict::Recovered, 1), "{:#?}", sim.kinds());
    assert_eq!(sim.state.site.lives, lives + 2, "one life for the retry, one for the validation");
    assert!(sim.state.violations.is_empty(), "{:?}", sim.state.violations);
}

/// A file that could not be removed stayed in the workload's sight, and no retry ever looked at it again.
#[test]
fn a_retry_takes_away_the_token_that_could_not_be_taken_before() {
    let plan = Plan::identity_loss(Reprovision::Allow);
    let hit = |step, fault| Hit { step, fault, skip: 0, times: 1 };
    let mut sim = Sim::new(&plan, false, &[hit("withdraw", Fault::Refuse), hit("validate", Fault::Bad)]);
    let (seq, question, _) = asked(&mut sim);
    assert_eq!(question.id, "not-validated");
    let mut left = sim.clone();
    let ending = closed(&mut sim, &[answer(0, Some(seq), "retry")]);
    assert_eq!((ending.verdict, sim.state.authority.pairs), (Verdict::Recovered, 1));
    assert_eq!(ending.residue, [""; 0], "it is gone, so it is not left");
    let ending = closed(&mut left, &[answer(0, Some(seq), "deny")]);
    assert!(ending.residue.iter().any(|r| r.contains("token's file")), "{ending:?}");
}

#[test]
fn a_retry_of_an_identity_that_is_lost_ends_with_what_is_left() {
    let plan = Plan::identity_loss(Reprovision::Allow);
    let mut sim = Sim::new(&plan, false, &[Hit { step: "pair", fault: Fault::Duplicate, skip: 0, times: 1 }]);
    let (seq, ..) = asked(&mut sim);
    sim.state.site.target.key_for = None;
    let went = sim.go(NEVER, &[answer(0, Some(seq), "retry")], false);
    let End::Stopped(Stop::Asked { seq, question, .. }) = went.end else { panic!("{went:?}") };
    assert_eq!(question.id, "not-validated", "it is never called recovered");
    let ending = closed(&mut sim, &[answer(0, Some(seq), "deny")]);
    assert_eq!((ending.verdict, ending.residue.len(), sim.state.authority.pairs), (Verdict::GivenUp, 1, 1));
}

#[test]
fn on_refuted_storage_nothing_is_minted_and_nothing_started() {
    let plan = Plan::identity_loss(Reprovision::Allow);
    for original in [false, true] {
        // From the beginning: nothing is touched.
        let mut sim = Sim::new(&plan, original, &[]).prepared(|state| state.site.ground = Ground::Refuted);
        let ending = closed(&mut sim, &[]);
        assert_eq!(ending.verdict, Verdict::GivenUp);
        unchanged(&sim);
    }
    // Only once the workload is stopped: it stays stopped, and the end says so.
    let hits = [Hit { step: "prove-durable", fault: Fault::Bad, skip: 1, times: 1 }];
    let mut sim = Sim::new(&plan, false, &hits);
    let ending = closed(&mut sim, &[]);
    assert_eq!((ending.verdict, sim.state.site.starts, sim.state.authority.mints), (Verdict::GivenUp, 0, 0));
    assert!(sim.state.violations.is_empty() && sim.state.site.running.is_none());
    assert!(ending.residue.iter().any(|r| r.contains("left stopped")), "{ending:?}");
}
