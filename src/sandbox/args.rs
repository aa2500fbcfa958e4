//! The words of `recover sandbox`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::sandbox::fault::{Kind, Operation};
use crate::sandbox::first_boot::Failing;

/// `recover sandbox …`
#[derive(Debug, Args)]
pub(crate) struct SandboxArgs {
    #[command(subcommand)]
    pub(crate) command: SandboxCommand,
}

/// What to do with a sandbox.
#[derive(Debug, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Start a control plane and a connector that is paired and online, or whatever of them is down.
    Up(Dir),
    /// Replace the connector's data directory by an empty one.
    LoseIdentity {
        #[command(flatten)]
        dir: Dir,
        /// Keep the data aside, where the configuration looks for an original.
        #[arg(long)]
        keep_original: bool,
    },
    /// Start a control plane and a connector that never paired and fails at its first boot.
    FirstBoot {
        #[command(flatten)]
        dir: Dir,
        /// What keeps it from pairing.
        failing: Failing,
    },
    /// Make requests fail, or `clear` what was set.
    Fault {
        #[command(flatten)]
        dir: Dir,
        /// drop-reply, delay=MS, error=CODE, duplicate, refuse, hang, bad-csr (on pair), degraded (on status), or clear.
        kind: KindOrClear,
        /// The request that fails; needed for all but clear.
        #[arg(long)]
        on: Option<Operation>,
        /// How many requests fail.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        times: u32,
    },
    /// Say what the credential may do besides reading: nothing else from now on.
    Rights {
        #[command(flatten)]
        dir: Dir,
        /// What it may do.
        may: Vec<Right>,
    },
    /// Print what really happened since the identity was lost.
    Ledger(Dir),
    /// End the processes of the sandbox. Its directory stays.
    Down(Dir),
    /// The control plane itself.
    #[command(hide = true)]
    ControlPlane(Dir),
    /// The connector itself.
    #[command(hide = true)]
    Connector {
        /// Its data directory.
        #[arg(long)]
        data: PathBuf,
        /// Where it finds a token when it starts.
        #[arg(long)]
        token_file: PathBuf,
        /// Its log; `-` is standard output.
        #[arg(long)]
        log: PathBuf,
        /// Where it notes each start.
        #[arg(long)]
        starts: PathBuf,
        /// The control plane, as `http://IP:PORT` or `https://IP:PORT`.
        #[arg(long)]
        control_plane: String,
        /// Its name there.
        #[arg(long)]
        agent: String,
        /// The certificates that it trusts, where the control plane is asked over TLS.
        #[arg(long)]
        ca: Option<PathBuf>,
        /// End where there is nothing left to do, as a workload does that is started again by somebody else.
        #[arg(long)]
        ends: bool,
    },
}

/// Something that a credential may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Right {
    /// Make tokens.
    Mint,
    /// End tokens.
    Revoke,
}

/// Which sandbox.
#[derive(Debug, Args)]
pub(crate) struct Dir {
    /// The directory of the sandbox.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// A fault, or none any more.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KindOrClear {
    Kind(Kind),
    Clear,
}

impl std::str::FromStr for KindOrClear {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "clear" { Ok(Self::Clear) } else { text.parse().map(Self::Kind) }
    }
}
