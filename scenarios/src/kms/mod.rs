//! The machine that every KMS procedure is made of: a survey, layer by layer, that ends at the first layer that fails; then the work,
//! one control-plane node at a time; then the validation, which ends with reading old objects through the API server.
//!
//! A procedure is a [`Cause`]: which layers it looks at, what of it is its own case, and what is to be done then. Whatever else fails is
//! named ([`class_of`]) and left alone. Nothing is changed before the failing layer is named. There is no point of no return: every change
//! is set to a recorded value or loses nothing, and what was stopped for a moment is started again wherever the run ends.

mod case;
mod change;
mod class;
mod diagnosis;
pub(crate) mod guards;
mod inputs;
mod look;
mod params;
pub(crate) mod plans;
mod states;
mod task;
mod told;
mod topic;

use std::fmt::Debug;
use std::marker::PhantomData;

use recover_engine::{Ending, Guard, Illegal, Input, Next, Question, Scenario, Verdict};
use recover_steps::kms::{
    AwaitProvider, AwaitReload, CaptureKms, CheckProvider, CompareConfig, Converge, CopyPair, DisableUpsert, FindPair,
    ForbidDeletion, InstallAuth, LoadImage, LookApiserver, LookAuth, LookImage, LookNode, LookOpenbao, LowerDecryption,
    LowerEncryption, MendSocket, ReadEncryption, ReadKey, ReadObjects, ReadRegistry, RestartApiserver, RestartProvider,
    RestoreConfig, RestoreEncryption, RestoreKey, RewriteObjects, ScanEtcd, StartProvider, StopProvider, StopRotation,
    TakeSnapshot,
};

pub use case::{Case, Finding};
pub use change::{Change, Pair};
pub use class::{Class, class_of};
pub(crate) use class::{findings, only_where_the_key_is, raised, recreated, unsaved};
pub use diagnosis::{diagnose, looks};
pub use look::{Layer, Look};
pub use params::Params;
pub use states::{Doubting, Looking, Returning, State, Working};
pub(crate) use task::reconnect;
pub use task::{Pause, Task};
pub use topic::{Ask, Topic};

recover_engine::step_set! {
    /// What the family does. What one procedure does not need of it, its guards forbid.
    pub enum Step / Event {
        LookOpenbao(LookOpenbao),
        ReadKey(ReadKey),
        CompareConfig(CompareConfig),
        ReadRegistry(ReadRegistry),
        LookAuth(LookAuth),
        LookImage(LookImage),
        CheckProvider(CheckProvider),
        LookNode(LookNode),
        Converge(Converge),
        ReadEncryption(ReadEncryption),
        LookApiserver(LookApiserver),
        ScanEtcd(ScanEtcd),
        ReadObjects(ReadObjects),
        FindPair(FindPair),
        AwaitProvider(AwaitProvider),
        AwaitReload(AwaitReload),
        CaptureKms(CaptureKms),
        StartProvider(StartProvider),
        RestartProvider(RestartProvider),
        StopProvider(StopProvider),
        MendSocket(MendSocket),
        RestoreConfig(RestoreConfig),
        InstallAuth(InstallAuth),
        LoadImage(LoadImage),
        CopyPair(CopyPair),
        RestoreKey(RestoreKey),
        ForbidDeletion(ForbidDeletion),
        StopRotation(StopRotation),
        DisableUpsert(DisableUpsert),
        LowerDecryption(LowerDecryption),
        LowerEncryption(LowerEncryption),
        TakeSnapshot(TakeSnapshot),
        RestoreEncryption(RestoreEncryption),
        RestartApiserver(RestartApiserver),
        RewriteObjects(RewriteObjects),
    }
}

