//! The steps that are of one node: its files, its registry, its API server.

use std::time::Duration;

use recover_engine::{Digest, Evidence, RunId};
use recover_steps::kms::{
    Adopted, ApiserverRestarted, ApiserverSeen, AwaitReload, ConfigSeen, CopyPair, EncryptionSeen, EtcdScanned,
    KmsCaptured, ObjectsRead, PairCopied, PairFound, RegistrySeen, RestartApiserver, RestoreConfig, RestoreEncryption,
    Restored, Rewritten,
};

use super::Kms;
use super::baseline;
use super::encryption::{self, Encryption, Places, Wanted};
use super::files::{self, Like};
use super::life::{recoded, until};
use super::node::Node;
use super::registry;
use super::settings::Settings;
use super::wire;
use crate::connector::Witnessed;
use crate::trouble::Trouble;

/// What is kept of one text.
const TEXT_MOST: usize = 256 << 10;

fn refused(code: &'static str) -> impl Fn(String) -> Trouble {
    move |why| Trouble::refused(code, why)
}

impl Kms {
    /// The values that a node's identity-bearing fields must have, and whether a person's word says so.
    fn expected(&self, node: &Node) -> (Vec<(String, String)>, bool) {
        let own = &self.config.openbao;
        let namespace = own.namespace.iter().map(ToString::to_string).collect::<String>();
        // The target itself says which key it is.
        let mut expected = vec![
            ("openbao.namespace".to_owned(), namespace),
            ("transit.keyName".to_owned(), own.key.to_string()),
            ("transit.mountPath".to_owned(), own.mount.to_string()),
        ];
        let recorded = baseline::identity(self.recorded.as_ref(), &node.name);
        let of_file = node.config.provider.recorded_config.as_ref().and_then(|path| Settings::load(path).ok());
        let file: Vec<_> = of_file.iter().flat_map(Settings::identity).collect();
        let is_recorded = recorded.contains_key("transit.keyIdScope.clusterId") || !file.is_empty();
        for (name, value) in file {
            let value = recorded.get(name).map_or(value, |value| (*value).to_owned());
            expected.retain(|(of, _)| of != name);
            expected.push((name.to_owned(), value));
        }
        for (name, value) in recorded {
            if name != "sha256" && !expected.iter().any(|(of, _)| of == name) {
                expected.push((name.to_owned(), value.to_owned()));
            }
        }
        expected.sort();
        (expected, is_recorded)
    }

    fn drifted(expected: &[(String, String)], settings: &Settings) -> Vec<String> {
        let now = settings.identity();
        let same = |(name, value): &&(String, String)| now.iter().any(|(of, is)| of == name && is == value);
        expected.iter().filter(|one| !same(one)).map(|(name, _)| name.clone()).collect()
    }

    /// The fields whose recorded values are not those of the first node: one key has one scope, and which of two is the right one no
    /// file can tell.
    fn disagrees(&self, node: &Node, ours: &[(String, String)]) -> Vec<String> {
        let Some(first) = self.nodes.values().next().filter(|first| first.name != node.name) else { return Vec::new() };
        let (theirs, is_recorded) = self.expected(first);
        if !is_recorded {
            return Vec::new();
        }
        let another = |(name, value): &&(String, String)| theirs.iter().any(|(of, is)| of == name && is != value);
        ours.iter().filter(another).map(|(name, _)| name.clone()).collect()
    }

    /// The recorded file, if it has every value that is expected.
    fn recorded_config(&self, node: &Node) -> Result<files::Held, String> {
        let path = node.config.provider.recorded_config.as_ref().ok_or("no recorded file is configured")?;
        let held = files::read_there(path)?;
        let settings = Settings::understand(held.text()?).map_err(|why| format!("{}: {why}", path.display()))?;
        let (expected, _) = self.expected(node);
        let fields = Self::drifted(&expected, &settings);
        if fields.is_empty() {
            Ok(held)
        } else {
            Err(format!("{} has other values of {}", path.display(), fields.join(", ")))
        }
    }

