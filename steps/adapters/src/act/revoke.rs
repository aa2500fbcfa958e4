//! Taking tokens away: stale ones, an orphan of ours, and its secret from every file.

use recover_engine::Act;
use recover_steps::{RevokeOrphan, Revoked, Token, Withdraw, Withdrawn};

use crate::authority::{Authority, Failure, Http, Spire, TokenState};
use crate::connector::Connector;
use crate::trouble::Trouble;

impl Connector {
    pub(crate) async fn revoke_stale(&self) -> Result<Revoked, Trouble> {
        let http = match &self.authority {
            Authority::Http(http) => http,
            // None can be seen, and none taken back. What this run makes itself is waited out before another is made.
            Authority::Spire(_) => return Ok(Revoked::Revoked { live: 0 }),
        };
        let live = live_accessors(http).await?;
        for accessor in &live {
            http.revoke_accessor(accessor).await.map_err(Failure::changing)?;
        }
        let left = live_accessors(http).await?;
        if left.is_empty() {
            Ok(Revoked::Revoked { live: u32::try_from(live.len()).unwrap_or(u32::MAX) })
        } else {
            Err(Trouble::retry(format!("{} tokens still work after they were revoked", left.len())))
        }
    }

    pub(crate) async fn revoke_orphan(&self, act: &Act, step: &RevokeOrphan) -> Result<Revoked, Trouble> {
        match &self.authority {
            Authority::Http(http) => {
                let live = close(http, &step.token.label).await?;
                self.withdraw(act, &step.token.label).await?;
                Ok(Revoked::Revoked { live })
            }
            Authority::Spire(_) => {
                self.withdraw(act, &step.token.label).await?;
                // No copy of it is left. That none was made is its time's to prove; the wait is journaled as that of any attempt.
                match Spire::may_work_for(step.token.expires_at) {
                    None => Ok(Revoked::Revoked { live: 0 }),
                    Some(left) => Err(Trouble::Retry {
                        why: format!("token {} cannot be revoked and is waited out", step.token.accessor),
                        after_ms: Some(left),
                    }),
                }
            }
        }
    }

    pub(crate) async fn withdraw_step(&self, act: &Act, step: &Withdraw) -> Result<Withdrawn, Trouble> {
        self.withdraw(act, &step.token.label).await?;
        Ok(Withdrawn::Withdrawn)
    }

    /// Takes the label's secret out of the workload's sight, and only then forgets it.
    pub(super) async fn withdraw(&self, act: &Act, label: &str) -> Result<(), Trouble> {
        let run = act.run.to_string();
        let sealed = self.secrets.find(&run, label)?;
        self.workload.take_back(act.run, label, sealed.as_ref().map(|sealed| &sealed.secret)).await?;
        self.secrets.remove(&run, label)
    }

    /// What this run keeps of that token, if it still does.
    pub(super) fn sealed(&self, act: &Act, token: &Token) -> Result<Option<crate::secrets::Sealed>, Trouble> {
        Ok(self.secrets.find(&act.run.to_string(), &token.label)?.filter(|s| s.token.accessor == token.accessor))
    }

    /// Makes sure that a token works no more, and says how.
    pub(super) async fn end(&self, token: &Token) -> Result<String, Trouble> {
        match &self.authority {
            Authority::Http(http) => {
                let revoked = close(http, &token.label).await?;
                Ok(format!("its label is closed at the authority ({revoked} revoked)"))
            }
            Authority::Spire(_) => {
                wait_out(token.expires_at).await;
                Ok("no copy of it is left, and its time is over".to_owned())
            }
        }
    }
}

/// Waits until a token that cannot be revoked has surely stopped working.
pub(super) async fn wait_out(expires_at: recover_engine::Millis) {
    while let Some(left) = Spire::may_work_for(expires_at) {
        tokio::time::sleep(std::time::Duration::from_millis(left)).await;
    }
}

/// Closes a label and proves that nothing under it works. Says how many did.
pub(super) async fn close(http: &Http, label: &str) -> Result<u32, Trouble> {
    let revoked = http.close_label(label).await.map_err(Failure::changing)?;
    let tokens = http.tokens_of_label(label).await.map_err(Failure::asking)?;
    if tokens.iter().any(|t| t.state == TokenState::Live) {
        return Err(Trouble::retry(format!("a token of label {label} still works after the label was closed")));
    }
    Ok(revoked)
}

async fn live_accessors(http: &Http) -> Result<Vec<String>, Trouble> {
    let tokens = http.tokens().await.map_err(Failure::asking)?;
    Ok(tokens.into_iter().filter(|t| t.state == TokenState::Live).map(|t| t.accessor).collect())
}
