//! What an API server wrote down of the changes that were asked of it: who, what, where, when, and what came of it.
//!
//! Neither kind of log says which run a change belongs to. What connects the two sides is the time, the way that was asked for, and the
//! name of whoever asked; so a person says which names and which ways are meant.

use recover_engine::{Effect as _, Millis};
use recover_steps::kms::{
    DisableUpsert, ForbidDeletion, LowerDecryption, LowerEncryption, RestoreKey, RewriteObjects, StopRotation,
};
use recover_steps::{Pair, Repair, Restart, Start};

use super::ours::{Attempt, Came, Ours};
use super::{Compared, near};
use crate::clock;

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    OpenBao,
    Kubernetes,
}

impl Side {
    /// Whether this step changes something there whenever it is done. Others may, where there is something to change.
    fn is_changed_by(self, step: &str) -> bool {
        let known: &[&str] = match self {
            Self::Kubernetes => &[Start::NAME, Restart::NAME, Repair::NAME, Pair::NAME, RewriteObjects::NAME],
            Self::OpenBao => &[
                RestoreKey::NAME,
                ForbidDeletion::NAME,
                StopRotation::NAME,
                DisableUpsert::NAME,
                LowerDecryption::NAME,
                LowerEncryption::NAME,
            ],
        };
        known.contains(&step)
    }
}

/// What came of a change that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Refused(String),
    /// It was asked for, and nothing is said of what came of it.
    Unanswered,
}

/// A change that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) side: Side,
    pub(super) at: Millis,
    pub(super) verb: String,
    pub(super) path: String,
    /// The names by which the log calls whoever asked; the first is the one that is shown.
    pub(super) actors: Vec<String>,
    /// Whether it is the server's own doing, and no person's or program's from outside.
    pub(super) own: bool,
    pub(super) answer: Answer,
}

/// Which changes are meant, and what is known of the steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meant {
    /// Names of whoever acts for `recover` there; where there are none, everybody but the server itself.
    pub(crate) actors: Vec<String>,
    /// How paths begin; where there are none, every path.
    pub(crate) paths: Vec<String>,
    /// Steps that change something there each time, besides those that are known to.
    pub(crate) steps: Vec<String>,
}

impl Meant {
    fn has(&self, change: &Change) -> bool {
        let actor = match self.actors.as_slice() {
            [] => !change.own,
            named => change.actors.iter().any(|actor| named.contains(actor)),
        };
        actor && (self.paths.is_empty() || self.paths.iter().any(|path| change.path.starts_with(path.as_str())))
    }
}

/// Adds what comes of comparing a run's changing steps with the changes that the other side has.
pub(super) fn compare(out: &mut Compared, ours: &Ours, changes: &[Change], meant: &Meant) {
    let counts = |change: &&Change| meant.has(change) && !matches!(change.answer, Answer::Refused(_));
    let (of_run, beside): (Vec<&Change>, Vec<&Change>) = changes.iter().partition(counts);
    out.beside += beside.len();
    let steps: Vec<&Attempt> = ours.changing().collect();
    let matched = matched(&steps, &of_run);
    for (change, step) in of_run.iter().zip(&matched) {
        match step.and_then(|step| steps.get(step)) {
            None if (ours.from..=ours.until).contains(&change.at) => out.effects_without_record.push(told(change)),
            None => out.beside += 1,
            Some(attempt) => {
                let said = || format!("{}: record {} is the intent of {}", told(change), attempt.seq, attempt.step);
                match attempt.came {
                    Came::Happened => out.agreed += 1,
                    Came::Open => out.unsettled.push(format!("{}, and its outcome is not journaled", said())),
                    Came::Refused => out.explained.push(format!("{}, which ended without it", said())),
                }
            }
        }
    }
    let mut sides: Vec<Side> = changes.iter().map(|change| change.side).collect();
    sides.sort_unstable();
    sides.dedup();
    let acts =
        |step: &str| meant.steps.iter().any(|named| named == step) || sides.iter().any(|side| side.is_changed_by(step));
    for (at, attempt) in steps.iter().enumerate() {
        if attempt.came == Came::Happened && acts(&attempt.step) && !matched.contains(&Some(at)) {
            out.records_without_effect.push(format!("record {}: {} was done", attempt.seq, attempt.step));
        }
    }
}

