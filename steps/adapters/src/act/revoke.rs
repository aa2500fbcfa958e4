//! Taking tokens away: stale ones, an orphan of ours, and its secret from every file.

use recover_engine::Act;
use recover_steps::{RevokeOrphan, Revoked, Token, Withdraw, Withdrawn};

use super::handover;
use crate::authority::{Failure, TokenState};
use crate::connector::Connector;
use crate::trouble::Trouble;

impl Connector {
    pub(crate) async fn revoke_stale(&self) -> Result<Revoked, Trouble> {
        let live = self.live_accessors().await?;
        for accessor in &live {
            self.authority.revoke_accessor(accessor).await.map_err(Failure::changing)?;
        }
        let left = self.live_accessors().await?;
        if left.is_empty() {
            Ok(Revoked::Revoked { live: u32::try_from(live.len()).unwrap_or(u32::MAX) })
        } else {
            Err(Trouble::retry(format!("{} tokens still work after they were revoked", left.len())))
        }
    }

    pub(crate) async fn revoke_orphan(&self, act: &Act, step: &RevokeOrphan) -> Result<Revoked, Trouble> {
        let live = self.close(&step.token.label).await?;
        self.withdraw(act, &step.token.label).await?;
        Ok(Revoked::Revoked { live })
    }

    pub(crate) async fn withdraw_step(&self, act: &Act, step: &Withdraw) -> Result<Withdrawn, Trouble> {
        self.withdraw(act, &step.token.label).await?;
        Ok(Withdrawn::Withdrawn)
    }

    /// Closes a label and proves that nothing under it works. Says how many did.
    pub(super) async fn close(&self, label: &str) -> Result<u32, Trouble> {
        let revoked = self.authority.close_label(label).await.map_err(Failure::changing)?;
        let tokens = self.authority.tokens_of_label(label).await.map_err(Failure::asking)?;
        if tokens.iter().any(|t| t.state == TokenState::Live) {
            return Err(Trouble::retry(format!("a token of label {label} still works after the label was closed")));
        }
        Ok(revoked)
    }

    /// Takes the label's secret out of the workload's sight, and only then forgets it.
    pub(super) async fn withdraw(&self, act: &Act, label: &str) -> Result<(), Trouble> {
        let run = act.run.to_string();
        let sealed = self.secrets.find(&run, label)?;
        let file = self.workload.token_file();
        // First: a unit that is told of a file that is not there does not start.
        self.workload.hide_token().await?;
        let worded = sealed.as_ref().map(|sealed| self.workload.worded(&sealed.secret));
        handover::remove(file, label, worded.as_ref(), act.run.begun_at()).map_err(|e| {
            // It stays there until it can be removed, and trying again does no harm.
            Trouble::retry(format!("the file {} cannot be removed ({e})", file.display()))
        })?;
        self.secrets.remove(&run, label)
    }

    /// What this run keeps of that token, if it still does.
    pub(super) fn sealed(&self, act: &Act, token: &Token) -> Result<Option<crate::secrets::Sealed>, Trouble> {
        Ok(self.secrets.find(&act.run.to_string(), &token.label)?.filter(|s| s.token.accessor == token.accessor))
    }

    async fn live_accessors(&self) -> Result<Vec<String>, Trouble> {
        let tokens = self.authority.tokens().await.map_err(Failure::asking)?;
        Ok(tokens.into_iter().filter(|t| t.state == TokenState::Live).map(|t| t.accessor).collect())
    }
}
