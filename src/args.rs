//! The words of the command line.

mod against;
mod checks;
mod handoff;
mod init;
mod look;
mod plans;
mod replay;
mod support;

use std::path::PathBuf;

pub(crate) use against::AgainstArgs;
pub(crate) use checks::{DoctorArgs, RehearseArgs};
pub(crate) use handoff::HandoffArgs;
pub(crate) use init::{InitArgs, WorkloadKind};
pub(crate) use look::LookArgs;
pub(crate) use plans::{ByPlanArgs, PlanArgs};
pub(crate) use replay::ReplayArgs;
pub(crate) use support::SupportBundleArgs;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Carries out recovery procedures on production systems, crash-safe.
///
/// Every transition is journaled before and after its effect: whatever kills a run, `recover resume` goes on with it, and
/// `recover replay` shows it later. Without configuration, try the sandbox.
#[derive(Debug, Parser)]
#[command(long_about = "\
Carries out recovery procedures on production systems, crash-safe.

Every transition is journaled before and after its effect: whatever kills a run, `recover resume` goes on with it, and
`recover replay` shows it later. Without configuration, try the sandbox:

    recover --scenario identity-loss --target sandbox")]
#[command(
    name = "recover",
    bin_name = "recover",
    version,
    max_term_width = 100,
    verbatim_doc_comment,
    disable_help_subcommand = true
)]
#[command(
    after_help = "Exit codes: 0 recovered or done, 2 given up and as found, 3 given up with residue, 4 a person is \
needed, 5 a guard refused, 6 the subject is held, 7 journal damaged, 8 not applicable, 64 usage, 74 journal not writable, \
75 interrupted: `recover resume` goes on. `recover explain RCV0012` explains an error."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(flatten)]
    pub(crate) start: StartArgs,
    #[command(flatten)]
    pub(crate) by: ByPlanArgs,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The configuration [default: RECOVER_CONFIG, else /etc/recover/recover.toml with conf.d/, else the XDG one]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// Where runs are journaled [default: RECOVER_STATE_DIR, else the configuration's, else the XDG state folder]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) state_dir: Option<PathBuf>,
    /// Answer questions that the scenario marks routine; never one in doubt
    #[arg(long, global = true)]
    pub(crate) yes: bool,
    /// How results are printed
    #[arg(long, value_enum, default_value_t = Output::Text, global = true)]
    pub(crate) output: Output,
    /// No progress on stderr: only errors and warnings
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Diagnostics on stderr; twice or three times for more
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Wait this long for a person where a question would end the command (for example 30m)
    #[arg(long, value_name = "D", value_parser = duration_ms, global = true)]
    pub(crate) wait: Option<u64>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What a run is begun with.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct StartArgs {
    /// The procedure to carry out; `recover scenarios` lists them
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Option<String>,
    /// The target, as the configuration names it; `sandbox` needs none
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,
    /// Set a parameter of the scenario
    #[arg(long, value_name = "K=V")]
    pub(crate) set: Vec<String>,
    /// The alert that led to this
    #[arg(long, value_name = "NAME")]
    pub(crate) alert: Option<String>,
    /// The ticket this belongs to
    #[arg(long, value_name = "ID")]
    pub(crate) ticket: Option<String>,
    /// Your own name for this request: repeating it never starts a second run
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,
    /// Follow the run that holds the subject instead of exiting 6
    #[arg(long)]
    pub(crate) attach: bool,
    /// Begin although the brake (`policy.brake`, `policy.flaps`, `policy.rest`) holds the run; the reason is journaled
    #[arg(long, value_name = "REASON")]
    pub(crate) despite: Option<String>,
    /// Show what would be done, and do nothing: the same as `recover plan`
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What is to be diagnosed, and what is known besides.
#[derive(Clone, Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Reads the authority's status, tokens and audit, the identity and its storage, the workload, its log, and how far the
control plane can be reached. Nothing is written, started, stopped or posted.

    recover diagnose --target edge-1
    recover diagnose --target edge-1 --alert ControlPlaneTunnelHeartbeatTimeoutsHigh --since 30m
    docker logs vaultpam-connector 2>&1 | recover diagnose --target edge-1 --log -

Exit codes: 0 a failure class is named, certain or likely; 4 unsure, a person decides; 8 healthy.
docs/diagnose.md says what each class and each degree of certainty means."
)]
pub(crate) struct DiagnoseArgs {
    /// The target, as the configuration names it
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,
    /// A log to read instead of the workload's own; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// An alert that is active; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) alert: Vec<String>,
    /// Look at log and audit only since then: a time, or how long ago (for example 30m)
    #[arg(long, value_name = "T")]
    pub(crate) since: Option<String>,
}

/// What to export, and where to.
#[derive(Debug, Args)]
#[command(after_help = "\
The file is an in-toto statement in a DSSE envelope, signed with an ed25519 key. `recover verify FILE --key PUB` needs neither this state
directory nor a configuration. The texts in it are redacted, as they are in the journal. No file is overwritten.

    recover export run_01m83zgpyv8qxec6a1r5yg88nm --out /srv/evidence/case-4711.json
    recover key > recover.pub
    recover verify /srv/evidence/case-4711.json --key recover.pub")]
