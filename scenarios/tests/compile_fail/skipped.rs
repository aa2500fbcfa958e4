//! Pairing before a token was minted: the state has no such door.

use recover_scenarios::identity_loss::states::{Minting, Withdrawing};

fn skip(minting: Minting) -> Withdrawing {
    minting.paired("s2".into(), None)
}

fn main() {
    let _ = skip;
}
