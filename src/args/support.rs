//! The words for packing what a supporter needs.

use std::path::PathBuf;

use clap::Args;

/// What is to be packed.
#[derive(Clone, Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Writes a tar archive, readable by you alone, with a manifest that lists each file in it, its size and its SHA-256. Secrets are
taken out; the configuration and evidence texts are not in it. Nothing at the target is changed, and no file is overwritten.

    recover support-bundle --target edge-1
    recover support-bundle --target edge-1 --mask-hosts --out /tmp/case-4711.tar
    docker logs vaultpam-connector 2>&1 | recover support-bundle --target edge-1 --log -"
)]
pub(crate) struct SupportBundleArgs {
    /// The target, as the configuration names it
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,
    /// The file to write; without it, recover-NAME-TIME.tar here
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Put words in the place of host names and addresses
    #[arg(long)]
    pub(crate) mask_hosts: bool,
    /// A log to pack instead of the workload's own; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
}
