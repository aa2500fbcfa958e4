//! Faults that the control plane commits on demand: what can go wrong between a request and its reply.
//!
//! They wait in a file under a lock, so that they can be set while the control plane is down and survive its restart.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::sandbox::error::Error;
use crate::sandbox::files;
use crate::sandbox::layout::Layout;
use crate::sandbox::plane::Request;

/// What a fault is set on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Operation {
    /// The connector presents a token.
    Pair,
    /// A token is minted.
    Mint,
    /// Tokens are revoked.
    Revoke,
    /// The connector's status is read.
    Status,
    /// It is asked what the credential may do.
    Rights,
}

impl Operation {
    /// The operation that a request is, if faults can be set on it.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        match request {
            Request::Pair { .. } => Some(Self::Pair),
            Request::Mint { .. } => Some(Self::Mint),
            Request::Revoke { .. } => Some(Self::Revoke),
            Request::Status { .. } => Some(Self::Status),
            Request::Rights { .. } => Some(Self::Rights),
            Request::Health
            | Request::Tokens { .. }
            | Request::Audit { .. }
            | Request::PairResult { .. }
            | Request::Heartbeat { .. }
            | Request::Bootstrap { .. } => None,
        }
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Executed; the connection is closed without a reply.
    DropReply,
    /// Executed and answered this many milliseconds late, also if the client has gone: a late arrival.
    Delay(u64),
    /// Not executed; answered with this HTTP status.
    Error(u16),
    /// Executed twice; the second reply is sent.
    Duplicate,
    /// Not executed; the connection is closed without a reply.
    Refuse,
    /// Not executed and not answered, until the client gives up.
    Hang,
    /// A pairing is executed with a certificate request that is none: the token is used up, and no identity issued.
    BadCsr,
    /// Of a connector that is online it is said that it is degraded.
    Degraded,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DropReply => f.write_str("drop-reply"),
            Self::Delay(ms) => write!(f, "delay={ms}"),
            Self::Error(code) => write!(f, "error={code}"),
            Self::Duplicate => f.write_str("duplicate"),
            Self::Refuse => f.write_str("refuse"),
            Self::Hang => f.write_str("hang"),
            Self::BadCsr => f.write_str("bad-csr"),
            Self::Degraded => f.write_str("degraded"),
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            "one of drop-reply, delay=MS, error=CODE (400 to 599), duplicate, refuse, hang, bad-csr, degraded"
                .to_owned()
        };
        match (text, text.split_once('=')) {
            ("drop-reply", _) => Ok(Self::DropReply),
            ("duplicate", _) => Ok(Self::Duplicate),
            ("refuse", _) => Ok(Self::Refuse),
            ("hang", _) => Ok(Self::Hang),
            ("bad-csr", _) => Ok(Self::BadCsr),
            ("degraded", _) => Ok(Self::Degraded),
            (_, Some(("delay", ms))) => ms.parse().map(Self::Delay).map_err(|_| bad()),
            (_, Some(("error", code))) => {
                let code = code.parse().ok().filter(|code| (400..600).contains(code));
                code.map(Self::Error).ok_or_else(bad)
            }
            (_, _) => Err(bad()),
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A fault and how often it is still committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub(crate) on: Operation,
    pub(crate) kind: Kind,
    pub(crate) times: u32,
}

/// Adds a fault behind those that wait. Gives all that wait now.
pub(crate) fn fault(layout: &Layout, fault: Fault) -> Result<Vec<Fault>, Error> {
    change(layout, |faults| faults.push(fault)).map(|(faults, ())| faults)
}

/// Takes every fault back.
pub(crate) fn clear(layout: &Layout) -> Result<(), Error> {
    change(layout, Vec::clear).map(|(_, ())| ())
}

/// The fault that this operation meets now, used up by one. Earlier ones come first.
pub(crate) fn take(layout: &Layout, on: Operation) -> Result<Option<Kind>, Error> {
    change(layout, |faults| {
        let met = faults.iter_mut().find(|fault| fault.on == on)?;
        met.times = met.times.saturating_sub(1);
        let kind = met.kind;
        faults.retain(|fault| fault.times > 0);
        Some(kind)
    })
    .map(|(_, kind)| kind)
}

fn change<T>(layout: &Layout, act: impl FnOnce(&mut Vec<Fault>) -> T) -> Result<(Vec<Fault>, T), Error> {
    let path = layout.faults();
    let _lock = files::lock(&layout.faults_lock()).map_err(Error::io("lock the sandbox's faults"))?;
    let text = files::read_if_there(&path).map_err(Error::io("read the sandbox's faults"))?;
    let parse = |text: String| serde_json::from_str(&text).map_err(|error| error.into());
    let before: Vec<Fault> =
        text.map_or(Ok(Vec::new()), parse).map_err(Error::io("understand the sandbox's faults"))?;
    let mut faults = before.clone();
    let out = act(&mut faults);
    if faults != before {
        let bytes =
            serde_json::to_vec(&faults).map_err(|error| Error::io("encode the sandbox's faults")(error.into()))?;
        files::replace(&path, &bytes).map_err(Error::io("write the sandbox's faults"))?;
    }
    Ok((faults, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_prints_and_parses_back() {
        let plain = [Kind::DropReply, Kind::Duplicate, Kind::Refuse, Kind::Hang, Kind::BadCsr, Kind::Degraded];
        for kind in plain.into_iter().chain([Kind::Delay(250), Kind::Error(503)]) {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        for text in ["", "delay", "delay=", "delay=-1", "error=200", "error=600", "error=x", "drop_reply"] {
            assert!(text.parse::<Kind>().is_err(), "{text}");
        }
    }

    #[test]
    fn faults_are_met_in_order_as_often_as_they_were_asked_for() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let layout = Layout::new(dir.path().to_owned());
        files::private_dir(&layout.plane_dir()).expect("a directory");
        let set = |on, kind, times| fault(&layout, Fault { on, kind, times }).expect("is set");
        set(Operation::Mint, Kind::Hang, 2);
        set(Operation::Pair, Kind::Refuse, 1);
        set(Operation::Mint, Kind::Duplicate, 1);
        let mut met = Vec::new();
        for on in [Operation::Mint, Operation::Status, Operation::Mint, Operation::Mint, Operation::Mint] {
            met.push(take(&layout, on).expect("is read"));
        }
        assert_eq!(met, [Some(Kind::Hang), None, Some(Kind::Hang), Some(Kind::Duplicate), None]);
        clear(&layout).expect("is cleared");
        assert_eq!(take(&layout, Operation::Pair).expect("is read"), None);
    }
}
