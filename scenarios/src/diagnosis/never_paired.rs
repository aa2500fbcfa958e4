//! The branch of a connector that never paired: C3 to C6, told by its newest token and by its log.

use recover_steps::examined::{IdentitySeen, Observations, TokenFate, WorkloadSeen};

use super::class::Class::{C1, C2, C3, C4, C5, C6, C10};
use super::fragments::{Hit, Told};
use super::judge::Verdict;
use super::weigh::Finding;
use super::weigh::Sureness::{Certain, Likely, Unsure};

/// Two readings make one certain: what the authority says of the token, and what the log says of it.
pub(super) fn never_paired(seen: &Observations, told: &Told) -> Verdict {
    let held = matches!(seen.identity.value(), Some(IdentitySeen::Usable { .. } | IdentitySeen::Expired { .. }));
    if held {
        return Verdict::of(C10, Unsure, &[], "an identity is on its storage, and the authority never issued it one");
    }
    if told.has(Hit::UnknownCa) {
        return Verdict::of(C6, Likely, &[C3, C4], "its log says that it does not trust the control plane");
    }
    let newest = seen.tokens.value().and_then(|tokens| tokens.last());
    let (expired, revoked, csr) = (told.has(Hit::TokenExpired), told.has(Hit::TokenRevoked), told.has(Hit::Csr));
    let both = |said: bool| if said { Certain } else { Likely };
    match newest.map(|token| token.fate) {
        Some(TokenFate::Expired) if csr => {
            Verdict::of(C5, Unsure, &[C3], "its request was refused, and its token has expired")
        }
        Some(TokenFate::Expired) => {
            Verdict::of(C3, both(expired), &[], "it never paired, and its newest token has expired")
        }
        Some(TokenFate::Revoked) => {
            Verdict::of(C4, both(revoked), &[], "it never paired, and its newest token was revoked")
        }
        Some(TokenFate::Consumed) => Verdict::of(
            C5,
            both(csr),
            if csr { &[] } else { &[C3] },
            "its token was presented, and no identity came of it",
        ),
        // The authority would take it, and the log says otherwise: an older token, or a clock that is wrong.
        Some(TokenFate::Live) if expired => Verdict::of(
            C3,
            Unsure,
            &[C5],
            "its log says expired, its newest token is live: an older one, or the clock?",
        ),
        Some(TokenFate::Live) if revoked => {
            Verdict::of(C4, Unsure, &[C3], "its log says revoked, its newest token is live: does it have an older one?")
        }
        Some(TokenFate::Live) if csr => Verdict::of(C5, Likely, &[], "its log says that its request was refused"),
        Some(TokenFate::Live) => waiting(seen, told),
        None if revoked => Verdict::of(C4, Likely, &[], "its log says that its token was revoked"),
        None if expired => Verdict::of(C3, Likely, &[], "its log says that its token has expired"),
        None if csr => Verdict::of(C5, Likely, &[], "its log says that its request was refused"),
        None if told.has(Hit::TokenInvalid) => {
            Verdict::of(C3, Unsure, &[C4, C5], "its enrolment is refused; what became of its token could not be read")
        }
        None => waiting(seen, told),
    }
}

/// Nothing is wrong with its token.
fn waiting(seen: &Observations, told: &Told) -> Verdict {
    if matches!(seen.workload.value(), Some(WorkloadSeen::Stopped)) {
        return Verdict::of(C1, Likely, &[C3], "it never paired, and it does not run");
    }
    if told.has(Hit::Refused) || told.has(Hit::NoName) || told.has(Hit::Timeout) {
        return Verdict::of(C2, Likely, &[C3], "its log says that it cannot reach the control plane");
    }
    if told.has(Hit::Denied) {
        return Verdict::of(C10, Likely, &[], "its log says that it may not use its data");
    }
    Verdict {
        finding: Finding::Undetermined,
        base: Unsure,
        also: vec![C3, C4, C5],
        why: "it never paired, and nothing that was read says why".to_owned(),
    }
}
