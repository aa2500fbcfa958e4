//! A length of time as people write it: `500ms`, `30s`, `2m`, `1h`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time in a configuration, from 1 ms to 30 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

/// A text that is not a length of time. It is not repeated: a secret that got into the wrong key would be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a length of time: a whole number and a unit, as in 500ms, 30s, 2m or 1h, at most 30 days")]
pub struct BadSpan;

const LONGEST_MS: u64 = 30 * 24 * 3_600_000;

impl Span {
    /// A span of this many milliseconds.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// The span in milliseconds.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0.as_secs().saturating_mul(1_000).saturating_add(self.0.subsec_millis() as u64)
    }

    /// The span for a timer.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = BadSpan;
    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let scale = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(BadSpan),
        };
        let ms = number.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)).ok_or(BadSpan)?;
        if ms == 0 || ms > LONGEST_MS { Err(BadSpan) } else { Ok(Self::from_ms(ms)) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.as_ms();
        match ms {
            _ if ms.is_multiple_of(3_600_000) => write!(f, "{}h", ms / 3_600_000),
            _ if ms.is_multiple_of(60_000) => write!(f, "{}m", ms / 60_000),
            _ if ms.is_multiple_of(1_000) => write!(f, "{}s", ms / 1_000),
            _ => write!(f, "{ms}ms"),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$", "examples": ["500ms", "30s", "2m"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written_back() {
        for text in ["1ms", "500ms", "30s", "2m", "1h", "90s", "720h"] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string(), text);
        }
        assert_eq!("2m".parse::<Span>().unwrap().as_ms(), 120_000);
    }

    #[test]
    fn what_is_no_span_is_refused_with_an_example() {
        for text in ["", "30", "s", "-1s", "1.5s", "0s", "1d", "30 s", "99999999999999999999s", "721h", "１s"] {
            let bad = text.parse::<Span>().unwrap_err();
            assert!(bad.to_string().contains("500ms"), "{bad}");
        }
    }
}
