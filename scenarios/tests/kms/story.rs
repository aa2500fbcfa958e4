//! One run, told by what is not well.

use recover_engine::Outcome::{Happened, Refused};
use recover_engine::{Ending, Guard, Input, Next, Reason, Scenario, StepSet, Tally, Verdict};
use recover_scenarios::kms::{Cause, Event, Kms, Params, Step};
use recover_steps::Instance;
use recover_steps::kms::*;

/// A run under way.
pub(crate) struct Story<C> {
    at: Kms<C>,
    guards: Vec<Guard>,
    tally: Tally,
    /// The steps that change something, with their node where they have one.
    pub(crate) changes: Vec<String>,
    /// Every step's name.
    pub(crate) steps: Vec<String>,
}

pub(crate) fn one() -> Instance {
    Instance("1".into())
}

fn two() -> Instance {
    Instance("2".into())
}

/// What a step comes to where all is well.
fn well(step: &Step) -> Event {
    match step {
        Step::LookOpenbao(_) => Event::LookOpenbao(OpenbaoSeen::Available { version: "2.5.3".into(), skew_s: 0 }),
        Step::ReadKey(_) => Event::ReadKey(KeySeen::Original { facts: KeyFacts::sound() }),
        Step::CompareConfig(_) => Event::CompareConfig(ConfigSeen::AsRecorded),
        Step::ReadRegistry(_) => {
            Event::ReadRegistry(RegistrySeen::Sound { generation: 3, hash: "krs1.h".into(), active: 3 })
        }
        Step::LookAuth(_) => Event::LookAuth(AuthSeen::Usable { for_s: 3_600, fresh: None }),
        Step::LookImage(_) => Event::LookImage(ImageSeen::NoStaticPod),
        Step::CheckProvider(_) => Event::CheckProvider(ProviderChecked::Passed),
        Step::LookNode(_) => Event::LookNode(NodeSeen::Serving { instance: one(), hash: "h".into() }),
        Step::Converge(_) => Event::Converge(Converged::Converged { hash: "h".into() }),
        Step::ReadEncryption(_) => Event::ReadEncryption(EncryptionSeen::Sound { fallback: None }),
        Step::LookApiserver(_) => Event::LookApiserver(ApiserverSeen::Healthy { instance: Some(one()) }),
        Step::ScanEtcd(_) => Event::ScanEtcd(EtcdScanned::Encrypted { count: 2 }),
        Step::ReadObjects(_) => Event::ReadObjects(ObjectsRead::Read { count: 2 }),
        Step::FindPair(_) => {
            Event::FindPair(PairFound::Found { source: "cp-2".into(), generation: 3, hash: "krs1.h".into() })
        }
        Step::AwaitProvider(_) => Event::AwaitProvider(ProviderAwaited::Serving { instance: two(), hash: "h".into() }),
        Step::AwaitReload(_) => Event::AwaitReload(Adopted::Adopted),
        Step::CaptureKms(_) => Event::CaptureKms(KmsCaptured::Captured { texts: 3 }),
        Step::StartProvider(_) => Event::StartProvider(ProviderStarted::Started { instance: two() }),
        Step::RestartProvider(_) => Event::RestartProvider(ProviderRestarted::Restarted { instance: two() }),
        Step::StopProvider(_) => Event::StopProvider(ProviderStopped::Stopped),
        Step::MendSocket(_) => Event::MendSocket(SocketMended::Mended { changed: vec!["mode".into()] }),
        Step::RestoreConfig(_) => Event::RestoreConfig(Restored::Restored { aside: None }),
        Step::InstallAuth(_) => Event::InstallAuth(AuthInstalled::Installed),
        Step::LoadImage(_) => Event::LoadImage(ImageLoaded::Loaded),
        Step::CopyPair(_) => Event::CopyPair(PairCopied::Copied { aside: None }),
        Step::RestoreKey(_) => Event::RestoreKey(KeyChanged::Changed),
        Step::ForbidDeletion(_) => Event::ForbidDeletion(KeyChanged::Changed),
        Step::StopRotation(_) => Event::StopRotation(KeyChanged::Changed),
        Step::DisableUpsert(_) => Event::DisableUpsert(KeyChanged::Changed),
        Step::LowerDecryption(_) => Event::LowerDecryption(KeyChanged::Changed),
        Step::LowerEncryption(_) => Event::LowerEncryption(KeyChanged::Changed),
        Step::TakeSnapshot(_) => {
            Event::TakeSnapshot(SnapshotTaken::Taken { path: "/snapshots/run.snap".into(), sha256: "0".repeat(64) })
        }
        Step::RestoreEncryption(_) => Event::RestoreEncryption(Restored::Restored { aside: None }),
        Step::RestartApiserver(_) => Event::RestartApiserver(ApiserverRestarted::Restarted { instance: Some(two()) }),
        Step::RewriteObjects(_) => Event::RewriteObjects(Rewritten::Rewritten { count: 2 }),
    }
}

