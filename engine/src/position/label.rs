//! Labels of inputs, `step:ending`, and the ending that an event's JSON names.

use std::borrow::Cow;

use super::{IllegalRecord, contradiction};

/// The ending of whatever was surely not applied.
pub(super) const REFUSED: &str = "refused";

/// Whether a label is that name with that ending.
pub(super) fn is_label(label: &str, name: &str, ending: &str) -> bool {
    label.split_once(':').is_some_and(|(n, e)| n == name && e == ending)
}

/// The ending that an event's JSON names.
pub(super) fn ending(event: &crate::json::Json) -> Result<Cow<'_, str>, IllegalRecord> {
    #[derive(serde::Deserialize)]
    struct Tagged<'a> {
        #[serde(borrow)]
        ending: Cow<'a, str>,
    }
    let tagged: Result<Tagged<'_>, _> = serde_json::from_str(event.as_str());
    tagged.map(|t| t.ending).map_err(|_| contradiction("its event does not name its ending"))
}
