//! What a run knows and has done: carried through every state, changed only by the transitions in `states`.

use std::borrow::Cow;

use recover_engine::{Ending, Verdict, Workload};
use recover_steps::{Loss, Original, Token};
use serde::{Deserialize, Serialize};

pub use crate::validation::Regained;
use crate::validation::Validated;

/// Whether a person is asked before the identity is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reprovision {
    /// Ask.
    #[default]
    Ask,
    /// The policy allows it after a proven loss.
    Allow,
}

/// What a run is begun with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// See [`Reprovision`].
    pub reprovision: Reprovision,
    /// The wait on either side of a restart, in milliseconds.
    pub observe_ms: u64,
    /// How long to wait for the connector to be online, in milliseconds.
    pub online_within_ms: u64,
    /// How long the connector has to pair, in milliseconds.
    pub pair_within_ms: u64,
    /// How long a minted token works, in seconds.
    pub token_ttl_s: u32,
    /// How long a person has to answer, in milliseconds.
    pub answer_within_ms: u64,
    /// The alert that led here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    /// Whether a new pairing makes a new agent at the authority: then what belonged to the old one is moved, and that is evicted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub succession: bool,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            reprovision: Reprovision::Ask,
            observe_ms: 30_000,
            online_within_ms: 30_000,
            pair_within_ms: 60_000,
            token_ttl_s: 600,
            answer_within_ms: 24 * 3_600_000,
            alert: None,
            succession: false,
        }
    }
}

/// How many tokens a run may mint before a person decides.
pub(super) const MINTS_MAX: u8 = 3;

/// What a run knows and has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub(super) params: Params,
    pub(super) loss: Loss,
    /// The original to reattach; `None` once the way is reprovisioning.
    pub(super) original: Option<Original>,
    /// A person takes the responsibility for storage whose durability cannot be told.
    pub(super) durable_on_word: bool,
    /// A person allowed the unusable identity on the target to be set aside.
    pub(super) may_set_aside: bool,
    /// A person said that the original is dead, which is also the word for reprovisioning.
    pub(super) consented: bool,
    /// We stopped the workload.
    pub(super) stopped: bool,
    /// It was not proven stopped when it had to be: something else may run it.
    pub(super) may_run: bool,
    /// We started it since, on something else than what was found.
    pub(super) started: bool,
    /// The original is at the target.
    pub(super) reattached: bool,
    /// The target's directory is aside.
    pub(super) aside: bool,
    /// A token may work.
    pub(super) token: Option<Token>,
    /// Tokens minted so far.
    pub(super) mints: u8,
    /// The target's storage is known not to be durable: nothing is started on it.
    pub(super) refuted: bool,
    /// What belonged to the old agent is the new one's.
    pub(super) reparented: bool,
    /// The consumed token whose file could not be taken out of the workload's sight, and why.
    pub(super) in_sight: Option<(Token, String)>,
    /// What was changed and could not be put back.
    pub(super) residue: Vec<Cow<'static, str>>,
}

impl Case {
    pub(super) const fn new(params: Params, loss: Loss) -> Self {
        Self {
            params,
            loss,
            original: None,
            durable_on_word: false,
            may_set_aside: false,
            consented: false,
            stopped: false,
            may_run: false,
            started: false,
            reattached: false,
            aside: false,
            token: None,
            mints: 0,
            refuted: false,
            reparented: false,
            in_sight: None,
            residue: Vec::new(),
        }
    }

    /// The loss.
    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.loss.epoch
    }

    pub(super) const fn found_running(&self) -> bool {
        self.loss.running.is_some()
    }

    pub(super) fn residue(&mut self, what: impl Into<Cow<'static, str>>) {
        let what = what.into();
        if !self.residue.contains(&what) {
            self.residue.push(what);
        }
    }

    /// The end; `left` is whether the workload runs, or nothing where that is not known.
    pub(super) fn ending(&self, verdict: Verdict, reason: &str, left: impl Into<Option<bool>>) -> Ending {
        let word = |running| match running {
            Some(true) => "running",
            Some(false) => "stopped",
            None => "unknown",
        };
        let in_sight = self.in_sight.as_ref();
        let in_sight = in_sight.map(|(_, why)| format!("the consumed token's file could not be removed: {why}"));
        Ending {
            verdict,
            reason: reason.to_owned(),
            suggested: None,
            residue: self.residue.iter().map(|r| r.clone().into_owned()).chain(in_sight).collect(),
            workload: Some(Workload {
                found: word(Some(self.found_running())).to_owned(),
                left: word(left.into()).to_owned(),
            }),
        }
    }
}

impl Validated for Case {
    fn observe_ms(&self) -> u64 {
        self.params.observe_ms
    }

    fn online_within_ms(&self) -> u64 {
        self.params.online_within_ms
    }

    fn alert(&self) -> Option<String> {
        self.params.alert.clone()
    }
}
