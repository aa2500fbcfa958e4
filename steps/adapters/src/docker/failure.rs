//! Why the daemon of Docker did not do what it was asked, or may have.

use std::io;
use std::path::{Path, PathBuf};

use crate::redact;
use crate::trouble::{Trouble, code};

/// Longer messages of the daemon say nothing more.
const MESSAGE_MOST: usize = 300;

/// Why a request came to nothing, or not surely to something.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The socket cannot be connected to.
    Unreachable { socket: PathBuf, why: io::Error },
    /// It speaks no version of the interface that we do.
    Version { theirs: String, wanted: String },
    /// It did not answer in time.
    Slow,
    /// What it answered is no answer, or ends in the middle.
    Broken(String),
    /// It said no, or that something is wrong.
    Said { status: u16, message: String },
}

impl Failure {
    pub(super) fn said(status: u16, body: &[u8]) -> Self {
        let told: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let message = told["message"].as_str().unwrap_or("it does not say why");
        Self::Said { status, message: redact::line(message).chars().take(MESSAGE_MOST).collect() }
    }

    /// Whether it said that there is no such thing.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Said { status: 404, .. })
    }

    /// Whether it said that the name is taken, or that something else stands against it now.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Said { status: 409, .. })
    }

    /// In words, with what to do about it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Unreachable { socket, why } => unreachable(socket, why),
            Self::Version { theirs, wanted } => format!(
                "Docker speaks version {theirs} of its interface, and {wanted} is needed; Engine 20.10 and later do"
            ),
            Self::Slow => "Docker does not answer in time".to_owned(),
            Self::Broken(why) => format!("Docker's answer is not understood: {why}"),
            Self::Said { status, message } => format!("Docker says {status}: {message}"),
        }
    }

    /// The trouble of a request that changes nothing.
    pub(crate) fn asking(self) -> Trouble {
        let text = self.text();
        match self {
            Self::Unreachable { why, .. } if why.kind() == io::ErrorKind::PermissionDenied => refused(text),
            Self::Version { .. } | Self::Said { status: 400..=499, .. } => refused(text),
            Self::Unreachable { .. } | Self::Slow | Self::Broken(_) | Self::Said { .. } => Trouble::retry(text),
        }
    }

    /// The trouble of a request that changes something. Where the daemon did not say no, it may have been done.
    pub(crate) fn changing(self) -> Trouble {
        match self {
            Self::Slow | Self::Broken(_) | Self::Said { status: 500..=599, .. } => Trouble::Unknown(self.text()),
            Self::Unreachable { .. } | Self::Version { .. } | Self::Said { .. } => self.asking(),
        }
    }
}

fn refused(text: String) -> Trouble {
    Trouble::refused(code::WORKLOAD, text)
}

fn unreachable(socket: &Path, why: &io::Error) -> String {
    let at = socket.display();
    if why.kind() == io::ErrorKind::NotFound {
        format!("there is no socket {at}; is Docker installed and its daemon running?")
    } else if why.kind() == io::ErrorKind::ConnectionRefused {
        format!("nobody listens at {at}; is Docker's daemon running?")
    } else if why.kind() == io::ErrorKind::PermissionDenied {
        format!(
            "the socket {at} may not be used; run as root or as a member of the group that owns it, which is as much as root"
        )
    } else {
        format!("Docker cannot be reached at {at}: {why}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_done_is_never_called_refused() {
        let unreachable = |kind: io::ErrorKind| Failure::Unreachable { socket: "/s".into(), why: kind.into() };
        for (failure, asking, changing) in [
            (unreachable(io::ErrorKind::NotFound), "retry", "retry"),
            (unreachable(io::ErrorKind::PermissionDenied), "refused", "refused"),
            (Failure::Version { theirs: "1.39".into(), wanted: "1.40".into() }, "refused", "refused"),
            (Failure::said(404, b"{}"), "refused", "refused"),
            (Failure::said(409, b"{}"), "refused", "refused"),
            (Failure::said(500, b"no json"), "retry", "unknown"),
            (Failure::Slow, "retry", "unknown"),
            (Failure::Broken("x".into()), "retry", "unknown"),
        ] {
            let word = |trouble: &Trouble| match trouble {
                Trouble::Refused(_) => "refused",
                Trouble::Retry { .. } => "retry",
                Trouble::Unknown(_) => "unknown",
            };
            let again = match &failure {
                Failure::Unreachable { why, .. } => unreachable(why.kind()),
                Failure::Version { .. } => Failure::Version { theirs: "1.39".into(), wanted: "1.40".into() },
                Failure::Slow => Failure::Slow,
                Failure::Broken(_) => Failure::Broken("x".into()),
                Failure::Said { status, .. } => Failure::said(*status, b"{}"),
            };
            assert_eq!((word(&failure.asking()), word(&again.changing())), (asking, changing));
        }
    }

    #[test]
    fn what_the_daemon_says_is_bounded_and_shown_without_controls() {
        let message = format!("{{\"message\":\"\\u001b[2J{}\"}}", "x".repeat(1_000));
        let text = Failure::said(500, message.as_bytes()).text();
        assert!(text.len() < 400 && !text.contains('\u{1b}'), "{text:?}");
        assert_eq!(Failure::said(500, b"<html>").text(), "Docker says 500: it does not say why");
    }
}
