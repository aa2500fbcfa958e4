//! The failure classes of a connector: what each is, which procedure is for it, what that would do, what must not be done.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::names::{BOOTSTRAP_FAILURE, CRASH_LOOP, IDENTITY_LOSS, RECONNECT_FAILURE};

/// A failure class, by its row in the runbook's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The workload does not run.
    C1,
    /// The control plane cannot be reached.
    C2,
    /// It never paired, and its token has expired.
    C3,
    /// It never paired, and its token was revoked.
    C4,
    /// It never paired: its certificate request was refused.
    C5,
    /// The control plane's certificate is not trusted.
    C6,
    /// The identity is intact and the connector does not come back.
    C7,
    /// Connected, and a path behind it is not well.
    C8,
    /// A container's volume is missing, or another one is in its place.
    C9,
    /// The service's directory is not the one with the identity, or may not be read.
    C10,
    /// A pod's storage is scratch space, or another claim.
    C11,
    /// It paired before, and its identity is gone.
    C12,
    /// It ends again and again while its lifecycle is ready.
    C13,
    /// An alert suspects that it fell back to enrolment: presumed to be a lost identity until a usable one disproves it.
    C14,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 14] = [
        Self::C1,
        Self::C2,
        Self::C3,
        Self::C4,
        Self::C5,
        Self::C6,
        Self::C7,
        Self::C8,
        Self::C9,
        Self::C10,
        Self::C11,
        Self::C12,
        Self::C13,
        Self::C14,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::C1 => "C1",
            Self::C2 => "C2",
            Self::C3 => "C3",
            Self::C4 => "C4",
            Self::C5 => "C5",
            Self::C6 => "C6",
            Self::C7 => "C7",
            Self::C8 => "C8",
            Self::C9 => "C9",
            Self::C10 => "C10",
            Self::C11 => "C11",
            Self::C12 => "C12",
            Self::C13 => "C13",
            Self::C14 => "C14",
        }
    }

    /// What it is, in a few words.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::C1 => "the workload does not run",
            Self::C2 => "the control plane cannot be reached",
            Self::C3 => "it never paired, and its enrolment token has expired",
            Self::C4 => "it never paired, and its enrolment token was revoked",
            Self::C5 => "it never paired: its certificate request was refused",
            Self::C6 => "the control plane's certificate is not trusted",
            Self::C7 => "the identity is intact and the connector does not come back online",
            Self::C8 => "connected, but degraded: a path behind it is not well",
            Self::C9 => "the container's volume is missing or is another one",
            Self::C10 => "the service's data directory is not the right one, or may not be read",
            Self::C11 => "the pod's storage is scratch space or another claim",
            Self::C12 => "it paired before, and its identity is gone",
            Self::C13 => "it ends again and again and is started again and again",
            Self::C14 => "suspected fallback to enrolment, presumed to be a lost identity",
        }
    }

    /// The procedure for it. A connector that paired before is never bootstrapped: what keeps it away is a matter of reconnecting.
    #[must_use]
    pub const fn scenario(self, paired_before: bool) -> &'static str {
        match self {
            Self::C1 | Self::C2 | Self::C7 | Self::C8 => RECONNECT_FAILURE,
            Self::C6 if paired_before => RECONNECT_FAILURE,
            Self::C3 | Self::C4 | Self::C5 | Self::C6 => BOOTSTRAP_FAILURE,
            Self::C9 | Self::C10 | Self::C11 | Self::C12 | Self::C14 => IDENTITY_LOSS,
            Self::C13 => CRASH_LOOP,
        }
    }

    /// What is to be done, in one or two sentences.
    #[must_use]
    pub const fn would(self) -> &'static str {
        match self {
            Self::C1 => "start the workload once, and watch that it comes online with the identity that it has",
            Self::C2 => {
                "name what stands in the way (name, address, port) to whoever keeps the firewall; restart nothing \
                 and consume no token until the control plane answers"
            }
            Self::C3 => "check the clock first; then mint one fresh single-use token and start the connector once",
            Self::C4 => "ask who revoked the token: it may be meant; only then mint one fresh token and start once",
            Self::C5 => {
                "have clock, name or policy mended; the token is burnt by the attempt, so mint a fresh one afterwards"
            }
            Self::C6 => "install the CA bundle whose fingerprint was told out of band, and restart once",
            Self::C7 => "wait 30 s, restart exactly once, watch it come online with the same identity, else escalate",
            Self::C8 => "watch it and have the failing path behind it repaired; it heals without a restart",
            Self::C9 => {
                "stop the container, attach the original volume, start again; nothing is minted while it exists"
            }
            Self::C10 => "stop the service, restore the path, or the owner of exactly that directory, and start again",
            Self::C11 => "scale to zero, mount the original claim again, scale to one",
            Self::C12 => {
                "stop it, look for the original storage, and only if that is gone: revoke stale tokens, prove the \
                 storage durable, mint one token, pair exactly once, restart and validate"
            }
            Self::C13 => "capture the logs, stop it, and tell by them and by the storage what it is, before any retry",
            Self::C14 => "look at the identity first: usable, it is a reconnect failure; gone, it is an identity loss",
        }
    }

    /// What must not be done: each goes on after "must not".
    #[must_use]
    pub const fn must_not(self) -> &'static [&'static str] {
        const KEEP: &str = "enrol again while the identity is usable";
        const NO_RETRY: &str = "retry the bootstrap as if it were a restart";
        const NO_DELETE: &str = "delete a volume, a claim or a data directory";
        match self {
            Self::C1 => &[KEEP, "start it a second time beside one that runs"],
            Self::C2 => &[KEEP, "spend a token or a restart while the control plane cannot be reached"],
            Self::C3 | Self::C5 => &["present the old token again", NO_RETRY, "have two tokens outstanding"],
            Self::C4 => &["mint before it is known who revoked the token, and why", NO_RETRY],
            Self::C6 => &["skip the verification", "take the CA from the peer that fails"],
            Self::C7 => &[KEEP, "restart it more than once as a repair"],
            Self::C8 => &[KEEP, "restart it for a path behind it"],
            Self::C9 | Self::C10 | Self::C11 => {
                &["mint while the original storage exists and was not tried", NO_DELETE, NO_RETRY]
            }
            Self::C12 | Self::C14 => {
                &[KEEP, "mint before the original storage was looked for", "pair twice for one loss", NO_DELETE]
            }
            Self::C13 => &["retry before the storage mount is validated", "restart before the logs are captured"],
        }
    }

    /// The runbook's steps, for whoever takes them by hand.
    #[must_use]
    pub const fn by_hand(self) -> &'static [&'static str] {
        const VALIDATE: &str =
            "validate: online, one more restart, online again without a token, the state still on the storage";
        match self {
            Self::C1 => &["start the container or the unit once", "wait 30 s for online", VALIDATE],
            Self::C2 => &[
                "from the connector's host: curl -v BASE/healthz",
                "open outbound 443/tcp (and 51820/udp where the VPN is used), mend the name's resolution",
                "wait 30 s: it reconnects by itself",
            ],
            Self::C3 => &["check the host's clock", "Regenerate token at the connector", "start it once", VALIDATE],
            Self::C4 => &["ask who revoked the token", "generate a new one", "start it once", VALIDATE],
            Self::C5 => {
                &["read the CSR error; mend clock, name or policy", "generate a new token", "start once", VALIDATE]
            }
            Self::C6 => &[
                "compare the CA bundle's fingerprint with the one told out of band",
                "install it (/etc/vaultpam/ca.crt)",
                "restart once",
                VALIDATE,
            ],
            Self::C7 => &[
                "restore outbound HTTPS to the control plane",
                "confirm that the identity is on durable storage",
                "wait 30 s; restart the process or pod once",
                "validate: online again without a new enrolment token",
            ],
            Self::C8 => &["find the path that is not well", "mend it; the connector needs no restart"],
            Self::C9 | Self::C10 | Self::C11 => &[
                "stop the connector, or scale the pod to zero",
                "attach the original storage, with its owner and mode",
                "start it",
                VALIDATE,
            ],
            Self::C12 | Self::C14 => &[
                "stop the connector, or scale the pod to zero",
                "try to attach the original storage",
                "only if it is gone: revoke the stale token, mint one, prove the mount durable, pair exactly once",
                VALIDATE,
            ],
            Self::C13 => &[
                "read the log of the life that ended",
                "scale to zero",
                "validate the storage mount",
                "classify by the log; only then start again",
                "watch the restart count for ten minutes",
            ],
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no failure class of that name")]
pub struct UnknownClass;

impl FromStr for Class {
    type Err = UnknownClass;
    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        Self::ALL.into_iter().find(|class| class.as_str() == text).ok_or(UnknownClass)
    }
}

impl Serialize for Class {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}
