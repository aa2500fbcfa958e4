//! A connector of the configuration, and what its procedures are begun with.

use std::path::PathBuf;

use recover_adapters::config::{AuthorityConfig, ConnectorConfig, StorageConfig, Timing, TrustConfig, WorkloadConfig};
use recover_engine::Json;
use recover_scenarios::identity_loss::{self, Reprovision};
use recover_scenarios::{bootstrap_failure, crash_loop, names, reconnect_failure};
use schemars::JsonSchema;
use serde::Serialize;

use super::overlaid;
use crate::config::Policy;
use crate::fault::{Code, Fault};

/// A connector.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct ConnectorTarget {
    /// Whether it is meant where no target is named.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub(crate) default: bool,
    /// What runs, and how it is stopped and started.
    pub(crate) workload: WorkloadConfig,
    /// Where its identity is kept, and where the original may be.
    pub(crate) storage: StorageConfig,
    /// Who enrolls it.
    pub(crate) authority: AuthorityConfig,
    /// The CA bundle that it trusts, if that is to be looked after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trust: Option<TrustConfig>,
    /// How long things may take.
    #[schemars(default)]
    pub(crate) timing: Timing,
    /// Set from the configuration's top when a request is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub(crate) secrets_dir: Option<PathBuf>,
}

impl ConnectorTarget {
    pub(super) fn config(&self) -> ConnectorConfig {
        ConnectorConfig {
            workload: self.workload.clone(),
            storage: self.storage.clone(),
            authority: self.authority.clone(),
            trust: self.trust.clone(),
            timing: self.timing,
        }
    }

    /// The scenario's parameters as configuration and command line give them.
    pub(super) fn params(
        &self,
        scenario: &str,
        policy: &Policy,
        alert: Option<String>,
        set: &[String],
    ) -> Result<Json, Fault> {
        let (observe_ms, online_within_ms) = (self.timing.observe.as_ms(), self.timing.online_within.as_ms());
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
