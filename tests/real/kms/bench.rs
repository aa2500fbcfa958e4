//! A site with its cluster, an old object in it, and the binary that is to recover it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::kms::{Cluster, Kind, Site, Wanted, configured, hash};
use crate::sandbox::RECOVER;

pub const TARGET: &str = "kms-1";
/// What was there long before, and what it says.
const OLD: (&str, &str) = ("old", "older than the trouble");

pub struct Bench {
    // In the order in which they are ended.
    pub cluster: Cluster,
    pub site: Site,
    config: PathBuf,
    /// How the providers log in.
    pub auth: &'static str,
}

impl Bench {
    /// Two nodes, a key that was rotated once since the old object was written, and a baseline of all of it.
    pub fn start(kind: Kind, auth: &'static str) -> Result<Self, String> {
        let site = Site::start(Wanted { kind, auth, generation: "g2", nodes: 2 })?;
        let cluster = Cluster::start(&site)?;
        let config = configured(&site, &cluster, "recover.token");
        let bench = Self { cluster, site, config, auth };
        assert_eq!(bench.cluster.write(0, OLD.0, OLD.1).0, 201);
        bench.rotate();
        Ok(bench)
    }

    /// One version more, everywhere, with backups and a baseline that know it.
    pub fn rotate(&self) {
        self.site.rotate();
        self.keep();
    }

    /// What a person does while all is well: copies of the registry, and a record of how it is.
    pub fn keep(&self) {
        self.site.nodes.iter().for_each(crate::kms::Node::back_up);
        let recorded = self.recover(&["baseline", "record", "--target", TARGET, "--reason", "all is well", "--yes"]);
        if !recorded.status.success() {
            println!("real kms: no baseline: {}", String::from_utf8_lossy(&recorded.stderr).trim());
        }
    }

    /// What the last command said.
    pub fn said(&self) -> PathBuf {
        self.site.at("said")
    }

    pub fn recovering(&self, words: &[&str]) -> Command {
        let mut command = Command::new(RECOVER);
        command.arg("--config").arg(&self.config).args(words).stdin(Stdio::null());
        command
    }

    pub fn recover(&self, words: &[&str]) -> Output {
        self.recovering(words).output().unwrap()
    }

    fn lines(&self, words: &[&str]) -> Vec<Value> {
        let output = self.recover(&[words, &["--output", "json"]].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The names of this build's procedures.
    pub fn scenarios(&self) -> BTreeSet<String> {
        let named = self.lines(&["scenarios"]);
        named.iter().filter_map(|line| line["name"].as_str().map(str::to_owned)).collect()
    }

    /// The run that is open, if one is.
    pub fn open_run(&self) -> Option<Value> {
        self.lines(&["status"]).into_iter().find(|line| line["run"].is_string())
    }

    /// How many runs were begun.
    pub fn runs(&self) -> usize {
        self.lines(&["list"]).iter().filter(|line| line["run"].is_string()).count()
    }

    /// How the last run ended.
    pub fn last_ending(&self) -> String {
        let runs = self.lines(&["list"]);
        let begun = |run: &&Value| run["begun"].as_str().unwrap_or_default().to_owned();
        let Some(last) = runs.iter().filter(|run| run["run"].is_string()).max_by_key(begun) else {
            return "no run was begun".to_owned();
        };
        let told = self.lines(&["status", last["run"].as_str().unwrap_or_default()]);
        told.last().and_then(|told| told["why"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// When each version came to be. Empty where there is no key.
    pub fn created(&self) -> BTreeMap<String, i64> {
        let (_, told) = self.site.peer.admin("GET", "transit/keys/kms", crate::kms::NAMESPACE, &Value::Null);
        serde_json::from_value(told["data"]["keys"].clone()).unwrap_or_default()
    }

    /// What is not as it must be, asked of everybody but `recover`. API servers are started anew: what they have in memory proves nothing.
    pub fn problems(&self, created: &BTreeMap<String, i64>) -> Vec<String> {
        let mut problems = Vec::new();
        let now = self.created();
        problems.extend(
            created
                .iter()
                .filter(|(n, at)| now.get(*n) != Some(at))
                .map(|(n, _)| format!("version {n} came to be at another time")),
        );
        let mut hashes = BTreeSet::new();
        for (n, node) in self.site.nodes.iter().enumerate() {
            let ready = crate::kms::eventually(std::time::Duration::from_secs(20), || node.ready().0 == 200);
            if !ready {
                problems.push(format!("{} is not ready: {}", node.name, node.ready().1));
                continue;
            }
            hashes.extend(node.status().map(|status| hash(&status.key_id)));
            if let Err(why) = self.cluster.restart_server(n) {
                problems.push(why);
                continue;
            }
            match self.cluster.read(n, OLD.0) {
                Ok(says) if says == OLD.1 => {}
                other => problems.push(format!("the old object through {}: {other:?}", node.name)),
            }
            if !matches!(self.cluster.write(n, "fresh", "now").0, 200 | 201) {
                problems.push(format!("nothing can be written through {}", node.name));
            }
        }
        if hashes.len() > 1 {
            problems.push("the nodes encrypt with different keys".into());
        }
        problems
    }
}
