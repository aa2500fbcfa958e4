//! What the fuzz targets share: choices read from bytes, an outside that keeps its own ledger, and the rules in plain code.

mod arguments;
mod choices;
mod config;
mod history;
mod import;
mod log;
mod oracle;
mod outside;
mod replies;
mod story;

/// The inputs that the committed corpora of the targets that read a format begin with, each with a name.
pub mod seeds {
    pub use crate::arguments::seeds as arguments;
    pub use crate::config::seeds as config;
    pub use crate::import::seeds as import;
    pub use crate::replies::seeds as replies;
}

/// Inputs with their names.
pub type Seeds = Vec<(String, Vec<u8>)>;

pub use arguments::read_arguments;
pub use choices::Choices;
pub use config::read_a_configuration;
pub use history::forge;
pub use import::import_a_log;
pub use log::edit_a_log;
pub use oracle::Oracle;
pub use outside::Outside;
pub use replies::read_a_reply;
pub use story::tell;