/// For each change the step that it may be of. Two clocks write the times: what is in no step's own time goes to one near it, and
/// rather to one that has no change yet.
fn matched(steps: &[&Attempt], changes: &[&Change]) -> Vec<Option<usize>> {
    let within = |at: Millis| steps.iter().position(|step| (step.from..=step.until).contains(&at));
    let mut matched: Vec<Option<usize>> = changes.iter().map(|change| within(change.at)).collect();
    for (at, change) in changes.iter().enumerate().filter(|(_, change)| within(change.at).is_none()) {
        let mut beside =
            (0..steps.len()).filter(|step| steps.get(*step).is_some_and(|step| near(change.at, step.from, step.until)));
        let free = beside.clone().find(|step| !matched.contains(&Some(*step)));
        if let Some(slot) = matched.get_mut(at) {
            *slot = free.or_else(|| beside.next());
        }
    }
    matched
}

fn told(change: &Change) -> String {
    let actor = change.actors.first().map_or("somebody", String::as_str);
    let answer = match &change.answer {
        Answer::Done => "",
        Answer::Unanswered => ", its answer is not in the log",
        Answer::Refused(_) => ", refused",
    };
    format!("{} {} by {actor} at {}{answer}", change.verb, change.path, clock::rfc3339(change.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(at: i64, actor: &str, path: &str) -> Change {
        Change {
            side: Side::Kubernetes,
            at: Millis(at),
            verb: "delete".into(),
            path: path.into(),
            actors: vec![actor.into()],
            own: false,
            answer: Answer::Done,
        }
    }

    fn compared(came: Came, changes: &[Change], meant: &Meant) -> Compared {
        let mut out = Compared::default();
        compare(&mut out, &Ours::with((0, 100_000), "restart", (10_000, 11_000), came), changes, meant);
        out
    }

    #[test]
    fn what_was_changed_in_no_step_s_time_has_no_record() {
        let (ours, meanwhile, later) =
            (change(10_500, "we", "/a"), change(60_000, "mallory", "/b"), change(900_000, "x", "/c"));
        let out = compared(Came::Happened, &[ours.clone(), meanwhile.clone(), later], &Meant::default());
        assert_eq!(
            (out.agreed, out.effects_without_record.len(), out.beside, out.holds()),
            (1, 1, 1, false),
            "{out:?}"
        );
        assert!(out.effects_without_record[0].contains("delete /b by mallory"), "{out:?}");
        for meant in [
            Meant { actors: vec!["we".into()], ..Meant::default() },
            Meant { paths: vec!["/a".into()], ..Meant::default() },
        ] {
            let out = compared(Came::Happened, &[ours.clone(), meanwhile.clone()], &meant);
            assert_eq!((out.agreed, out.beside, out.holds()), (1, 1, true), "{out:?}");
        }
    }

    #[test]
    fn what_came_of_the_step_says_what_its_change_is() {
        let ours = [change(10_500, "we", "/a")];
        let of = |came| compared(came, &ours, &Meant::default());
        assert_eq!((of(Came::Open).unsettled.len(), of(Came::Open).holds()), (1, false));
        assert_eq!((of(Came::Refused).explained.len(), of(Came::Refused).holds()), (1, true));
        // A restart without one is no restart, whatever else there was.
        let out = compared(Came::Happened, &[change(90_000, "controller", "/a")], &Meant::default());
        assert_eq!((out.records_without_effect.len(), out.effects_without_record.len()), (1, 1), "{out:?}");
    }

    #[test]
    fn what_a_step_of_the_key_s_says_to_have_changed_is_looked_for_at_openbao() {
        let lowered = |at| Change {
            side: Side::OpenBao,
            verb: "update".into(),
            ..change(at, "approle", "transit/keys/kms/config")
        };
        let compared = |changes: &[Change]| {
            let mut out = Compared::default();
            let ours = Ours::with((0, 100_000), LowerDecryption::NAME, (10_000, 11_000), Came::Happened);
            compare(&mut out, &ours, changes, &Meant::default());
            out
        };
        let found = compared(&[lowered(10_400)]);
        assert_eq!((found.agreed, found.holds()), (1, true), "{found:?}");
        let missing = compared(&[lowered(900_000)]);
        assert_eq!(missing.records_without_effect, ["record 2: lower-decryption was done"], "{missing:?}");
    }

    #[test]
    fn a_change_without_an_answer_counts_and_one_that_was_refused_does_not() {
        let with = |answer| Change { answer, ..change(60_000, "we", "/a") };
        let out = compared(
            Came::Refused,
            &[with(Answer::Unanswered), with(Answer::Refused("403".into()))],
            &Meant::default(),
        );
        assert_eq!((out.effects_without_record.len(), out.beside), (1, 1), "{out:?}");
    }
}
