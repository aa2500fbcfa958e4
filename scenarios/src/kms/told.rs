//! What the outcome of each task means while a layer is mended, and while it is validated.

use recover_engine::{Illegal, Reason, Verdict};
use recover_steps::Instance;
use recover_steps::kms::{
    Adopted, ApiserverSeen, EtcdScanned, KmsCaptured, Node, NodeSeen, PairFound, ProviderAwaited, SnapshotTaken,
};

use super::case::Finding;
use super::change::{Change, Pair};
use super::class::{Class, class_of};
use super::inputs::{another, unrecorded, verdict};
use super::look::Look;
use super::states::{State, Working};
use super::task::{Pause, Task};
use super::topic::{Ask, Topic};
use super::{Cause, Event, plans};
use crate::names;

/// Why is in the records.
const NO_SNAPSHOT: &str = "no raft snapshot of OpenBao as it was found could be taken";

fn can<C: Cause>(step: &str) -> bool {
    C::CHANGES.contains(&step)
}

fn gives_up(state: Working, why: impl Into<String>, suggested: Option<&'static str>) -> State {
    state.ends(Verdict::GivenUp, why, suggested)
}

pub(super) fn happened<C: Cause>(state: Working, event: &Event) -> Result<State, Illegal> {
    Ok(match (state.task().clone(), event) {
        (Task::Again(look), event) if look.told_by(event) => again::<C>(state, look, event),
        (Task::Verify(look), event) if look.told_by(event) => verified::<C>(state, look, event),
        (Task::Validate(look), event) if look.told_by(event) => validated::<C>(state, look, event),
        (Task::Change(change), event) if change.told_by(event) => changed(state, &change, event),
        (Task::Note(node), Event::LookNode(seen)) => noted(state, &node, seen),
        (Task::Renew { node, always }, Event::LookNode(seen)) => renewed(state, node, always, seen),
        (Task::Serve { node, tried }, Event::AwaitProvider(awaited)) => served::<C>(state, node, tried, awaited),
        (Task::Reconnect { node, waited, revived }, Event::LookApiserver(seen)) => {
            reconnects::<C>(state, node, (waited, revived), seen)
        }
        (Task::Converge { waited }, Event::Converge(_)) => converges::<C>(state, waited, event),
        (Task::Pair(node), Event::FindPair(found)) => paired(state, node, found),
        (Task::Adopt(node, _), Event::AwaitReload(adopted)) => adopted_by::<C>(state, node, adopted),
        (Task::Guarded { node, from, sole }, Event::LookNode(seen)) => guarded(state, node, from, sole, seen),
        (Task::Clean, Event::ScanEtcd(scanned)) => scanned_for::<C>(state, scanned),
        (Task::Capture, Event::CaptureKms(KmsCaptured::Captured { .. })) => state.done(),
        (_, event) => return Err(Illegal::new(super::name(&State::Working(state)), event)),
    })
}

/// What is seen after a person's word: as it must be, or this procedure's case anew, or another's.
fn again<C: Cause>(mut state: Working, look: Look, event: &Event) -> State {
    state.case_mut().learn(&look, event, C::CHANGES);
    if unrecorded(event) && !state.case().vouched {
        let ask = Task::Ask(Ask::new(Topic::UnrecordedKey, plans::UNRECORDED));
        return state.instead(vec![ask, Task::Again(Look::Key)]);
    }
    let finding = Finding { look, event: event.clone() };
    if let Some(plan) = C::plan(state.case(), &finding) {
        return state.instead(plan);
    }
    match class_of(event) {
        None => state.done(),
        Some(class) => named::<C>(state, &class),
    }
}

fn verified<C: Cause>(mut state: Working, look: Look, event: &Event) -> State {
    state.case_mut().learn(&look, event, C::CHANGES);
    if unrecorded(event) && !state.case().vouched {
        let ask = Task::Ask(Ask::new(Topic::UnrecordedKey, plans::UNRECORDED));
        return state.instead(vec![ask, Task::Verify(Look::Key)]);
    }
    let finding = Finding { look, event: event.clone() };
    match class_of(event) {
        Some(class) => named::<C>(state, &class),
        None if C::plan(state.case(), &finding).is_some() => {
            gives_up(state, "after the change it is as before; a person must look", None)
        }
        None => state.done(),
    }
}

fn named<C: Cause>(state: Working, class: &Class) -> State {
    let suggested = another::<C>(class);
    let whose = suggested.map_or("a person must look", |_| "this is another procedure's case");
    gives_up(state, format!("{}; {whose}", class.why), suggested)
}

fn validated<C: Cause>(mut state: Working, look: Look, event: &Event) -> State {
    state.case_mut().learn(&look, event, C::CHANGES);
    match class_of(event) {
        Some(class) => named::<C>(state, &class),
        None => state.done(),
    }
}

