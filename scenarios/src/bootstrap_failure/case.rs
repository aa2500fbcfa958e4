//! What a run knows and has done: carried through every state, changed only by the transitions in `states`.

use recover_engine::{Ending, Verdict, Workload};
use recover_steps::{Token, Unpaired};
use serde::{Deserialize, Serialize};

use crate::validation::Validated;

/// Whether a person is asked before a connector that never paired gets a fresh token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enroll {
    /// Ask.
    #[default]
    Ask,
    /// The policy allows it where the token has expired or the trust is what was missing.
    Allow,
}

/// What a run is begun with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// See [`Enroll`].
    pub enroll: Enroll,
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
}

impl Default for Params {
    fn default() -> Self {
        Self {
            enroll: Enroll::Ask,
            observe_ms: 30_000,
            online_within_ms: 30_000,
            pair_within_ms: 60_000,
            token_ttl_s: 600,
            answer_within_ms: 24 * 3_600_000,
            alert: None,
        }
    }
}

/// How many mints a run may try: a mint whose answer was lost is proven to have left nothing, and tried again.
pub(super) const MINTS_MAX: u8 = 3;

/// The one first pairing that a connector has.
const EPOCH: &str = "first-pairing";

/// What keeps the connector from pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its token has expired, or it has none.
    Expired,
    /// Its token was taken back.
    Revoked,
    /// Its request for a certificate was refused.
    Denied,
    /// A token would work that nobody presented.
    Outstanding,
    /// It does not trust the control plane.
    Untrusted,
}

/// What a run knows and has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub(super) params: Params,
    pub(super) cause: Cause,
    pub(super) found: Unpaired,
    /// We stopped the workload.
    pub(super) stopped: bool,
    /// It was not proven stopped when it had to be: something else may run it.
    pub(super) may_run: bool,
    /// We started it since, with a token.
    pub(super) started: bool,
    /// A token may work.
    pub(super) token: Option<Token>,
    /// Mints tried so far.
    pub(super) mints: u8,
    /// What was changed and was not put back.
    pub(super) residue: Vec<String>,
}

impl Case {
    pub(super) const fn new(params: Params, cause: Cause, found: Unpaired) -> Self {
        Self {
            params,
            cause,
            found,
            stopped: false,
            may_run: false,
            started: false,
            token: None,
            mints: 0,
            residue: Vec::new(),
        }
    }

    /// Which pairing this is about.
    #[must_use]
    pub const fn epoch(&self) -> &str {
        EPOCH
    }

    pub(super) const fn found_running(&self) -> bool {
        self.found.running.is_some()
    }

    pub(super) fn residue(&mut self, what: impl Into<String>) {
        self.residue.push(what.into());
    }

    /// The end; `left` is whether the workload runs, or nothing where that is not known.
    pub(super) fn ending(&self, verdict: Verdict, reason: &str, left: impl Into<Option<bool>>) -> Ending {
        let word = |running| match running {
            Some(true) => "running",
            Some(false) => "stopped",
            None => "unknown",
        };
        let workload =
            Workload { found: word(Some(self.found_running())).to_owned(), left: word(left.into()).to_owned() };
        Ending { residue: self.residue.clone(), workload: Some(workload), ..Ending::new(verdict, reason) }
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
