//! The words for looking whether a run could begin.

use clap::Args;

/// What is looked at.
#[derive(Clone, Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Looks at the configuration and who may read it, the state directory and its journal, and at each target: memory for tokens, whether its
authority is reached and its clock agrees, whether the credential reads what a run reads. Nothing is changed, at the target or here.

    recover doctor
    recover doctor --target edge-1 --output json

Exit codes: 0 nothing is wrong, though something may be worth knowing; 4 something is."
)]
pub(crate) struct DoctorArgs {
    /// Only this target; without it, every one of the configuration
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,
}

/// What is rehearsed.
#[derive(Clone, Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
What `doctor` looks at, and besides: a folder for tokens is made and taken away again, everything is where the baseline says, and each
procedure's plan has no step that cannot be told. Nothing is minted, stopped, started or posted. What came of it is kept in the state
directory, in rehearsals/, with its time.

    recover rehearse --target edge-1
    recover rehearse --target edge-1 --scenario identity-loss --output json

Exit codes: 0 a run could begin; 4 something stands in its way."
)]
pub(crate) struct RehearseArgs {
    /// The target, as the configuration names it
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,
    /// Only this procedure; without it, every one
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Option<String>,
}
