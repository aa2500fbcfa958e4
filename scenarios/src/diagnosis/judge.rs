//! The runbook's branches, in the order in which one hides the next: a loop, the network, the storage, the identity, the rest.

use recover_steps::examined::{
    AgentStatus, Attachment, Handshake, Health, IdentitySeen, Lasting, Observations, Reached, Sameness, StorageSeen,
    WorkloadSeen,
};

use super::alerts;
use super::class::Class::{self, C1, C2, C6, C7, C8, C9, C10, C11, C12, C13, C14};
use super::fragments::{Hit, Told};
use super::never_paired::never_paired;
use super::signals::{RESTARTS_MANY, SPIKE, misplaced};
use super::weigh::{Finding, Sureness};

/// A branch's word, before what speaks against it is counted.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) finding: Finding,
    pub(super) base: Sureness,
    pub(super) also: Vec<Class>,
    pub(super) why: String,
}

impl Verdict {
    pub(super) fn of(class: Class, base: Sureness, also: &[Class], why: impl Into<String>) -> Self {
        Self { finding: Finding::Failure(class), base, also: also.to_vec(), why: why.into() }
    }

    fn none(finding: Finding, base: Sureness, also: &[Class], why: impl Into<String>) -> Self {
        Self { finding, base, also: also.to_vec(), why: why.into() }
    }
}

/// What it may be where the identity is not usable, by the kind of the storage.
fn lost_ways(seen: &Observations) -> Vec<Class> {
    match seen.storage.value() {
        Some(storage) => vec![misplaced(storage.kind).0, C10, C12],
        None => vec![C9, C10, C11, C12],
    }
}

/// Whether it ever paired: by the authority's word, by an identity that it has, or by its own log.
pub(super) fn paired(seen: &Observations, told: &Told) -> Option<bool> {
    if let Some(standing) = seen.standing.value() {
        return Some(standing.paired_before || standing.serial.is_some());
    }
    let has = matches!(seen.identity.value(), Some(IdentitySeen::Usable { .. } | IdentitySeen::Expired { .. }));
    let connected = told.now.iter().chain(&told.before).any(|(hit, _)| *hit == Hit::Connected);
    let ran = told.paired || connected;
    (has || ran).then_some(true)
}

/// What the identity is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    Usable,
    Foreign,
    Absent,
    Denied,
    Damaged,
    Expired,
    Unread,
}

fn worth(seen: &Observations) -> Worth {
    let issued = seen.standing.value().and_then(|s| s.serial.as_deref());
    match seen.identity.value() {
        None => Worth::Unread,
        Some(IdentitySeen::Usable { serial }) if issued.is_none_or(|issued| issued == serial) => Worth::Usable,
        Some(IdentitySeen::Usable { .. }) => Worth::Foreign,
        Some(IdentitySeen::Absent) => Worth::Absent,
        Some(IdentitySeen::Denied { .. }) => Worth::Denied,
        Some(IdentitySeen::Damaged { .. }) => Worth::Damaged,
        Some(IdentitySeen::Expired { .. }) => Worth::Expired,
    }
}

/// Whether an alert of this presumption is active.
fn alerted(seen: &Observations, presumption: Class) -> bool {
    seen.alerts.iter().filter_map(|a| alerts::alert(&a.name)).any(|a| a.presumes == presumption)
}

/// Chooses a branch.
pub(super) fn judge(seen: &Observations, told: &Told) -> Verdict {
    let worth = worth(seen);
    let status = seen.standing.value().map(|s| s.status);
    if let Some(verdict) = looping(seen, told, worth) {
        return verdict;
    }
    if status == Some(AgentStatus::Online) {
        return online(seen, worth);
    }
    if let Some(verdict) = unreachable(seen, worth) {
        return verdict;
    }
    match paired(seen, told) {
        Some(false) => never_paired(seen, told),
        Some(true) => misplaced_storage(seen, worth).unwrap_or_else(|| paired_before(seen, told, worth, status)),
        None => misplaced_storage(seen, worth).unwrap_or_else(|| unknown(seen, told, worth)),
    }
}

