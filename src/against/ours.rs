//! What a run's records say was done to the enrolment: minted, paired, revoked; and what was attempted.

use recover_engine::{Effect as _, Entry, Json, Kind, Millis, Record, Redo};
use recover_steps::{Mint, Minted, Pair, Paired, RevokeOrphan, RevokeStale, Revoked};

use super::theirs::{Deed, Effect};
use super::{Recorded, near};

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Happened,
    Refused,
    Open,
}

/// A step that was begun.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) seq: u32,
    pub(super) step: String,
    body: Json,
    /// Whether it is there to change something.
    changes: bool,
    pub(super) from: Millis,
    /// When its outcome was journaled; where there is none, the end of what is known.
    pub(super) until: Millis,
    pub(super) came: Came,
    event: Option<Json>,
}

/// A run's own account.
#[derive(Debug)]
pub(super) struct Ours {
    pub(super) from: Millis,
    pub(super) until: Millis,
    run: String,
    attempts: Vec<Attempt>,
}

impl Ours {
    /// A run of one step that changes something.
    #[cfg(test)]
    pub(super) fn with(within: (i64, i64), step: &str, at: (i64, i64), came: Came) -> Self {
        let attempt = Attempt {
            seq: 2,
            step: step.to_owned(),
            body: Json::null(),
            changes: true,
            from: Millis(at.0),
            until: Millis(at.1),
            came,
            event: None,
        };
        Self { from: Millis(within.0), until: Millis(within.1), run: String::new(), attempts: vec![attempt] }
    }

    pub(super) fn of(entries: &[Entry]) -> Self {
        // Of a run that is open nobody knows when it will have ended.
        let closed = entries.last().filter(|last| last.header().kind == Kind::Closed);
        let mut ours = Self {
            from: entries.first().map_or(Millis(0), |first| first.header().at),
            until: closed.map_or(Millis(i64::MAX), |last| last.header().at),
            run: entries.first().map(|entry| entry.header().run.to_string()).unwrap_or_default(),
            attempts: Vec::new(),
        };
        let until = ours.until;
        for entry in entries {
            let header = entry.header();
            match Record::parse(header.kind, entry.payload()) {
                Ok(Record::Intent(intent)) => ours.attempts.push(Attempt {
                    seq: header.seq,
                    step: intent.step,
                    body: intent.body,
                    changes: intent.redo != Redo::Pure,
                    from: header.at,
                    until,
                    came: Came::Open,
                    event: None,
                }),
                Ok(Record::Outcome(outcome)) if !outcome.label.starts_with("wait:") => {
                    ours.ended(&outcome.label, header.at, outcome.event);
                }
                Ok(Record::Resolved(resolved)) => ours.ended(&resolved.label, header.at, resolved.event),
                Ok(_) | Err(_) => {}
            }
        }
        ours
    }

    /// The outcome of the step that is under way, if it is one's.
    fn ended(&mut self, label: &str, at: Millis, event: Option<Json>) {
        let Some(last) = self.attempts.last_mut().filter(|last| last.came == Came::Open) else { return };
        if label.split_once(':').is_some_and(|(step, _)| step == last.step) {
            last.until = at;
            last.came = if event.is_some() { Came::Happened } else { Came::Refused };
            last.event = event;
        }
    }

    /// The steps that are there to change something.
    pub(super) fn changing(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(|attempt| attempt.changes)
    }

    fn of_step<'a>(&'a self, step: &'a str) -> impl Iterator<Item = &'a Attempt> {
        self.attempts.iter().filter(move |attempt| attempt.step == step)
    }

    /// The tokens that the run says it minted: attempt, accessor.
    fn minted(&self) -> impl Iterator<Item = (&Attempt, String)> {
        self.of_step(Mint::NAME).filter_map(|attempt| match attempt.event.as_ref()?.to::<Minted>().ok()? {
            Minted::Minted { token } => Some((attempt, token.accessor)),
        })
    }

    /// The identities that the run says it paired: attempt, serial.
    fn paired(&self) -> impl Iterator<Item = (&Attempt, String)> {
        self.of_step(Pair::NAME).filter_map(|attempt| match attempt.event.as_ref()?.to::<Paired>().ok()? {
            Paired::Paired { serial, .. } => Some((attempt, serial)),
        })
    }

    /// The steps that revoke, with how many tokens they say worked until then.
    fn revoked(&self) -> impl Iterator<Item = (&Attempt, u32)> {
        self.of_step(RevokeStale::NAME).chain(self.of_step(RevokeOrphan::NAME)).filter_map(|attempt| {
            match attempt.event.as_ref()?.to::<Revoked>().ok()? {
                Revoked::Revoked { live } => Some((attempt, live)),
            }
        })
    }

    pub(super) fn recorded(&self, effect: &Effect) -> Recorded<'_> {
        let named = |name: &Option<String>, known: &str| name.as_deref() == Some(known);
        let during = |attempt: &&Attempt| near(effect.at, attempt.from, attempt.until);
        let attempt = |found: Option<_>| found.map_or(Recorded::Nowhere, Recorded::Attempt);
        match effect.deed {
            Deed::Minted if self.minted().any(|(_, accessor)| named(&effect.accessor, &accessor)) => Recorded::As,
            // The label names the run; where the other side tells none, only the time does. What ended well has its own token.
            Deed::Minted => match &effect.label {
                Some(label) if !label.contains(&self.run) => Recorded::Nowhere,
                Some(_) | None => {
                    attempt(self.of_step(Mint::NAME).filter(|mint| mint.came != Came::Happened).find(during))
                }
            },
            Deed::Paired if self.paired().any(|(_, serial)| named(&effect.serial, &serial)) => Recorded::As,
            Deed::Paired | Deed::PairRefused => attempt(self.of_step(Pair::NAME).filter(during).find(|pair| {
                let token = pair.body.to::<Pair>().ok().map(|pair| pair.token.accessor);
                token.is_some_and(|token| named(&effect.accessor, &token))
            })),
            Deed::Revoked => {
                let revoking = |attempt: &&Attempt| {
                    [RevokeStale::NAME, RevokeOrphan::NAME].contains(&attempt.step.as_str())
                        || (attempt.came != Came::Happened && [Mint::NAME, Pair::NAME].contains(&attempt.step.as_str()))
                };
                match self.attempts.iter().filter(revoking).find(during) {
                    Some(found) if found.came == Came::Open => Recorded::Attempt(found),
                    Some(_) => Recorded::As,
                    None => Recorded::Nowhere,
                }
            }
        }
    }

    /// Outcomes whose effect the other side does not have.
    pub(super) fn without(&self, effects: &[&Effect]) -> Vec<String> {
        let of = |deed: Deed| effects.iter().filter(move |effect| effect.deed == deed);
        let mut missing = Vec::new();
        for (attempt, accessor) in self.minted() {
            if !of(Deed::Minted).any(|effect| effect.accessor.as_deref() == Some(&accessor)) {
                missing.push(format!("record {}: token {accessor} was minted", attempt.seq));
            }
        }
        for (attempt, serial) in self.paired() {
            if !of(Deed::Paired).any(|effect| effect.serial.as_deref() == Some(&serial)) {
                missing.push(format!("record {}: identity {serial} was paired", attempt.seq));
            }
        }
        for (attempt, live) in self.revoked().filter(|(_, live)| *live > 0) {
            if !of(Deed::Revoked).any(|effect| near(effect.at, attempt.from, attempt.until)) {
                missing.push(format!("record {}: {live} tokens were revoked", attempt.seq));
            }
        }
        missing
    }
}
