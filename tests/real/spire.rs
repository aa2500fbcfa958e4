//! An agent of SPIRE that loses its identity, on the real server and agent where they are on PATH, and otherwise on the fake, which is said.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lane::{Figures, GO, NOT_APPLICABLE, Ran};
use crate::random::Random;
use crate::sandbox::RECOVER;
use crate::spire::{ALIAS, Site, WORK};

/// Of so many recoveries that paired, one is asked whether a workload gets its identity again: an agent looks for entries every few seconds.
const ASKED_EACH: u32 = 5;

pub fn run(kills: u32) -> Ran {
    let (site, not_real) = match Site::real(3_600) {
        Ok(site) => (site, None),
        Err(why) => (Site::fake(3_600), Some(why)),
    };
    if let Some(why) = &not_real {
        println!("real: spire: THE REAL PART IS NOT RUN: {why}; this is the fake");
    }
    let name = site.peer.name();
    let lane = Lane { site, config: String::new() }.configured();
    lane.site.enrol();
    let ran = lane.rounds(kills);
    if let Ran::Done { figures, .. } = &ran {
        println!("real spire: on the {name} one: {figures}, {} evicted", figures.pairings);
    }
    ran
}

struct Lane {
    site: Site,
    config: String,
}

impl Lane {
    fn configured(self) -> Self {
        let mut target = self.site.target("9s");
        target["kind"] = "connector".into();
        let config = serde_json::json!({
            "state_dir": self.site.at("state"), "secrets_dir": self.site.secrets(),
            "policy": { "reprovision": "allow" }, "target": { "edge-1": target },
        });
        let config = toml::to_string(&config).unwrap();
        std::fs::write(self.site.at("recover.toml"), &config).unwrap();
        Self { config: self.site.at("recover.toml").display().to_string(), ..self }
    }

    fn recover(&self, words: &[&str]) -> Command {
        let mut command = Command::new(RECOVER);
        command.args(["--config", &self.config]).args(words).stdin(Stdio::null());
        command
    }

    fn rounds(&self, kills: u32) -> Ran {
        let mut random = Random::new(3);
        let (mut figures, mut problems) = (Figures::default(), Vec::new());
        for keep_original in [true, false] {
            let mut took = Duration::from_secs(3);
            for round in 0..=kills {
                let killed_after = (round > 0).then(|| took.mul_f64(random.below(1_000) as f64 / 1_000.0));
                let kept = keep_original.then(|| format!("kept-{round}"));
                let spent = self.one(kept.as_deref(), killed_after, &mut figures, &mut problems);
                if round == 0 {
                    took = spent;
                    // Twice 500 ms are watched.
                    figures.overhead = figures.overhead.max(spent.saturating_sub(Duration::from_secs(1)));
                }
                if !keep_original && round % ASKED_EACH == 0 && self.site.peer.has_svid(self.site.home()) == Some(false)
                {
                    problems.push("no identity for what hangs below the agent".to_owned());
                }
                if !problems.is_empty() {
                    let what = format!("original {}, round {round}", if keep_original { "kept" } else { "gone" });
                    problems.iter_mut().for_each(|problem| *problem = format!("{what}: {problem}"));
                    return Ran::Done { figures, problems };
                }
            }
        }
        Ran::Done { figures, problems }
    }

