//! What the fuzz targets share: choices read from bytes, an outside that keeps its own ledger, and the rules in plain code.

mod choices;
mod history;
mod log;
mod oracle;
mod outside;
mod story;

pub use choices::Choices;
pub use history::forge;
pub use log::edit_a_log;
pub use oracle::Oracle;
pub use outside::Outside;
pub use story::tell;
