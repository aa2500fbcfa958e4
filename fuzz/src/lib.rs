//! What the fuzz targets share: choices read from bytes, an outside that keeps its own ledger, and the rules in plain code.

mod choices;
mod history;
mod oracle;
mod outside;
mod story;

pub use choices::Choices;
pub use history::forge;
pub use oracle::Oracle;
pub use outside::Outside;
pub use story::tell;
