//! Alertmanager's webhook: what an alert leads to, and those that are held for a person, each a small durable file.
//!
//! Facts: Prometheus Alertmanager, "webhook receiver", payload version 4: `alerts[]` with `status`, `labels`, `annotations`, `startsAt`,
//! `fingerprint`. It sends a group again until it is answered with 2xx, and repeats it while it fires.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;

use recover_engine::Digest;
use recover_scenarios::diagnosis;
use serde::{Deserialize, Serialize};

use super::config::{AlertRule, Serve, Start};
use crate::whole;

/// What Alertmanager sends, as far as it is looked at.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Payload {
    pub(super) version: String,
    pub(super) alerts: Vec<Alert>,
}

/// One alert.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alert {
    pub(super) status: String,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) starts_at: String,
    #[serde(default)]
    pub(super) fingerprint: String,
}

/// A procedure that an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Due {
    /// The name of the request: the same alert that goes on firing is the same request.
    pub(super) request_id: String,
    pub(super) alert: String,
    pub(super) scenario: String,
    pub(super) target: String,
    pub(super) starts_at: String,
    pub(super) start: Start,
}

/// What an alert leads to, or why to nothing.
pub(super) fn due(config: &Serve, alert: &Alert, is_target: impl Fn(&str) -> bool) -> Result<Due, String> {
    if alert.status != "firing" {
        return Err("it is resolved".to_owned());
    }
    let name = alert.labels.get("alertname").ok_or("it has no label alertname")?;
    let known = diagnosis::alert(name);
    let rule = config.alert.iter().find(|rule| rule.name == *name).cloned().or_else(|| {
        let scenario = known?.presumes.scenario(true).to_owned();
        Some(AlertRule { name: name.clone(), scenario, start: Start::Held, target: None })
    });
    let rule =
        rule.ok_or_else(|| format!("no procedure is configured for the alert {name}, and the runbooks name none"))?;
    if recover_scenarios::find(&rule.scenario).is_none() {
        return Err(format!("there is no procedure {}", rule.scenario));
    }
    let target = alert.labels.get(&config.target_label).or(rule.target.as_ref());
    let target = target.ok_or_else(|| format!("it names no target: it has no label {}", config.target_label))?;
    if !is_target(target) {
        return Err(format!("there is no target {target}"));
    }
    if alert.fingerprint.is_empty() || alert.starts_at.is_empty() {
        return Err("it has no fingerprint, or does not say when it began".to_owned());
    }
    Ok(Due {
        request_id: format!("alert:{}:{}:{target}", alert.fingerprint, alert.starts_at),
        alert: name.clone(),
        scenario: rule.scenario,
        target: target.clone(),
        starts_at: alert.starts_at.clone(),
        start: rule.start,
    })
}

/// More than these are not kept: whoever sends so many has another problem.
const HELD_MOST: usize = 10_000;
/// Waiting for a disk takes no processor: what is synced side by side shares the disk's own commits.
const SIDE_BY_SIDE: usize = 16;

/// Those that wait for a person, in a folder of the state directory.
#[derive(Clone, Debug)]
pub(super) struct Held {
    folder: PathBuf,
}