    pub(super) fn compare_config(&self, node: &Node) -> ConfigSeen {
        let (expected, is_recorded) = self.expected(node);
        let recorded = || self.recorded_config(node).ok().map(|held| held.sha256());
        let settings = match node.settings() {
            Ok(settings) => settings,
            Err(why) => return ConfigSeen::Unreadable { why: self.known.line(&why), recorded: recorded() },
        };
        let disagrees = if is_recorded { self.disagrees(node, &expected) } else { Vec::new() };
        if !disagrees.is_empty() {
            return ConfigSeen::Drifted { fields: disagrees, recorded: None };
        }
        let fields = Self::drifted(&expected, &settings);
        match (fields.is_empty(), is_recorded) {
            (true, true) => ConfigSeen::AsRecorded,
            (true, false) => ConfigSeen::Unrecorded,
            (false, _) => ConfigSeen::Drifted { fields, recorded: recorded() },
        }
    }

    pub(super) fn restore_config(&self, node: &Node, step: &RestoreConfig, run: RunId) -> Result<Restored, Trouble> {
        let refused = refused("config");
        let path = &node.config.provider.config;
        let held = self.recorded_config(node).map_err(&refused)?;
        put_back(path, &held, &step.sha256, run).map_err(refused)
    }

    pub(super) async fn read_registry(&self, node: &Node) -> Result<RegistrySeen, Trouble> {
        let settings = node.settings_or_recorded().map_err(refused("registry"))?;
        let mut seen = registry::seen(&settings, false);
        if let RegistrySeen::Absent { checkpoint: false, bootstraps } = &mut seen {
            *bootstraps = self.bootstraps().await;
        }
        Ok(seen)
    }

    /// Peers first, in the order of their names, then the backups.
    fn sources(&self, node: &Node, settings: &Settings) -> Vec<registry::Source> {
        let peer = |(name, peer): (&String, &Node)| Some((name.clone(), peer.settings_or_recorded().ok()?.state.path));
        let peers = self.nodes.iter().filter(|(name, _)| **name != node.name).filter_map(peer);
        peers.chain(node.backups(settings)).collect()
    }

    pub(super) fn find_pair(&self, node: &Node) -> Result<PairFound, Trouble> {
        let settings = node.settings().map_err(refused("registry"))?;
        let recorded = baseline::generation(self.recorded.as_ref(), &node.name);
        Ok(registry::find(&settings, &self.sources(node, &settings), recorded))
    }

    pub(super) async fn copy_pair(&self, node: &Node, step: &CopyPair, run: RunId) -> Result<PairCopied, Trouble> {
        let refused = refused("registry");
        let settings = node.settings().map_err(&refused)?;
        let sources = self.sources(node, &settings);
        let source = sources.iter().find(|(name, _)| *name == step.source);
        let (_, path) = source.ok_or_else(|| refused(format!("{} is neither a peer nor a backup", step.source)))?;
        if let Some(what) = node.provider.traces().await.map_err(|trouble| recoded(trouble, "registry"))? {
            return Err(refused(format!("the provider is not stopped: {what}")));
        }
        registry::copy(&settings, path, step.generation, &step.hash, &run.to_string()).map_err(refused)
    }

    pub(super) fn read_encryption(&self, node: &Node) -> Result<EncryptionSeen, Trouble> {
        let settings = node.settings_or_recorded().map_err(refused("apiserver"))?;
        let name = self.provider_name(node, &settings);
        Ok(encryption::seen(&places(node), &self.wanted(&name, &settings)))
    }

    fn provider_name(&self, node: &Node, settings: &Settings) -> String {
        let recorded = baseline::provider_name(self.recorded.as_ref(), &node.name);
        recorded.unwrap_or(&settings.transit.key_id_scope.provider_name).to_owned()
    }