/// After a rotation each node takes the next version over by itself, some minutes apart.
fn converges<C: Cause>(state: Working, waited: bool, event: &Event) -> State {
    match class_of(event) {
        None => state.done(),
        Some(_) if !waited => state.instead(vec![Task::Wait(Pause::Probe), Task::Converge { waited: true }]),
        Some(class) => named::<C>(state, &class),
    }
}

/// An API server that does not see its KMS yet gets the time to; then one restart, where this procedure has one.
fn reconnects<C: Cause>(state: Working, node: Node, (waited, revived): (bool, bool), seen: &ApiserverSeen) -> State {
    let from = match seen {
        ApiserverSeen::Healthy { .. } => return state.done(),
        ApiserverSeen::KmsUnhealthy { instance, .. } => instance.clone(),
        ApiserverSeen::Down { .. } => None,
    };
    if !waited {
        let look = Task::Reconnect { node, waited: true, revived };
        return state.instead(vec![Task::Wait(Pause::Reconnect), look]);
    }
    if can::<C>("restart-apiserver") && !revived {
        let look = Task::Reconnect { node: node.clone(), waited: false, revived: true };
        return state.instead(vec![Task::Guarded { node, from, sole: false }, look]);
    }
    match class_of(&Event::LookApiserver(seen.clone())) {
        Some(class) => named::<C>(state, &class),
        None => state.done(),
    }
}

fn changed(mut state: Working, change: &Change, event: &Event) -> State {
    if let Event::TakeSnapshot(SnapshotTaken::Impossible { .. }) = event {
        state.case_mut().snapshot = true;
        state.case_mut().say(Some(NO_SNAPSHOT.into()));
        return state.done();
    }
    state.case_mut().made(change);
    state.done()
}

fn noted(mut state: Working, node: &Node, seen: &NodeSeen) -> State {
    match seen {
        NodeSeen::Serving { .. }
        | NodeSeen::NoSocket { .. }
        | NodeSeen::Barred { .. }
        | NodeSeen::Unhealthy { .. }
        | NodeSeen::Degraded { .. }
        | NodeSeen::Disagrees { .. } => state.case_mut().noted(node),
        NodeSeen::Stopped | NodeSeen::Unclear { .. } => {}
    }
    state.done()
}

fn renewed(state: Working, node: Node, always: bool, seen: &NodeSeen) -> State {
    let serve = |tried| Task::Serve { node: node.clone(), tried };
    match seen {
        NodeSeen::Serving { .. } if !always => state.instead(vec![serve(false)]),
        NodeSeen::Serving { instance, .. }
        | NodeSeen::NoSocket { instance, .. }
        | NodeSeen::Barred { instance, .. }
        | NodeSeen::Unhealthy { instance, .. }
        | NodeSeen::Degraded { instance, .. }
        | NodeSeen::Disagrees { instance, .. } => {
            let restart = Change::RestartProvider(node.clone(), instance.clone());
            state.instead(vec![Task::Change(restart), serve(true)])
        }
        NodeSeen::Stopped => state.instead(vec![Task::Change(Change::StartProvider(node.clone())), serve(true)]),
        NodeSeen::Unclear { why } => {
            gives_up(state, format!("whether the provider of {node} runs could not be told: {why}"), None)
        }
    }
}

/// It gets as long as its own probes need before it is started or restarted, and that once.
fn served<C: Cause>(mut state: Working, node: Node, tried: bool, awaited: &ProviderAwaited) -> State {
    let (instance, why) = match awaited {
        // A node that takes a version over later than the others is waited for where all are compared, once all is mended.
        ProviderAwaited::Serving { .. } if C::VERSIONS_COME || state.validating() => return state.done(),
        ProviderAwaited::Serving { hash, .. } => {
            let before = state.case().hash.clone().unwrap_or_else(|| hash.clone());
            if before != *hash {
                let why = format!(
                    "the provider of {node} publishes another key id than those before it ({hash} and {before}); no further node is \
                     touched"
                );
                return gives_up(state, why, another_name::<C>(names::KMS_KEY_ID_MISMATCH));
            }
            state.case_mut().hash = Some(before);
            return state.done();
        }
        ProviderAwaited::NotServing { instance, why } => (instance.clone(), why),
    };
    let change = match instance {
        Some(from) => Change::RestartProvider(node.clone(), from),
        None => Change::StartProvider(node.clone()),
    };
    if !tried && can::<C>(change.name()) {
        return state.instead(vec![Task::Change(change), Task::Serve { node, tried: true }]);
    }
    gives_up(state, format!("the provider of {node} does not serve ({why}); a person must look at its log"), None)
}