pub(crate) struct ExportArgs {
    /// The run
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// The file to write; without it, RUN.bundle.json here
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// The key to sign with, PKCS#8 in PEM; without it, the state directory's own
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
}

/// One run.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArg {
    /// The run
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
}

/// Which report.
#[derive(Debug, Args)]
#[command(after_help = "\
One page that needs no network and no script. The texts in it are redacted, as they are in the journal. No file is overwritten.

    recover report run_01m83zgpyv8qxec6a1r5yg88nm --html --out case-4711.html
    recover report case-4711.json --markdown")]
pub(crate) struct ReportArgs {
    /// The run, or the file of a bundle
    #[arg(value_name = "RUN|FILE")]
    pub(crate) run: String,
    /// As one HTML page
    #[arg(long, required_unless_present = "markdown", conflicts_with = "markdown")]
    pub(crate) html: bool,
    /// As Markdown
    #[arg(long)]
    pub(crate) markdown: bool,
    /// The file to write; without it, standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// A run and a reason.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReasonArgs {
    /// The run
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Why; it is journaled with your name
    #[arg(long, value_name = "R")]
    pub(crate) reason: String,
}

/// The other verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what a run would do: what is observed now, what is predicted, where the point of no return lies
    Plan(PlanArgs),
    /// Name the failure class of a connector from what can be read; changes nothing
    Diagnose(DiagnoseArgs),
    /// Look into a directory for an identity and print its public part: what a pod of a run's does in a cluster
    Look(LookArgs),
    /// Pack what a supporter needs to see into one file: status, storage, log, diagnosis, runs; redacted, and changes nothing
    SupportBundle(SupportBundleArgs),
    /// Go on with interrupted runs
    Resume {
        /// The run; without it, the one that is open
        #[arg(value_name = "RUN")]
        run: Option<String>,
        /// Every open run
        #[arg(long, conflicts_with = "run")]
        all: bool,
    },
    /// Own the state directory for as long as it is told to: resume runs, hear alerts, wait with people, show all of it to a browser
    #[command(after_help = "\
Listens on 127.0.0.1:8087; `[serve]` in the configuration says where else, with which tokens, and what alerts lead to.
On loopback the token is in the state directory, in serve.token: whoever can read it may do everything.
  POST /alerts     Alertmanager's webhook       GET /metrics, /healthz, /readyz
  GET /            the page                     GET /api/v1/openapi.json
SIGTERM stops each run at its next boundary; the next start resumes them.")]
    Serve {
        /// Where it listens, instead of what the configuration says
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<std::net::SocketAddr>,
    },
    /// Answer a question with yes, or with one of its other choices
    Approve(AnswerArgs),
    /// Answer a question with no
    Deny(AnswerArgs),
    /// Stop a run and put the workload back as found, if the point of no return is not passed
    Cancel {
        /// The run
        #[arg(value_name = "RUN")]
        run: String,
        /// Why; it is journaled with your name
        #[arg(long, value_name = "R", default_value = "cancelled by the operator")]
        reason: String,
    },
    /// Say what came of an effect that is in doubt
    Resolve {
        #[command(flatten)]
        reason: ReasonArgs,
        /// The step in doubt
        #[arg(long, value_name = "S")]
        step: String,
        /// It was applied
        #[arg(long, required_unless_present = "absent", conflicts_with = "absent")]
        happened: bool,
        /// It was surely not applied and can no longer be
        #[arg(long)]
        absent: bool,
        /// The event as JSON, where "it happened" does not say enough
        #[arg(long, value_name = "JSON", requires = "happened", conflicts_with = "absent")]
        data: Option<String>,
    },
    /// Close a run as it stands; refused while it is being executed
    Abandon(ReasonArgs),
    /// One line for every open run, or everything about one
    Status(OptionalRun),
    /// Every run
    List {
        /// Only those in this state: open or closed
        #[arg(long, value_parser = ["open", "closed"])]
        state: Option<String>,
    },
    /// The records of a run, or of all
    Events(OptionalRun),
    /// Follow records as they are written
    Watch(OptionalRun),
    /// What a run did, step by step
    Show(RunArg),
    /// The procedures of this build
    Scenarios,
    /// The graph of a procedure
    Graph {
        /// The scenario
        #[arg(value_name = "NAME")]
        name: String,
        /// How it is drawn
        #[arg(long, value_parser = ["mermaid", "dot", "matrix", "json"], default_value = "mermaid")]
        format: String,
    },
    /// Walk a procedure exhaustively and check its guards
    Check {
        /// The scenario; without it, every one
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Fold a run's records again and show it; needs neither configuration of the target nor network
    Replay(ReplayArgs),
    /// Check hashes, chains, transitions and guards: of a run, of the whole log, or of a bundle, which needs nothing but the file
    Verify {
        /// The run, or the file of a bundle
        #[arg(value_name = "RUN|FILE")]
        run: Option<String>,
        /// Every run, and the log itself
        #[arg(long, conflicts_with = "run")]
        all: bool,
        /// The head that was printed when a run ended: the log must still contain it
        #[arg(long, value_name = "HEAD")]
        expect: Option<String>,
        /// The public key that must have signed the bundle, in PEM
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        #[command(flatten)]
        beside: AgainstArgs,
    },
    /// Write a run into one signed file that can be verified without this state directory
    Export(ExportArgs),
    /// Write down a run for people: what was wrong, what was done, by whom, and what proves it
    Report(ReportArgs),
    /// Write a first configuration, from flags or by asking
    Init(InitArgs),
    /// Look whether a run could begin: configuration, state directory, authority, clocks; changes nothing
    Doctor(DoctorArgs),
    /// Prove what a run needs at a target, without acting; what came of it is kept with its time
    Rehearse(RehearseArgs),
    /// What is left of a run as commands for a person, with what must not be done and where the evidence is
    Handoff(HandoffArgs),
    /// Show the public half of the key that signs what is exported from here; it is made on first use
    Key,
    /// How a target is when it is well: recorded by a person, compared when it is not
    Baseline {
        #[command(subcommand)]
        command: BaselineCommand,
    },
    /// The log itself
    Journal {
        #[command(subcommand)]
        command: JournalCommand,
    },
    /// A control plane and a connector on loopback, to try recovery on
    Sandbox(crate::sandbox::SandboxArgs),
    /// The configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print what a shell needs to complete the words of `recover`
    #[command(
        after_help = "\
    bash: recover completions bash > /usr/share/bash-completion/completions/recover
    zsh:  recover completions zsh  > /usr/share/zsh/site-functions/_recover
    fish: recover completions fish > /usr/share/fish/vendor_completions.d/recover.fish",
        verbatim_doc_comment
    )]
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all commands
    #[command(
        after_help = "\
    recover man | man -l -
    recover man --dir /usr/share/man/man1",
        verbatim_doc_comment
    )]
    Man {
        /// Write recover.1 and one page for each command into this folder
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// Explain an error code
    Explain {
        /// The code
        #[arg(value_name = "CODE")]
        code: String,
    },
}

