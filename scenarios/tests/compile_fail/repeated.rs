//! Pairing twice out of one state: the first pairing consumed it.

use recover_scenarios::identity_loss::states::{Pairing, Withdrawing};

fn repeat(pairing: Pairing) -> (Withdrawing, Withdrawing) {
    (pairing.paired("s2".into(), None), pairing.paired("s3".into(), None))
}

fn main() {
    let _ = repeat;
}
