//! The header of a segment, and the names of the files in `log/`.

use recover_engine::Digest;

use crate::bytes::{array, crc_around, is_zero, u16_at, u32_at, u64_at};
use crate::error::What;
use crate::frame::{FORMAT, NUMBER_END};

/// The folder of the log.
pub(crate) const LOG: &str = "log";
/// The acknowledgement mark.
pub(crate) const ACKED: &str = "log/acked";
/// A segment that is being made.
pub(crate) const PREPARING: &str = "log/prepare.tmp";
/// The length of a segment's header in bytes; frames begin after it.
pub(crate) const SEGMENT_HEADER: usize = 128;

const MAGIC: [u8; 8] = *b"rcvsegmt";
const CRC_AT: usize = 12;
/// The flag of a segment that was begun after a damaged one was sealed.
const AFTER_DAMAGE: u16 = 1;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) number: u64,
    pub(crate) first_frame: u64,
    /// The length that the file was made with.
    pub(crate) capacity: u64,
    /// The hash of the frame before its first.
    pub(crate) prev_frame: Digest,
    /// The hash of the summary of the segment before; after a sealed damaged segment, the SHA-256 of that whole file.
    pub(crate) prev_summary: Digest,
    /// Whether the segment before was damaged when this one was begun.
    pub(crate) after_damage: bool,
}

/// The bytes where a header stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderBytes {
    /// Prepared, not begun.
    Zero,
    Valid(SegmentHeader),
    Bad(What),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        let flags = if self.after_damage { AFTER_DAMAGE } else { 0 };
        bytes[10..12].copy_from_slice(&flags.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_frame.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.capacity.to_le_bytes());
        bytes[48..80].copy_from_slice(&self.prev_frame.0);
        bytes[80..112].copy_from_slice(&self.prev_summary.0);
        let crc = crc_around(&bytes, CRC_AT).unwrap_or_default();
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// What stands at the beginning of a segment's file.
    pub(crate) fn decode(bytes: &[u8]) -> HeaderBytes {
        let Some(bytes) = bytes.get(..SEGMENT_HEADER) else { return HeaderBytes::Bad(What::Short) };
        if is_zero(bytes) {
            return HeaderBytes::Zero;
        }
        let header = || {
            if array::<8>(bytes, 0)? != MAGIC || crc_around(bytes, CRC_AT)? != u32_at(bytes, CRC_AT)? {
                return None;
            }
            let header = Self {
                number: u64_at(bytes, 16)?,
                first_frame: u64_at(bytes, 24).filter(|number| (1..NUMBER_END).contains(number))?,
                capacity: u64_at(bytes, 32)?,
                prev_frame: Digest(array(bytes, 48)?),
                prev_summary: Digest(array(bytes, 80)?),
                after_damage: u16_at(bytes, 10)? == AFTER_DAMAGE,
            };
            Some((u16_at(bytes, 8)?, header))
        };
        match header() {
            None => HeaderBytes::Bad(What::Header),
            Some((FORMAT, header)) => HeaderBytes::Valid(header),
            Some((other, _)) => HeaderBytes::Bad(What::Format(other)),
        }
    }
}

/// What a segment's file name says of its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// As it was written.
    Sound,
    /// Found damaged; a salvage was begun.
    Salvaging,
    /// Found damaged, sealed; its bytes are kept.
    Sealed,
}

impl Condition {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Sound => "seg",
            Self::Salvaging => "salvaging",
            Self::Sealed => "damaged",
        }
    }
}

/// One file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFile {
    pub(crate) number: u64,
    pub(crate) condition: Condition,
}

impl SegmentFile {
    pub(crate) const fn sound(number: u64) -> Self {
        Self { number, condition: Condition::Sound }
    }

    pub(crate) fn path(&self) -> String {
        format!("{LOG}/{:08}.{}", self.number, self.condition.suffix())
    }

    /// The segment that has this file name; other files in the folder are none of ours.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let (stem, suffix) = name.split_once('.')?;
        // One name for each number, and none that could not be reached by counting.
        let number: u64 = stem.parse().ok().filter(|number| (1..NUMBER_END).contains(number))?;
        if format!("{number:08}") != stem {
            return None;
        }
        let condition = [Condition::Sound, Condition::Salvaging, Condition::Sealed]
            .into_iter()
            .find(|condition| condition.suffix() == suffix)?;
        Some(Self { number, condition })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SegmentHeader {
        SegmentHeader {
            number: 3,
            first_frame: 9,
            capacity: 4096,
            prev_frame: Digest::of(b"frame"),
            prev_summary: Digest::of(b"summary"),
            after_damage: true,
        }
    }

    #[test]
    fn a_header_decodes_to_what_was_encoded_and_no_flip_does() {
        let bytes = sample().encode();
        assert_eq!(SegmentHeader::decode(&bytes), HeaderBytes::Valid(sample()));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(SegmentHeader::decode(&flipped), HeaderBytes::Bad(_)), "bit {bit}");
        }
    }

    #[test]
    fn a_name_is_read_back_and_others_are_ignored() {
        for condition in [Condition::Sound, Condition::Salvaging, Condition::Sealed] {
            let file = SegmentFile { number: 12, condition };
            assert_eq!(file.path().strip_prefix("log/").and_then(SegmentFile::from_name), Some(file));
        }
        for name in [
            "acked",
            "1.seg",
            "0000000x.seg",
            "00000001.seg.new",
            "+0000001.seg",
            "00000000.seg",
            "000000001.seg",
            "18446744073709551615.seg",
        ] {
            assert_eq!(SegmentFile::from_name(name), None, "{name}");
        }
    }
}