    fn wanted<'a>(&'a self, name: &'a str, settings: &'a Settings) -> Wanted<'a> {
        Wanted { name, socket: &settings.server.socket_path, resources: &self.config.cluster.resources }
    }

    pub(super) fn restore_encryption(
        &self,
        node: &Node,
        step: &RestoreEncryption,
        run: RunId,
    ) -> Result<Restored, Trouble> {
        let refused = refused("apiserver");
        let settings = node.settings_or_recorded().map_err(&refused)?;
        let name = self.provider_name(node, &settings);
        if name != settings.transit.key_id_scope.provider_name {
            return Err(refused(format!(
                "the provider's name is recorded as {name}, and its configuration says {}: that is mended first",
                settings.transit.key_id_scope.provider_name
            )));
        }
        let wanted = self.wanted(&name, &settings);
        let config = &node.config.apiserver;
        for path in [&config.recorded_encryption_config, &config.without_identity].into_iter().flatten() {
            let held = files::read_there(path).map_err(&refused)?;
            if held.sha256() != step.sha256 {
                continue;
            }
            // Its name and its endpoint are those of the provider, and identity does not come first.
            let shape = held.text().and_then(Encryption::understand).and_then(|read| read.shape(&wanted));
            match shape.map_err(&refused)? {
                encryption::Shape::IdentityFirst => return Err(refused("identity comes first in it".into())),
                encryption::Shape::Alone | encryption::Shape::Fallback => {}
            }
            return put_back(&config.encryption_config, &held, &step.sha256, run).map_err(refused);
        }
        Err(refused("no recorded file has that digest".into()))
    }

    pub(super) async fn look_apiserver(&self, node: &Node) -> Result<ApiserverSeen, Trouble> {
        let instance = match &node.apiserver {
            Some(life) => life.running().await.map_err(|trouble| recoded(trouble, "apiserver"))?,
            None => None,
        };
        node.kube.kms_check(instance, &self.known).await
    }

    pub(super) async fn restart_apiserver(
        &self,
        node: &Node,
        step: &RestartApiserver,
    ) -> Result<ApiserverRestarted, Trouble> {
        let of = |trouble| recoded(trouble, "apiserver");
        let life = node.apiserver.as_ref().ok_or_else(|| {
            Trouble::refused("apiserver", "how it is restarted is not configured: `apiserver.workload`")
        })?;
        let running = life.running().await.map_err(of)?;
        match (&running, &step.from) {
            (Some(now), Some(from)) if now == from => {
                self.guarded(node, step.sole).await?;
                life.restart(from).await.map_err(of)?;
            }
            // Another life runs: that one has ended already.
            (Some(_), _) => {}
            (None, _) => drop(life.start().await.map_err(of)?),
        }
        let within = self.config.timing.apiserver_within.as_duration();
        until(within, async || node.kube.ready(&self.known).await)
            .await
            .map_err(|why| Trouble::retry(format!("it was restarted and is not ready: {why}")))?;
        Ok(ApiserverRestarted::Restarted { instance: life.running().await.map_err(of)? })
    }

    /// A running API server may be all that still reads: it is not ended while its KMS is not well, nor the last that is ready.
    async fn guarded(&self, node: &Node, sole: bool) -> Result<(), Trouble> {
        let guard = |why: String| Trouble::refused("guarded", format!("the API server stays as it is: {why}"));
        let settings = node.settings().map_err(guard)?;
        match wire::status(&settings.server.socket_path).await {
            Ok(status) if status.healthz == "ok" && !status.key_id.is_empty() => {}
            Ok(status) => return Err(guard(self.known.line(&format!("its KMS says {}", status.healthz)))),
            Err(silence) => return Err(guard(self.known.line(silence.text()))),
        }
        if sole {
            return Ok(());
        }
        for other in self.nodes.values().filter(|other| other.kube.origin() != node.kube.origin()) {
            if other.kube.ready(&self.known).await.is_ok() {
                return Ok(());
            }
        }
        Err(Trouble::refused("sole", "no other API server is ready: a person must say that going without is right"))
    }

    pub(super) async fn await_reload(&self, node: &Node, step: &AwaitReload) -> Result<Adopted, Trouble> {
        let instance = match &node.apiserver {
            Some(life) => life.running().await.map_err(|trouble| recoded(trouble, "apiserver"))?,
            None => None,
        };
        let before = node.kube.reload(&self.known).await?;
        if before.has(&step.sha256) {
            return Ok(Adopted::Adopted);
        }
        if node.reloads().unwrap_or(before.looks) {
            let end = tokio::time::Instant::now() + self.config.timing.reload_within.as_duration();
            while tokio::time::Instant::now() < end {
                tokio::time::sleep(Duration::from_secs(2)).await;
                let now = node.kube.reload(&self.known).await?;
                if now.has(&step.sha256) {
                    return Ok(Adopted::Adopted);
                }
                if now.failures > before.failures {
                    return Ok(Adopted::NotAdopted { why: "it looked at the file and kept the old one".into() });
                }
            }
            return Ok(Adopted::NotAdopted { why: "its metrics do not say that it took over the file".into() });
        }
        Ok(Adopted::RestartNeeded { instance })
    }

    pub(super) async fn read_objects(&self) -> Result<ObjectsRead, Trouble> {
        self.kube.read_objects(&self.config.cluster.objects, &self.known).await
    }

    pub(super) async fn rewrite_objects(&self) -> Result<Rewritten, Trouble> {
        self.kube.rewrite(&self.config.cluster.resources, &self.known).await
    }

    pub(super) async fn scan_etcd(&self) -> Result<EtcdScanned, Trouble> {
        let etcd = self.etcd.as_ref().ok_or_else(|| {
            Trouble::refused("etcd", "how etcd is read is not configured: nobody can say what is in plain text")
        })?;
        let first = self.nodes.values().next().ok_or_else(|| Trouble::refused("etcd", "there is no node"))?;
        let settings = first.settings_or_recorded().map_err(refused("etcd"))?;
        etcd.scan(&self.config.cluster.resources, &self.provider_name(first, &settings)).await
    }

    /// What proves the end, as texts beside the record.
    pub(super) async fn capture(&self) -> Result<Witnessed<KmsCaptured>, Trouble> {
        let mut all = Vec::new();
        let key = self.read_key().await?;
        let versions = serde_json::to_string_pretty(&key).map_err(|e| Trouble::retry(e.to_string()))?;
        all.push(self.evidence("the key", &versions));
        for (name, node) in &self.nodes {
            let ready = match node.web.ready().await {
                Ok(ready) => format!("{} {}", ready.status, ready.body),
                Err(why) => why,
            };
            let live = node.web.live().await.map_or_else(|why| why, |live| live.to_string());
            all.push(self.evidence(&format!("{name}: live and ready"), &format!("live: {live}\nready: {ready}")));
            if let Some(metrics) = node.web.metrics().await {
                let telling = |line: &&str| line.starts_with("openbao_kms_");
                let metrics: Vec<&str> = metrics.lines().filter(telling).collect();
                all.push(self.evidence(&format!("{name}: metrics"), &metrics.join("\n")));
            }
            let api = match node.kube.kms_check(None, &self.known).await {
                Ok(seen) => format!("{seen:?}"),
                Err(trouble) => trouble.text().to_owned(),
            };
            all.push(self.evidence(&format!("{name}: the API server's KMS check"), &api));
            if let Ok(tail) = node.provider.log_tail().await {
                let from = tail.len().saturating_sub(8 << 10);
                let from = (from..=tail.len()).find(|at| tail.is_char_boundary(*at)).unwrap_or(0);
                all.push(
                    self.evidence(
                        &format!("{name}: the end of the provider's log"),
                        tail.get(from..).unwrap_or_default(),
                    ),
                );
            }
        }
        let texts = u32::try_from(all.len()).unwrap_or(u32::MAX);
        Ok(Witnessed { event: KmsCaptured::Captured { texts }, evidence: all })
    }

    fn evidence(&self, name: &str, raw: &str) -> Evidence {
        let mut text = self.known.text(&self.bao.without_secrets(raw));
        let mut cut = None;
        if text.len() > TEXT_MOST {
            cut = Some(text.len() as u64);
            let end = (0..=TEXT_MOST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
        }
        Evidence { name: name.to_owned(), sha256: Digest::of(text.as_bytes()), text: Some(text), file: None, cut }
    }
}

fn places(node: &Node) -> Places<'_> {
    let config = &node.config.apiserver;
    Places {
        now: &config.encryption_config,
        recorded: config.recorded_encryption_config.as_ref(),
        without: config.without_identity.as_ref(),
    }
}

/// Puts a recorded file in place, byte for byte, with the owner and the mode that the old one had.
fn put_back(path: &std::path::Path, held: &files::Held, sha256: &str, run: RunId) -> Result<Restored, String> {
    if held.sha256() != sha256 {
        return Err("the recorded file is no longer the one that was looked at".into());
    }
    let old = files::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    if old.as_ref().is_some_and(|old| old.sha256() == sha256) {
        return Ok(Restored::Restored { aside: None });
    }
    let like = Like::of(&old.as_ref().unwrap_or(held).stat);
    Ok(Restored::Restored { aside: files::replace(path, &held.bytes, like, Some(&format!("recover-{run}")))? })
}
