//! A provider as it is now: process, socket, readiness, Status and Encrypt; waiting until it serves; comparing all of them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use recover_steps::Instance;
use recover_steps::kms::{
    AwaitProvider, CheckProvider, Converged, Node as Name, NodeSeen, ProviderAwaited, ProviderChecked, SocketMended,
};
use sha2::{Digest as _, Sha256};

use super::checks::{Gate, Generation, judge};
use super::socket::{self, Obstacle};
use crate::kms::Kms;
use crate::kms::node::Node;
use crate::kms::wire::{self, Silence};
use crate::trouble::Trouble;

const PAUSE: Duration = Duration::from_secs(1);
/// So often in a row nothing of it must be seen to run before it has ended: a static pod's next container takes a moment.
const GONE_AFTER: u32 = 15;

/// The digest of a key id, as the provider's own metrics have it.
pub(in crate::kms) fn hash(key_id: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(key_id.as_bytes()))
}

impl Kms {
    /// Looks at a provider, from the process up.
    pub(in crate::kms) async fn look_node(&self, node: &Node) -> Result<NodeSeen, Trouble> {
        let Some(instance) = node.provider.running().await? else { return Ok(NodeSeen::Stopped) };
        let unclear = |why: String| Ok(NodeSeen::Unclear { why: self.known.line(&why) });
        let settings = match node.settings_or_recorded() {
            Ok(settings) => settings,
            Err(why) => return unclear(why),
        };
        let who = match node.apiserver_user() {
            Ok(who) => who,
            Err(why) => return unclear(why),
        };
        let path = &settings.server.socket_path;
        match socket::way(path, &who) {
            Err(Obstacle::None(why)) => return Ok(NodeSeen::NoSocket { instance, why }),
            Err(Obstacle::Barred(why)) => return Ok(NodeSeen::Barred { instance, why }),
            Ok(()) => {}
        }
        let status = match wire::status(path).await {
            Err(Silence::NoSocket(why)) => return Ok(NodeSeen::NoSocket { instance, why }),
            Err(Silence::Barred(why)) => return unclear(format!("recover itself may not open it: {why}")),
            other => other,
        };
        let ready = match node.web.ready().await {
            Ok(ready) => ready,
            Err(why) => return Ok(NodeSeen::Unhealthy { instance, reasons: vec![format!("/ready: {why}")] }),
        };
        let line = |text: &String| self.known.line(text);
        if let Some(reasons) = ready.not() {
            return Ok(NodeSeen::Unhealthy { instance, reasons: reasons.iter().map(line).collect() });
        }
        let status = match status {
            Ok(status) => status,
            Err(silence) => {
                let reasons = vec![self.known.line(&format!("Status: {}", silence.text()))];
                return Ok(NodeSeen::Unhealthy { instance, reasons });
            }
        };
        if status.healthz != "ok" || status.key_id.is_empty() {
            let reasons = vec![self.known.line(&format!("Status says: {}", status.healthz))];
            return Ok(NodeSeen::Unhealthy { instance, reasons });
        }
        if self.may_encrypt().await
            && let Some(seen) = self.agrees(path, &status.key_id, &instance).await
        {
            return Ok(seen);
        }
        let hash = hash(&status.key_id);
        Ok(match ready.degraded() {
            Some(why) => NodeSeen::Degraded { instance, hash, why },
            None => NodeSeen::Serving { instance, hash },
        })
    }

    /// Has something encrypted; `None` if the key is the one that Status names. A version that is promoted just then is asked for again.
    async fn agrees(&self, path: &std::path::Path, named: &str, instance: &Instance) -> Option<NodeSeen> {
        let unhealthy = |silence: &Silence| NodeSeen::Unhealthy {
            instance: instance.clone(),
            reasons: vec![self.known.line(&format!("Encrypt: {}", silence.text()))],
        };
        let mut named = named.to_owned();
        for last in [false, true] {
            let with = match wire::encrypt(path).await {
                Ok(with) => with,
                Err(silence) => return Some(unhealthy(&silence)),
            };
            if with == named {
                return None;
            }
            if last {
                let (status, encrypt) = (hash(&named), hash(&with));
                return Some(NodeSeen::Disagrees { instance: instance.clone(), status, encrypt });
            }
            named = match wire::status(path).await {
                Ok(status) => status.key_id,
                Err(silence) => return Some(unhealthy(&silence)),
            };
        }
        None
    }

