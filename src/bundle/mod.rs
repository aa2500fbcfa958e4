//! The evidence bundle: one run in one file, signed, that is verified with nothing but the file.
//!
//! `FORMAT.md` has it field by field: an in-toto statement in a DSSE envelope. The records are the journal's own bytes, so that every
//! hash holds as it did when the run was made; graph, guards, answers and the captured texts are in them.

mod envelope;
mod key;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use recover_engine::{Digest, Entry, RunId};
use serde::{Deserialize, Serialize};

use crate::fault::{Code, Fault};
use crate::store::{Folded, fold};

pub(crate) use envelope::Envelope;
pub(crate) use key::{PublicKey, SigningKey};

/// Longer files are not read. Bytes.
const MOST: u64 = 256 << 20;
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "urn:recover:run:v1";

/// What is signed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Predicate,
}

/// The run, by the hash of its last record: every record before it is chained to that.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: Sha256,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sha256 {
    sha256: Digest,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicate {
    /// The version of the program that exported it.
    recover: String,
    /// When, in RFC 3339.
    exported: String,
    /// Whether the run had ended.
    closed: bool,
    /// The public half of the key that signed, as base64 of its 32 bytes.
    public_key: String,
    /// Each record's bytes, as base64.
    records: Vec<String>,
    /// The captured texts that are too long for a record. A record names each by its digest.
    texts: Vec<String>,
}

/// A run out of a bundle, or on its way into one.
pub(crate) struct Bundle {
    pub(crate) run: RunId,
    pub(crate) entries: Vec<Entry>,
    pub(crate) folded: Folded,
    /// The captured texts that are too long for a record.
    pub(crate) texts: Vec<String>,
    /// Whether the run had ended when it was exported.
    pub(crate) closed: bool,
    /// When that was.
    pub(crate) exported: String,
}

fn invalid(what: impl std::fmt::Display) -> Fault {
    Fault::new(Code::BundleInvalid, what.to_string())
}

impl Bundle {
    /// The bundle of these records, with the texts that they name.
    pub(crate) fn of(run: RunId, entries: Vec<Entry>, texts: Vec<String>, exported: String) -> Result<Self, Fault> {
        let folded = fold(&entries)?;
        let closed = matches!(folded.position.phase, recover_engine::Phase::Closed(_));
        Ok(Self { run, entries, folded, texts, closed, exported })
    }

    /// The file.
    pub(crate) fn signed(&self, key: &SigningKey) -> Result<Vec<u8>, Fault> {
        let head = self.entries.last().map(Entry::hash).unwrap_or_default();
        let statement = Statement {
            kind: STATEMENT.into(),
            subject: vec![Subject { name: self.run.to_string(), digest: Sha256 { sha256: head } }],
            predicate_type: PREDICATE.into(),
            predicate: Predicate {
                recover: env!("CARGO_PKG_VERSION").into(),
                exported: self.exported.clone(),
                closed: self.closed,
                public_key: BASE64.encode(key.public().bytes()),
                records: self.entries.iter().map(|entry| BASE64.encode(entry.bytes())).collect(),
                texts: self.texts.clone(),
            },
        };
        let bug = |e: serde_json::Error| Fault::caused(Code::Bug, "the bundle cannot be encoded", &e);
        let payload = serde_json::to_vec(&statement).map_err(bug)?;
        let mut file = serde_json::to_vec(&Envelope::signed(&payload, key)).map_err(bug)?;
        file.push(b'\n');
        Ok(file)
    }

    /// The bundle in a file, with everything in it checked, and the key that signed it.
    ///
    /// # Errors
    /// [`Code::BundleInvalid`] with the first thing that does not hold; a record that was changed is named by its number.
    pub(crate) fn read(path: &Path) -> Result<(Self, PublicKey), Fault> {
        use std::io::Read as _;
        let failed = |e: std::io::Error| Fault::caused(Code::BundleInvalid, &format!("{}", path.display()), &e);
        let file = std::fs::File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() || meta.len() > MOST {
            return Err(invalid(format!("{} is no file of at most {} MiB", path.display(), MOST >> 20)));
        }
        let mut bytes = Vec::new();
        file.take(MOST).read_to_end(&mut bytes).map_err(failed)?;
        Self::parse(&bytes)
    }

    /// The bundle that these bytes are. See [`Self::read`].
    pub(crate) fn parse(bytes: &[u8]) -> Result<(Self, PublicKey), Fault> {
        let envelope: Envelope = json(bytes, "the envelope")?;
        let payload = envelope.payload()?;
        // What is inside is looked at first, so that what was changed can be named; it is believed only with the signature.
        let statement: Statement = json(&payload, "the statement")?;
        let Predicate { exported, closed, public_key, records, texts, .. } = statement.predicate;
        if statement.kind != STATEMENT || statement.predicate_type != PREDICATE {
            return Err(invalid("it is a statement of another kind, or of a later version of this program"));
        }
        let key = PublicKey::parse_base64(&public_key).ok_or_else(|| invalid("its public key is none"))?;
        let entries = chained(&records)?;
        let head = entries.last().map(Entry::hash).unwrap_or_default();
        let run = entries.first().map(|entry| entry.header().run).ok_or_else(|| invalid("no record is in it"))?;
        let named = Subject { name: run.to_string(), digest: Sha256 { sha256: head } };
        if statement.subject != [named] {
            return Err(invalid("its subject is not the run and the head of its records"));
        }
        let bundle = Self::of(run, entries, texts, exported)
            .map_err(|fault| invalid(format!("its records are no legal history: {}", fault.message)))?;
        if bundle.closed != closed {
            return Err(invalid("whether the run had ended is not what its records say"));
        }
        bundle.check_texts()?;
        envelope.check(&payload, &key)?;
        Ok((bundle, key))
    }

    /// Each text is named by a record, and each that is named as a file is there.
    fn check_texts(&self) -> Result<(), Fault> {
        let named: Vec<Digest> = self
            .entries
            .iter()
            .flat_map(crate::keeping::named)
            .filter(|evidence| evidence.file.is_some())
            .map(|evidence| evidence.sha256)
            .collect();
        let there: Vec<Digest> = self.texts.iter().map(|text| Digest::of(text.as_bytes())).collect();
        if let Some(stray) = there.iter().find(|digest| !named.contains(digest)) {
            return Err(invalid(format!("text {stray} is in it and no record names it")));
        }
        match named.iter().find(|digest| !there.contains(digest)) {
            Some(missing) => Err(invalid(format!("text {missing} is named by a record and is not in it"))),
            None => Ok(()),
        }
    }
}

/// The records, each following the one before it.
fn chained(records: &[String]) -> Result<Vec<Entry>, Fault> {
    let mut entries: Vec<Entry> = Vec::with_capacity(records.len());
    for (at, text) in records.iter().enumerate() {
        let number = at + 1;
        let bytes = BASE64.decode(text).map_err(|e| invalid(format!("record {number} is no base64: {e}")))?;
        let entry = Entry::decode(&bytes).map_err(|e| invalid(format!("record {number} is none: {e}")))?;
        let before = entries.last();
        let follows = entry.header().prev == before.map(Entry::hash).unwrap_or_default()
            && before.is_none_or(|before| before.header().run == entry.header().run)
            && usize::try_from(entry.header().seq) == Ok(number);
        if !follows {
            return Err(invalid(format!(
                "record {number} does not follow the one before it: one of the two was changed"
            )));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(|e| {
        invalid(format!("{what} is not what this program makes: {e}")).hint("FORMAT.md describes a bundle")
    })
}

#[cfg(test)]
mod tests;
