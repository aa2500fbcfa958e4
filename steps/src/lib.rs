//! What can be done to a connector, and ([`kms`]) to Kubernetes' KMS, as data: step types, their events, their redo policies and the
//! arguments for them.
//!
//! How it is done is in `steps/adapters`. A step's data is journaled, so nothing in here holds a secret.

mod crash_loop;
mod enrollment;
mod evidence;
pub mod examined;
pub mod kms;
mod observe;
mod reach;
mod storage;
mod succession;
mod token;
mod workload;

pub use crash_loop::{WatchLoop, Watched};
pub use enrollment::{Enrollment, InspectEnrollment, InstallTrust, Installed, Unpaired};
pub use evidence::{Capture, Captured, Validate, Validated};
pub use observe::{AwaitOnline, Awaited, Loss, Observe, Observed};
pub use reach::{Reach, Reached, Stage};
pub use storage::{
    Detach, Detached, Durability, Original, ProveDurable, PutBack, Reattach, Reattached, Restored, Search, Searched,
    SetAside, Storage,
};
pub use succession::{Evict, Evicted, Reparent, Reparented};
pub use token::{Mint, Minted, Pair, Paired, RevokeOrphan, RevokeStale, Revoked, Token, Withdraw, Withdrawn, refusal};
pub use workload::{
    Instance, ProveStopped, Proven, Repair, Repaired, Restart, Restarted, Start, Started, Stop, Stopped,
};

/// Implements [`recover_engine::Event`] for an enum whose JSON is tagged with `ending`.
macro_rules! event {
    ($type:ty { $($pattern:pat => $ending:literal),+ $(,)? }) => {
        impl recover_engine::Event for $type {
            fn ending(&self) -> &'static str {
                match self { $($pattern => $ending),+ }
            }
        }
    };
}
pub(crate) use event;

/// The ending "surely not applied", as an adapter may say it, for the explorer.
pub(crate) fn refused<E>(code: &str) -> recover_engine::Outcome<E> {
    recover_engine::Outcome::Refused(recover_engine::Reason::new(code, "as an adapter says it"))
}
