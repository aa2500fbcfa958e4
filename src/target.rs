//! One target of the configuration: what it is, how it is reached, and the world that acts on it.

use std::path::PathBuf;

use recover_adapters::config::{AuthorityConfig, ConnectorConfig, StorageConfig, Timing, TrustConfig, WorkloadConfig};
use recover_engine::Json;
use recover_scenarios::identity_loss::{self, Reprovision};
use recover_scenarios::{Family, bootstrap_failure, crash_loop, names, reconnect_failure};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::Policy;
use crate::fault::{Code, Fault};
use crate::world::{TargetWorld, unusable};

/// What kind of thing a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A connector: a workload with an identity on durable storage, enrolled at an authority.
    Connector,
}

impl Kind {
    /// The procedures for such a target.
    pub(crate) const fn family(self) -> Family {
        match self {
            Self::Connector => Family::Connector,
        }
    }
}

/// One target.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    /// What it is.
    pub(crate) kind: Kind,
    /// Whether it is meant where no target is named.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) default: bool,
    /// What runs, and how it is stopped and started.
    pub(crate) workload: WorkloadConfig,
    /// Where its identity is kept, and where the original may be.
    pub(crate) storage: StorageConfig,
    /// Who enrolls it.
    pub(crate) authority: AuthorityConfig,
    /// The CA bundle that it trusts, if that is to be looked after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trust: Option<TrustConfig>,
    /// How long things may take.
    #[serde(default)]
    pub(crate) timing: Timing,
    /// Set from the configuration's top when a request is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub(crate) secrets_dir: Option<PathBuf>,
}

impl Target {
    fn connector(&self) -> ConnectorConfig {
        ConnectorConfig {
            workload: self.workload.clone(),
            storage: self.storage.clone(),
            authority: self.authority.clone(),
            trust: self.trust.clone(),
            timing: self.timing,
        }
    }

    /// What a run on it is about.
    pub(crate) fn subject(&self) -> String {
        self.connector().subject()
    }

    /// Checks what its shape alone does not say. Nothing is touched.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        self.connector().check().map_err(|e| unusable(&e))
    }

    /// What acts on it.
    pub(crate) fn world(&self) -> Result<TargetWorld, Fault> {
        TargetWorld::new(self.connector(), self.secrets_dir.clone())
    }

    /// The scenario's parameters as configuration and command line give them.
    pub(crate) fn params(
        &self,
        scenario: &str,
        policy: &Policy,
        alert: Option<&str>,
        set: &[String],
    ) -> Result<Json, Fault> {
        if recover_scenarios::find(scenario).is_some_and(|found| found.family != self.kind.family()) {
            return Err(Fault::new(Code::BadParameter, format!("{scenario} is no procedure for a target of this kind"))
                .hint("`recover scenarios` lists the procedures, and what each is for"));
        }
        let (observe_ms, online_within_ms) = (self.timing.observe.as_ms(), self.timing.online_within.as_ms());
        let alert = alert.map(str::to_owned);
        match scenario {
            names::RECONNECT_FAILURE => {
                overlaid(&reconnect_failure::Params { observe_ms, online_within_ms, alert }, set)
            }
            names::BOOTSTRAP_FAILURE => overlaid(&self.bootstrap_failure(policy, alert), set),
            names::CRASH_LOOP => {
                let (steady_ms, answer_within_ms) = (self.timing.steady.as_ms(), policy.answer_within_ms());
                let params = crash_loop::Params { observe_ms, steady_ms, online_within_ms, answer_within_ms, alert };
                overlaid(&params, set)
            }
            names::IDENTITY_LOSS => overlaid(&self.identity_loss(policy, alert), set),
            other => Err(Fault::new(Code::Bug, format!("nothing gives the scenario {other} its parameters"))),
        }
    }

    fn bootstrap_failure(&self, policy: &Policy, alert: Option<String>) -> bootstrap_failure::Params {
        let identity_loss::Params {
            observe_ms,
            online_within_ms,
            pair_within_ms,
            token_ttl_s,
            answer_within_ms,
            alert,
            ..
        } = self.identity_loss(policy, alert);
        bootstrap_failure::Params {
            enroll: policy.enroll,
            observe_ms,
            online_within_ms,
            pair_within_ms,
            token_ttl_s,
            answer_within_ms,
            alert,
        }
    }

    fn identity_loss(&self, policy: &Policy, alert: Option<String>) -> identity_loss::Params {
        identity_loss::Params {
            reprovision: match policy.reprovision {
                Reprovision::Ask => Reprovision::Ask,
                Reprovision::Allow => Reprovision::Allow,
            },
            observe_ms: self.timing.observe.as_ms(),
            online_within_ms: self.timing.online_within.as_ms(),
            pair_within_ms: self.timing.pair_within.as_ms(),
            token_ttl_s: u32::try_from(self.timing.token_ttl.as_ms() / 1_000).unwrap_or(u32::MAX),
            answer_within_ms: policy.answer_within_ms(),
            alert,
            succession: matches!(self.authority, AuthorityConfig::SpireJoinToken(_)),
        }
    }
}

/// `--set K=V` over the parameters: only names that exist, only values of their type.
fn overlaid<P: Serialize + DeserializeOwned>(params: &P, set: &[String]) -> Result<Json, Fault> {
    let bad = |message: String| Fault::new(Code::BadParameter, message);
    let mut value = serde_json::to_value(params).map_err(|e| Fault::caused(Code::Bug, "parameters", &e))?;
    for pair in set {
        let (name, text) = pair.split_once('=').ok_or_else(|| bad(format!("--set {pair}: it is not NAME=VALUE")))?;
        let known: Vec<&str> = value.as_object().into_iter().flat_map(|o| o.keys()).map(String::as_str).collect();
        if !known.contains(&name) {
            let fault = bad(format!("no parameter is called {name}; there are: {}", known.join(", ")));
            return Err(match crate::fault::nearest(name, known.iter().copied()) {
                Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
                None => fault,
            });
        }
        value[name] = serde_json::from_str(text).unwrap_or_else(|_| text.into());
    }
    let params: P = serde_json::from_value(value).map_err(|e| Fault::caused(Code::BadParameter, "--set", &e))?;
    Ok(Json::of(&params))
}
