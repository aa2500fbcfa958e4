//! What really happened, as the two sides wrote it down themselves: the control plane's calls, the connector's starts.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use recover_engine::Millis;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::sandbox::clock;
use crate::sandbox::error::Error;
use crate::sandbox::fault::Kind;
use crate::sandbox::files;
use crate::sandbox::layout::Layout;
use crate::sandbox::plane::{ControlPlane, Effect};

/// One call that the control plane took, whether it answered or not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CallLine {
    pub(crate) at: String,
    pub(crate) method: String,
    pub(crate) path: String,
    /// The status of the reply, also of one that was then withheld; null if it was never executed.
    pub(crate) status: Option<u16>,
    pub(crate) effect: Effect,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) accessor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) serial: Option<String>,
    /// The fault that the call met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<Kind>,
}

/// One start of the connector.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StartLine {
    pub(crate) at: String,
    pub(crate) pid: u32,
}

/// Where the files stood when the identity was lost.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Loss {
    at: Option<String>,
    ledger: u64,
    starts: u64,
}

/// What happened since the loss, or since the beginning if there was none.
#[derive(Debug, Serialize)]
pub(crate) struct Ledger {
    schema: &'static str,
    /// When the identity was lost.
    since: Option<String>,
    /// Tokens minted.
    mints: usize,
    /// Tokens presented: requests to pair that were executed.
    pair_attempts: usize,
    /// Identities issued.
    pairs: usize,
    /// Calls that revoked at least one live token.
    revokes: usize,
    /// Starts of the connector.
    starts: usize,
    /// Tokens that would work now.
    live_tokens: usize,
    calls: Vec<CallLine>,
}

/// Reads it from the files, so it needs nobody alive.
pub(crate) fn ledger(dir: &Path) -> Result<Ledger, Error> {
    let layout = Layout::open(dir)?;
    let loss: Loss = json_if_there(&layout.loss())?.unwrap_or_default();
    let calls: Vec<CallLine> = lines(&layout.ledger(), loss.ledger)?;
    let starts: Vec<StartLine> = lines(&layout.starts(), loss.starts)?;
    let plane: ControlPlane = json_if_there(&layout.plane_state())?.unwrap_or_default();
    Ok(tally(loss.at, calls, starts.len(), plane.live_tokens(clock::now())))
}

fn tally(since: Option<String>, calls: Vec<CallLine>, starts: usize, live_tokens: usize) -> Ledger {
    let count = |wanted: &[Effect]| calls.iter().filter(|call| wanted.contains(&call.effect)).count();
    Ledger {
        schema: "recover.sandbox-ledger/v1",
        since,
        mints: count(&[Effect::Minted]),
        pair_attempts: count(&[Effect::Paired, Effect::PairRefused]),
        pairs: count(&[Effect::Paired]),
        revokes: count(&[Effect::Revoked]),
        starts,
        live_tokens,
        calls,
    }
}

/// From now on, only what follows is told.
pub(crate) fn mark_loss(layout: &Layout, at: Millis) -> Result<(), Error> {
    let len = |path: &Path| fs::metadata(path).map(|found| found.len()).unwrap_or_default();
    let loss = Loss { at: Some(clock::rfc3339(at)), ledger: len(&layout.ledger()), starts: len(&layout.starts()) };
    let text = serde_json::to_vec(&loss).map_err(|error| Error::io("encode the loss")(error.into()))?;
    files::replace(&layout.loss(), &text).map_err(Error::io("note the loss"))
}

fn json_if_there<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let read = || -> io::Result<Option<T>> {
        files::read_if_there(path)?.map(|text| serde_json::from_str(&text)).transpose().map_err(Into::into)
    };
    read().map_err(Error::io(format!("read {}", path.display())))
}

/// The lines of a file from an offset on. A last line without its end is still being written, and not yet one.
fn lines<T: DeserializeOwned>(path: &Path, from: u64) -> Result<Vec<T>, Error> {
    let read = || -> io::Result<Vec<T>> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        file.seek(SeekFrom::Start(from))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
        whole.lines().map(|line| serde_json::from_str(line).map_err(Into::into)).collect()
    };
    read().map_err(Error::io(format!("read {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(effect: Effect) -> CallLine {
        CallLine {
            at: clock::rfc3339(Millis(0)),
            method: "POST".into(),
            path: "/".into(),
            status: Some(200),
            effect,
            accessor: None,
            label: None,
            serial: None,
            fault: None,
        }
    }

    #[test]
    fn effects_are_counted_and_attempts_include_what_was_refused() {
        let effects =
            [Effect::Minted, Effect::Minted, Effect::PairRefused, Effect::Paired, Effect::LabelClosed, Effect::Revoked];
        let ledger = tally(None, effects.map(call).to_vec(), 3, 1);
        assert_eq!((ledger.mints, ledger.pair_attempts, ledger.pairs, ledger.revokes), (2, 2, 1, 1));
        assert_eq!((ledger.starts, ledger.live_tokens, ledger.calls.len()), (3, 1, 6));
    }

    #[test]
    fn lines_begin_at_the_offset_and_end_with_the_last_whole_one() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("lines");
        assert!(lines::<u32>(&path, 0).expect("may be missing").is_empty());
        fs::write(&path, "1\n2\n3\n4").expect("is written");
        assert_eq!(lines::<u32>(&path, 2).expect("is read"), [2, 3]);
        fs::write(&path, "1\nx\n").expect("is written");
        assert!(lines::<u32>(&path, 0).is_err(), "a line that is not one is not passed over");
    }
}
