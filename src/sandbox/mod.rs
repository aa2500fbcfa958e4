//! A control plane and a connector on loopback, to recover for real without a production system.
//!
//! Both are processes of this binary that outlive the command that started them. They speak the contract of
//! `docs/authority-http.md`, keep a ledger of what really happened, fail on demand, and never deduplicate.
//! Everything here blocks: an asynchronous caller uses a thread for it.

mod args;
mod clock;
mod command;
mod config;
mod connector;
mod down;
mod error;
mod fault;
mod files;
mod first_boot;
mod http;
mod key;
mod launch;
mod layout;
mod ledger;
mod lose;
mod plane;
mod process;
mod random;
mod rights;
mod route;
mod server;
mod tmpfs;
mod up;

pub(crate) use args::SandboxArgs;
pub(crate) use command::run;
pub(crate) use down::down;
pub(crate) use error::Error;
pub(crate) use ledger::ledger;
pub(crate) use lose::lose_identity;
pub(crate) use up::{control_plane_up, up};
