//! What a run knows and has done: carried through every state, changed only by the transitions in `states`.

use std::collections::BTreeSet;

use recover_engine::{Ending, Verdict};
use recover_steps::kms::{AuthSeen, EncryptionSeen, KeySeen, Node};

use super::Event;
use super::change::Change;
use super::look::Look;
use super::params::Params;

/// Something that is not as it must be, as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub look: Look,
    /// What was seen.
    pub event: Event,
}

/// What a run knows and has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub(super) params: Params,
    /// The row of what fails, as it was named before anything was changed.
    pub(super) named: Option<&'static str>,
    /// The key was read, it is the one that is meant, and encrypting cannot make another.
    may_encrypt: bool,
    /// A person said that the key is the original, where nothing recorded does.
    pub(super) vouched: bool,
    /// The key's automatic rotation is on.
    rotates: bool,
    pub(super) rotation_stopped: bool,
    pub(super) snapshot: bool,
    /// Of each node, the digest of the recorded EncryptionConfiguration with identity last.
    fallbacks: Vec<(Node, String)>,
    /// Of each node whose login material looks as it must, the digest of fresh material that lies ready beside it.
    fresh: Vec<(Node, String)>,
    /// Nothing is stored in plain text.
    pub(super) clean: bool,
    /// A person said that no backup in plain text is needed any more.
    pub(super) acknowledged: bool,
    pub(super) rewritten: bool,
    /// Providers that ran when they were looked at before a stop.
    ran: Vec<Node>,
    /// Those that ran, were stopped by this run, and are started again wherever it ends.
    stopped: Vec<Node>,
    /// Those that were stopped and must stay so until the original key is back.
    held: Vec<Node>,
    /// Nodes whose API server was last seen to write plain text.
    plain: Vec<Node>,
    /// The digest of the key id of the providers that serve.
    pub(super) hash: Option<String>,
    changed: BTreeSet<String>,
}

impl Case {
    pub(super) const fn new(params: Params) -> Self {
        Self {
            params,
            named: None,
            may_encrypt: false,
            vouched: false,
            rotates: false,
            rotation_stopped: false,
            snapshot: false,
            fallbacks: Vec::new(),
            fresh: Vec::new(),
            clean: false,
            acknowledged: false,
            rewritten: false,
            ran: Vec::new(),
            stopped: Vec::new(),
            held: Vec::new(),
            plain: Vec::new(),
            hash: None,
            changed: BTreeSet::new(),
        }
    }

