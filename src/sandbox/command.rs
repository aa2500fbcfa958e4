//! `recover sandbox …`: from words to deeds, results on standard output, errors with their causes on standard error.

use std::io::{self, Write as _};

use serde::Serialize;
use serde_json::json;

use crate::sandbox::args::{Dir, KindOrClear, Right, SandboxArgs, SandboxCommand};
use crate::sandbox::connector::{self, Settings};
use crate::sandbox::error::Error;
use crate::sandbox::fault::{self, Fault};
use crate::sandbox::first_boot::first_boot;
use crate::sandbox::layout::Layout;
use crate::sandbox::plane::Rights;
use crate::sandbox::{down, ledger, lose_identity, rights, server, up};

/// Carries a command out.
pub(crate) fn run(args: SandboxArgs) -> Result<(), Error> {
    execute(args.command)
}

fn execute(command: SandboxCommand) -> Result<(), Error> {
    match command {
        SandboxCommand::Up(Dir { dir }) => print(&up(&dir)?),
        SandboxCommand::FirstBoot { dir: Dir { dir }, failing } => print(&first_boot(&dir, failing)?),
        SandboxCommand::LoseIdentity { dir: Dir { dir }, keep_original } => print(&lose_identity(&dir, keep_original)?),
        SandboxCommand::Ledger(Dir { dir }) => print(&ledger(&dir)?),
        SandboxCommand::Down(Dir { dir }) => print(&down(&dir)?),
        SandboxCommand::Fault { dir: Dir { dir }, kind, on, times } => {
            let layout = Layout::open(&dir)?;
            let faults = match (kind, on) {
                (KindOrClear::Kind(kind), Some(on)) => fault::fault(&layout, Fault { on, kind, times })?,
                (KindOrClear::Kind(_), None) => {
                    return Err(Error::Usage("a fault needs --on pair, mint, revoke, status or rights".to_owned()));
                }
                (KindOrClear::Clear, _) => fault::clear(&layout).map(|()| Vec::new())?,
            };
            print(&json!({ "schema": "recover.sandbox-faults/v1", "faults": faults }))
        }
        SandboxCommand::Rights { dir: Dir { dir }, may } => {
            let may = Rights { mint: may.contains(&Right::Mint), revoke: may.contains(&Right::Revoke) };
            rights::keep(&Layout::open(&dir)?, may)?;
            print(&json!({ "schema": "recover.sandbox-rights/v1", "rights": may.words() }))
        }
        SandboxCommand::ControlPlane(Dir { dir }) => server::run(&dir),
        SandboxCommand::Connector { data, token_file, log, starts, control_plane, agent, ca, ends } => {
            connector::run(Settings { data, token_file, log, starts, control_plane, agent, ca, ends })
        }
    }
}

fn print(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string(value).map_err(|error| Error::io("encode the result")(error.into()))?;
    writeln!(io::stdout().lock(), "{text}").map_err(Error::io("write to standard output"))
}
