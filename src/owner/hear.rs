//! What is heard of a client, before it comes to a run; and what is said to one whose request cannot be carried out.

use recover_engine::{Json, RunId, Unwilling};

use crate::clock;
use crate::fault::{Code, Fault};
use crate::owner::ask::{Ask, Envelope};
use crate::owner::host::RunHost;
use crate::store;

/// The request, its words without the secrets of its target: a reason is journaled, and people paste what they have at hand.
pub(super) fn without_secrets(envelope: &Envelope) -> Ask {
    let mut ask = envelope.ask.clone();
    let Some(Ok(world)) = envelope.target.as_ref().map(|target| target.world()) else { return ask };
    let clean = |run: Option<&str>, text: &mut String| {
        *text = world.without_secrets(run.and_then(|run| store::parse_run(run).ok()), text);
    };
    match &mut ask {
        Ask::Start(start) => {
            [&mut start.alert, &mut start.ticket, &mut start.despite]
                .into_iter()
                .flatten()
                .for_each(|text| clean(None, text));
            let mut params = start.params.as_str().to_owned();
            clean(None, &mut params);
            // Parameters that a secret was more than a text in are none of the scenario's: it refuses them.
            start.params = Json::parse(params).unwrap_or_else(|_| Json::null());
        }
        Ask::Resume { .. } => {}
        Ask::Answer { run, reason, .. }
        | Ask::Cancel { run, reason }
        | Ask::Resolve { run, reason, .. }
        | Ask::Abandon { run, reason } => clean(Some(run), reason),
        Ask::Dismiss { reason, .. } => clean(None, reason),
        Ask::Baseline(baseline) => clean(None, &mut baseline.reason),
    }
    ask
}

/// What a request brings along for the run that it follows.
pub(super) fn prepare(host: &RunHost, envelope: &Envelope) {
    if envelope.yes && !host.second_person.get() {
        *host.yes.borrow_mut() = Some(envelope.actor.json());
    }
    if let Some(wait) = envelope.wait_ms {
        let until = clock::now().plus(wait);
        host.wait_until.set(host.wait_until.get().max(Some(until)));
    }
}

pub(super) fn held(by: RunId, live: bool, same: bool) -> Fault {
    let how = match (live, same) {
        (true, _) => "which is being executed",
        (false, true) => "which is open",
        (false, false) => "which is open and was begun with other parameters",
    };
    let hint = if live {
        "follow it with --attach".to_owned()
    } else {
        format!("`recover resume {by}` goes on with it; `recover cancel {by}` puts everything back")
    };
    Fault::new(Code::Held, format!("the subject is held by {by}, {how}")).hint(hint)
}

pub(super) fn unwilling(refused: Unwilling) -> Fault {
    let code = match &refused {
        Unwilling::QuestionChanged(_) | Unwilling::NoQuestion => Code::QuestionChanged,
        Unwilling::NoChoice { .. } => Code::NoChoice,
        Unwilling::NotInDoubt(_) => Code::NothingToResolve,
        Unwilling::NeedsData(_) => Code::NeedsData,
        Unwilling::NotNow(_) => Code::NotNow,
    };
    Fault::new(code, refused.to_string())
}
