//! The never-list over any story: whatever is seen, answered, refused or cancelled, no step is asked for that must not be. The judge
//! remembers what was told, and reads neither guards nor graphs.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use recover_engine::{Input, Next, Outcome, Scenario, StepSet};
use recover_scenarios::kms::{Cause, Event, Kms, Params, Step};
use recover_steps::kms::*;

/// What was told, and what of it still holds.
#[derive(Default)]
struct Judge {
    /// The key, if it is known to be the original.
    key: Option<KeyFacts>,
    unrecorded: Option<KeyFacts>,
    configs: BTreeMap<Node, String>,
    encryptions: BTreeMap<Node, Vec<String>>,
    pairs: BTreeMap<Node, (String, u64, String)>,
    stopped: Vec<Node>,
    /// The node whose provider was just seen to serve.
    serving: Option<Node>,
    sole: bool,
    /// The node that was changed and is not known to serve yet.
    open: Option<Node>,
    changes: usize,
}

impl Judge {
    /// The line of the list that this step breaks.
    fn breaks(&self, step: &Step) -> Option<&'static str> {
        let broken = |broken: bool, line| broken.then_some(line);
        match step {
            Step::CheckProvider(s) => {
                let safe = self.key.as_ref().is_some_and(|key| key.upsert_disabled);
                broken(!s.metadata_only && !safe, "N1: encrypts where that could make a key")
            }
            Step::LowerDecryption(s) => {
                let lower = self
                    .key
                    .as_ref()
                    .is_some_and(|k| s.to < k.min_decryption && k.recorded_min_decryption == Some(s.to));
                broken(!lower, "N2: raises, or sets what is not recorded")
            }
            Step::LowerEncryption(s) => {
                let lower = self
                    .key
                    .as_ref()
                    .is_some_and(|k| s.to < k.min_encryption && k.recorded_min_encryption == Some(s.to));
                broken(!lower, "N2: raises, or sets what is not recorded")
            }
            Step::CopyPair(s) => {
                let found = Some(&(s.source.clone(), s.generation, s.hash.clone())) == self.pairs.get(&s.node);
                broken(!found || !self.stopped.contains(&s.node), "N3: no verified pair, or under a provider that runs")
            }
            Step::RestoreConfig(s) => {
                broken(self.configs.get(&s.node) != Some(&s.sha256), "N4: another value than the recorded one")
            }
            Step::RestoreEncryption(s) => {
                let known = self.encryptions.get(&s.node).is_some_and(|known| known.contains(&s.sha256));
                broken(!known, "N4: another file than a recorded one")
            }
            Step::RestartApiserver(s) => broken(
                self.serving.as_ref() != Some(&s.node) || (s.sole && !self.sole),
                "N10: an API server without its KMS, or the only one without a word",
            ),
            Step::StartProvider(_) | Step::RestartProvider(_) => {
                broken(self.key.is_none(), "K9, K17: a provider begins a life while its key is in question")
            }
            _ => None,
        }
        .or_else(|| {
            let changed = changed_node(step)?;
            let other = self.open.as_ref().is_some_and(|open| *open != changed);
            // A provider that is stopped because its key is in question is none that is mended.
            broken(other && self.key.is_some() && self.stopped.is_empty(), "N10: two nodes at once")
        })
    }

    fn told(&mut self, step: &Step, event: &Event) {
        self.serving = None;
        self.changes += usize::from(step.doing().redoing.redo != recover_engine::Redo::Pure);
        if let Some(node) = changed_node(step) {
            self.open = Some(node);
        }
        match (step, event) {
            (_, Event::ReadKey(seen)) => {
                self.key = match seen {
                    KeySeen::Original { facts } => Some(facts.clone()),
                    KeySeen::Unrecorded { facts } if self.unrecorded.is_some() => Some(facts.clone()),
                    KeySeen::Unrecorded { facts } => {
                        self.unrecorded = Some(facts.clone());
                        None
                    }
                    _ => None,
                };
                if !matches!(seen, KeySeen::Unrecorded { .. } | KeySeen::Original { .. }) {
                    self.unrecorded = None;
                }
            }
            (
                Step::CompareConfig(s),
                Event::CompareConfig(
                    ConfigSeen::Drifted { recorded: Some(sha256), .. }
                    | ConfigSeen::Unreadable { recorded: Some(sha256), .. },
                ),
            ) => {
                self.configs.insert(s.node.clone(), sha256.clone());
            }
            (
                Step::ReadEncryption(s),
                Event::ReadEncryption(
                    EncryptionSeen::Sound { fallback: Some(sha256) }
                    | EncryptionSeen::Fallback { without: Some(sha256) }
                    | EncryptionSeen::IdentityFirst { recorded: Some(sha256) }
                    | EncryptionSeen::Drifted { recorded: Some(sha256), .. },
                ),
            ) => {
                self.encryptions.entry(s.node.clone()).or_default().push(sha256.clone());
            }
            (Step::FindPair(s), Event::FindPair(PairFound::Found { source, generation, hash })) => {
                self.pairs.insert(s.node.clone(), (source.clone(), *generation, hash.clone()));
            }
            (Step::StopProvider(s), _) => self.stopped.push(s.node.clone()),
            (Step::StartProvider(StartProvider { node }) | Step::RestartProvider(RestartProvider { node, .. }), _) => {
                self.stopped.retain(|other| other != node);
            }
            (Step::LookNode(s), Event::LookNode(NodeSeen::Serving { .. })) => self.serving = Some(s.node.clone()),
            (Step::AwaitProvider(s), Event::AwaitProvider(ProviderAwaited::Serving { .. }))
                if self.open.as_ref() == Some(&s.node) =>
            {
                self.open = None;
            }
            (Step::AwaitReload(_), Event::AwaitReload(Adopted::Adopted))
            | (Step::RestartApiserver(_), Event::RestartApiserver(_)) => self.open = None,
            _ => {}
        }
    }
}

