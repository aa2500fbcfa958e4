//! `recover look …`

use std::path::PathBuf;

use clap::Args;

/// Where to look.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Reads the identity's file and what it is on; nothing is written. A run on Kubernetes has this done by a pod of its own, since what is on a
claim can be seen from a pod alone; the container's log is where the answer is found. No private part of an identity is printed.

    recover look /data --identity identity.json")]
pub(crate) struct LookArgs {
    /// The directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// The name of the file with the identity
    #[arg(long, value_name = "NAME", default_value = "identity.json")]
    pub(crate) identity: String,
    /// Look again and again, for so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) follow: Option<u64>,
}
