//! An outside that never lies and keeps its own ledger: replies are lost, effects arrive late, and nothing is deduplicated.

use std::collections::HashMap;

use recover_engine::{Act, FenceRaised, Json, Key, Outcome, Performed, Probed, Reason, Redo, RunId, Seen, Told};

use crate::Choices;

/// What became of an effect whose reply was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Applied(Told),
    /// On its way: it may still be applied, until the fence is up.
    Late(Told),
    Lost,
}

/// The outside, as it really is.
#[derive(Debug)]
pub struct Outside {
    /// The serial of the identity issued last: the name of the present loss.
    serial: u32,
    /// Pairings applied, by the loss they were for.
    pairings: HashMap<String, u32>,
    /// A minted token works.
    token: bool,
    minted: u32,
    /// By run too: a token's label names the run, and two pairings of two runs are told apart by `pairings`.
    fates: HashMap<(RunId, Key), Fate>,
    /// The last pairing tried for each loss.
    tried: HashMap<String, (RunId, Key)>,
}

impl Default for Outside {
    fn default() -> Self {
        Self {
            serial: 1,
            pairings: HashMap::new(),
            token: false,
            minted: 0,
            fates: HashMap::new(),
            tried: HashMap::new(),
        }
    }
}

fn guarded(act: &Act) -> bool {
    matches!(act.doing.redoing.redo, Redo::OnlyIfAbsent | Redo::AtMostOnce)
}

impl Outside {
    /// Applies an effect, or not, and says so, or not.
    ///
    /// Panics if an effect that may have been applied is applied again.
    pub fn perform(&mut self, act: &Act, endings: &[Outcome<Told>], choices: &mut Choices<'_>, now: i64) -> Performed {
        if guarded(act) {
            let fate = self.fates.get(&(act.run, act.key));
            assert!(fate.is_none(), "{} is repeated and was {fate:?}", act.doing.step);
        }
        if act.doing.step == "pair" {
            // Whatever run it belongs to: the one before was applied, is still on its way, or is known to be lost.
            let before = self.tried.insert(act.epoch.clone().unwrap_or_default(), (act.run, act.key));
            let fate = before.and_then(|before| self.fates.get(&before));
            assert!(!matches!(fate, Some(Fate::Applied(_) | Fate::Late(_))), "pairing again; before it was {fate:?}");
        }
        let Some(ending) = endings.get(choices.one_of(endings.len().max(1))) else {
            return Performed::Unknown { why: "nothing can come of it".into() };
        };
        match (ending, choices.byte() % 8) {
            (_, 5) => Performed::Retry { why: "busy".into(), after_ms: None },
            (_, 6) if !guarded(act) => Performed::Unknown { why: "no reply".into() },
            // Only a probe behind a fence may call an effect absent; here it is a request that was lost.
            (Outcome::Refused(reason), byte) if guarded(act) && (byte > 5 || reason.code == Reason::ABSENT) => {
                self.fates.insert((act.run, act.key), Fate::Lost);
                Performed::Unknown { why: reason.text.clone() }
            }
            (Outcome::Happened(told), 6) => {
                let told = self.apply(act, told, now);
                self.fates.insert((act.run, act.key), Fate::Applied(told));
                Performed::Unknown { why: "the reply was lost".into() }
            }
            (Outcome::Happened(told), 7) if guarded(act) && act.doing.redoing.fence.is_some() => {
                self.fates.insert((act.run, act.key), Fate::Late(told.clone()));
                Performed::Unknown { why: "it is on its way".into() }
            }
            (Outcome::Refused(reason), _) => Performed::Refused(reason.clone()),
            (Outcome::Happened(told), _) => {
                let told = self.apply(act, told, now);
                if guarded(act) {
                    self.fates.insert((act.run, act.key), Fate::Applied(told.clone()));
                }
                Performed::Happened(Seen::plain(told))
            }
        }
    }

    /// What is late arrives now, or never.
    fn arrive(&mut self, act: &Act, choices: &mut Choices<'_>, now: i64) {
        let Some(Fate::Late(told)) = self.fates.get(&(act.run, act.key)).cloned() else { return };
        if choices.once_in(2) {
            let told = self.apply(act, &told, now);
            self.fates.insert((act.run, act.key), Fate::Applied(told));
        }
    }

    /// Raises the fence: nothing arrives any more.
    pub fn fence(&mut self, act: &Act, choices: &mut Choices<'_>, now: i64) -> FenceRaised {
        self.arrive(act, choices, now);
        if choices.once_in(8) {
            return FenceRaised::Failed("not now".into());
        }
        if let Some(Fate::Late(_)) = self.fates.get(&(act.run, act.key)) {
            self.fates.insert((act.run, act.key), Fate::Lost);
        }
        FenceRaised::Up("it is up".into())
    }

    /// Looks. What it says is true at this moment.
    pub fn probe(&mut self, act: &Act, choices: &mut Choices<'_>, now: i64) -> Probed {
        let told = match self.fates.get(&(act.run, act.key)) {
            _ if choices.once_in(8) => Probed::Unknown("nobody answers".into()),
            Some(Fate::Applied(told)) => Probed::Happened(Seen::plain(told.clone())),
            Some(Fate::Late(_) | Fate::Lost) | None => Probed::Absent("it is not there".into()),
        };
        self.arrive(act, choices, now);
        told
    }

    /// What an operator who knows says of an effect; `None` while nobody can know.
    pub fn truth(&self, act: &Act) -> Option<Option<Json>> {
        match self.fates.get(&(act.run, act.key)) {
            Some(Fate::Applied(told)) => Some(Some(told.data.clone())),
            Some(Fate::Late(_)) => None,
            Some(Fate::Lost) | None => Some(None),
        }
    }

    fn apply(&mut self, act: &Act, told: &Told, now: i64) -> Told {
        match act.doing.step {
            "pair" => {
                let count = self.pairings.entry(act.epoch.clone().unwrap_or_default()).or_default();
                *count += 1;
                assert!(*count == 1, "paired twice for one loss");
                self.token = false;
                self.serial += 1;
            }
            "mint" => {
                assert!(!self.token, "two tokens work");
                self.token = true;
                self.minted += 1;
            }
            "revoke-orphan" | "revoke-stale" => self.token = false,
            _ => {}
        }
        self.named(told, now)
    }

    /// The event with the names of this outside instead of those of the sample.
    fn named(&self, told: &Told, now: i64) -> Told {
        let Ok(mut data) = told.data.to::<serde_json::Value>() else { return told.clone() };
        for (field, value) in [("epoch", format!("s{}", self.serial)), ("serial", format!("s{}", self.serial))] {
            if let Some(slot) = data.get_mut(field) {
                *slot = value.into();
            }
        }
        if let Some(token) = data.get_mut("token") {
            token["accessor"] = format!("a{}", self.minted).into();
            token["label"] = format!("l{}", self.minted).into();
            token["expires_at"] = (now + 600_000).into();
        }
        Told { ending: told.ending.clone(), data: Json::of(&data) }
    }
}