/// C13. It hides every other class: whatever is wrong, the loop is ended first.
fn looping(seen: &Observations, told: &Told, worth: Worth) -> Option<Verdict> {
    let mut cause = if worth == Worth::Usable { vec![C10] } else { lost_ways(seen) };
    cause.push(C6);
    if let Some(WorkloadSeen::Restarting { restarts }) = seen.workload.value() {
        // Once or twice may be an accident.
        let sure = if *restarts >= RESTARTS_MANY { Sureness::Certain } else { Sureness::Likely };
        return Some(Verdict::of(C13, sure, &cause, "whoever runs it says that it ends and is started again"));
    }
    let said = alerted(seen, C13) || told.has(Hit::CrashLoop);
    match seen.workload.value() {
        // It was seen to stand still; the loop is over, or it is another's.
        Some(WorkloadSeen::Stopped) => None,
        Some(WorkloadSeen::Running { .. })
            if said && seen.standing.value().is_some_and(|s| s.status == AgentStatus::Online) =>
        {
            None
        }
        Some(WorkloadSeen::Running { .. } | WorkloadSeen::Restarting { .. }) | None => {
            said.then(|| Verdict::of(C13, Sureness::Likely, &cause, "a crash loop is reported; it was not seen itself"))
        }
    }
}

fn online(seen: &Observations, worth: Worth) -> Verdict {
    let stopped = matches!(seen.workload.value(), Some(WorkloadSeen::Stopped));
    let (finding, base) = (Finding::Undetermined, Sureness::Unsure);
    match worth {
        Worth::Usable if stopped => {
            Verdict::none(finding, base, &[C1], "it is said to be online, and it does not run: is this its host?")
        }
        Worth::Usable => {
            let sure = if seen.workload.value().is_some() { Sureness::Certain } else { Sureness::Likely };
            Verdict::none(Finding::Healthy, sure, &[], "it is online with the identity that is on its storage")
        }
        Worth::Unread => {
            Verdict::none(Finding::Healthy, Sureness::Likely, &[], "it is online; its identity was not read")
        }
        Worth::Foreign | Worth::Absent | Worth::Denied | Worth::Damaged | Worth::Expired => Verdict::none(
            finding,
            base,
            &lost_ways(seen),
            "it is said to be online, and the identity is not usable where it should be: is this its storage?",
        ),
    }
}

/// C2 and C6, where this program itself could not get through.
fn unreachable(seen: &Observations, worth: Worth) -> Option<Verdict> {
    let reach = &seen.reach;
    // Whatever else is wrong cannot be mended before, and must not be forgotten.
    let also = match worth {
        Worth::Usable => Vec::new(),
        Worth::Unread => vec![C12, C14],
        Worth::Foreign | Worth::Absent | Worth::Denied | Worth::Damaged | Worth::Expired => lost_ways(seen),
    };
    let also = also.as_slice();
    let sure = if worth == Worth::Usable { Sureness::Certain } else { Sureness::Likely };
    match (reach.dns.value(), reach.tcp.value()) {
        (Some(Reached::No(_)), _) => {
            return Some(Verdict::of(C2, sure, also, "the control plane's name has no address here"));
        }
        (_, Some(Reached::No(_))) => {
            return Some(Verdict::of(C2, sure, also, "no connection to the control plane can be made from here"));
        }
        (Some(Reached::Yes(_)) | None, Some(Reached::Yes(_)) | None) => {}
    }
    match reach.tls.value() {
        Some(Handshake::UnknownIssuer(_)) => {
            return Some(Verdict::of(
                C6,
                Sureness::Certain,
                also,
                "nobody who is trusted here issued the control plane's certificate",
            ));
        }
        Some(Handshake::Failed(_)) => {
            return Some(Verdict::of(
                C6,
                Sureness::Unsure,
                &[C2],
                "the handshake fails, and not because of the issuer: look at the name, the time and what stands between",
            ));
        }
        Some(Handshake::Trusted | Handshake::Plain) | None => {}
    }
    match reach.health.value() {
        // What it answers beside a status that it gave is no outage.
        Some(Health::Unwell(_) | Health::Silent(_)) if seen.standing.value().is_none() => Some(Verdict::of(
            C2,
            Sureness::Likely,
            also,
            "the control plane can be reached and does not answer as it should",
        )),
        Some(Health::Unwell(_) | Health::Silent(_) | Health::Well(_)) | None => None,
    }
}

