//! What is simulated: a scenario, of the registry or not, and what its runs are begun with.

use std::rc::Rc;
use std::sync::Arc;

use recover_engine::{Begun, Charter, Json, ScenarioEntry};
use recover_scenarios::identity_loss::{Params, Reprovision};

/// What is run: the scenario and what it is begun with.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) entry: ScenarioEntry,
    pub(crate) charter: Arc<Charter>,
}

impl Plan {
    pub(crate) fn identity_loss(reprovision: Reprovision) -> Rc<Self> {
        Self::begun_with(Params { reprovision, ..Params::default() })
    }

    /// At an authority where a new pairing makes a new agent.
    #[allow(dead_code, reason = "the never-list's stories draw their parameters")]
    pub(crate) fn with_succession() -> Rc<Self> {
        Self::begun_with(Params { reprovision: Reprovision::Allow, succession: true, ..Params::default() })
    }

    fn begun_with(params: Params) -> Rc<Self> {
        let registered = recover_scenarios::find("identity-loss").expect("registered");
        let charter = registered.charter(|begun| Begun {
            target: "edge-1".into(),
            subject: "https://cp.example edge-1".into(),
            params: Json::of(&params),
            ..begun
        });
        Rc::new(Self { entry: registered.entry, charter: Arc::new(charter) })
    }
}
