//! A state out of nothing: its fields are private.

use recover_scenarios::identity_loss::Case;
use recover_scenarios::identity_loss::states::Pairing;
use recover_steps::Token;

fn forge(case: Case, token: Token) -> Pairing {
    Pairing { case, token }
}

fn main() {
    let _ = forge;
}
