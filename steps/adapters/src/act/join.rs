//! What is different with join tokens: we choose the token and seal it before it is asked for, its time is all that ends it, and the
//! agent that comes of it has to be given what the last one had.

use recover_engine::{Act, Probed, Seen, Told};
use recover_steps::{Evict, Evicted, Mint, Minted, Pair, Reparent, Reparented, Token};

use super::revoke::wait_out;
use crate::authority::{Authority, Failure, Minting, Spire, fresh_value};
use crate::connector::Connector;
use crate::secrets::{Folder, Sealed};
use crate::trouble::{Trouble, code};

/// An answer that is lost is asked for again: the value is ours, and nobody was shown it.
const TRIES: u32 = 3;

impl Connector {
    /// We make the token, keep it, and then ask for it: whatever becomes of the answer, nothing is lost.
    pub(super) async fn mint_here(
        &self,
        act: &Act,
        step: &Mint,
        spire: &Spire,
        folder: &Folder,
        label: String,
    ) -> Result<Minted, Trouble> {
        let secrets =
            |why: &dyn std::fmt::Display| Trouble::refused(code::SECRETS, format!("no token can be kept: {why}"));
        let secret = fresh_value().map_err(|e| secrets(&e))?;
        let token = Token { accessor: spire.accessor_of(&secret), label, expires_at: Spire::surely_over(step.ttl_s) };
        let sealed = Sealed { token: token.clone(), secret };
        if let Err(e) = folder.put(&sealed) {
            let trouble = secrets(&e);
            // Nothing was asked for, so nothing is left but perhaps half a file.
            return Err(self.withdraw(act, &token.label).await.map_or_else(Trouble::midway, |()| trouble));
        }
        let mut lost = String::new();
        for _ in 0..TRIES {
            match spire.mint(&sealed.secret, step.ttl_s).await {
                Ok(Minting::Made(expires_at)) => return Ok(Minted::Minted { token: Token { expires_at, ..token } }),
                Ok(Minting::There) => return Ok(Minted::Minted { token }),
                Err(failure @ Failure::Lost(_)) => lost = failure.text(),
                Err(failure) => {
                    let trouble = failure.changing();
                    // It surely was not made by this request; an earlier one may have made it.
                    let withdrawn = self.withdraw(act, &token.label).await;
                    return Err(if withdrawn.is_ok() && lost.is_empty() { trouble } else { trouble.midway() });
                }
            }
        }
        Err(Trouble::Unknown(lost))
    }

    pub(super) async fn fence_mint_here(&self, act: &Act, label: &str) -> Result<String, Trouble> {
        let kept = self.secrets.find(&act.run.to_string(), label)?;
        let ttl_s = act.doing.body.to::<Mint>().map_or(u32::MAX, |step| step.ttl_s);
        // Of what is not kept nobody knows when it was asked for.
        let over = kept.map_or_else(|| Spire::surely_over(ttl_s), |sealed| sealed.token.expires_at);
        self.withdraw(act, label).await?;
        wait_out(over).await;
        Ok(format!("no copy of the token of label {label} is left, and its time is over"))
    }

    /// Before a token is shown to anybody for the first time: if it is not known that it was made, it is asked for again. Its time
    /// does not become longer by that.
    pub(super) async fn make_sure(&self, step: &Pair, sealed: &Sealed) -> Result<(), Trouble> {
        let Authority::Spire(spire) = &self.authority else { return Ok(()) };
        // A token that the server answered for has the end that the server gave it.
        if sealed.token.expires_at != step.token.expires_at {
            return Ok(());
        }
        let left = Spire::may_work_for(Spire::asked_by(step.token.expires_at)).unwrap_or_default() / 1_000;
        let Some(ttl_s) = u32::try_from(left).ok().filter(|left| *left > 0) else {
            return Err(Trouble::refused(code::AUTHORITY, "the token's time is over, so it was not handed over"));
        };
        match spire.mint(&sealed.secret, ttl_s).await {
            Ok(_) => Ok(()),
            // It was not shown to anybody, and whatever was made of it ends with its time.
            Err(failure) => Err(Trouble::refused(code::AUTHORITY, failure.text())),
        }
    }

    pub(crate) async fn reparent(&self, step: &Reparent) -> Result<Reparented, Trouble> {
        match &self.authority {
            Authority::Http(_) => Ok(Reparented::NotNeeded),
            Authority::Spire(spire) => {
                let entries = spire.reparent(&step.from, &step.serial).await.map_err(Failure::asking)?;
                Ok(Reparented::Reparented { entries })
            }
        }
    }

    pub(crate) async fn evict(&self, step: &Evict) -> Result<Evicted, Trouble> {
        match &self.authority {
            Authority::Http(_) => Ok(Evicted::NotNeeded),
            Authority::Spire(spire) => {
                // Right before: what was validated may have ended since.
                let status = spire.status().await.map_err(Failure::asking)?.status;
                if !status.is_online() || status.serial() != Some(step.serial.as_str()) {
                    return Err(Trouble::retry(format!("the new agent is {}, so the old one stays", status.status)));
                }
                spire.evict(&step.from, &step.serial).await.map_err(Failure::asking)?;
                Ok(Evicted::Evicted)
            }
        }
    }
}

pub(super) async fn probe_mint_here(
    act: &Act,
    spire: &Spire,
    label: &str,
    kept: Option<Sealed>,
) -> Result<Probed, Trouble> {
    let Some(Sealed { token, .. }) = kept else {
        return Ok(Probed::Absent(format!("no token of label {label} is kept here")));
    };
    if act.fenced {
        return Ok(Probed::Unknown(format!("the time of label {label} is over, and its secret is still kept")));
    }
    Ok(match spire.token(&token).await.map_err(Failure::asking)?.state {
        crate::authority::TokenState::Live => Probed::Happened(Seen::plain(Told::of(&Minted::Minted { token }))),
        crate::authority::TokenState::Expired | crate::authority::TokenState::Revoked => {
            Probed::Absent(format!("the time of the token of label {label} is over"))
        }
        // Nobody but the one who made it could use it, and that was not journaled.
        crate::authority::TokenState::Consumed => Probed::Unknown(format!("the token of label {label} was used")),
    })
}
