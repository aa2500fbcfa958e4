//! The words for handing a run to a person.

use std::path::PathBuf;

use clap::Args;

/// Which run, and how it is written down.
#[derive(Clone, Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Nothing is changed, and no secret is in it. A line behind a # has to be filled in or looked at first. Afterwards `recover resume RUN`
looks at what was done: what is done already is not done again. No file is overwritten.

    recover handoff run_01m83zgpyv8qxec6a1r5yg88nm
    recover handoff run_01m83zgpyv8qxec6a1r5yg88nm --markdown --out case-4711.md"
)]
pub(crate) struct HandoffArgs {
    /// The run
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// As Markdown
    #[arg(long)]
    pub(crate) markdown: bool,
    /// The file to write; without it, standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}
