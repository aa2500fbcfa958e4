//! The simulated control plane: single-use tokens, labels that close, identities that are issued once. It deduplicates nothing.

use std::collections::BTreeSet;

/// What a token is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Worth {
    Live,
    /// With the serial that was issued for it, or none: then it was burnt.
    Consumed(Option<String>),
    Revoked,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Minted {
    pub(crate) accessor: String,
    pub(crate) label: String,
    pub(crate) worth: Worth,
    pub(crate) expires_at: i64,
    /// Whether the run under test asked for it.
    pub(crate) ours: bool,
    /// Whether anybody ever got to know its secret.
    pub(crate) known: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    pub(crate) tokens: Vec<Minted>,
    pub(crate) closed: BTreeSet<String>,
    /// The serial issued last: the only one that works.
    pub(crate) serial: String,
    pub(crate) mints: u32,
    pub(crate) pair_attempts: u32,
    pub(crate) pairs: u32,
    pub(crate) revokes: u32,
    /// Agents that are listed, and below which of them an entry hangs; none below the stable name.
    pub(crate) agents: BTreeSet<String>,
    pub(crate) entry: Option<String>,
}

impl Authority {
    /// An agent that paired before, and an enrollment token that was never used and still works.
    pub(crate) fn new() -> Self {
        let stale = Minted {
            accessor: "a0".into(),
            label: "stale".into(),
            worth: Worth::Live,
            expires_at: i64::MAX,
            ours: false,
            known: true,
        };
        Self {
            tokens: vec![stale],
            closed: BTreeSet::new(),
            serial: "s1".into(),
            mints: 0,
            pair_attempts: 0,
            pairs: 0,
            revokes: 0,
            agents: BTreeSet::from(["s1".to_owned()]),
            entry: Some("s1".into()),
        }
    }

    /// Mints under a label, unless it is closed. The same request twice makes two tokens.
    pub(crate) fn mint(&mut self, label: &str, expires_at: i64, known: bool) -> Option<String> {
        if self.closed.contains(label) {
            return None;
        }
        self.mints += 1;
        let accessor = format!("a{}", self.tokens.len());
        self.tokens.push(Minted {
            accessor: accessor.clone(),
            label: label.into(),
            worth: Worth::Live,
            expires_at,
            ours: true,
            known,
        });
        Some(accessor)
    }

    /// Presents a token: consumes it, and issues an identity for it unless it is burnt.
    pub(crate) fn pair(&mut self, accessor: &str, now: i64, burn: bool) -> Option<String> {
        self.pair_attempts += 1;
        let next = format!("s{}", self.pairs + 2);
        let token = self.tokens.iter_mut().find(|t| t.accessor == accessor)?;
        if token.worth != Worth::Live || token.expires_at <= now {
            return None;
        }
        if burn {
            token.worth = Worth::Consumed(None);
            return None;
        }
        token.worth = Worth::Consumed(Some(next.clone()));
        self.pairs += 1;
        self.serial.clone_from(&next);
        self.agents.insert(next.clone());
        Some(next)
    }

    /// What hangs below the old agent hangs below the stable name from now on, which the new one has.
    pub(crate) fn reparent(&mut self, from: &str, to: &str) -> u32 {
        let moved = self.agents.contains(to) && self.entry.as_deref() == Some(from);
        if moved {
            self.entry = None;
        }
        u32::from(moved)
    }

    /// Takes an agent away; true if an entry hangs in the air by that.
    pub(crate) fn evict(&mut self, from: &str) -> bool {
        self.agents.remove(from);
        self.entry.as_deref() == Some(from)
    }

    pub(crate) fn revoke_all(&mut self, now: i64) -> u32 {
        self.revokes += 1;
        Self::revoke(self.tokens.iter_mut(), now)
    }

    /// Revokes what is live under the label and closes it.
    pub(crate) fn revoke_label(&mut self, label: &str, now: i64) -> u32 {
        self.revokes += 1;
        self.closed.insert(label.into());
        Self::revoke(self.tokens.iter_mut().filter(|t| t.label == label), now)
    }

    fn revoke<'a>(tokens: impl Iterator<Item = &'a mut Minted>, now: i64) -> u32 {
        let mut live = 0;
        for token in tokens.filter(|t| t.worth == Worth::Live) {
            live += u32::from(token.expires_at > now);
            token.worth = Worth::Revoked;
        }
        live
    }

    pub(crate) fn token(&self, accessor: &str) -> Option<&Minted> {
        self.tokens.iter().find(|t| t.accessor == accessor)
    }

    /// The serial that was issued for this very token.
    pub(crate) fn issued_for(&self, accessor: &str) -> Option<String> {
        match &self.token(accessor)?.worth {
            Worth::Consumed(serial) => serial.clone(),
            Worth::Live | Worth::Revoked => None,
        }
    }

    /// The accessors that would pair if they were presented now.
    pub(crate) fn live<'a>(&'a self, now: i64) -> impl Iterator<Item = &'a Minted> + 'a {
        self.tokens.iter().filter(move |t| t.worth == Worth::Live && t.expires_at > now)
    }

    pub(crate) fn live_under<'a>(&'a self, label: &'a str, now: i64) -> impl Iterator<Item = &'a Minted> + 'a {
        self.live(now).filter(move |t| t.label == label)
    }
}
