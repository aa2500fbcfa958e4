//! What a run was begun with: its scenario's graph and guards as it carries them itself, so that any build can check it.

use std::sync::Arc;

use crate::entry::Entry;
use crate::graph::Graph;
use crate::guard::Guard;
use crate::id::Digest;
use crate::position::{IllegalRecord, contradiction};
use crate::record::{Begun, Record};

/// What a run was begun with, parsed once.
#[derive(Debug, PartialEq, Eq)]
pub struct Charter {
    /// The record.
    pub begun: Begun,
    /// Its graph.
    pub graph: Arc<Graph>,
    /// Its guards.
    pub guards: Arc<[Guard]>,
}

impl Charter {
    /// Whether it is the one that a run's first record carries, and for this scenario: another one would make other histories
    /// legal.
    ///
    /// # Errors
    /// If it is another's.
    pub(crate) fn is_of(&self, first: &Entry, scenario: &str) -> Result<(), IllegalRecord> {
        let own = match Record::parse(first.header().kind, first.payload()) {
            Ok(Record::Begun(own)) => own,
            Ok(_) | Err(_) => return Err(contradiction("its first record does not say what it was begun with")),
        };
        let begun = &self.begun;
        if *own != *begun {
            return Err(contradiction(format!(
                "it was begun with {} version {}, digest {}, and is to be resumed with {} version {}, digest {}",
                own.scenario, own.version, own.digest, begun.scenario, begun.version, begun.digest
            )));
        }
        if begun.scenario != scenario {
            return Err(contradiction(format!("it is of {}, and the machine of {scenario}", begun.scenario)));
        }
        Ok(())
    }
}

/// Parses graph and guards of a run's first record.
///
/// # Errors
/// If they are not graph and guards, or their digest is not theirs.
pub fn charter(begun: Begun) -> Result<Charter, IllegalRecord> {
    let graph: Graph = begun.graph.to().map_err(|e| contradiction(format!("its graph is not one: {e}")))?;
    let guards: Vec<Guard> = begun.guards.to().map_err(|e| contradiction(format!("its guards are not: {e}")))?;
    if begun.digest != charter_digest(&begun.scenario, begun.version, begun.graph.as_str(), begun.guards.as_str()) {
        return Err(contradiction("its digest is not that of its graph and guards"));
    }
    Ok(Charter { begun, graph: Arc::new(graph), guards: guards.into() })
}

/// The digest over scenario, version, graph and guards that a run carries.
#[must_use]
pub fn charter_digest(scenario: &str, version: u16, graph: &str, guards: &str) -> Digest {
    Digest::of(format!("{scenario}\n{version}\n{graph}\n{guards}").as_bytes())
}
