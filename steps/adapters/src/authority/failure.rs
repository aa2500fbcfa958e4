//! How a request to the authority can fail, told apart by one question: may it have been applied?

use crate::trouble::{Trouble, code};

/// Why a request has no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Not a byte of it was sent: no credential, no address, no connection, no trust.
    NotSent(String),
    /// Not a byte of it was sent: the peer's certificate is not one that is trusted. It will not be at the next try either.
    Untrusted(String),
    /// It is not one of the requests that this program makes. A bug, or an attempt.
    Forbidden(String),
    /// 429.
    Throttled { after_ms: Option<u64> },
    /// The authority answered that it will not do this.
    Denied { status: u16, code: Option<String>, hint: String },
    /// A redirect. It is not followed, since the credential would be.
    Redirected { status: u16, to: String },
    /// 5xx in the contract's own form: it was not done, and may be later.
    Unavailable(String),
    /// It was sent, and what came back, if anything, does not say what became of it.
    Lost(String),
}

impl Failure {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::NotSent(why) => format!("the authority could not be asked: {why}"),
            Self::Untrusted(why) => format!("the authority's certificate is not trusted, so nothing was sent: {why}"),
            Self::Forbidden(what) => format!("{what} is not a request that this program makes"),
            Self::Throttled { .. } => "the authority asks for patience (429)".into(),
            Self::Denied { status, code, hint } => {
                let code = code.as_ref().map(|c| format!(" {c}")).unwrap_or_default();
                format!("the authority refused ({status}{code}): {hint}")
            }
            Self::Redirected { status, to } => {
                format!(
                    "the authority answered with a redirect ({status}) to {to}; redirects are not followed: configure the authority's own origin"
                )
            }
            Self::Unavailable(why) => format!("the authority cannot do this now: {why}"),
            Self::Lost(why) => format!("the authority's answer is lost: {why}"),
        }
    }

    /// What it means where the request only asked.
    pub(crate) fn asking(self) -> Trouble {
        match &self {
            Self::Throttled { after_ms } => Trouble::Retry { why: self.text(), after_ms: *after_ms },
            Self::NotSent(_) | Self::Unavailable(_) | Self::Lost(_) => Trouble::retry(self.text()),
            Self::Untrusted(_) => Trouble::refused(code::CERTIFICATE, self.text()),
            Self::Forbidden(_) | Self::Denied { .. } | Self::Redirected { .. } => {
                Trouble::refused(code::AUTHORITY, self.text())
            }
        }
    }

    /// What it means where the request was to change something.
    pub(crate) fn changing(self) -> Trouble {
        match &self {
            // 307 and 308 say "ask there"; the others may stand for "done, and look there".
            Self::Redirected { status, .. } if !matches!(status, 307 | 308) => Trouble::Unknown(self.text()),
            Self::Lost(_) => Trouble::Unknown(self.text()),
            Self::NotSent(_)
            | Self::Untrusted(_)
            | Self::Forbidden(_)
            | Self::Throttled { .. }
            | Self::Denied { .. }
            | Self::Redirected { .. }
            | Self::Unavailable(_) => self.asking(),
        }
    }
}