/// C9 to C11: the storage itself says that it is not the right one. An identity that is usable disproves it.
fn misplaced_storage(seen: &Observations, worth: Worth) -> Option<Verdict> {
    if worth == Worth::Usable {
        return None;
    }
    let StorageSeen { kind, attachment, lasting, original, elsewhere, .. } = seen.storage.value()?;
    let (class, _) = misplaced(*kind);
    if let Some(place) = elsewhere {
        let why = format!("the identity that the authority knows is in {place}, and not where the workload looks");
        return Some(Verdict::of(class, Sureness::Certain, &[], why));
    }
    match attachment {
        Attachment::Missing => {
            return Some(Verdict::of(
                class,
                Sureness::Certain,
                &[C12],
                "the storage that the workload is told of is not there",
            ));
        }
        Attachment::Denied => {
            return Some(Verdict::of(C10, Sureness::Certain, &[C12], "the storage is there and may not be read"));
        }
        Attachment::Attached => {}
    }
    // What is on a claim is not looked at here; then the authority's word stands for it, and it is one reading less.
    let said = seen.standing.value().is_some_and(|standing| standing.status == AgentStatus::NeedsRecovery);
    let missed = worth == Worth::Unread && said;
    if *original == Sameness::Other && (worth != Worth::Unread || missed) {
        let sure = if missed { Sureness::Likely } else { Sureness::Certain };
        return Some(Verdict::of(class, sure, &[C12], "what is mounted is not the recorded storage"));
    }
    if worth == Worth::Denied {
        return Some(Verdict::of(C10, Sureness::Certain, &[], "the identity is there and may not be read"));
    }
    if *lasting == Lasting::Refuted && (worth == Worth::Absent || missed) {
        return Some(Verdict::of(
            class,
            Sureness::Likely,
            &[C12],
            "the workload keeps its identity where nothing lasts",
        ));
    }
    None
}

fn paired_before(seen: &Observations, told: &Told, worth: Worth, status: Option<AgentStatus>) -> Verdict {
    match worth {
        Worth::Usable => intact(seen, told, status),
        Worth::Absent => lost(seen, told, status, "it paired before, and no identity is on its storage"),
        Worth::Foreign => lost(seen, told, status, "the identity on its storage is not the one that was issued last"),
        Worth::Expired => Verdict::of(C12, Sureness::Likely, &[C10], "the identity on its storage has expired"),
        Worth::Denied => Verdict::of(C10, Sureness::Certain, &[], "the identity is there and may not be read"),
        // It may be half of what was written: whether it is gone is a person's word.
        Worth::Damaged => {
            Verdict::of(C12, Sureness::Unsure, &[C10], "what is on its storage is no identity; is it gone?")
        }
        Worth::Unread => unread(seen, told, status),
    }
}

/// C1, C6, C7, C8: the identity is usable, so nothing is ever enrolled again.
fn intact(seen: &Observations, told: &Told, status: Option<AgentStatus>) -> Verdict {
    if matches!(seen.workload.value(), Some(WorkloadSeen::Stopped)) {
        return Verdict::of(C1, Sureness::Certain, &[], "it does not run, and its identity is intact");
    }
    if status == Some(AgentStatus::Degraded) {
        return Verdict::of(C8, Sureness::Certain, &[], "it is connected, and the authority says degraded");
    }
    if told.has(Hit::UnknownCa) {
        return Verdict::of(C6, Sureness::Likely, &[C7], "its log says that it does not trust the control plane");
    }
    if told.has(Hit::Denied) {
        return Verdict::of(
            C10,
            Sureness::Likely,
            &[C7],
            "its log says that it may not use its data, which can be read here",
        );
    }
    let healthy = matches!(seen.reach.health.value(), Some(Health::Well(_)));
    let runs = seen.workload.value().is_some();
    if told.has(Hit::IdentityRefused) {
        let why = "its identity is on its storage, and the authority refuses it";
        return Verdict::of(C7, Sureness::Unsure, &[C12], why);
    }
    match status {
        Some(AgentStatus::NeedsRecovery) => Verdict::of(
            C7,
            Sureness::Unsure,
            &[C10, C12],
            "the authority says needs recovery, and the identity that it knows is usable: a restart may be all it takes",
        ),
        Some(_) if told.has(Hit::TokenInvalid) => Verdict::of(
            C7,
            Sureness::Unsure,
            &[C10, C12],
            "it asked to be enrolled although its identity is usable: does it look where the identity is?",
        ),
        Some(_) => {
            let sure = if healthy && runs { Sureness::Certain } else { Sureness::Likely };
            Verdict::of(C7, sure, &[], "the identity is intact, the control plane answers, and it is not online")
        }
        None if told.has(Hit::Heartbeat) || told.has(Hit::Timeout) || told.has(Hit::Refused) || alerted(seen, C7) => {
            Verdict::of(C7, Sureness::Likely, &[C2], "the identity is intact, and the connection is reported lost")
        }
        None => Verdict::none(
            Finding::Undetermined,
            Sureness::Unsure,
            &[C7, C8],
            "the identity is intact; whether it is online could not be read",
        ),
    }
}

