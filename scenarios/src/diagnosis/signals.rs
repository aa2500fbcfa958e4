//! Signals: what each observation speaks for and against, in words.

use recover_steps::examined::{
    AgentStatus, Attachment, Found, Handshake, Health, IdentitySeen, Lasting, Look, Observations, Reached, Sameness,
    StorageKind, StorageSeen, WorkloadSeen,
};

use super::alerts;
use super::class::Class::{self, C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13, C14};
use super::fragments::{Hit, Told};
use super::weigh::Evidence;

/// So many refused enrolments are a spike.
pub(super) const SPIKE: u32 = 5;
/// A clock that is so far off explains tokens and certificates that are refused: the table's row C3 wants it mended first.
const SKEW_MS: u64 = 30_000;
/// So many restarts are no accident.
pub(super) const RESTARTS_MANY: u32 = 3;

/// One observation and what it speaks for and against.
#[derive(Debug)]
pub(super) struct Signal {
    pub(super) evidence: Evidence,
    pub(super) supports: &'static [Class],
    pub(super) against: &'static [Class],
    /// Whether the system itself was read, and not what somebody wrote about it.
    pub(super) read: bool,
}

/// What was read, and what could not be.
#[derive(Debug, Default)]
pub(super) struct Signals {
    pub(super) all: Vec<Signal>,
    pub(super) not_read: Vec<Evidence>,
}

/// The classes that speak of a storage of this kind that is not the right one.
pub(super) const fn misplaced(kind: StorageKind) -> (Class, &'static [Class]) {
    match kind {
        StorageKind::Directory => (C10, &[C10]),
        StorageKind::Volume | StorageKind::Anonymous => (C9, &[C9]),
        StorageKind::Claim | StorageKind::EmptyDir => (C11, &[C11]),
    }
}

impl Signals {
    pub(super) fn of(seen: &Observations, told: &Told) -> Self {
        let mut signals = Self::default();
        signals.standing(seen);
        signals.identity(seen);
        signals.storage(seen);
        signals.workload(seen);
        signals.reach(seen);
        signals.refusals(seen);
        signals.log(seen, told);
        signals.alerts(seen);
        signals
    }

    fn add(
        &mut self,
        from: &str,
        text: impl Into<String>,
        supports: &'static [Class],
        against: &'static [Class],
        read: bool,
    ) {
        let evidence = Evidence { text: text.into(), from: from.to_owned() };
        self.all.push(Signal { evidence, supports, against, read });
    }

