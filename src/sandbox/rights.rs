//! What the control plane lets its credential do besides reading: everything, until `recover sandbox rights` says less.

use crate::sandbox::error::Error;
use crate::sandbox::files;
use crate::sandbox::layout::Layout;
use crate::sandbox::plane::Rights;

/// From the next request on, the control plane's restart included.
pub(super) fn keep(layout: &Layout, may: Rights) -> Result<(), Error> {
    let text = serde_json::to_vec(&may).map_err(|error| Error::io("encode the rights")(error.into()))?;
    files::replace(&layout.rights(), &text).map_err(Error::io("write the rights"))
}

/// As they are now. What cannot be read allows nothing.
pub(super) fn now(layout: &Layout) -> Rights {
    const NONE: Rights = Rights { mint: false, revoke: false };
    match files::read_if_there(&layout.rights()) {
        Ok(None) => Rights::ALL,
        Ok(Some(text)) => serde_json::from_str(&text).unwrap_or(NONE),
        Err(_) => NONE,
    }
}