/// A run, or none.
#[derive(Clone, Debug, Args)]
pub(crate) struct OptionalRun {
    /// The run
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
}

/// An answer.
#[derive(Clone, Debug, Args)]
pub(crate) struct AnswerArgs {
    #[command(flatten)]
    pub(crate) reason: ReasonArgs,
    /// The question, as it was printed (for example q12); refused if it is no longer the open one
    #[arg(long, value_name = "Q")]
    pub(crate) question: Option<String>,
    /// The choice, where the question has more than yes and no
    #[arg(long, value_name = "C")]
    pub(crate) choice: Option<String>,
    /// Answer at this socket (`approvals.socket`), without the configuration or the state directory
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}

/// `recover baseline …`
#[derive(Debug, Subcommand)]
pub(crate) enum BaselineCommand {
    /// Look at a target that is well, and keep what is seen, with your name and the date
    Record {
        #[command(flatten)]
        target: TargetArg,
        /// Why you hold this for right; it is journaled with your name
        #[arg(long, value_name = "R")]
        reason: String,
    },
    /// Show what was recorded, by whom and when
    Show(TargetArg),
    /// Compare the target with what was recorded; exit 4 if something differs
    Diff(TargetArg),
}

/// One target.
#[derive(Clone, Debug, Args)]
pub(crate) struct TargetArg {
    /// The target, as the configuration names it; `sandbox` needs none
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,
}

/// `recover journal …`
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Check every frame, chain and summary; changes nothing
    Verify,
    /// Seal a damaged range and go on in a new segment; keeps every byte
    Salvage {
        /// Why; it is journaled with your name
        #[arg(long, value_name = "R")]
        reason: String,
    },
    /// Let this machine act on a state directory that was made on another
    Adopt {
        /// Why; it is journaled with your name
        #[arg(long, value_name = "R")]
        reason: String,
    },
    /// Answer for a subject that a salvage blocked
    Clear {
        /// The subject's key, as `journal salvage` printed it
        #[arg(value_name = "KEY")]
        subject: String,
        /// What you checked, and why it may be acted on again
        #[arg(long, value_name = "R")]
        reason: String,
    },
    /// What is journaled of no run: baselines, dismissed alerts, adoptions, salvages, and who answered for what they blocked
    Notes,
    /// Sizes and counts
    Stats,
}

/// `recover config …`
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the JSON Schema of the configuration
    Schema,
    /// Read the configuration and say what is in it
    Show,
}

fn duration_ms(text: &str) -> Result<u64, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let n: u64 = digits.parse().map_err(|_| format!("{text} is not a duration such as 500ms, 30s, 5m or 2h"))?;
    let scale = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("{text} is not a duration such as 500ms, 30s, 5m or 2h")),
    };
    n.checked_mul(scale).ok_or_else(|| format!("{text} is too long"))
}
