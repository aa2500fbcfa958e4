//! One record as bytes: the fixed header, the actor and the payload that are hashed, chained and written.
//!
//! `FORMAT.md` describes the layout. A record is encoded once, by the engine; the journal only carries its bytes.

use std::sync::Arc;

use crate::id::{Digest, Key, Millis, RunId};

/// The length of the fixed header in bytes.
pub const HEADER_LEN: usize = 88;
/// A record longer than this is refused before it is written, and never believed when it is read. Bytes.
pub const RECORD_LEN_MAX: usize = 1 << 20;

macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $n:literal $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vmeta])* $variant = $n),+ }
        impl $name {
            /// Every value, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The value of this number, if it is one that this build knows.
            #[must_use]
            pub const fn from_number(n: u8) -> Option<Self> {
                match n { $($n => Some(Self::$variant),)+ _ => None }
            }
            /// The word used on the command line and in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

numbered! {
    /// What a record says. The numbers are part of the format; 0 is never used.
    Kind {
        /// A run began: scenario, version, graph, guards, subject, parameters.
        Begun = 1 "begun",
        /// An effect is about to be attempted.
        Intent = 2 "intent",
        /// An open intent is about to be attempted again.
        Attempt = 3 "attempt",
        /// What came of an intent, a wait or a question.
        Outcome = 4 "outcome",
        /// A late arrival of an open intent's effect is no longer possible.
        Fenced = 5 "fenced",
        /// The run waits until a time.
        Waiting = 6 "waiting",
        /// A person must decide.
        Asked = 7 "asked",
        /// A person chose.
        Answered = 8 "answered",
        /// A person said no.
        Denied = 9 "denied",
        /// A person's word on an open intent.
        Resolved = 10 "resolved",
        /// A person asked to stop and go back.
        CancelRequested = 11 "cancel-requested",
        /// The state directory was adopted by another machine.
        Adopted = 12 "adopted",
        /// The run ended.
        Closed = 13 "closed",
        /// A damaged range of the log was sealed.
        Salvaged = 14 "salvaged",
        /// A person answered for a subject that a salvage had blocked.
        Cleared = 15 "cleared",
        /// A person recorded how a target is when it is well.
        Baselined = 16 "baselined",
        /// A person dismissed an alert: nothing is begun for it.
        Dismissed = 17 "dismissed",
    }
}

numbered! {
    /// What a record does to the journal's ledger of claims and consumed effects, with the key in its header.
    Latch {
        /// Nothing.
        None = 0 "none",
        /// The run claims the subject: one open run each.
        Claim = 1 "claim",
        /// The effect is consumed, by intent: no run may intend it again.
        Consume = 2 "consume",
        /// The effect was proven absent: its key no longer blocks the next ordinal.
        Restore = 3 "restore",
        /// The run gives the subject back and is closed.
        Release = 4 "release",
        /// The subject may have records in a damaged range: no run may claim it.
        Block = 5 "block",
        /// A person answered for the blocked subject.
        Clear = 6 "clear",
    }
}

/// The fixed part of a record, readable without parsing any JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The run, or [`RunId::JOURNAL`].
    pub run: RunId,
    /// The record's number in its run, from 1.
    pub seq: u32,
    /// What it says.
    pub kind: Kind,
    /// What it does to the ledger.
    pub latch: Latch,
    /// The subject or effect that `latch` is about.
    pub key: Key,
    /// When it was made.
    pub at: Millis,
    /// The hash of the run's previous record; [`Digest::ZERO`] for the first.
    pub prev: Digest,
}

/// A record's bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// Fewer bytes than the record says it has.
    #[error("the record is cut short")]
    Short,
    /// The lengths inside contradict each other or a limit.
    #[error("the record's lengths do not fit")]
    Lengths,
    /// A kind or latch of a later format.
    #[error("record kind or latch {0} is not known")]
    Unknown(u8),
    /// Actor or payload is not UTF-8.
    #[error("the record's text is not UTF-8")]
    Text,
}

