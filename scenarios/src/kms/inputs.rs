//! What each input means in each state: outcomes, answers, waits that are over, and cancels.

use recover_engine::Outcome::{Happened, Refused};
use recover_engine::{Choice, Ending, Illegal, Outcome, Reason, Verdict};
use recover_steps::kms::KeySeen;

use super::Event;
use super::case::Finding;
use super::class::{Class, class_of};
use super::states::{CANCELLED, Doubting, Looking, Onward, State, Working};
use super::task::Task;
use super::topic::{LOST, LOST_FOR_GOOD, RESTORED, RETRY, Topic};
use super::{Cause, told};

/// The verdict of a refusal: a person's cancel between two attempts is one too.
pub(super) fn verdict(reason: &Reason) -> Verdict {
    if reason.code == Reason::CANCELLED { Verdict::Cancelled } else { Verdict::GivenUp }
}

/// The name of the procedure for it, where that is another one.
pub(super) fn another<C: Cause>(class: &Class) -> Option<&'static str> {
    class.scenario.filter(|name| *name != C::NAME)
}

fn onward<C: Cause>(onward: Onward) -> State {
    match onward {
        Onward::Look(looking) => State::Looking(looking),
        Onward::Found(case, first, others) => {
            let mut tasks = C::plan(&case, &first).unwrap_or_default();
            // Until their turn comes they may have changed: they are looked at again.
            tasks.extend(others.into_iter().map(Task::Again));
            tasks.extend(C::afterwards(&case));
            Working::begin(case, tasks)
        }
        Onward::Other(case, class) => {
            let suggested = another::<C>(&class);
            let (verdict, whose) = match suggested {
                Some(_) => (Verdict::NotApplicable, "nothing was changed: this is another procedure's case"),
                None => (Verdict::GivenUp, "nothing was changed: a person must look"),
            };
            let ending = case.ending(verdict, format!("{}; {whose}", class.why));
            State::Closed(Ending { suggested: suggested.map(Into::into), ..ending })
        }
        Onward::Well(case) => State::Closed(case.ending(
            Verdict::NotApplicable,
            "every layer that this procedure is about is as it must be; nothing was changed",
        )),
    }
}

pub(super) fn begun<C: Cause>(params: super::Params) -> State {
    onward::<C>(Looking::first(params, C::LAYERS))
}

/// Whether this says of a key that nothing recorded tells whether it is the original.
pub(super) const fn unrecorded(event: &Event) -> bool {
    matches!(event, Event::ReadKey(KeySeen::Unrecorded { .. }))
}

fn surveyed<C: Cause>(state: Looking, event: &Event) -> State {
    let state = state.learned(event, C::CHANGES);
    if unrecorded(event) && !state.case().vouched {
        return State::Doubting(state.doubts());
    }
    let finding = Finding { look: state.look().clone(), event: event.clone() };
    let class = class_of(event);
    onward::<C>(if C::plan(state.case(), &finding).is_some() {
        state.mine(finding, class)
    } else {
        match class {
            Some(class) => state.others(class),
            None => state.fine(),
        }
    })
}

pub(super) fn outcome<C: Cause>(state: State, outcome: &Outcome<Event>) -> Result<State, Illegal> {
    let illegal = |state: &State| Illegal::new(super::name(state), outcome);
    match (state, outcome) {
        (State::Looking(s), Happened(event)) if s.look().told_by(event) => Ok(surveyed::<C>(s, event)),
        (State::Looking(s), Refused(r)) => {
            let ending = Ending::new(verdict(r), format!("what is looked at first could not be told: {}", r.text));
            Ok(s.ends(ending))
        }
        (State::Working(s), Happened(event)) => told::happened::<C>(s, event),
        (State::Working(s), Refused(r)) => told::refused(s, r),
        (State::Returning(s), Happened(Event::StartProvider(_))) => Ok(s.went(None)),
        (State::Returning(s), Refused(r)) => Ok(s.went(Some(&r.text))),
        (
            state @ (State::Looking(_) | State::Returning(_) | State::Doubting(_) | State::Closed(_)),
            Happened(_) | Refused(_),
        ) => Err(illegal(&state)),
    }
}

