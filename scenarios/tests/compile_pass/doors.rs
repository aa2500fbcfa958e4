//! The counterpart: one door after the other.

use recover_engine::Scenario;
use recover_scenarios::identity_loss::states::{Observing, Searching, Surveying};
use recover_scenarios::identity_loss::{IdentityLoss, Params, Reprovision};
use recover_steps::Loss;

pub(crate) fn main() {
    let loss = Loss { epoch: "s1".into(), running: None, status: "needs_recovery".into(), foreign: None };
    let searching: Searching =
        Observing::new(Params { reprovision: Reprovision::Allow, ..Params::default() }).lost(loss);
    let surveying: Surveying = searching.gone();
    let IdentityLoss::Stopping(stopping) = surveying.will_do() else { panic!("allowed by policy") };
    let proving = IdentityLoss::from(stopping.stopped());
    assert_eq!((proving.state(), proving.epoch()), ("proving-stopped", Some("s1")));
}
