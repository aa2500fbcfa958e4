//! Whether OpenBao can be reached and is unsealed.

use recover_engine::Pure;
use serde::{Deserialize, Serialize};

use super::effect;
use crate::event;
use crate::reach::Stage;

effect! {
    /// Ask OpenBao how it is, without a token: reachability, its seal, the namespace's seal, its clock.
    LookOpenbao {} = "look-openbao", Pure, 20_000, 3 => OpenbaoSeen;
    _this: "look whether OpenBao is reached and unsealed".into();
    [
        OpenbaoSeen::Available { version: "2.5.3".into(), skew_s: 0 },
        OpenbaoSeen::Sealed { what: "the server".into(), shares: "0 of 3".into() },
        OpenbaoSeen::Uninitialized,
        OpenbaoSeen::Unreachable { stage: Stage::Tcp, why: "connection refused".into() },
    ] refused by ["openbao"]
}

/// See [`LookOpenbao`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum OpenbaoSeen {
    /// It answers and is unsealed, as is the namespace.
    Available {
        /// Its version.
        version: String,
        /// How far its clock is ahead of ours, in seconds.
        skew_s: i64,
    },
    /// It is sealed. Only those who hold the keys unseal it.
    Sealed {
        /// The server, or the namespace.
        what: String,
        /// How many shares were entered of how many, or the kind of an automatic seal.
        shares: String,
    },
    /// It was never set up, or its storage is another one.
    Uninitialized,
    /// It could not be asked.
    Unreachable {
        /// Where the way ends.
        stage: Stage,
        /// What was seen there.
        why: String,
    },
}
event!(OpenbaoSeen {
    OpenbaoSeen::Available { .. } => "available",
    OpenbaoSeen::Sealed { .. } => "sealed",
    OpenbaoSeen::Uninitialized => "uninitialized",
    OpenbaoSeen::Unreachable { .. } => "unreachable",
});