/// One encoded record and its hash. A clone shares its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    bytes: Arc<[u8]>,
    hash: Digest,
    header: Header,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("header", &self.header).field("payload", &self.payload()).finish()
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

impl Entry {
    /// Encodes a record. `actor` and `payload` are JSON objects.
    ///
    /// # Errors
    /// [`BadEntry::Lengths`] if it would be longer than [`RECORD_LEN_MAX`] or the actor longer than 64 KiB.
    pub fn encode(header: Header, actor: &str, payload: &str) -> Result<Self, BadEntry> {
        Self::write(header, actor, &mut Vec::new(), |out| out.extend_from_slice(payload.as_bytes()))
    }

    /// As [`Entry::encode`], for a payload that is written in place at the end of `scratch`, which is used again and again.
    pub(crate) fn write(
        header: Header,
        actor: &str,
        scratch: &mut Vec<u8>,
        payload: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Self, BadEntry> {
        let actor_len = u16::try_from(actor.len()).map_err(|_| BadEntry::Lengths)?;
        scratch.clear();
        scratch.resize(HEADER_LEN, 0);
        scratch.extend_from_slice(actor.as_bytes());
        let before = scratch.len();
        payload(scratch);
        let len = scratch.len();
        if len > RECORD_LEN_MAX {
            return Err(BadEntry::Lengths);
        }
        scratch[..4].copy_from_slice(&(len as u32).to_le_bytes());
        scratch[4] = header.kind as u8;
        scratch[5] = header.latch as u8;
        scratch[6..8].copy_from_slice(&actor_len.to_le_bytes());
        scratch[8..12].copy_from_slice(&header.seq.to_le_bytes());
        scratch[12..16].copy_from_slice(&((len - before) as u32).to_le_bytes());
        scratch[16..32].copy_from_slice(header.run.as_bytes());
        scratch[32..48].copy_from_slice(&header.key.0);
        scratch[48..56].copy_from_slice(&header.at.0.to_le_bytes());
        scratch[56..88].copy_from_slice(&header.prev.0);
        Ok(Self { hash: Digest::of(scratch), bytes: scratch.as_slice().into(), header })
    }

    /// The record that begins `bytes`; what follows it is left alone.
    ///
    /// # Errors
    /// Whatever [`BadEntry`] says; nothing is guessed.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadEntry> {
        let header = Header::decode(bytes)?;
        let len = Header::record_len(bytes)?;
        let bytes = bytes.get(..len).ok_or(BadEntry::Short)?;
        if std::str::from_utf8(&bytes[HEADER_LEN..]).is_err() {
            return Err(BadEntry::Text);
        }
        let entry = Self { hash: Digest::of(bytes), bytes: bytes.into(), header };
        // A length that splits a character would make two texts of one: refuse it.
        let cut = HEADER_LEN + entry.actor_len();
        match std::str::from_utf8(&entry.bytes[HEADER_LEN..cut]) {
            Ok(_) => Ok(entry),
            Err(_) => Err(BadEntry::Text),
        }
    }

    fn actor_len(&self) -> usize {
        usize::from(u16::from_le_bytes([self.bytes[6], self.bytes[7]]))
    }

    /// The record as it is written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 over [`Entry::bytes`].
    #[must_use]
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// The fixed part.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Who made the record, as JSON.
    #[must_use]
    pub fn actor(&self) -> &str {
        let end = HEADER_LEN + self.actor_len();
        self.bytes.get(HEADER_LEN..end).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
    }

    /// What it says, as JSON.
    #[must_use]
    pub fn payload(&self) -> &str {
        let start = HEADER_LEN + self.actor_len();
        self.bytes.get(start..).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
    }
}