impl Held {
    pub(super) fn at(state: &std::path::Path) -> io::Result<Self> {
        let folder = state.join("alerts");
        match std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(&folder) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            Ok(()) | Err(_) => {}
        }
        File::open(state)?.sync_all()?;
        Ok(Self { folder })
    }

    /// The name under which a request is kept: nothing that an alert says becomes a path.
    pub(super) fn id(due: &Due) -> String {
        Digest::of(due.request_id.as_bytes()).to_string().chars().take(32).collect()
    }

    /// Keeps them, durably; of each whether it is kept. One that is kept already stays as it is.
    ///
    /// A thousand may come at once: their files are synced side by side, and the folder once for all of them.
    pub(super) fn keep(&self, dues: &[Due]) -> Vec<io::Result<()>> {
        let there = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries.count(),
            Err(e) => return dues.iter().map(|_| Err(io::Error::new(e.kind(), e.to_string()))).collect(),
        };
        let mut room = HELD_MOST.saturating_sub(there);
        let has_room: Vec<bool> = dues
            .iter()
            .map(|due| {
                let is_new = !self.folder.join(Self::id(due)).exists();
                let fits = !is_new || room > 0;
                room -= usize::from(is_new && fits);
                fits
            })
            .collect();
        let work: Vec<(&Due, bool)> = dues.iter().zip(has_room).collect();
        let share = work.len().div_ceil(SIDE_BY_SIDE).max(1);
        let mut kept: Vec<io::Result<()>> = std::thread::scope(|scope| {
            let threads: Vec<_> = work
                .chunks(share)
                .map(|chunk| {
                    let write = move || chunk.iter().map(|(due, fits)| self.write(due, *fits)).collect::<Vec<_>>();
                    (chunk.len(), scope.spawn(write))
                })
                .collect();
            // A thread that does not come back has kept nothing that is known of.
            let unknown = |n| std::iter::repeat_with(|| Err(io::Error::other("it was not kept"))).take(n).collect();
            threads.into_iter().flat_map(|(n, thread)| thread.join().unwrap_or_else(|_| unknown(n))).collect()
        });
        if let Err(e) = File::open(&self.folder).and_then(|folder| folder.sync_all()) {
            kept.iter_mut().for_each(|one| *one = Err(io::Error::new(e.kind(), e.to_string())));
        }
        kept
    }

    fn write(&self, due: &Due, fits: bool) -> io::Result<()> {
        if !fits {
            return Err(io::Error::other("too many alerts are held already"));
        }
        let text = serde_json::to_vec(due).map_err(io::Error::other)?;
        match whole::write_new(&self.folder.join(Self::id(due)), |file| file.write_all(&text)) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            written => written,
        }
    }

    /// All of them, by id. What cannot be read is none of ours.
    pub(super) fn all(&self) -> io::Result<BTreeMap<String, Due>> {
        let mut all = BTreeMap::new();
        for entry in std::fs::read_dir(&self.folder)?.flatten() {
            let Some(id) = entry.file_name().into_string().ok() else { continue };
            if let Some(due) = self.get(&id)? {
                all.insert(id, due);
            }
        }
        Ok(all)
    }

    pub(super) fn get(&self, id: &str) -> io::Result<Option<Due>> {
        if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        match std::fs::read(self.folder.join(id)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Lets go of one that was begun or dismissed.
    pub(super) fn remove(&self, id: &str) -> io::Result<()> {
        if self.get(id)?.is_none() {
            return Ok(());
        }
        std::fs::remove_file(self.folder.join(id))?;
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firing(labels: &[(&str, &str)]) -> Alert {
        Alert {
            status: "firing".into(),
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            starts_at: "2026-11-23T03:00:00.000Z".into(),
            fingerprint: "c0ffee".into(),
        }
    }

    fn asked(config: &Serve, alert: &Alert) -> Result<Due, String> {
        due(config, alert, |target| target == "edge-1")
    }

    #[test]
    fn the_runbooks_map_is_the_default_and_holds() {
        let name = "ControlPlaneConnectorBootstrapFallbackSuspectedHigh";
        let found = asked(&Serve::default(), &firing(&[("alertname", name), ("target", "edge-1")])).unwrap();
        assert_eq!((found.scenario.as_str(), found.start), ("identity-loss", Start::Held));
        let again =
            asked(&Serve::default(), &firing(&[("alertname", name), ("target", "edge-1"), ("severity", "page")]));
        assert_eq!(again.unwrap().request_id, found.request_id, "the fingerprint and the beginning name it");
    }

    #[test]
    fn a_rule_of_ones_own_comes_first() {
        let rule = AlertRule {
            name: "Ours".into(),
            scenario: "crash-loop".into(),
            start: Start::Now,
            target: Some("edge-1".into()),
        };
        let config = Serve { alert: vec![rule], target_label: "host".into(), ..Serve::default() };
        let found = asked(&config, &firing(&[("alertname", "Ours")])).unwrap();
        assert_eq!((found.scenario.as_str(), found.start, found.target.as_str()), ("crash-loop", Start::Now, "edge-1"));
        assert!(asked(&config, &firing(&[("alertname", "Ours"), ("host", "edge-9")])).unwrap_err().contains("edge-9"));
    }

    #[test]
    fn what_leads_to_nothing_says_why() {
        let config = Serve::default();
        let mut alert = firing(&[("alertname", "SandboxConnectorCrashLoopHigh"), ("target", "edge-1")]);
        assert!(asked(&config, &alert).is_ok());
        alert.status = "resolved".into();
        assert!(asked(&config, &alert).unwrap_err().contains("resolved"));
        for (labels, why) in [
            (&[("target", "edge-1")][..], "alertname"),
            (&[("alertname", "Nobody'sAlert"), ("target", "edge-1")], "the runbooks name none"),
            (&[("alertname", "SandboxConnectorCrashLoopHigh")], "no label target"),
            (&[("alertname", "SandboxConnectorCrashLoopHigh"), ("target", "../x")], "no target ../x"),
        ] {
            assert!(asked(&config, &firing(labels)).unwrap_err().contains(why), "{why}");
        }
    }

    #[test]
    fn what_is_held_is_kept_once_and_let_go_once() {
        let dir = tempfile::tempdir().unwrap();
        let held = Held::at(dir.path()).unwrap();
        let alert = firing(&[("alertname", "SandboxConnectorCrashLoopHigh"), ("target", "edge-1")]);
        let due = asked(&Serve::default(), &alert).unwrap();
        let keep = |held: &Held, dues: &[Due]| held.keep(dues).into_iter().map(Result::unwrap).count();
        assert_eq!(keep(&held, std::slice::from_ref(&due)), 1);
        assert_eq!(keep(&Held::at(dir.path()).unwrap(), std::slice::from_ref(&due)), 1);
        assert_eq!(keep(&held, &[]), 0);
        let id = Held::id(&due);
        assert_eq!(held.all().unwrap(), BTreeMap::from([(id.clone(), due.clone())]));
        for strange in ["", "../lock", &"g".repeat(32), &id.to_uppercase().replace(char::is_numeric, "/")] {
            assert_eq!(held.get(strange).unwrap(), None, "{strange}");
        }
        held.remove(&id).unwrap();
        held.remove(&id).unwrap();
        assert!(held.all().unwrap().is_empty());
    }

    #[test]
    fn of_many_each_is_kept_and_where_there_is_no_room_it_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let held = Held::at(dir.path()).unwrap();
        let alert = firing(&[("alertname", "SandboxConnectorCrashLoopHigh"), ("target", "edge-1")]);
        let due = |n: u32| Due { request_id: format!("alert:{n}"), ..asked(&Serve::default(), &alert).unwrap() };
        let many: Vec<Due> = (0..100).map(due).collect();
        assert!(held.keep(&many).into_iter().all(|kept| kept.is_ok()));
        let all = held.all().unwrap();
        assert!(all.len() == 100 && many.iter().all(|due| all[&Held::id(due)] == *due));
        for n in 100..HELD_MOST - 1 {
            File::create(held.folder.join(format!("{n}"))).unwrap();
        }
        let told: Vec<bool> = held.keep(&[due(0), due(200), due(201), due(1)]).into_iter().map(|k| k.is_ok()).collect();
        assert_eq!(told, [true, true, false, true], "what is kept already needs no room");
        std::fs::remove_dir_all(&held.folder).unwrap();
        assert!(held.keep(&[due(300)])[0].is_err());
    }
}
