//! One control-plane node: what is reached of it from here.

use std::path::PathBuf;

use super::apiserver::Kube;
use super::config::{KmsConfig, NodeConfig};
use super::life::Life;
use super::provider::command;
use super::provider::web::Web;
use super::registry::{Flaw, Pair};
use super::settings::Settings;
use super::users::{self, Who};

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) config: NodeConfig,
    pub(super) provider: Life,
    pub(super) apiserver: Option<Life>,
    pub(super) web: Web,
    pub(super) kube: Kube,
}

impl Node {
    pub(super) fn new(name: &str, config: &NodeConfig, whole: &KmsConfig) -> Result<Self, crate::Unusable> {
        let named = crate::Unusable::Named;
        let (provider, apiserver) = (&config.provider, &config.apiserver);
        let origin = apiserver.base.as_ref().unwrap_or(&whole.cluster.base);
        Ok(Self {
            name: name.to_owned(),
            provider: Life::new(&provider.workload, &whole.timing)?,
            apiserver: apiserver.workload.as_ref().map(|life| Life::new(life, &whole.timing)).transpose()?,
            web: Web::new(&provider.health, provider.metrics.as_ref()).map_err(named)?,
            kube: Kube::new(origin, &whole.cluster).map_err(named)?,
            config: config.clone(),
        })
    }

    /// The provider's configuration as it is now.
    pub(super) fn settings(&self) -> Result<Settings, String> {
        Settings::load(&self.config.provider.config)
    }

    /// The provider's configuration, or else the recorded one: for where things are, when the one in place cannot be read.
    pub(super) fn settings_or_recorded(&self) -> Result<Settings, String> {
        self.settings().or_else(|why| match &self.config.provider.recorded_config {
            Some(recorded) => Settings::load(recorded).map_err(|_| why),
            None => Err(why),
        })
    }

    /// The registry's pair as it lies there.
    pub(super) fn pair(&self) -> Result<Pair, Flaw> {
        let settings = self.settings_or_recorded().map_err(Flaw::Unsafe)?;
        Pair::read(&settings.state.path)
    }

    /// Whom the provider runs as.
    pub(super) fn provider_user(&self, settings: &Settings) -> Result<Who, String> {
        let who = match &self.config.provider.user {
            Some(user) => Who::named(user)?,
            None => Who::here(),
        };
        let group = &settings.server.socket_group.0;
        // Whoever gives a socket to a group is in it.
        if group.is_empty() { Ok(who) } else { Ok(who.with(users::group(group)?)) }
    }

    /// Whom the API server runs as.
    pub(super) fn apiserver_user(&self) -> Result<Who, String> {
        let config = &self.config.apiserver;
        config.groups.iter().try_fold(Who::named(&config.user)?, |who, group| Ok(who.with(users::group(group)?)))
    }

    /// The group that the socket must have: the recorded one first.
    pub(super) fn socket_group(&self) -> Result<u32, String> {
        let recorded = self.config.provider.recorded_config.as_ref().and_then(|path| Settings::load(path).ok());
        let settings = match recorded {
            Some(settings) => settings,
            None => self.settings()?,
        };
        match settings.server.socket_group.0.as_str() {
            "" => Err("no group of the socket is recorded: `server.socketGroup`".into()),
            group => users::group(group),
        }
    }

    /// Where the backups of its state are.
    pub(super) fn backups(&self, settings: &Settings) -> Vec<(String, PathBuf)> {
        let Some(name) = settings.state.path.file_name() else { return Vec::new() };
        let each = |folder: &PathBuf| (folder.display().to_string(), folder.join(name));
        self.config.provider.backups.iter().map(each).collect()
    }

    /// Runs one of the provider's commands as its user.
    pub(super) async fn command(
        &self,
        words: &[&str],
        settings: &Settings,
        within: std::time::Duration,
    ) -> Result<command::Ran, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        command::run(&self.config.provider.command, &words, &self.provider_user(settings)?, within).await
    }

    /// Whether its API server looks at the file again by itself, as far as its command or its manifest tells.
    pub(super) fn reloads(&self) -> Option<bool> {
        const FLAG: &str = "--encryption-provider-config-automatic-reload";
        let on = |text: &str| text.split_once(FLAG).is_some_and(|(_, rest)| !rest.starts_with("=false"));
        match &self.config.apiserver.workload {
            Some(super::config::KmsWorkload::Process(process)) => Some(process.command.iter().any(|word| on(word))),
            Some(super::config::KmsWorkload::StaticPod(_)) => {
                let pod = self.apiserver.as_ref().and_then(Life::pod)?;
                pod.manifest().ok().map(|text| on(&text))
            }
            Some(super::config::KmsWorkload::Systemd(_) | super::config::KmsWorkload::Docker(_)) | None => None,
        }
    }
}
