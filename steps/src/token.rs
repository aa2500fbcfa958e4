//! Tokens: revoking, minting, handing over. The secret itself is in none of these types.

use recover_engine::{Effect, Idempotent, Millis, OnlyIfAbsent, Outcome, Probe, Reason};
use serde::{Deserialize, Serialize};

use crate::workload::Instance;
use crate::{event, refused};

/// What is known of a minted token. The secret is on tmpfs, under the label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The authority's name for it.
    pub accessor: String,
    /// Ours, unique to run and ordinal, by which an orphan is found.
    pub label: String,
    /// When it stops working.
    pub expires_at: Millis,
}

/// Revoke every token of the agent that still works.
///
/// Idempotent: a revoked token stays revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeStale {}

/// See [`RevokeStale`] and [`RevokeOrphan`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Revoked {
    /// None of them works any more.
    Revoked {
        /// How many did.
        live: u32,
    },
}
event!(Revoked { Revoked::Revoked { .. } => "revoked" });

impl Effect for RevokeStale {
    const NAME: &'static str = "revoke-stale";
    type Event = Revoked;
    type Redo = Idempotent;
    const TIMEOUT_MS: u64 = 20_000;
    const ATTEMPTS: u32 = 4;
    fn summary(&self) -> String {
        "revoke the stale enrollment token, if one still works".into()
    }
    fn endings(&self) -> Vec<Outcome<Revoked>> {
        vec![Outcome::Happened(Revoked::Revoked { live: 1 }), refused("authority")]
    }
}

/// Revoke the token of this label, take its secret from tmpfs and from the workload's sight, and close the label.
///
/// Idempotent: a revoked token stays revoked, a removed file removed, a closed label closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeOrphan {
    /// The token.
    pub token: Token,
}

impl Effect for RevokeOrphan {
    const NAME: &'static str = "revoke-orphan";
    type Event = Revoked;
    type Redo = Idempotent;
    const TIMEOUT_MS: u64 = 20_000;
    const ATTEMPTS: u32 = 6;
    fn summary(&self) -> String {
        format!("revoke token {} and remove its secret", self.token.accessor)
    }
    fn endings(&self) -> Vec<Outcome<Revoked>> {
        vec![Outcome::Happened(Revoked::Revoked { live: 1 }), refused("authority")]
    }
}

/// Mint one single-use token and put its secret on tmpfs before this is journaled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mint {
    /// How long it is to work, in seconds.
    pub ttl_s: u32,
}

/// See [`Mint`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Minted {
    /// One token works, and its secret is on tmpfs.
    Minted {
        /// The token.
        token: Token,
    },
}
event!(Minted { Minted::Minted { .. } => "minted" });

impl Effect for Mint {
    const NAME: &'static str = "mint";
    type Event = Minted;
    type Redo = OnlyIfAbsent;
    const TIMEOUT_MS: u64 = 20_000;
    const ATTEMPTS: u32 = 4;
    fn summary(&self) -> String {
        format!("mint one single-use enrollment token that works for {} s", self.ttl_s)
    }
    fn endings(&self) -> Vec<Outcome<Minted>> {
        let token = Token { accessor: "a1".into(), label: "l1".into(), expires_at: Millis(i64::MAX) };
        vec![
            Outcome::Happened(Minted::Minted { token }),
            refused(refusal::DUPLICATED),
            refused(refusal::IDENTITY),
            refused("authority"),
        ]
    }
}

impl Probe for Mint {
    const FENCE: Option<&'static str> = Some(
        "the label is closed at the authority: tokens under it are revoked, and none is minted under it any more; where that cannot \
        be, no copy of its secret is left and its time is over",
    );
    const CANNOT_LIE: &'static str = "Happened is said only if the secret is on tmpfs under this label and the authority calls \
        exactly one token of the label live, with the accessor that lies beside the secret: then the mint was applied and \
        nothing of it is lost. Where we choose the token's value ourselves, its secret lies there before it is asked for, and \
        Happened is said for it: no other token comes of the request, and whether one did is made sure of before it is shown. Absent is said only after the fence: the authority has closed the label, so a request that \
        is still on its way mints nothing, and whatever was minted under it no longer works; the secret file is removed. \
        A token that was minted and lost is therefore absent in the sense that counts: it can pair nothing. Where tokens cannot \
        be revoked, the fence ends only after the time that one works.";
}

/// Hand the token over and start the workload: one effect, since a token within sight of a workload may be burnt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The token.
    pub token: Token,
    /// How long the workload has to pair, in milliseconds.
    pub within_ms: u64,
}

/// See [`Pair`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Paired {
    /// The authority consumed the token and issued an identity for it.
    Paired {
        /// The identity's serial.
        serial: String,
        /// The life of the workload that runs now, if one does.
        instance: Option<Instance>,
    },
}
event!(Paired { Paired::Paired { .. } => "paired" });

/// Codes of refusal that steps of this file give besides the engine's.
pub mod refusal {
    /// The attempt consumed the token and no identity was issued for it.
    pub const BURNT: &str = "burnt";
    /// The authority made more than one token of one mint; all of them are revoked and their label is closed.
    pub const DUPLICATED: &str = "duplicated";
    /// An identity is on the storage, so none is needed.
    pub const IDENTITY: &str = "identity-there";
}

impl Effect for Pair {
    const NAME: &'static str = "pair";
    type Event = Paired;
    type Redo = OnlyIfAbsent;
    const TIMEOUT_MS: u64 = 60_000;
    /// One: an attempt that reached the workload consumes the token.
    const ATTEMPTS: u32 = 1;
    fn summary(&self) -> String {
        format!("pair once: hand token {} over and start the workload", self.token.accessor)
    }
    fn endings(&self) -> Vec<Outcome<Paired>> {
        let paired = |instance: Option<&str>| {
            Outcome::Happened(Paired::Paired { serial: "s2".into(), instance: instance.map(|i| Instance(i.into())) })
        };
        vec![paired(Some("2")), paired(None), refused(refusal::BURNT), refused(Reason::ABSENT), refused("workload")]
    }
    fn not_after(&self) -> Option<Millis> {
        Some(self.token.expires_at)
    }
    fn timeout_ms(&self) -> u64 {
        self.within_ms
    }
}

impl Probe for Pair {
    const FENCE: Option<&'static str> = Some(
        "the workload is stopped, the token is taken out of its sight, and revoked at the authority or waited out",
    );
    const CANNOT_LIE: &'static str = "The authority consumes a token and issues the identity for it as one act, and a token that \
        is consumed or revoked never works again. Happened is said only if the authority names the serial it issued for this \
        very token. Absent is said only after the fence, if the authority calls the token revoked or expired, or consumed \
        without an identity: then no attempt that is still on its way can pair with it. Any other answer, or none, is unknown.";
}

/// Take the token out of the workload's sight and its secret from tmpfs.
///
/// Idempotent: a removed file stays removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdraw {
    /// The token.
    pub token: Token,
}

/// See [`Withdraw`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Withdrawn {
    /// No file holds the secret.
    Withdrawn,
}
event!(Withdrawn { Withdrawn::Withdrawn => "withdrawn" });

impl Effect for Withdraw {
    const NAME: &'static str = "withdraw";
    type Event = Withdrawn;
    type Redo = Idempotent;
    const TIMEOUT_MS: u64 = 10_000;
    const ATTEMPTS: u32 = 4;
    fn summary(&self) -> String {
        format!("withdraw token {}", self.token.accessor)
    }
    fn endings(&self) -> Vec<Outcome<Withdrawn>> {
        vec![Outcome::Happened(Withdrawn::Withdrawn), refused("storage")]
    }
}
