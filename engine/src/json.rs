//! A piece of JSON that is carried as text: compared, stored and hashed, and only parsed by whoever knows its type.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// JSON as text. Two are equal if their texts are. A clone shares the text: every run of a scenario carries the same graph.
#[derive(Clone)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// The JSON of a value of ours. A type whose serialisation fails is a bug of ours; it becomes `null`, which no
    /// step's type accepts back.
    #[must_use]
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        serde_json::value::to_raw_value(value).map_or_else(|_| Self::null(), Self::from_box)
    }

    fn from_box(text: Box<RawValue>) -> Self {
        Self(text.into())
    }

    /// As [`Json::of`], at the end of `out`.
    pub(crate) fn write<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
        let before = out.len();
        if serde_json::to_writer(&mut *out, value).is_err() {
            out.truncate(before);
            out.extend_from_slice(b"null");
        }
    }

    /// `null`.
    #[must_use]
    pub fn null() -> Self {
        Self::from_box(RawValue::NULL.to_owned())
    }

    /// JSON that came as text.
    ///
    /// # Errors
    /// If it is not exactly one JSON value.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self::from_box)
    }

    /// The value as a type that knows its shape.
    ///
    /// # Errors
    /// If it has another shape.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.0.get())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}
impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Default for Json {
    fn default() -> Self {
        Self::null()
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(d).map(Self::from_box)
    }
}