fn node_of(step: &Step) -> String {
    let body = step.doing().body;
    let value: serde_json::Value = body.to().expect("JSON");
    value["node"].as_str().map(|node| format!(" {node}")).unwrap_or_default()
}

impl<C: Cause> Story<C> {
    pub(crate) fn of(nodes: u8) -> Self {
        Self {
            at: Kms::begin(Params::sample(nodes)),
            guards: Kms::<C>::guards(),
            tally: Tally::default(),
            changes: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// What is asked for now, in a word or two.
    pub(crate) fn next(&self) -> String {
        match self.at.next() {
            Next::Do(step) => step.doing().step.to_owned() + &node_of(&step),
            Next::Wait(wait) => format!("wait {}", wait.id),
            Next::Ask(question) => format!("ask {}", question.id),
            Next::Done(ending) => format!("done {}", ending.verdict.as_str()),
        }
    }

    pub(crate) fn step(&self) -> Step {
        match self.at.next() {
            Next::Do(step) => step,
            other => panic!("no step, but {other:?}"),
        }
    }

    /// What is asked of a person now.
    pub(crate) fn question(&self) -> recover_engine::Question {
        match self.at.next() {
            Next::Ask(question) => question,
            other => panic!("no question, but {other:?}"),
        }
    }

    fn input(mut self, input: &Input<Event>) -> Self {
        let label = match (self.at.next(), input) {
            (Next::Do(step), Input::Outcome(outcome)) => {
                let name = step.doing().step;
                assert_eq!(self.tally.allows(&self.guards, name), Ok(()), "after {:?}", self.steps);
                self.tally.intent(name);
                self.steps.push(format!("{name}{}", node_of(&step)));
                if step.doing().redoing.redo != recover_engine::Redo::Pure {
                    self.changes.push(format!("{name}{}", node_of(&step)));
                }
                match outcome {
                    Happened(event) => {
                        let told = ending_of(event);
                        self.tally.outcome(name, &format!("{name}:{told}"), false);
                    }
                    Refused(_) => self.tally.outcome(name, &format!("{name}:refused"), true),
                }
                None
            }
            (Next::Ask(question), Input::Answer(choice)) => Some(format!("{}:{choice}", question.id)),
            (Next::Ask(question), Input::Expired) => Some(format!("{}:expired", question.id)),
            (Next::Wait(wait), Input::Expired) => Some(format!("{}:elapsed", wait.id)),
            (_, Input::Cancel) => Some("cancel".into()),
            (next, input) => panic!("{input:?} where {next:?} is asked for"),
        };
        if let Some(label) = label {
            self.tally.fact(&label);
        }
        self.at = self.at.apply(input).expect("it takes what can come");
        self
    }

    /// What the step asked for now comes to. What another step comes to is refused there.
    pub(crate) fn sees(self, event: Event) -> Self {
        let asked = self.step().doing().step;
        let strangers = [
            ("stop-provider", Event::StopProvider(ProviderStopped::Stopped)),
            ("read-objects", Event::ReadObjects(ObjectsRead::Read { count: 2 })),
            ("find-pair", Event::FindPair(PairFound::None { why: "none".into() })),
        ];
        for (step, stranger) in strangers.into_iter().filter(|(step, _)| *step != asked) {
            let taken = self.at.clone().apply(&Input::Outcome(Happened(stranger)));
            assert!(taken.is_err(), "{asked} is told by the outcome of {step}");
        }
        self.input(&Input::Outcome(Happened(event)))
    }

    pub(crate) fn refused(self, code: &str) -> Self {
        self.input(&Input::Outcome(Refused(Reason::new(code, "no"))))
    }

    pub(crate) fn answers(self, question: &str, choice: &str) -> Self {
        assert_eq!(self.next(), format!("ask {question}"), "after {:?}", self.steps);
        let known = self.question().choices.iter().any(|known| known.id == choice);
        assert!(known, "{choice} is no answer to {question}");
        self.input(&Input::Answer(choice.into()))
    }

    /// Nobody answered, or the wait is over.
    pub(crate) fn elapses(self) -> Self {
        self.input(&Input::Expired)
    }

    pub(crate) fn cancels(self) -> Self {
        self.input(&Input::Cancel)
    }

    /// All is well until this is asked for.
    pub(crate) fn until(mut self, what: &str) -> Self {
        for _ in 0..200 {
            if self.next() == what {
                return self;
            }
            let step = self.step();
            self = self.sees(well(&step));
        }
        panic!("{what} is never asked for: {:?}", self.steps)
    }

    /// All is well until the end.
    pub(crate) fn ends(mut self) -> (Ending, Self) {
        for _ in 0..200 {
            match self.at.next() {
                Next::Done(ending) => {
                    assert_eq!(self.tally.allows_verdict(&self.guards, ending.verdict), Ok(()));
                    return (ending, self);
                }
                Next::Do(step) => self = self.sees(well(&step)),
                Next::Wait(_) => self = self.elapses(),
                Next::Ask(question) => panic!("a person is asked {}", question.id),
            }
        }
        panic!("no end: {:?}", self.steps)
    }

    /// It ends recovered, with nothing left behind; what was changed comes back.
    pub(crate) fn recovers(self) -> Vec<String> {
        let (ending, story) = self.ends();
        assert_eq!((ending.verdict, ending.residue.len()), (Verdict::Recovered, 0), "{ending:?} {:?}", story.steps);
        assert!(story.steps.iter().any(|step| step == "read-objects"), "no old object was read");
        story.changes
    }

    /// It names another procedure and has changed nothing.
    pub(crate) fn names(self, scenario: &str) {
        let (ending, story) = self.ends();
        assert_eq!(
            (ending.verdict, ending.suggested.as_deref()),
            (Verdict::NotApplicable, Some(scenario)),
            "{ending:?}"
        );
        assert_eq!(story.changes, Vec::<String>::new());
    }
}

fn ending_of(event: &Event) -> String {
    macro_rules! ending {
        ($($variant:ident)+) => {
            match event { $(Event::$variant(e) => recover_engine::Event::ending(e).to_owned()),+ }
        };
    }
    ending!(LookOpenbao ReadKey CompareConfig ReadRegistry LookAuth LookImage CheckProvider LookNode Converge ReadEncryption
        LookApiserver ScanEtcd ReadObjects FindPair AwaitProvider AwaitReload CaptureKms StartProvider RestartProvider StopProvider
        MendSocket RestoreConfig InstallAuth LoadImage CopyPair RestoreKey ForbidDeletion StopRotation DisableUpsert LowerDecryption
        LowerEncryption TakeSnapshot RestoreEncryption RestartApiserver RewriteObjects)
}