pub(super) fn answered(state: State, choice: &str) -> Result<State, Illegal> {
    match (state, choice) {
        (State::Doubting(s), Choice::APPROVE) => Ok(State::Looking(s.vouched())),
        (State::Doubting(s), Choice::DENY) => Ok(unvouched(s, "nobody says that the key is the original")),
        (State::Working(s), choice) => match s.task().clone() {
            Task::Ask(ask) => match choice {
                Choice::APPROVE | RETRY | RESTORED => Ok(granted(s, ask.topic)),
                LOST => Ok(s.ends(Verdict::GivenUp, LOST_FOR_GOOD, None)),
                Choice::DENY => Ok(s.ends(Verdict::GivenUp, "a person decided against it", None)),
                other => Err(Illegal::new(ask.topic.state(), other)),
            },
            Task::Wait(_)
            | Task::Again(_)
            | Task::Verify(_)
            | Task::Validate(_)
            | Task::Change(_)
            | Task::Note(_)
            | Task::Renew { .. }
            | Task::Serve { .. }
            | Task::Reconnect { .. }
            | Task::Converge { .. }
            | Task::Pair(_)
            | Task::Adopt(..)
            | Task::Guarded { .. }
            | Task::Clean
            | Task::Capture => Err(Illegal::new(super::name(&State::Working(s)), choice)),
        },
        (state @ (State::Looking(_) | State::Doubting(_) | State::Returning(_) | State::Closed(_)), choice) => {
            Err(Illegal::new(super::name(&state), choice))
        }
    }
}

fn unvouched(state: Doubting, why: &str) -> State {
    state.ends(Ending::new(
        Verdict::GivenUp,
        format!("{why}, and nothing recorded does: record a baseline while all is well; nothing was changed"),
    ))
}

fn granted(mut state: Working, topic: Topic) -> State {
    match topic {
        Topic::UnrecordedKey => {
            state.case_mut().vouched = true;
            state.case_mut().release();
        }
        Topic::OldBackups => state.case_mut().acknowledged = true,
        Topic::OpenbaoBack
        | Topic::WayMended
        | Topic::ProfileRestored
        | Topic::MendProfile
        | Topic::InstallAuth
        | Topic::AuthMended
        | Topic::Undelete
        | Topic::KeyReachable
        | Topic::SnapshotRestored
        | Topic::StopRotation
        | Topic::RestoreConfig
        | Topic::ConfigMended
        | Topic::PairBrought
        | Topic::RegistryMended
        | Topic::DiskFreed
        | Topic::ProviderBack
        | Topic::LowerDecryption
        | Topic::MinimumRecorded
        | Topic::ImageBrought
        | Topic::PutBack
        | Topic::FileBrought
        | Topic::SoleApiserver
        | Topic::ObjectsRestored => {}
    }
    state.done()
}

pub(super) fn expired(state: State) -> Result<State, Illegal> {
    match state {
        State::Doubting(s) => Ok(unvouched(s, "nobody said in time that the key is the original")),
        State::Working(s) => match s.task() {
            Task::Wait(_) => Ok(s.done()),
            Task::Ask(_) => Ok(s.ends(Verdict::GivenUp, "nobody answered in time", None)),
            Task::Again(_)
            | Task::Verify(_)
            | Task::Validate(_)
            | Task::Change(_)
            | Task::Note(_)
            | Task::Renew { .. }
            | Task::Serve { .. }
            | Task::Reconnect { .. }
            | Task::Converge { .. }
            | Task::Pair(_)
            | Task::Adopt(..)
            | Task::Guarded { .. }
            | Task::Clean
            | Task::Capture => Err(Illegal::new(super::name(&State::Working(s)), "elapsed")),
        },
        state @ (State::Looking(_) | State::Returning(_) | State::Closed(_)) => {
            Err(Illegal::new(super::name(&state), "elapsed"))
        }
    }
}

pub(super) fn cancelled(state: State) -> Result<State, Illegal> {
    match state {
        State::Looking(s) => Ok(s.ends(Ending::new(Verdict::Cancelled, CANCELLED))),
        State::Doubting(s) => Ok(s.ends(Ending::new(Verdict::Cancelled, CANCELLED))),
        State::Working(s) => Ok(s.ends(Verdict::Cancelled, CANCELLED, None)),
        State::Returning(s) => Ok(s.cancelled()),
        state @ State::Closed(_) => Err(Illegal::new(super::name(&state), "cancel")),
    }
}