    /// What was read, or a note that it was not.
    fn read<'a, T>(&mut self, look: &'a Look<T>, what: &str) -> Option<(&'a str, &'a T)> {
        match &look.found {
            Found::Seen(value) => Some((&look.from, value)),
            Found::NotRead(why) => {
                self.not_read.push(Evidence { text: format!("{what}: {why}"), from: look.from.clone() });
                None
            }
        }
    }

    fn standing(&mut self, seen: &Observations) {
        if let Some((from, standing)) = self.read(&seen.standing, "the authority's status") {
            let (text, supports, against): (&str, &[Class], &[Class]) = match standing.status {
                AgentStatus::Online => ("the authority says online", &[], &[C1, C2, C3, C4, C5, C7, C12, C14]),
                AgentStatus::Offline => ("the authority says offline", &[C1, C2, C6, C7, C13], &[C8]),
                AgentStatus::Degraded => ("the authority says degraded", &[C8], &[C1, C2, C3, C4, C5, C12]),
                AgentStatus::NeedsRecovery => {
                    ("the authority says needs recovery", &[C9, C10, C11, C12, C13, C14], &[C1, C7, C8])
                }
                AgentStatus::NeverPaired => ("the authority says never paired", &[C3, C4, C5, C6], &[C7, C8, C12]),
            };
            self.add(from, text, supports, against, true);
            if standing.paired_before {
                let serial = standing.serial.as_deref().unwrap_or("none that it names");
                self.add(
                    from,
                    format!("it paired before; its identity is {serial}"),
                    &[C7, C8, C9, C10, C11, C12, C14],
                    &[C3, C4, C5],
                    true,
                );
            } else {
                self.add(
                    from,
                    "the authority never issued it an identity",
                    &[C3, C4, C5, C6],
                    &[C7, C8, C9, C11, C12, C14],
                    true,
                );
            }
            if let Some(error) = &standing.last_error {
                self.add(from, format!("the newest failure in its audit: {error}"), &[], &[], false);
            }
        }
        if let Some((from, tokens)) = self.read(&seen.tokens, "its tokens") {
            use recover_steps::examined::TokenFate;
            let Some(newest) = tokens.last() else {
                self.add(from, "it has no token", &[], &[], true);
                return;
            };
            let (text, supports, against): (&str, &[Class], &[Class]) = match newest.fate {
                TokenFate::Live => ("its newest token would work", &[], &[C3, C4]),
                TokenFate::Expired => ("its newest token has expired", &[C3], &[C4]),
                TokenFate::Revoked => ("its newest token was revoked", &[C4], &[C3]),
                TokenFate::Consumed if newest.paired => ("its newest token paired it", &[], &[C3, C4, C5]),
                TokenFate::Consumed => ("its newest token was presented, and no identity came of it", &[C5], &[C3, C4]),
            };
            self.add(from, text, supports, against, true);
        }
    }

    fn identity(&mut self, seen: &Observations) {
        let issued = seen.standing.value().and_then(|s| s.serial.as_deref());
        let Some((from, identity)) = self.read(&seen.identity, "the identity on the storage") else { return };
        let (text, supports, against): (String, &[Class], &[Class]) = match identity {
            IdentitySeen::Usable { serial } if issued.is_none_or(|issued| issued == serial) => {
                let text = format!("identity {serial} is there, readable and not expired");
                (text, &[C1, C2, C7, C8], &[C3, C4, C5, C9, C11, C12, C14])
            }
            IdentitySeen::Usable { serial } => (
                format!("identity {serial} is there, which is not the one that the authority issued last"),
                &[C9, C10, C11, C12],
                &[C7, C8],
            ),
            IdentitySeen::Absent => ("no identity is there".to_owned(), &[C9, C10, C11, C12, C14], &[C7, C8]),
            IdentitySeen::Denied { why } => (format!("the identity may not be read: {why}"), &[C10], &[C7, C8]),
            IdentitySeen::Damaged { why } => (format!("what is there is no identity: {why}"), &[C12], &[C7, C8]),
            IdentitySeen::Expired { serial, since } => {
                (format!("identity {serial} has expired ({since})"), &[C12], &[C7, C8])
            }
        };
        self.add(from, text, supports, against, true);
    }

    fn storage(&mut self, seen: &Observations) {
        let Some((from, storage)) = self.read(&seen.storage, "the storage") else { return };
        let StorageSeen { kind, attachment, lasting, on, original, elsewhere } = storage;
        let wrong = misplaced(*kind).1;
        match attachment {
            Attachment::Attached => {}
            Attachment::Missing => self.add(from, format!("the storage is missing: {on}"), wrong, &[C7, C8], true),
            Attachment::Denied => self.add(from, format!("the storage may not be read: {on}"), &[C10], &[C7], true),
        }
        match lasting {
            Lasting::Refuted => self.add(from, format!("the storage does not last: {on}"), wrong, &[], true),
            Lasting::Undecided => {
                self.add(from, format!("whether the storage lasts cannot be told: {on}"), &[], &[], true);
            }
            Lasting::Durable => self.add(from, format!("the storage is durable: {on}"), &[], &[], true),
        }
        match original {
            Sameness::Same => self.add(from, "it is the recorded storage", &[C7, C12], &[C9, C11], true),
            Sameness::Other => self.add(from, "it is not the recorded storage", wrong, &[], true),
            Sameness::Untold => {}
        }
        if let Some(place) = elsewhere {
            self.add(from, format!("the identity that the authority knows is in {place}"), wrong, &[C12], true);
        }
    }

    fn workload(&mut self, seen: &Observations) {
        let Some((from, workload)) = self.read(&seen.workload, "the workload") else { return };
        let (text, supports, against): (String, &[Class], &[Class]) = match workload {
            WorkloadSeen::Running { restarts: Some(0), .. } => {
                ("it runs, and was never restarted".to_owned(), &[C7], &[C1, C13])
            }
            WorkloadSeen::Running { restarts: Some(n), .. } if *n >= RESTARTS_MANY => {
                (format!("it runs, and was restarted {n} times"), &[C13], &[C1])
            }
            WorkloadSeen::Running { .. } => ("it runs".to_owned(), &[C7], &[C1]),
            WorkloadSeen::Stopped => ("it does not run".to_owned(), &[C1], &[C7, C8, C13]),
            WorkloadSeen::Restarting { restarts } => {
                (format!("it ends and is started again: {restarts} restarts"), &[C13], &[C1])
            }
        };
        self.add(from, text, supports, against, true);
    }

    fn reach(&mut self, seen: &Observations) {
        for (look, what) in [(&seen.reach.dns, "the name"), (&seen.reach.tcp, "the connection")] {
            match self.read(look, what) {
                Some((from, Reached::No(why))) => self.add(from, format!("{what}: {why}"), &[C2], &[C6], true),
                Some((from, Reached::Yes(to))) => self.add(from, format!("{what} works: {to}"), &[], &[], true),
                None => {}
            }
        }
        match self.read(&seen.reach.tls, "the handshake") {
            Some((from, Handshake::UnknownIssuer(why))) => {
                self.add(from, format!("the certificate is not trusted: {why}"), &[C6], &[C2], true);
            }
            Some((from, Handshake::Failed(why))) => {
                self.add(from, format!("the handshake fails: {why}"), &[C6], &[], true);
            }
            Some((_, Handshake::Trusted | Handshake::Plain)) | None => {}
        }
        match self.read(&seen.reach.health, "the health of the control plane") {
            Some((from, Health::Well(clock))) => {
                self.add(from, "the control plane is well", &[C7], &[C2], true);
                if let Some(off) = clock.filter(|ms| ms.unsigned_abs() >= SKEW_MS) {
                    self.add(
                        from,
                        format!("the clock here is {} s off its own", off / 1_000),
                        &[C3, C5, C6],
                        &[],
                        true,
                    );
                }
            }
            Some((from, Health::Unwell(why) | Health::Silent(why))) => {
                self.add(from, format!("the control plane is not well: {why}"), &[C2], &[], true);
            }
            None => {}
        }
    }

    fn refusals(&mut self, seen: &Observations) {
        let Some((from, count)) = self.read(&seen.refusals, "refused enrolments") else { return };
        if *count >= SPIKE {
            self.add(from, format!("{count} enrolments were refused lately"), &[C12, C14], &[C8], false);
        }
    }

    fn log(&mut self, seen: &Observations, told: &Told) {
        let Some((from, _)) = self.read(&seen.log, "the log") else { return };
        for (hit, line) in &told.now {
            // Before its first pairing a refused enrolment speaks of the token and of nothing that was lost.
            let first = *hit == Hit::TokenInvalid && seen.standing.value().is_some_and(|s| !s.paired_before);
            let (supports, against): (&[Class], &[Class]) =
                if first { (&[C3, C4, C5], &[]) } else { (hit.supports(), hit.against()) };
            self.add(from, line.as_str(), supports, against, false);
        }
        for (_, line) in &told.strangers {
            self.add(from, format!("of another connector, so not counted: {line}"), &[], &[], false);
        }
    }

    fn alerts(&mut self, seen: &Observations) {
        for alert in &seen.alerts {
            let (supports, says): (&[Class], &str) = match alerts::alert(&alert.name) {
                Some(known) => (
                    match known.presumes {
                        C14 => &[C14, C12],
                        C7 => &[C7, C2],
                        C13 => &[C13],
                        C1 | C2 | C3 | C4 | C5 | C6 | C8 | C9 | C10 | C11 | C12 => &[],
                    },
                    known.says,
                ),
                None => (&[], "not in the runbook"),
            };
            self.add(&alert.from, format!("alert {}: {says}", alert.name), supports, &[], false);
        }
    }
}