impl Header {
    /// The length of the record that begins `bytes`, header included, checked against the lengths inside it.
    ///
    /// # Errors
    /// [`BadEntry::Short`] or [`BadEntry::Lengths`].
    pub fn record_len(bytes: &[u8]) -> Result<usize, BadEntry> {
        let len = u32_at(bytes, 0).ok_or(BadEntry::Short)? as usize;
        let actor = array::<2>(bytes, 6).map(u16::from_le_bytes).ok_or(BadEntry::Short)?;
        let payload = u32_at(bytes, 12).ok_or(BadEntry::Short)? as usize;
        let sum = HEADER_LEN + usize::from(actor) + payload;
        if len != sum || len > RECORD_LEN_MAX { Err(BadEntry::Lengths) } else { Ok(len) }
    }

    /// The header of the record that begins `bytes`, without looking at actor or payload.
    ///
    /// # Errors
    /// Whatever [`BadEntry`] says.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadEntry> {
        if bytes.len() < HEADER_LEN {
            return Err(BadEntry::Short);
        }
        let kind = Kind::from_number(bytes[4]).ok_or(BadEntry::Unknown(bytes[4]))?;
        let latch = Latch::from_number(bytes[5]).ok_or(BadEntry::Unknown(bytes[5]))?;
        let header = || {
            Some(Self {
                run: RunId::from_bytes(array(bytes, 16)?),
                seq: u32_at(bytes, 8)?,
                kind,
                latch,
                key: Key(array(bytes, 32)?),
                at: Millis(i64::from_le_bytes(array(bytes, 48)?)),
                prev: Digest(array(bytes, 56)?),
            })
        };
        header().ok_or(BadEntry::Short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Entry {
        let header = Header {
            run: RunId::new(Millis(7), [3; 10]),
            seq: 2,
            kind: Kind::Intent,
            latch: Latch::Consume,
            key: Key::subject("s"),
            at: Millis(-1),
            prev: Digest::of(b"before"),
        };
        Entry::encode(header, r#"{"uid":0}"#, r#"{"step":"mint"}"#).expect("fits")
    }

    #[test]
    fn a_record_decodes_to_what_was_encoded() {
        let entry = sample();
        let back = Entry::decode(entry.bytes()).expect("decodes");
        assert_eq!(back, entry);
        assert_eq!((back.actor(), back.payload()), (r#"{"uid":0}"#, r#"{"step":"mint"}"#));
    }

    #[test]
    fn every_bit_that_flips_changes_the_hash_or_is_refused() {
        let entry = sample();
        for bit in 0..entry.bytes().len() * 8 {
            let mut bytes = entry.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = Entry::decode(&bytes) {
                assert_ne!(other.hash(), entry.hash(), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_record_is_as_long_as_is_allowed_and_no_longer() {
        let header = *sample().header();
        let payload = |len: usize| "7".repeat(len - HEADER_LEN - "{}".len());
        let longest = Entry::encode(header, "{}", &payload(RECORD_LEN_MAX)).expect("it just fits");
        assert_eq!(Entry::decode(longest.bytes()), Ok(longest));
        assert_eq!(Entry::encode(header, "{}", &payload(RECORD_LEN_MAX + 1)), Err(BadEntry::Lengths));
    }

    #[test]
    fn a_header_alone_is_a_record_and_one_that_says_it_is_too_long_is_none() {
        let bare = Entry::encode(*sample().header(), "", "").expect("fits");
        assert_eq!((bare.bytes().len(), Entry::decode(bare.bytes())), (HEADER_LEN, Ok(bare.clone())));
        let mut bytes = bare.bytes().to_vec();
        bytes[..4].copy_from_slice(&(RECORD_LEN_MAX as u32 + 1).to_le_bytes());
        bytes[12..16].copy_from_slice(&((RECORD_LEN_MAX - HEADER_LEN) as u32 + 1).to_le_bytes());
        assert_eq!(Header::record_len(&bytes), Err(BadEntry::Lengths));
    }

    #[test]
    fn a_record_is_shown_with_what_it_says() {
        assert!(format!("{:?}", sample()).contains("mint"));
    }

    #[test]
    fn every_truncation_is_refused() {
        let entry = sample();
        for len in 0..entry.bytes().len() {
            assert!(Entry::decode(&entry.bytes()[..len]).is_err(), "length {len}");
        }
    }
}
