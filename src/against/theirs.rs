//! What the other side wrote down, from a file of its own: a sandbox's ledger, an export of the authority's audit, or the audit log of
//! OpenBao or of a Kubernetes API server.

use std::io::Read as _;
use std::path::Path;

use recover_engine::Millis;
use serde::Deserialize;
use serde_json::Value;

use super::audited::Change;
use super::{kubernetes, openbao};
use crate::fault::{Code, Fault};

/// No more of a file is read. Bytes.
const LEN_MAX: u64 = 64 << 20;

/// What was done to the connector's enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Minted,
    Paired,
    PairRefused,
    Revoked,
}

impl Deed {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Minted => "minted",
            Self::Paired => "paired",
            Self::PairRefused => "pairing refused",
            Self::Revoked => "revoked",
        }
    }

    /// By the ledger's word or by the audit's.
    fn of(word: &str) -> Option<Self> {
        match word {
            "minted" | "token.minted" => Some(Self::Minted),
            "paired" | "agent.pairing_completed" => Some(Self::Paired),
            "pair-refused" | "agent.pairing_failed" => Some(Self::PairRefused),
            "revoked" | "token.revoked" => Some(Self::Revoked),
            _ => None,
        }
    }
}

/// One effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    pub(super) deed: Deed,
    pub(super) at: Millis,
    pub(super) accessor: Option<String>,
    pub(super) label: Option<String>,
    pub(super) serial: Option<String>,
    /// The request, where it is known: it names the agent.
    path: Option<String>,
}

impl Effect {
    /// Whether it may be about this agent. Pairings do not name it in their path.
    pub(super) fn may_be_of(&self, agent: &str) -> bool {
        let named = self.path.as_deref().and_then(|path| path.strip_prefix("/v1/connectors/"));
        named.is_none_or(|rest| rest.split(['/', '?']).next() == Some(agent))
    }
}

#[derive(Deserialize)]
struct Line {
    at: String,
    /// The ledger's.
    effect: Option<String>,
    /// The audit's.
    #[serde(rename = "type")]
    kind: Option<String>,
    accessor: Option<String>,
    label: Option<String>,
    serial: Option<String>,
    path: Option<String>,
}

/// What a file has.
#[derive(Debug)]
pub(super) enum Theirs {
    /// Of an enrolment authority.
    Effects(Vec<Effect>),
    /// Of an API server.
    Changes(Vec<Change>),
}

/// What is in a file, in its order.
pub(super) fn read(path: &Path) -> Result<Theirs, Fault> {
    let bad = |why: String| Fault::new(Code::Usage, format!("{}: {why}", path.display()));
    let failed = |e: std::io::Error| bad(format!("it cannot be read: {e}"));
    // A FIFO would wait for ever.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(bad("it is not a regular file".to_owned()));
    }
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LEN_MAX + 1).read_to_string(&mut text));
    if read.map_err(failed)? as u64 > LEN_MAX {
        return Err(bad(format!("it is larger than {} MiB", LEN_MAX >> 20)));
    }
    understood(&text).map_err(|why| bad(why).hint("docs/verify-against.md says what is understood"))
}

fn understood(text: &str) -> Result<Theirs, String> {
    let whole: Option<Value> = serde_json::from_str(text).ok();
    if let Some(events) = whole.as_ref().and_then(kubernetes::listed) {
        return kubernetes::read(events).map(Theirs::Changes);
    }
    let listed = whole.as_ref().and_then(|whole| whole.get("calls").or_else(|| whole.get("events")));
    let lines: Vec<Value> = match (listed, &whole) {
        (Some(Value::Array(lines)), _) => lines.clone(),
        (Some(_), _) => return Err("its list is none".to_owned()),
        (None, Some(Value::Array(lines))) => lines.clone(),
        (None, _) => {
            let line = |(at, line): (usize, &str)| {
                serde_json::from_str(line).map_err(|e| format!("line {}: it is no JSON: {e}", at + 1))
            };
            text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(line).collect::<Result<_, _>>()?
        }
    };
    // Lines of two kinds in one file are two files.
    if lines.first().is_some_and(kubernetes::is_event) {
        return kubernetes::read(lines).map(Theirs::Changes);
    }
    if lines.first().is_some_and(openbao::is_line) {
        return openbao::read(lines).map(Theirs::Changes);
    }
    let mut effects = Vec::new();
    for (at, line) in lines.into_iter().enumerate() {
        let number = at + 1;
        let line: Line = serde_json::from_value(line).map_err(|e| format!("entry {number}: {e}"))?;
        let word = line.effect.as_deref().or(line.kind.as_deref());
        let word = word.ok_or_else(|| format!("entry {number}: it has neither `effect` nor `type`"))?;
        let Some(deed) = Deed::of(word) else { continue };
        let at =
            recover_adapters::time_of(&line.at).ok_or_else(|| format!("entry {number}: {} is no time", line.at))?;
        let Line { accessor, label, serial, path, .. } = line;
        effects.push(Effect { deed, at, accessor, label, serial, path });
    }
    Ok(Theirs::Effects(effects))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effects(text: &str) -> Vec<Effect> {
        match understood(text).unwrap() {
            Theirs::Effects(effects) => effects,
            Theirs::Changes(changes) => panic!("{changes:?}"),
        }
    }

    #[test]
    fn a_ledger_an_audit_and_lines_of_either_are_understood() {
        let event = r#"{"at":"2026-11-22T03:00:00Z","type":"token.minted","accessor":"a1"}"#;
        let call = r#"{"at":"2026-11-22T03:00:00Z","method":"POST","path":"/v1/connectors/e/tokens","status":201,"effect":"minted","accessor":"a1"}"#;
        let look = r#"{"at":"2026-11-22T03:00:00Z","method":"GET","path":"/healthz","status":200,"effect":"none"}"#;
        for text in [
            format!(r#"{{"events":[{event}],"next":null}}"#),
            format!(r#"{{"schema":"recover.sandbox-ledger/v1","calls":[{look},{call}]}}"#),
            format!("[{event}]"),
            format!("{event}\n\n"),
            format!("{look}\n{call}\n"),
        ] {
            let effects = effects(&text);
            assert_eq!(effects.len(), 1, "{text}");
            assert_eq!((effects[0].deed, effects[0].accessor.as_deref()), (Deed::Minted, Some("a1")));
            assert!(effects[0].may_be_of("e"));
        }
        assert!(!effects(call)[0].may_be_of("other"));
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place() {
        for (text, why) in [
            ("nonsense", "line 1"),
            (r#"{"at":"2026-11-22T03:00:00Z"}"#, "entry 1: it has neither"),
            (r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1"}"#, "entry 1: missing field"),
            (r#"{"at":"yesterday","type":"token.minted"}"#, "yesterday is no time"),
            (r#"{"events":7}"#, "its list"),
        ] {
            let said = understood(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
