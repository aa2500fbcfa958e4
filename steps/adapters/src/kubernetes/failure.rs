//! How a request to an API server fails, and what that means for what was asked.

use serde_json::Value;

use crate::redact;
use crate::trouble::{Trouble, code};

/// No more of a message is told.
const MESSAGE_MOST: usize = 300;

/// Why there is no answer, or none that says yes.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The kubeconfig, or the account of the pod that this runs in, cannot be used.
    Unusable(String),
    /// Nothing was said to it: there is no connection.
    Unreachable {
        /// Its address.
        server: String,
        /// What happened.
        why: String,
    },
    /// It has a certificate that is not trusted.
    Untrusted(String),
    /// It did not answer in time.
    Slow,
    /// What it said is no whole answer.
    Broken(String),
    /// The list of what may be sent does not have it.
    Forbidden(String),
    /// It said no.
    Said {
        /// The status.
        status: u16,
        /// Its words.
        message: String,
        /// How long it wishes to be left alone.
        after_ms: Option<u64>,
    },
}

impl Failure {
    /// An answer that says no.
    pub(crate) fn said(status: u16, body: &[u8], after_ms: Option<u64>) -> Self {
        let told: Value = serde_json::from_slice(body).unwrap_or_default();
        let message = told["message"].as_str().unwrap_or("it does not say why");
        Self::Said { status, message: redact::line(message).chars().take(MESSAGE_MOST).collect(), after_ms }
    }

    /// Whether it said that there is no such thing.
    pub(crate) const fn is_missing(&self) -> bool {
        matches!(self, Self::Said { status: 404, .. })
    }

    /// Whether it said that the name is taken, or that it has changed meanwhile.
    pub(crate) const fn is_conflict(&self) -> bool {
        matches!(self, Self::Said { status: 409, .. })
    }

    /// In words, with what to do about it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Unusable(why) => why.clone(),
            Self::Unreachable { server, why } => {
                format!("the API server {server} cannot be reached: {why}; nothing of Kubernetes is driven without it")
            }
            Self::Untrusted(why) => format!("the API server's certificate is not trusted: {why}"),
            Self::Slow => "the API server does not answer in time".to_owned(),
            Self::Broken(why) => format!("the API server's answer is not understood: {why}"),
            Self::Forbidden(what) => format!("{what} is nothing that may be sent to an API server"),
            Self::Said { status: 401, .. } => "the API server does not accept the credential".to_owned(),
            Self::Said { status: 403, message, .. } => {
                format!("the API server says 403: {message}; docs/access.md has the role that is needed")
            }
            Self::Said { status, message, .. } => format!("the API server says {status}: {message}"),
        }
    }

    /// The trouble of a request that changes nothing.
    pub(crate) fn asking(self) -> Trouble {
        let text = self.text();
        match self {
            Self::Unusable(_)
            | Self::Untrusted(_)
            | Self::Forbidden(_)
            | Self::Said { status: 400..=408 | 410..=428 | 431..=499, .. } => refused(text),
            Self::Said { after_ms, .. } => Trouble::Retry { why: text, after_ms },
            Self::Unreachable { .. } | Self::Slow | Self::Broken(_) => Trouble::retry(text),
        }
    }

    /// The trouble of a request that changes something. Where the server did not say no, it may have been done.
    pub(crate) fn changing(self) -> Trouble {
        match self {
            Self::Slow | Self::Broken(_) | Self::Said { status: 500..=599, .. } => Trouble::Unknown(self.text()),
            Self::Unusable(_)
            | Self::Unreachable { .. }
            | Self::Untrusted(_)
            | Self::Forbidden(_)
            | Self::Said { .. } => self.asking(),
        }
    }
}

fn refused(text: String) -> Trouble {
    Trouble::refused(code::WORKLOAD, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_done_is_never_called_refused() {
        let word = |trouble: &Trouble| match trouble {
            Trouble::Refused(_) => "refused",
            Trouble::Retry { .. } => "retry",
            Trouble::Unknown(_) => "unknown",
        };
        let said = |status| Failure::said(status, b"{}", Some(7_000));
        for (make, asking, changing) in [
            (&(|| Failure::Unusable("x".into())) as &dyn Fn() -> Failure, "refused", "refused"),
            (&|| Failure::Unreachable { server: "s".into(), why: "w".into() }, "retry", "retry"),
            (&|| Failure::Slow, "retry", "unknown"),
            (&|| Failure::Broken("half".into()), "retry", "unknown"),
            (&|| said(403), "refused", "refused"),
            (&|| said(404), "refused", "refused"),
            (&|| said(409), "retry", "retry"),
            (&|| said(429), "retry", "retry"),
            (&|| said(500), "retry", "unknown"),
            (&|| said(503), "retry", "unknown"),
        ] {
            assert_eq!((word(&make().asking()), word(&make().changing())), (asking, changing), "{:?}", make());
        }
        assert_eq!(said(429).asking(), Trouble::Retry { why: said(429).text(), after_ms: Some(7_000) });
    }

    #[test]
    fn what_the_server_says_is_bounded_and_shown_without_controls() {
        let message = format!("{{\"message\":\"\\u001b[2J{}\"}}", "x".repeat(1_000));
        let text = Failure::said(422, message.as_bytes(), None).text();
        assert!(text.len() < 400 && !text.contains('\u{1b}'), "{text:?}");
        assert!(Failure::said(403, b"{}", None).text().contains("docs/access.md"));
    }
}