fn changed_node(step: &Step) -> Option<Node> {
    Some(match step {
        Step::StartProvider(s) => s.node.clone(),
        Step::RestartProvider(s) => s.node.clone(),
        Step::MendSocket(s) => s.node.clone(),
        Step::RestoreConfig(s) => s.node.clone(),
        Step::InstallAuth(s) => s.node.clone(),
        Step::LoadImage(s) => s.node.clone(),
        Step::CopyPair(s) => s.node.clone(),
        Step::RestoreEncryption(s) => s.node.clone(),
        Step::RestartApiserver(s) => s.node.clone(),
        _ => return None,
    })
}

/// Mostly well, seldom anything else that can come.
fn one_of(byte: u8, any: usize) -> usize {
    if byte < 170 { 0 } else { usize::from(byte) % any.max(1) }
}

/// As chosen, or the next ending that does not end the run at once, which most do.
fn chosen<C: Cause>(at: &Kms<C>, step: &Step, byte: u8) -> usize {
    let (name, endings) = (step.doing().step, step.endings());
    let first = one_of(byte, endings.len());
    let ends = |index: usize| {
        let Outcome::Happened(told) = &endings[index] else { return true };
        let event = Step::event(name, told).expect("its own ending");
        let after = at.clone().apply(&Input::Outcome(Outcome::Happened(event)));
        after.is_ok_and(|after| matches!(after.next(), Next::Done(_)))
    };
    let onward = (first..first + endings.len()).map(|index| index % endings.len()).find(|index| !ends(*index));
    if byte.is_multiple_of(16) { first } else { onward.unwrap_or(first) }
}

fn told<C: Cause>(bytes: &[u8]) -> Result<usize, String> {
    let mut at = Kms::<C>::begin(Params::sample(2));
    let mut judge = Judge::default();
    let mut story = Vec::new();
    for byte in bytes {
        let input = match at.next() {
            Next::Done(_) => break,
            _ if *byte == 255 => Input::Cancel,
            Next::Wait(_) => Input::Expired,
            Next::Ask(question) => {
                let choice = &question.choices[one_of(*byte, question.choices.len())].id;
                if (question.id == "unrecorded-key") && choice == "approve" {
                    judge.key.clone_from(&judge.unrecorded);
                }
                judge.sole |= question.id == "sole-apiserver" && choice == "approve";
                story.push(format!("{}:{choice}", question.id));
                Input::Answer(choice.to_string())
            }
            Next::Do(step) => {
                let name = step.doing().step;
                if let Some(line) = judge.breaks(&step) {
                    return Err(format!("{line}: {} after {story:?}", step.doing().summary));
                }
                let endings = step.endings();
                match endings[chosen(&at, &step, *byte)].clone() {
                    Outcome::Happened(told) => {
                        let event = Step::event(name, &told)?;
                        judge.told(&step, &event);
                        story.push(format!("{name}:{}", told.ending));
                        Input::Outcome(Outcome::Happened(event))
                    }
                    Outcome::Refused(reason) => {
                        judge.serving = None;
                        story.push(format!("{name}:refused"));
                        Input::Outcome(Outcome::Refused(reason))
                    }
                }
            }
        };
        at = at.apply(&input).map_err(|illegal| format!("{illegal} after {story:?}"))?;
    }
    Ok(judge.changes)
}

/// In a second or a few; `PROPTEST_CASES` takes more.
fn never<C: Cause>() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(500);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let changes = std::cell::Cell::new(0);
    let ran = TestRunner::new(config).run(&proptest::collection::vec(any::<u8>(), 20..120), |bytes| {
        let changed = told::<C>(&bytes).map_err(TestCaseError::fail)?;
        changes.set(changes.get() + changed);
        Ok(())
    });
    if let Err(why) = ran {
        panic!("{}: {why}", C::NAME);
    }
    println!("{}: {cases} stories, {} changes", C::NAME, changes.get());
    assert!(changes.get() > 30, "{}: the stories hardly change anything", C::NAME);
}

#[test]
fn no_story_of_any_procedure_breaks_the_list() {
    never::<recover_scenarios::kms_aad_mismatch::AadMismatch>();
    never::<recover_scenarios::kms_auth::Auth>();
    never::<recover_scenarios::kms_identity_fallback::IdentityFallback>();
    never::<recover_scenarios::kms_key_id_mismatch::KeyIdMismatch>();
    never::<recover_scenarios::kms_key_missing::Missing>();
    never::<recover_scenarios::kms_min_decryption::MinDecryption>();
    never::<recover_scenarios::kms_openbao_unavailable::OpenbaoUnavailable>();
    never::<recover_scenarios::kms_socket::Socket>();
    never::<recover_scenarios::kms_static_pod_image::StaticPodImage>();
    never::<recover_scenarios::kms_transit_profile::TransitProfile>();
    never::<recover_scenarios::kms_unknown_key_id::UnknownKeyId>();
    never::<recover_scenarios::kms_version_drift::VersionDrift>();
}