/// C12: row and runbook want the authority's word, or a refused enrolment, beside the absence.
fn lost(seen: &Observations, told: &Told, status: Option<AgentStatus>, why: &str) -> Verdict {
    let said =
        status == Some(AgentStatus::NeedsRecovery) || told.has(Hit::TokenInvalid) || told.has(Hit::RecoveryStarted);
    if status == Some(AgentStatus::Degraded) {
        return Verdict::of(
            C12,
            Sureness::Unsure,
            &[C8, C10],
            format!("{why}; but it is connected: is this its storage?"),
        );
    }
    let gone = matches!(seen.storage.value(), Some(storage) if storage.attachment == Attachment::Attached);
    let known = status.is_some();
    let sure = if said && gone && known { Sureness::Certain } else { Sureness::Likely };
    let also = if sure == Sureness::Certain { Vec::new() } else { lost_ways(seen) };
    Verdict::of(C12, sure, &also, why)
}

/// The identity would decide and was not read.
fn unread(seen: &Observations, told: &Told, status: Option<AgentStatus>) -> Verdict {
    if alerted(seen, C14) {
        return Verdict::of(
            C14,
            Sureness::Unsure,
            &[C7, C10, C12],
            "presumed lost until a usable identity disproves it",
        );
    }
    match status {
        Some(AgentStatus::NeedsRecovery) => {
            Verdict::of(C12, Sureness::Unsure, &[C7, C9, C10, C11], "needs recovery; its identity could not be read")
        }
        Some(AgentStatus::Degraded) => {
            Verdict::of(C8, Sureness::Likely, &[], "it is connected, and the authority says degraded")
        }
        _ if told.has(Hit::TokenInvalid) => Verdict::of(
            C12,
            Sureness::Unsure,
            &[C9, C10, C11],
            "it paired before and asks to be enrolled; its identity could not be read",
        ),
        Some(AgentStatus::Online | AgentStatus::Offline | AgentStatus::NeverPaired) => offline(),
        None => hint(seen, told).unwrap_or_else(offline),
    }
}

fn offline() -> Verdict {
    Verdict::of(C7, Sureness::Unsure, &[C1, C12], "it is not online; its identity could not be read")
}

/// What its log and its standing still hint at, where neither the authority nor its identity was read.
fn hint(seen: &Observations, told: &Told) -> Option<Verdict> {
    if told.has(Hit::UnknownCa) {
        return Some(Verdict::of(C6, Sureness::Likely, &[], "its log says that it does not trust the control plane"));
    }
    if told.has(Hit::Denied) {
        return Some(Verdict::of(C10, Sureness::Likely, &[C12], "its log says that it may not use its data"));
    }
    if matches!(seen.workload.value(), Some(WorkloadSeen::Stopped)) {
        let why = "it does not run; its identity and the authority were not read";
        return Some(Verdict::of(C1, Sureness::Likely, &[C12], why));
    }
    (told.has(Hit::Refused) || told.has(Hit::NoName))
        .then(|| Verdict::of(C2, Sureness::Likely, &[C7], "its log says that it cannot reach the control plane"))
}

/// The authority said nothing, and nothing else says whether it ever paired.
fn unknown(seen: &Observations, told: &Told, worth: Worth) -> Verdict {
    use Class::{C3, C4, C5};
    let spike = seen.refusals.value().is_some_and(|n| *n >= SPIKE);
    if alerted(seen, C14) {
        let absent = worth == Worth::Absent;
        let sure = if absent { Sureness::Likely } else { Sureness::Unsure };
        return Verdict::of(C14, sure, &[C12, C10], "presumed lost until a usable identity disproves it");
    }
    for (hit, class) in [(Hit::TokenRevoked, C4), (Hit::TokenExpired, C3), (Hit::Csr, C5)] {
        if told.has(hit) {
            let why = "its log says so; whether it ever paired could not be read";
            return Verdict::of(class, Sureness::Unsure, &[C12], why);
        }
    }
    if told.has(Hit::TokenInvalid) || told.has(Hit::RecoveryStarted) || spike {
        return Verdict::of(
            C12,
            Sureness::Unsure,
            &[C3, C4, C5],
            "enrolments are refused; whether it ever paired could not be read",
        );
    }
    if let Some(verdict) = hint(seen, told) {
        return verdict;
    }
    if told.has(Hit::Heartbeat) || told.has(Hit::Timeout) || alerted(seen, C7) {
        return Verdict::of(C7, Sureness::Unsure, &[C2, C12], "heartbeats are missing; its identity was not read");
    }
    Verdict::none(Finding::Undetermined, Sureness::Unsure, &[], "nothing that could be read tells what is wrong")
}
