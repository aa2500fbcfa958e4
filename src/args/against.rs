//! The words for comparing a run with what the other side wrote down.

use std::path::PathBuf;

use clap::Args;

/// What a run is compared with, and which changes there are meant.
#[derive(Debug, Args)]
pub(crate) struct AgainstArgs {
    /// Compare with what the other side wrote down: a sandbox's ledger, the authority's audit events, the audit log of OpenBao or Kubernetes
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["all", "expect", "key"])]
    pub(crate) against: Vec<PathBuf>,
    /// Who acts for `recover` in an audit log: a user's name, a display name, an entity or an accessor as the log has it; may be given several times
    #[arg(long, value_name = "WHO", requires = "against")]
    pub(crate) actor: Vec<String>,
    /// Compare only changes whose path begins so; may be given several times
    #[arg(long, value_name = "PREFIX", requires = "against")]
    pub(crate) path: Vec<String>,
    /// A step that changes something in that log each time it is done; may be given several times
    #[arg(long, value_name = "STEP", requires = "against")]
    pub(crate) acts: Vec<String>,
}
