//! Minting: a token of which there is exactly one that works, with its secret in memory before anybody hears of it.

use recover_engine::{Act, Probed, Seen, Told};
use recover_steps::{Mint, Minted, Token, refusal};

use super::join::probe_mint_here;
use super::revoke::close;
use crate::authority::{Authority, Failure, Http, TokenState};
use crate::connector::Connector;
use crate::secrets::{Folder, Sealed};
use crate::storage::Looked;
use crate::trouble::{Trouble, code};

/// The label of this run's token of this ordinal, by which an orphan is found.
pub(super) fn label(act: &Act) -> String {
    format!("recover-{}-{}", act.run, act.ordinal)
}

impl Connector {
    pub(crate) async fn mint(&self, act: &Act, step: &Mint) -> Result<Minted, Trouble> {
        let label = label(act);
        // Both places are proven before there is a secret that would have nowhere to go.
        let folder = self.secrets.open(&act.run.to_string())?;
        self.workload.prove_handover().await?;
        if folder.holds(&label).map_err(|e| Trouble::retry(e.to_string()))? {
            return Err(Trouble::Unknown(format!("a secret is already kept under label {label}")));
        }
        self.still_lost(act).await?;
        match &self.authority {
            Authority::Http(http) => self.mint_there(act, step, http, &folder, label).await,
            Authority::Spire(spire) => self.mint_here(act, step, spire, &folder, label).await,
        }
    }

    /// The authority makes the token, and we keep it.
    async fn mint_there(
        &self,
        act: &Act,
        step: &Mint,
        http: &Http,
        folder: &Folder,
        label: String,
    ) -> Result<Minted, Trouble> {
        let fresh = http.mint(&label, step.ttl_s).await.map_err(Failure::changing)?;
        let (minted, secret) = fresh.into_parts();
        let expires_at = minted.expires_at().ok_or_else(|| Trouble::Unknown("the token's end is no time".into()))?;
        let token = Token { accessor: minted.accessor, label: label.clone(), expires_at };
        if let Err(e) = folder.put(&Sealed { token: token.clone(), secret }) {
            return Err(self
                .unmint(act, http, &label, code::SECRETS, &format!("the secret cannot be kept: {e}"))
                .await);
        }
        // One request may have been carried out twice on its way; then two tokens work, and we have one secret.
        let tokens = http.tokens_of_label(&label).await.map_err(|f| f.asking().midway())?;
        let live: Vec<_> = tokens.iter().filter(|t| t.state == TokenState::Live).collect();
        match live.as_slice() {
            [one] if one.accessor == token.accessor => Ok(Minted::Minted { token }),
            [_, _, ..] => {
                Err(self.unmint(act, http, &label, code::DUPLICATED, "one mint left several working tokens").await)
            }
            [_] | [] => Err(Trouble::Unknown("the authority does not list the token that it has just minted".into())),
        }
    }

    /// An identity may come without us: a connector that kept the key of an earlier pairing fetches what was issued to it as
    /// soon as it starts, also where we started it for another attempt. And where somebody said of a pairing that it came to
    /// nothing, it may have come to this one.
    async fn still_lost(&self, act: &Act) -> Result<(), Trouble> {
        match self.storage.identity().await {
            Looked::There(found) if Some(found.serial.as_str()) == act.epoch.as_deref() => Err(Trouble::refused(
                refusal::IDENTITY,
                format!("identity {} is back; nothing is minted in its place", found.serial),
            )),
            Looked::There(found) => Err(Trouble::refused(
                refusal::IDENTITY,
                format!("identity {} is on the storage; nothing is minted beside it", found.serial),
            )),
            Looked::Absent | Looked::Unreadable(_) => Ok(()),
        }
    }

    /// Makes a mint not to have been: nothing under its label works, nothing of it is kept.
    async fn unmint(&self, act: &Act, http: &Http, label: &str, code: &str, why: &str) -> Trouble {
        let withdrawn = match close(http, label).await {
            Ok(_) => self.withdraw(act, label).await,
            Err(trouble) => Err(trouble),
        };
        match withdrawn {
            Ok(()) => Trouble::refused(code, format!("{why}; all of its label were revoked")),
            Err(trouble) => Trouble::Unknown(format!("{why}; {}", trouble.text())),
        }
    }

    pub(crate) async fn fence_mint(&self, act: &Act) -> Result<String, Trouble> {
        let label = label(act);
        let http = match &self.authority {
            Authority::Http(http) => http,
            Authority::Spire(_) => return self.fence_mint_here(act, &label).await,
        };
        let revoked = close(http, &label).await?;
        self.withdraw(act, &label).await?;
        Ok(format!("label {label} is closed at the authority, {revoked} of its tokens revoked, its secret removed"))
    }

    pub(crate) async fn probe_mint(&self, act: &Act) -> Result<Probed, Trouble> {
        let label = label(act);
        let kept = self.secrets.find(&act.run.to_string(), &label)?;
        let http = match &self.authority {
            Authority::Http(http) => http,
            Authority::Spire(spire) => return probe_mint_here(act, spire, &label, kept).await,
        };
        let tokens = http.tokens_of_label(&label).await.map_err(Failure::asking)?;
        let live: Vec<_> = tokens.iter().filter(|t| t.state == TokenState::Live).collect();
        let used = tokens.iter().any(|t| t.state == TokenState::Consumed);
        Ok(match (kept, live.as_slice()) {
            (Some(Sealed { token, .. }), [one]) if one.accessor == token.accessor && !act.fenced => {
                Probed::Happened(Seen::plain(Told::of(&Minted::Minted { token })))
            }
            // Nobody but the one who minted it could use it, and that was not journaled.
            (_, _) if used => Probed::Unknown(format!("a token of label {label} was used")),
            (None, []) if act.fenced => {
                Probed::Absent(format!("label {label} is closed, nothing under it works, no secret is kept"))
            }
            (Some(_), []) if act.fenced => {
                Probed::Unknown(format!("label {label} is closed, and its secret is still kept"))
            }
            (None, []) => Probed::Absent(format!("no token of label {label} works")),
            (Some(_), []) => Probed::Absent(format!("no token of label {label} works, though a secret is kept")),
            (_, live) => Probed::Unknown(format!(
                "{} tokens of label {label} work, and not with the secret kept here",
                live.len()
            )),
        })
    }
}
