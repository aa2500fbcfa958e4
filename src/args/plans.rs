//! The words for plans that are files.

use std::path::PathBuf;

use clap::Args;

use super::{StartArgs, duration_ms};

/// What is to be planned, and where the plan is kept.
#[derive(Clone, Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
With --out the plan is also a file, and `recover --plan FILE` carries out that plan and no other: it is refused where the target is no
longer as the plan saw it, where the procedure or the target's configuration is another, where the file was changed, and where it is
older than --plan-age. No file is overwritten.

    recover plan --scenario identity-loss --target edge-1 --out case-4711.plan.json
    recover --plan case-4711.plan.json --ticket 4711"
)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) start: StartArgs,
    /// Write the plan into this file, for `recover --plan FILE`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// The plan that a run is begun by.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ByPlanArgs {
    /// Carry out the plan in this file, and no other; `recover plan --out FILE` writes one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "target", "set", "alert", "dry_run"])]
    pub(crate) plan: Option<PathBuf>,
    /// How old the plan may be (for example 30m)
    #[arg(long, value_name = "D", value_parser = duration_ms, default_value = "1h", requires = "plan")]
    pub(crate) plan_age: u64,
}