    fn one(
        &self,
        kept: Option<&str>,
        killed_after: Option<Duration>,
        figures: &mut Figures,
        problems: &mut Vec<String>,
    ) -> Duration {
        let (before, agents) = (self.site.identity(), self.site.peer.agents());
        self.site.lose(kept);
        figures.losses += 1;
        let begun = Instant::now();
        let mut child = self.recover(GO).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        if let Some(after) = killed_after {
            std::thread::sleep(after);
            figures.kills += u32::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
        }
        let ended = child.wait().unwrap();
        let spent = begun.elapsed();
        let mut failed = |words: &[&str], what: &str, code: i32| {
            let output = self.recover(words).output().unwrap();
            if output.status.code() != Some(code) {
                problems.push(format!(
                    "{what}: {:?} {}",
                    output.status.code(),
                    String::from_utf8_lossy(&output.stderr)
                ));
            }
        };
        if !ended.success() {
            figures.resumed += 1;
            failed(&["resume", "--all"], "it was not resumed", 0);
        }
        // Killed before the first commit, nothing was begun.
        if self.site.identity().1.is_empty() {
            failed(GO, "it did not recover", 0);
        }
        failed(GO, "it is not healthy afterwards", NOT_APPLICABLE);
        problems.extend(self.problems(kept.map(|_| &before), &agents));
        let paired = self.site.peer.agents() != agents;
        figures.pairings += u64::from(paired);
        figures.repairs += u32::from(kept.is_some());
        figures.duplicates += u32::from(self.site.peer.agents().len() > 1);
        spent
    }

    /// What is not as it must be, as the server and the disk tell it.
    fn problems(&self, original: Option<&(Value, Vec<u8>)>, before: &[String]) -> Vec<String> {
        let (agents, entries) = (self.site.peer.agents(), self.site.peer.entries());
        let mut problems = Vec::new();
        let mut wants = |holds: bool, what: &str| {
            if !holds {
                problems.push(format!("{what}: agents {agents:?}, before {before:?}, entries {entries:?}"));
            }
        };
        wants(agents.len() == 1, "one agent");
        wants(
            (agents == before) == original.is_some(),
            "a new agent where the original is gone, and none where it is kept",
        );
        let named = agents.first().map(|agent| (ALIAS.to_owned(), agent.clone()));
        wants(named.is_some_and(|named| entries.contains(&named)), "the agent has its name");
        let under = |parent: &str| entries.contains(&(WORK.to_owned(), parent.to_owned()));
        // As it was enrolled, it hangs below the agent itself; from the first pairing on below the name.
        wants(
            under(ALIAS) || original.is_some_and(|_| before.first().is_some_and(|agent| under(agent))),
            "the entry has a parent",
        );
        wants(entries.len() == 2, "two entries");
        if let Some(original) = original {
            wants(*original == self.site.identity(), "the original identity is back as it was");
        }
        wants(!self.site.token_file().exists(), "no token in sight");
        let kept = std::fs::read_dir(self.site.secrets()).into_iter().flatten().count();
        wants(kept == 0, "no secret kept");
        wants(self.site.peer.live_tokens().unwrap_or(0) == 0, "no token that works, by the server's ledger");
        problems.extend(self.may_work(original.is_none()));
        problems
    }

    /// Tokens of the last runs that may work, by the journal: all that did not become an agent, and whose time is not over.
    fn may_work(&self, paired: bool) -> Vec<String> {
        let lines = |words: &[&str]| {
            let output = self.recover(words).args(["--output", "json"]).output().unwrap();
            let lines = String::from_utf8(output.stdout).unwrap();
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
        };
        let listed = lines(&["list"]);
        // The one that found it healthy, the recovery, and one that was killed before its first commit or was begun again.
        let runs = listed.iter().rev().take(3).map(|run| run["run"].as_str().unwrap());
        let events: Vec<Value> =
            runs.flat_map(|run| lines(&["events", run])).map(|line| line["event"].clone()).collect();
        let ended = |ending: &'static str| events.iter().filter(move |event| event["ending"] == ending);
        let serials: Vec<&Value> = ended("paired").map(|event| &event["serial"]).collect();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let minted: Vec<&Value> = ended("minted").map(|event| &event["token"]).collect();
        let works = |token: &&&Value| {
            !serials.contains(&&token["accessor"])
                && token["expires_at"].as_u64().is_some_and(|end| u128::from(end) > now)
        };
        let mut problems: Vec<String> = minted.iter().filter(works).map(|token| format!("{token} may work")).collect();
        if paired && (minted.is_empty() || serials.is_empty()) {
            problems.push(format!("the journal does not tell of the pairing: {events:?}"));
        }
        problems
    }
}
