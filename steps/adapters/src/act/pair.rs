//! Pairing: the token is handed over and the workload started as one effect, and the authority says what came of it.

use std::time::{Duration, Instant};

use recover_engine::{Act, Probed, Reason, Seen, Told};
use recover_steps::{Pair, Paired, refusal};

use super::look::Poll;
use crate::authority::{Failure, Token, TokenState};
use crate::connector::Connector;
use crate::trouble::{Trouble, code};

/// How long the authority has to show what a workload did that has ended.
const ENDED_FOR: Duration = Duration::from_secs(3);

impl Connector {
    pub(crate) async fn pair(&self, act: &Act, step: &Pair) -> Result<Paired, Trouble> {
        let Some(sealed) = self.sealed(act, &step.token)? else {
            return Err(Trouble::refused(Reason::ABSENT, "the token's secret is gone, so it was not handed over"));
        };
        match self.listed(step).await?.map(|t| t.state) {
            Some(TokenState::Live) => {}
            Some(TokenState::Revoked | TokenState::Expired) => {
                return Err(Trouble::refused(Reason::ABSENT, "the token no longer works, so it was not handed over"));
            }
            Some(TokenState::Consumed) => {
                return Err(Trouble::Unknown("the token was used before it was handed over".into()));
            }
            None => {
                return Err(Trouble::refused(
                    code::AUTHORITY,
                    "the authority does not know the token, so it was not handed over",
                ));
            }
        }
        let lock = self.stopped().await?;
        self.make_sure(step, &sealed).await?;
        let started = match self.workload.hand_over(act.run, &step.token.label, &sealed.secret).await {
            Ok(()) => self.workload.start_with_token(&lock).await,
            Err(trouble) => Err(trouble),
        };
        if let Err(trouble) = started {
            // The lock is still ours and nothing runs: what is taken away now was seen by nobody.
            let taken = self.workload.take_back(act.run, &step.token.label, Some(&sealed.secret)).await;
            return Err(if taken.is_ok() { trouble } else { trouble.midway() });
        }
        drop(lock);
        drop(sealed);
        self.paired(step).await
    }

    /// Waits for the authority to say what became of the token.
    async fn paired(&self, step: &Pair) -> Result<Paired, Trouble> {
        // A little earlier than the limit on the whole, so that the last thing seen is told.
        let until = Instant::now() + Duration::from_millis(step.within_ms.saturating_sub(step.within_ms / 10));
        let mut poll = Poll::new();
        let mut ended: Option<Instant> = None;
        loop {
            let seen = match self.listed(step).await {
                Ok(Some(Token { state: TokenState::Consumed, paired_serial: Some(serial), .. })) => {
                    return Ok(Paired::Paired { serial, instance: self.workload.running().await.unwrap_or(None) });
                }
                Ok(Some(Token { state: TokenState::Consumed, paired_serial: None, .. })) => {
                    return Err(Trouble::refused(
                        refusal::BURNT,
                        "the attempt used the token up, and no identity was issued for it",
                    ));
                }
                Ok(Some(token)) => format!("the token is {:?}", token.state).to_lowercase(),
                Ok(None) => "the authority does not know the token".to_owned(),
                Err(trouble) => trouble.text().to_owned(),
            };
            match self.workload.running().await {
                Ok(None) => {
                    if ended.get_or_insert_with(Instant::now).elapsed() > ENDED_FOR {
                        return Err(Trouble::Unknown(format!("the workload ended without an answer; {seen}")));
                    }
                }
                Ok(Some(_)) | Err(_) => ended = None,
            }
            if Instant::now() >= until {
                return Err(Trouble::Unknown(format!("it did not pair in time; {seen}")));
            }
            poll.pause_until(Some(until)).await;
        }
    }

    pub(crate) async fn fence_pair(&self, act: &Act, step: &Pair) -> Result<String, Trouble> {
        let lock = self.workload.lock().await?;
        self.workload.stop(&lock).await?;
        self.withdraw(act, &step.token.label).await?;
        drop(lock);
        let over = self.end(&step.token).await?;
        Ok(format!("the workload is stopped, the token is out of its sight, {over}"))
    }

    pub(crate) async fn probe_pair(&self, step: &Pair) -> Result<Probed, Trouble> {
        Ok(match Fate::of(self.listed(step).await?) {
            Fate::Paired { serial } => {
                let instance = self.workload.running().await?;
                Probed::Happened(Seen::plain(Told::of(&Paired::Paired { serial, instance })))
            }
            Fate::Unused(why) => Probed::Absent(why.into()),
            Fate::Unknown(why) => Probed::Unknown(why.into()),
        })
    }

    async fn listed(&self, step: &Pair) -> Result<Option<Token>, Trouble> {
        self.authority.token(&step.token).await.map_err(Failure::asking)
    }
}

/// What became of a token, as far as the authority's word about it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// An identity was issued for it.
    Paired {
        /// The identity.
        serial: String,
    },
    /// No identity was, and none can be any more.
    Unused(&'static str),
    /// That cannot be told, or not yet.
    Unknown(&'static str),
}

impl Fate {
    pub(crate) fn of(token: Option<Token>) -> Self {
        let Some(token) = token else { return Self::Unknown("the authority does not know the token") };
        match (token.state, token.paired_serial) {
            (TokenState::Consumed, Some(serial)) => Self::Paired { serial },
            (TokenState::Consumed, None) => Self::Unused("the token was used up, and no identity was issued for it"),
            (TokenState::Revoked, None) => Self::Unused("the token was revoked unused"),
            (TokenState::Expired, None) => Self::Unused("the token expired unused"),
            (TokenState::Live, _) => Self::Unknown("the token still works"),
            (TokenState::Revoked | TokenState::Expired, Some(_)) => {
                Self::Unknown("the authority contradicts itself: a token that was never used has an identity")
            }
        }
    }
}
