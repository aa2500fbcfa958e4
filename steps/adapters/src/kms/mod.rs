//! Secrets of Kubernetes under KMS v2 with OpenBao's Transit behind it: how its steps are carried out.
//!
//! [`Kms`] is the whole: it dispatches on the step's name. What must never be done has no method anywhere below: no key is made, deleted,
//! trimmed or rotated, no lowest version raised, no registry written but copied as a verified pair, nothing written to etcd.

mod apiserver;
mod auth;
mod baseline;
mod config;
mod encryption;
mod etcd;
mod examine;
mod files;
mod key;
mod life;
mod node;
mod pod;
mod provider;
mod registry;
mod settings;
mod steps;
mod users;
mod wire;
mod world;

use std::collections::BTreeMap;

pub use config::{
    ApiserverConfig, ClientIdentity, ClusterConfig, ContainerConfig, EtcdConfig, KmsConfig, KmsTiming, KmsWorkload,
    NodeConfig, ProviderConfig, ServiceConfig, StaticPodConfig, SupervisedConfig,
};

pub use examine::{KmsExamined, Looked, NodeExamined, RightsFound};

use crate::Unusable;
use crate::facts::Facts;
use crate::known::Known;
use crate::mark::{Claim, Holder, Mark};
use crate::openbao::OpenBao;
use crate::trouble::{Trouble, code};

use apiserver::Kube;
use etcd::Etcd;
use node::Node;

/// One Transit key, and whatever encrypts with it.
#[derive(Debug)]
pub struct Kms {
    config: KmsConfig,
    bao: OpenBao,
    nodes: BTreeMap<String, Node>,
    /// The API server through which objects are read.
    kube: Kube,
    etcd: Option<Etcd>,
    known: Known,
    /// What a person recorded while it was well.
    recorded: Option<Facts>,
    mark: Option<Mark>,
}

impl Kms {
    /// As configured. Nothing is asked or touched yet, but the CA files and client certificates are read.
    ///
    /// # Errors
    /// If a value in the configuration cannot be used.
    pub fn new(config: KmsConfig) -> Result<Self, Unusable> {
        config.check()?;
        let named = Unusable::Named;
        let nodes = config.node.iter().map(|(name, node)| Ok((name.clone(), Node::new(name, node, &config)?)));
        Ok(Self {
            nodes: nodes.collect::<Result<_, Unusable>>()?,
            bao: OpenBao::new(&config.openbao).map_err(named)?,
            kube: Kube::new(&config.cluster.base, &config.cluster).map_err(named)?,
            etcd: config.etcd.as_ref().map(Etcd::new).transpose().map_err(named)?,
            known: Known::default(),
            recorded: None,
            mark: None,
            config,
        })
    }

    /// The same, acted on for this holder: its mark is put beside the first node's configuration before anything is changed.
    #[must_use]
    pub fn held_by(mut self, holder: Holder) -> Self {
        self.mark = self.config.node.values().next().map(|node| Mark::beside(holder, &node.provider.config));
        self
    }

    /// The same, with what a person recorded of it while it was well.
    #[must_use]
    pub fn recorded_as(mut self, facts: &Facts) -> Self {
        self.recorded = Some(facts.clone());
        self
    }

    /// Who else acts on the target, and where that is written.
    ///
    /// # Errors
    /// With a sentence, if a mark is there that cannot be understood.
    pub async fn held_by_another(&self) -> Result<Option<(Claim, String)>, String> {
        let Some(mark) = &self.mark else { return Ok(None) };
        match mark.other().await {
            Ok(other) => Ok(other.map(|claim| (claim, mark.place()))),
            Err(trouble) if trouble.is(code::MARKED) => Err(trouble.text().to_owned()),
            Err(_) => Ok(None),
        }
    }

    /// Gives the target free: the run is closed. What was put aside stays, for a person to take away.
    ///
    /// # Errors
    /// With a sentence.
    pub async fn release(&self) -> Result<(), String> {
        let Some(mark) = &self.mark else { return Ok(()) };
        mark.release().await.map_err(|trouble: Trouble| trouble.text().to_owned())
    }

    /// What a person wrote, without the secrets that are used here.
    #[must_use]
    pub fn without_secrets(&self, text: &str) -> String {
        self.bao.without_secrets(&self.known.hide(text))
    }
}

#[cfg(test)]
mod tests;