    /// The control-plane nodes, in their order.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.params.nodes
    }

    /// Whether a check may encrypt: only where that cannot make a key.
    #[must_use]
    pub const fn may_encrypt(&self) -> bool {
        self.may_encrypt
    }

    /// The key's automatic rotation is on, and was not stopped by this run.
    #[must_use]
    pub const fn rotates(&self) -> bool {
        self.rotates && !self.rotation_stopped
    }

    /// It was tried to take a snapshot of OpenBao: what a person was asked to restore is looked at.
    #[must_use]
    pub const fn snapshot_taken(&self) -> bool {
        self.snapshot
    }

    /// Some API server was last seen to write plain text.
    #[must_use]
    pub fn writes_plain(&self) -> bool {
        !self.plain.is_empty()
    }

    /// The first node that has a recorded EncryptionConfiguration with identity last, and the digest of it.
    #[must_use]
    pub fn fallback(&self) -> Option<(&Node, &str)> {
        self.fallbacks.first().map(|(node, sha256)| (node, sha256.as_str()))
    }

    /// The digest of fresh login material that lies ready for this node, where what is in place looks as it must.
    #[must_use]
    pub fn fresh(&self, node: &Node) -> Option<&str> {
        self.fresh.iter().find_map(|(of, sha256)| (of == node).then_some(sha256.as_str()))
    }

    pub(super) fn planned(&mut self) {
        self.fallbacks.clear();
    }

    /// Whether this provider must stay stopped.
    #[must_use]
    pub fn holds(&self, node: &Node) -> bool {
        self.held.contains(node)
    }

    /// What a look tells for later, as far as this procedure needs it.
    pub(super) fn learn(&mut self, look: &Look, event: &Event, changes: &[&str]) {
        match (look, event) {
            (Look::Key, Event::ReadKey(seen)) => self.learn_key(seen, changes.contains(&"stop-rotation")),
            (Look::Encryption(node), Event::ReadEncryption(seen)) if changes.contains(&"rewrite-objects") => {
                self.learn_encryption(node, seen);
            }
            (Look::Auth(node), Event::LookAuth(seen)) if changes.contains(&"install-auth") => {
                self.fresh.retain(|(of, _)| of != node);
                if let AuthSeen::Usable { fresh: Some(sha256), .. } = seen {
                    self.fresh.push((node.clone(), sha256.clone()));
                }
            }
            _ => {}
        }
    }

    fn learn_key(&mut self, seen: &KeySeen, rotation: bool) {
        match seen {
            KeySeen::Original { facts } => {
                self.may_encrypt = facts.upsert_disabled;
                self.rotates = rotation && facts.auto_rotate_s > 0;
                self.release();
            }
            KeySeen::Unrecorded { facts } => {
                self.may_encrypt = facts.upsert_disabled && self.vouched;
                self.rotates = rotation && facts.auto_rotate_s > 0;
            }
            KeySeen::Altered { facts, .. } | KeySeen::Incomplete { facts, .. } | KeySeen::SoftDeleted { facts } => {
                self.rotates = rotation && facts.auto_rotate_s > 0;
                self.in_question();
            }
            KeySeen::Missing | KeySeen::Denied { .. } | KeySeen::Elsewhere { .. } => self.in_question(),
        }
    }

    /// No provider begins a life while its key is in question, also not on the way back.
    fn in_question(&mut self) {
        for node in std::mem::take(&mut self.stopped) {
            self.stops(&node, true);
        }
        self.may_encrypt = false;
        self.vouched = false;
    }

    fn learn_encryption(&mut self, node: &Node, seen: &EncryptionSeen) {
        self.plain.retain(|other| other != node);
        self.fallbacks.retain(|(of, _)| of != node);
        match seen {
            EncryptionSeen::IdentityFirst { .. } => self.plain.push(node.clone()),
            // What to put back is chosen once, when the layer is named.
            EncryptionSeen::Sound { fallback: Some(sha256) } if self.named.is_none() => {
                self.fallbacks.push((node.clone(), sha256.clone()));
            }
            EncryptionSeen::Sound { .. }
            | EncryptionSeen::Fallback { .. }
            | EncryptionSeen::Drifted { .. }
            | EncryptionSeen::Unreadable { .. } => {}
        }
    }

    /// The original key is back: what had to stay stopped may run again, and does where it ran.
    pub(super) fn release(&mut self) {
        for node in std::mem::take(&mut self.held) {
            self.stops(&node, false);
        }
    }

    /// It runs right before it is stopped.
    pub(super) fn noted(&mut self, node: &Node) {
        if !self.ran.contains(node) {
            self.ran.push(node.clone());
        }
    }

    /// A change was made.
    pub(super) fn made(&mut self, change: &Change) {
        match change {
            // What was stopped for a moment runs as it was found.
            Change::StartProvider(node) if self.ran.contains(node) => {}
            Change::StartProvider(_)
            | Change::RestartProvider(..)
            | Change::StopProvider { .. }
            | Change::MendSocket(_)
            | Change::RestoreConfig(..)
            | Change::InstallAuth(..)
            | Change::LoadImage(..)
            | Change::CopyPair(..)
            | Change::RestoreKey
            | Change::ForbidDeletion
            | Change::StopRotation
            | Change::DisableUpsert
            | Change::LowerDecryption(_)
            | Change::LowerEncryption(_)
            | Change::TakeSnapshot
            | Change::RestoreEncryption(..)
            | Change::RestartApiserver { .. }
            | Change::RewriteObjects => self.say(change.left()),
        }
        match change {
            Change::StopProvider { node, hold } => self.stops(node, *hold),
            Change::StartProvider(node) | Change::RestartProvider(node, _) => self.runs(node),
            Change::StopRotation => self.rotation_stopped = true,
            Change::TakeSnapshot => self.snapshot = true,
            Change::RewriteObjects => self.rewritten = true,
            Change::MendSocket(_)
            | Change::RestoreConfig(..)
            | Change::InstallAuth(..)
            | Change::LoadImage(..)
            | Change::CopyPair(..)
            | Change::RestoreKey
            | Change::ForbidDeletion
            | Change::DisableUpsert
            | Change::LowerDecryption(_)
            | Change::LowerEncryption(_)
            | Change::RestoreEncryption(..)
            | Change::RestartApiserver { .. } => {}
        }
    }

    /// A change was tried, and may have been made in part.
    pub(super) fn tried(&mut self, change: &Change) {
        match change {
            Change::StopProvider { node, hold } => self.stops(node, *hold),
            Change::RewriteObjects => {
                self.say(Some("the API server may have written some of the stored objects again, unmodified".into()))
            }
            Change::StartProvider(_)
            | Change::RestartProvider(..)
            | Change::MendSocket(_)
            | Change::RestoreConfig(..)
            | Change::InstallAuth(..)
            | Change::LoadImage(..)
            | Change::CopyPair(..)
            | Change::RestoreKey
            | Change::ForbidDeletion
            | Change::StopRotation
            | Change::DisableUpsert
            | Change::LowerDecryption(_)
            | Change::LowerEncryption(_)
            | Change::TakeSnapshot
            | Change::RestoreEncryption(..)
            | Change::RestartApiserver { .. } => {
                self.say(change.left().map(|left| format!("it was tried, and may have happened: {left}")));
            }
        }
    }

    fn stops(&mut self, node: &Node, hold: bool) {
        let list = if hold { &mut self.held } else { &mut self.stopped };
        if !list.contains(node) && (hold || self.ran.contains(node)) {
            list.push(node.clone());
        }
    }

    fn runs(&mut self, node: &Node) {
        self.ran.retain(|other| other != node);
        self.stopped.retain(|other| other != node);
    }

    pub(super) fn say(&mut self, left: Option<String>) {
        self.changed.extend(left);
    }

    /// The next one to be started on the way back.
    pub(super) fn to_start(&self) -> Option<&Node> {
        self.stopped.first()
    }

    /// It was started on the way back, or could not be.
    pub(super) fn went_back(&mut self, node: &Node, why_not: Option<&str>) {
        self.runs(node);
        self.say(why_not.map(|why| {
            format!("the provider of {node} was stopped by this run and could not be started again ({why}): start it by hand")
        }));
    }

    /// The end. What was changed and not put back is said, whatever the verdict.
    pub(super) fn ending(&self, verdict: Verdict, reason: impl Into<String>) -> Ending {
        let mut residue = Vec::new();
        if verdict != Verdict::Recovered {
            residue.extend(self.changed.iter().cloned());
            residue.extend(self.held.iter().map(|node| {
                format!(
                    "the provider of {node} is stopped and must stay so until the original key is back: do not start it, and do \
                     not restart the API server there, which still serves what it has in memory"
                )
            }));
        }
        Ending { residue, ..Ending::new(verdict, reason) }
    }
}
