//! One target of the configuration: what it is, how it is reached, and the world that acts on it.

mod connector;
mod kms;
mod written;

use std::path::PathBuf;

use recover_engine::Json;
use recover_scenarios::Family;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::Policy;
use crate::fault::{Code, Fault};
use crate::world::{TargetWorld, unusable};

pub(crate) use connector::ConnectorTarget;
pub(crate) use kms::KmsTarget;

/// One target, by what kind of thing it is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Target {
    /// A connector: a workload with an identity on durable storage, enrolled at an authority.
    Connector(Box<ConnectorTarget>),
    /// One Transit key that Kubernetes encrypts its secrets with, and the control-plane nodes that do.
    Kms(Box<KmsTarget>),
}

/// What kind of thing a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Connector,
    Kms,
}

impl Kind {
    /// As it is written in a configuration.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connector => "connector",
            Self::Kms => "kms",
        }
    }

    /// What its procedures are for.
    const fn family(self) -> Family {
        match self {
            Self::Connector => Family::Connector,
            Self::Kms => Family::Kms,
        }
    }

    /// Whether a scenario is for this kind.
    pub(crate) fn has(self, scenario: &str) -> bool {
        recover_scenarios::find(scenario).is_some_and(|found| found.family == self.family())
    }

    /// The scenarios of this build for this kind.
    pub(crate) fn scenarios(self) -> Vec<&'static str> {
        recover_scenarios::of(self.family()).map(|scenario| scenario.entry.name).collect()
    }
}

impl Target {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Connector(_) => Kind::Connector,
            Self::Kms(_) => Kind::Kms,
        }
    }

    /// Whether it is meant where no target is named.
    pub(crate) const fn is_default(&self) -> bool {
        match self {
            Self::Connector(target) => target.default,
            Self::Kms(target) => target.default,
        }
    }

    /// What is set at the configuration's top and needed with the target.
    pub(crate) fn with_secrets_in(&mut self, dir: Option<&PathBuf>) {
        match self {
            Self::Connector(target) => target.secrets_dir = dir.cloned(),
            Self::Kms(target) => target.secrets_dir = dir.cloned(),
        }
    }

    /// What a run on it is about.
    pub(crate) fn subject(&self) -> String {
        match self {
            Self::Connector(target) => target.config().subject(),
            Self::Kms(target) => target.config().subject(),
        }
    }

    /// Checks what its shape alone does not say. Nothing is touched.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        match self {
            Self::Connector(target) => target.config().check(),
            Self::Kms(target) => target.config().check(),
        }
        .map_err(|e| unusable(&e))
    }

    /// What acts on it.
    pub(crate) fn world(&self) -> Result<TargetWorld, Fault> {
        match self {
            Self::Connector(target) => TargetWorld::connector(target.config(), target.secrets_dir.clone()),
            Self::Kms(target) => TargetWorld::kms(target.config()),
        }
    }

    /// The scenario's parameters as configuration and command line give them.
    pub(crate) fn params(
        &self,
        scenario: &str,
        policy: &Policy,
        alert: Option<&str>,
        set: &[String],
    ) -> Result<Json, Fault> {
        if !self.kind().has(scenario) {
            let (kind, names) = (self.kind().name(), self.kind().scenarios());
            let fault = Fault::new(Code::WrongTarget, format!("{scenario} is not for a target of the kind {kind}"));
            return Err(match names.as_slice() {
                [] => fault.hint("`recover scenarios` says what each is for"),
                names => fault.hint(format!("for this one there are: {}", names.join(", "))),
            });
        }
        let alert = alert.map(str::to_owned);
        match self {
            Self::Connector(target) => target.params(scenario, policy, alert, set),
            Self::Kms(target) => target.params(policy, alert, set),
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