/// What one procedure of the family is about.
pub trait Cause: Clone + Eq + Debug + Send + 'static {
    /// The procedure's name.
    const NAME: &'static str;
    /// See [`Scenario::VERSION`].
    const VERSION: u16;
    /// One line: what it recovers from.
    const TITLE: &'static str;
    /// What is looked at, the least destructive and the lowest first.
    const LAYERS: &'static [Layer];
    /// The names of the steps that it may change something with; every other is forbidden by a guard.
    const CHANGES: &'static [&'static str];

    /// What is to be done about this, where it is this procedure's case.
    fn plan(case: &Case, found: &Finding) -> Option<Vec<Task>>;

    /// What comes after it, before the validation.
    fn afterwards(_case: &Case) -> Vec<Task> {
        Vec::new()
    }

    /// Rules beside those of the family.
    fn guards() -> Vec<Guard> {
        Vec::new()
    }

    /// Whether the nodes may take another version over while it is at work, each in its own time: then their key ids are compared at
    /// the end alone, where those that are late are waited for.
    const VERSIONS_COME: bool = false;

    /// How many nodes the explorer has: two where their order matters.
    const SAMPLE: u8 = 2;
}

/// The machine of one procedure.
#[derive(Clone, PartialEq, Eq)]
pub struct Kms<C> {
    state: State,
    cause: PhantomData<C>,
}

impl<C> Debug for Kms<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Debug::fmt(&self.state, f)
    }
}

impl<C> From<State> for Kms<C> {
    fn from(state: State) -> Self {
        Self { state, cause: PhantomData }
    }
}

impl<C> Kms<C> {
    /// Where it is.
    #[must_use]
    pub const fn at(&self) -> &State {
        &self.state
    }
}

fn name(state: &State) -> &'static str {
    match state {
        State::Looking(s) => s.look().state(look::Aim::Survey),
        State::Doubting(_) => "doubting",
        State::Working(s) => s.task().state(s.validating()),
        State::Returning(_) => "starting-again",
        State::Closed(Ending { verdict, .. }) => match verdict {
            Verdict::Recovered => "recovered",
            Verdict::NotApplicable => "not-applicable",
            Verdict::Cancelled => "cancelled",
            Verdict::GivenUp | Verdict::GuardRefused | Verdict::Abandoned => "given-up",
        },
    }
}

fn doubt(case: &Case) -> Question {
    Ask::new(Topic::UnrecordedKey, plans::UNRECORDED).question(case)
}

impl<C: Cause> Scenario for Kms<C> {
    const NAME: &'static str = C::NAME;
    const VERSION: u16 = C::VERSION;
    const TITLE: &'static str = C::TITLE;
    type Params = Params;
    type Step = Step;

    fn begin(params: Params) -> Self {
        inputs::begun::<C>(params).into()
    }

    fn samples() -> Vec<Params> {
        vec![Params::sample(C::SAMPLE)]
    }

    fn state(&self) -> &'static str {
        name(&self.state)
    }

    fn next(&self) -> Next<Step> {
        match &self.state {
            State::Looking(s) => Next::Do(s.look().step(s.case())),
            State::Doubting(s) => Next::Ask(doubt(s.case())),
            State::Working(s) => s.task().next(s.case()),
            State::Returning(s) => Next::Do(StartProvider { node: s.node().clone() }.into()),
            State::Closed(ending) => Next::Done(ending.clone()),
        }
    }

    fn apply(self, input: &Input<Event>) -> Result<Self, Illegal> {
        match input {
            Input::Outcome(outcome) => inputs::outcome::<C>(self.state, outcome),
            Input::Answer(choice) => inputs::answered(self.state, choice),
            Input::Expired => inputs::expired(self.state),
            Input::Cancel => inputs::cancelled(self.state),
        }
        .map(Into::into)
    }

    fn guards() -> Vec<Guard> {
        let mut all = guards::guards(C::CHANGES);
        all.extend(C::guards());
        all
    }

    fn epoch(&self) -> Option<&str> {
        // Nothing here is once for a loss: every change may be made again, and leaves the same.
        None
    }

    fn committed(&self) -> bool {
        false
    }
}
