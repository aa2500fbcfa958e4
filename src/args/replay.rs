//! The words for folding a run again.

use clap::Args;

/// What is replayed, and how far.
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
With --until or --step each record is followed by where the run is then, and by what a kill right after it leads to: what is looked at
again, what is done again, what is asked for first, what a person must say.

    recover replay run_01m83zgpyv8qxec6a1r5yg88nm
    recover replay run_01m83zgpyv8qxec6a1r5yg88nm --until 12
    recover replay case-4711.json --step                 # any key shows the next record, q ends"
)]
pub(crate) struct ReplayArgs {
    /// The run, or the file of a bundle
    #[arg(value_name = "RUN|FILE")]
    pub(crate) run: String,
    /// Only the records up to this number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) until: Option<u32>,
    /// One record for each key, on a terminal; elsewhere all of them
    #[arg(long)]
    pub(crate) step: bool,
}