    /// Waits until it serves.
    pub(in crate::kms) async fn await_provider(
        &self,
        node: &Node,
        step: &AwaitProvider,
    ) -> Result<ProviderAwaited, Trouble> {
        let within = match step.within_ms {
            0 => {
                let settings = node.settings().map_err(|why| Trouble::refused("provider", why))?;
                // A probe that is due takes a moment itself.
                settings.probes_take() + Duration::from_secs(10)
            }
            ms => Duration::from_millis(ms),
        };
        let end = tokio::time::Instant::now() + within;
        let mut gone = 0;
        loop {
            let (instance, why) = match self.look_node(node).await? {
                NodeSeen::Serving { instance, hash } => return Ok(ProviderAwaited::Serving { instance, hash }),
                NodeSeen::Stopped => (None, "it ended".to_owned()),
                NodeSeen::NoSocket { instance, why }
                | NodeSeen::Barred { instance, why }
                | NodeSeen::Degraded { instance, why, .. } => (Some(instance), why),
                NodeSeen::Unhealthy { instance, reasons } => (Some(instance), reasons.join(", ")),
                NodeSeen::Disagrees { instance, .. } => {
                    (Some(instance), "Status and Encrypt name different keys".into())
                }
                NodeSeen::Unclear { why } => (None, why),
            };
            gone = if instance.is_none() { gone + 1 } else { 0 };
            if tokio::time::Instant::now() >= end || gone >= GONE_AFTER {
                return Ok(ProviderAwaited::NotServing { instance, why });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Lets it check itself: both reports, since neither has all.
    pub(in crate::kms) async fn check_provider(
        &self,
        node: &Node,
        step: &CheckProvider,
    ) -> Result<ProviderChecked, Trouble> {
        let settings = match node.settings() {
            Ok(settings) => settings,
            Err(why) => return Ok(ProviderChecked::Unclear { why: self.known.line(&why) }),
        };
        let mut all = Vec::new();
        let gates: &[Gate] = if step.metadata_only { &[Gate::VerifyKey] } else { &[Gate::VerifyKey, Gate::Doctor] };
        for gate in gates {
            // `doctor` encrypts: whatever was seen before, not without having looked again.
            if *gate == Gate::Doctor && !self.may_encrypt().await {
                return Ok(ProviderChecked::Unclear {
                    why: "doctor was not run: it encrypts, and the key or the setting against making one was not seen"
                        .into(),
                });
            }
            match self.report(node, *gate, &settings).await {
                Ok(ProviderChecked::Passed) => {}
                Ok(ProviderChecked::Failed { checks }) => all.extend(checks),
                Ok(unclear @ ProviderChecked::Unclear { .. }) if all.is_empty() => return Ok(unclear),
                Ok(ProviderChecked::Unclear { .. }) => {}
                Err(why) if all.is_empty() => return Ok(ProviderChecked::Unclear { why: self.known.line(&why) }),
                Err(_) => {}
            }
        }
        if all.is_empty() {
            return Ok(ProviderChecked::Passed);
        }
        all.sort_by_key(|check| check.layer);
        all.dedup_by(|a, b| a.id == b.id);
        for check in &mut all {
            check.id = self.known.line(&check.id);
            check.message = self.known.line(&check.message);
        }
        Ok(ProviderChecked::Failed { checks: all })
    }

    async fn report(
        &self,
        node: &Node,
        gate: Gate,
        settings: &crate::kms::settings::Settings,
    ) -> Result<ProviderChecked, String> {
        let within = self.config.timing.command_within.as_duration();
        let help = node.command(&[gate.command(), "--help"], settings, within).await?;
        let generation = Generation::of(&help)?;
        let config = node.config.provider.config.display().to_string();
        let mut words = vec![gate.command(), "--config", config.as_str()];
        if generation == Generation::Json {
            words.extend(["--output", "json"]);
        }
        Ok(judge(gate, generation, &node.command(&words, settings, within).await?))
    }

    /// Compares the key ids that all nodes publish.
    pub(in crate::kms) async fn converge(&self) -> Converged {
        let mut hashes = Vec::new();
        for (name, node) in &self.nodes {
            let told = match node.settings() {
                Err(why) => why,
                Ok(settings) => match wire::status(&settings.server.socket_path).await {
                    Ok(status) if status.healthz == "ok" => hash(&status.key_id),
                    Ok(status) => format!("none: {}", status.healthz),
                    Err(silence) => format!("none: {}", silence.text()),
                },
            };
            hashes.push((Name(name.clone()), self.known.line(&told)));
        }
        match hashes.as_slice() {
            [(_, first), rest @ ..] if !first.starts_with("none") && rest.iter().all(|(_, hash)| hash == first) => {
                Converged::Converged { hash: first.clone() }
            }
            _ => Converged::Diverged { hashes },
        }
    }

    pub(in crate::kms) fn mend_socket(&self, node: &Node) -> Result<SocketMended, Trouble> {
        let refused = |why: String| Trouble::refused("socket", why);
        let settings = node.settings_or_recorded().map_err(refused)?;
        let group = node.socket_group().map_err(refused)?;
        let changed = socket::mend(&settings.server.socket_path, group).map_err(refused)?;
        Ok(SocketMended::Mended { changed })
    }
}