fn another_name<C: Cause>(name: &'static str) -> Option<&'static str> {
    (name != C::NAME).then_some(name)
}

fn paired(state: Working, node: Node, found: &PairFound) -> State {
    match found {
        PairFound::Found { source, generation, hash } => {
            let pair = Pair { source: source.clone(), generation: *generation, hash: hash.clone() };
            state.instead(plans::copies(&node, pair))
        }
        PairFound::None { why } => {
            let ask = plans::bring_pair(&node, why);
            state.instead(vec![Task::Ask(ask), Task::Pair(node)])
        }
    }
}

fn adopted_by<C: Cause>(state: Working, node: Node, adopted: &Adopted) -> State {
    match adopted {
        Adopted::Adopted => state.done(),
        Adopted::RestartNeeded { instance } if can::<C>("restart-apiserver") => {
            state.instead(vec![Task::Guarded { node, from: instance.clone(), sole: false }])
        }
        Adopted::RestartNeeded { .. } => gives_up(
            state,
            format!("the API server of {node} must be restarted to take its file over; a person does"),
            None,
        ),
        Adopted::NotAdopted { why } => gives_up(
            state,
            format!(
                "the API server of {node} did not take its file over ({why}); the one before is still in force there"
            ),
            None,
        ),
    }
}

fn guarded(state: Working, node: Node, from: Option<Instance>, sole: bool, seen: &NodeSeen) -> State {
    if let NodeSeen::Serving { .. } = seen {
        return state.instead(vec![Task::Change(Change::RestartApiserver { node, from, sole })]);
    }
    gives_up(
        state,
        format!(
            "the API server of {node} must be restarted, and its KMS does not serve: it is left running, since it still serves \
             what it has in memory"
        ),
        None,
    )
}

fn scanned_for<C: Cause>(mut state: Working, scanned: &EtcdScanned) -> State {
    match scanned {
        EtcdScanned::Encrypted { .. } => {
            state.case_mut().clean = true;
            state.done()
        }
        EtcdScanned::Plaintext { .. } if can::<C>("rewrite-objects") && !state.case().rewritten => {
            state.instead(vec![Task::Change(Change::RewriteObjects), Task::Clean])
        }
        EtcdScanned::Plaintext { plain, .. } => gives_up(
            state,
            format!(
                "{plain} objects are still in plain text after they were written again; identity is left configured"
            ),
            None,
        ),
        EtcdScanned::Foreign { .. } => {
            let class = class_of(&Event::ScanEtcd(scanned.clone()));
            let why = class.as_ref().map_or_else(String::new, |class| class.why.clone());
            gives_up(state, format!("{why}; identity is left configured"), class.and_then(|class| another::<C>(&class)))
        }
    }
}

pub(super) fn refused(mut state: Working, reason: &Reason) -> Result<State, Illegal> {
    let verdict = verdict(reason);
    Ok(match state.task().clone() {
        Task::Change(Change::RestartApiserver { node, from, sole: false }) if reason.code == "sole" => {
            let ask = plans::sole(&node);
            state.instead(vec![Task::Ask(ask), Task::Guarded { node, from, sole: true }])
        }
        // The person who restores another is told.
        Task::Change(Change::TakeSnapshot) if verdict != Verdict::Cancelled => {
            state.case_mut().snapshot = true;
            state.case_mut().say(Some(NO_SNAPSHOT.into()));
            state.done()
        }
        Task::Change(change) => {
            state.case_mut().tried(&change);
            state.ends(verdict, format!("it could not be changed: {}", reason.text), None)
        }
        // It is mended and proven: what is missing is said.
        Task::Capture if verdict != Verdict::Cancelled => recovered_without(state, &reason.text),
        Task::Again(_)
        | Task::Verify(_)
        | Task::Validate(_)
        | Task::Note(_)
        | Task::Renew { .. }
        | Task::Serve { .. }
        | Task::Reconnect { .. }
        | Task::Converge { .. }
        | Task::Pair(_)
        | Task::Adopt(..)
        | Task::Guarded { .. }
        | Task::Clean
        | Task::Capture => state.ends(verdict, format!("it could not be told: {}", reason.text), None),
        Task::Ask(_) | Task::Wait(_) => return Err(Illegal::new(super::name(&State::Working(state)), reason)),
    })
}

fn recovered_without(state: Working, why: &str) -> State {
    match state.done() {
        State::Closed(mut ending) => {
            ending.residue.push(format!("the closing evidence could not be captured: {why}"));
            State::Closed(ending)
        }
        other @ (State::Looking(_) | State::Doubting(_) | State::Working(_) | State::Returning(_)) => other,
    }
}
