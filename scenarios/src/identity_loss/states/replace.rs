//! The doors of the controlled reprovision: durable storage, no token that works, one mint, one pairing.

use recover_steps::{Instance, Token};

use super::super::IdentityLoss;
use super::super::case::MINTS_MAX;
#[allow(clippy::wildcard_imports, reason = "every state of this machine, and nothing else, is in there")]
use super::*;

impl SettingAside {
    /// It is aside.
    #[must_use]
    pub fn done(mut self) -> ProvingDurable {
        self.case.aside = true;
        ProvingDurable { case: self.case }
    }

    /// It could not be moved; it may have been half way.
    #[must_use]
    pub fn failed(mut self, reason: String) -> IdentityLoss {
        self.case.aside = true;
        self.give_up(format!("the unusable identity could not be set aside: {reason}"))
    }
}

macro_rules! unproven {
    ($($name:ident),+) => {
        $(impl $name {
            /// It was not proven stopped: back, and what runs in the end is not ours to say unless we start it.
            #[must_use]
            pub fn unproven(mut self, reason: impl Into<String>) -> IdentityLoss {
                self.case.may_run = true;
                self.give_up(reason)
            }
        })+
    };
}
unproven!(ProvingStopped, ProvingStillStopped, ProvingBeforePair);

impl ProvingDurable {
    /// It is durable, writable and free.
    #[must_use]
    pub fn durable(self) -> RevokingStale {
        RevokingStale { case: self.case }
    }

    /// It is not durable: nothing is minted for it, and nothing is started on it.
    #[must_use]
    pub fn refuted(mut self, on: &str) -> IdentityLoss {
        self.case.refuted = true;
        self.give_up(format!("the storage would not survive a restart: {on}"))
    }

    /// It cannot be told.
    #[must_use]
    pub fn undecided(self, on: String) -> IdentityLoss {
        if self.case.durable_on_word {
            IdentityLoss::RevokingStale(RevokingStale { case: self.case })
        } else {
            IdentityLoss::AskingDurable(AskingDurable { case: self.case, on, original: false })
        }
    }

    /// Another identity is on it.
    #[must_use]
    pub fn occupied(self, serial: String) -> IdentityLoss {
        if self.case.aside {
            self.give_up(format!("identity {serial} appeared on the storage while it was being prepared"))
        } else {
            IdentityLoss::AskingSetAside(AskingSetAside { case: self.case, serial })
        }
    }
}

impl RevokingStale {
    /// No token works.
    #[must_use]
    pub fn revoked(self) -> ProvingStillStopped {
        ProvingStillStopped { case: self.case }
    }
}

impl ProvingStillStopped {
    /// Still.
    #[must_use]
    pub fn stopped(self) -> IdentityLoss {
        if self.case.mints < MINTS_MAX {
            IdentityLoss::Minting(Minting { case: self.case })
        } else {
            self.give_up(format!("{MINTS_MAX} tokens were minted and none paired; a person must find out why"))
        }
    }
}

impl Minting {
    /// One token works.
    #[must_use]
    pub fn minted(mut self, token: Token) -> ProvingBeforePair {
        self.case.mints += 1;
        self.case.token = Some(token.clone());
        ProvingBeforePair { case: self.case, token }
    }

    /// An identity is there. Where this run tried to pair before, and that was taken for failed, it may be what that left.
    #[must_use]
    pub fn not_needed(mut self, reason: String) -> IdentityLoss {
        if self.case.mints > 0 {
            self.case
                .residue("a pairing of this run that was taken for failed may have left the identity on the storage");
        }
        self.give_up(reason)
    }

    /// None does, provably; another may be minted.
    #[must_use]
    pub fn absent(mut self) -> ProvingStillStopped {
        self.case.mints += 1;
        ProvingStillStopped { case: self.case }
    }
}

impl ProvingBeforePair {
    /// Still.
    #[must_use]
    pub fn stopped(self) -> Pairing {
        Pairing { case: self.case, token: self.token }
    }
}

impl Pairing {
    /// The token to be handed over.
    #[must_use]
    pub const fn token(&self) -> &Token {
        &self.token
    }

    /// The authority issued an identity for it.
    #[must_use]
    pub fn paired(mut self, serial: String, instance: Option<Instance>) -> Withdrawing {
        self.case.token = None;
        Withdrawing { case: self.case, token: self.token, serial, instance }
    }

    /// It surely did not pair.
    #[must_use]
    pub fn refused(mut self, why: String) -> RevokingOrphan {
        self.case.started = true;
        RevokingOrphan { case: self.case, token: self.token, why }
    }
}

impl RevokingOrphan {
    /// The token.
    #[must_use]
    pub const fn token(&self) -> &Token {
        &self.token
    }

    /// It works no more.
    #[must_use]
    pub fn revoked(mut self) -> StoppingAgain {
        self.case.token = None;
        StoppingAgain { case: self.case, why: self.why }
    }

    /// It may still work.
    #[must_use]
    pub fn failed(mut self, reason: &str) -> IdentityLoss {
        self.case.token = None;
        let may_work = format!("token {} may work until it expires: {reason}", self.token.accessor);
        self.case.residue(may_work);
        self.give_up("a token that did not pair could not be revoked")
    }
}

impl StoppingAgain {
    /// It stopped.
    #[must_use]
    pub fn stopped(mut self) -> ProvingStillStopped {
        self.case.started = false;
        ProvingStillStopped { case: self.case }
    }

    /// It could not be stopped.
    #[must_use]
    pub fn failed(self, reason: &str) -> IdentityLoss {
        let why = self.why.clone();
        self.give_up(format!("{why}; and the workload could not be stopped again: {reason}"))
    }
}
