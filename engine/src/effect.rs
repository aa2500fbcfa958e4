//! One step as data, and what may be done with it after a crash.

use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::json::Json;

/// What happened when an effect was applied. One type per step.
pub trait Event: Serialize + DeserializeOwned + Clone + Eq + Debug + Send + Sync + 'static {
    /// Which of the step's endings this is: a word in kebab case, part of the graph and of every guard that reads it.
    fn ending(&self) -> &'static str;
}

/// Plain data that names one effect on the outside. The data is journaled with the intent, so it holds no secret.
pub trait Effect: Serialize + DeserializeOwned + Clone + Eq + Debug + Send + Sync + 'static {
    /// The step's name, an imperative in kebab case.
    const NAME: &'static str;
    /// What can come of it.
    type Event: Event;
    /// What may be done when a crash leaves its intent open.
    type Redo: RedoPolicy<Self>;
    /// How long one attempt may take, in milliseconds. After it the outcome is unknown.
    const TIMEOUT_MS: u64;
    /// How many attempts that surely failed are made before the machine is told `exhausted`.
    const ATTEMPTS: u32;

    /// One line for a person: what this step is about to do.
    fn summary(&self) -> String;

    /// One representative of every way this step can end: the explorer's alphabet.
    fn endings(&self) -> Vec<Outcome<Self::Event>>;

    /// What an operator's bare word "it happened" means, if it can mean anything without further data.
    fn attested(&self) -> Option<Self::Event> {
        None
    }

    /// The time after which the effect would be useless or harmful, in milliseconds since the epoch. A step that cannot
    /// end before it is not begun.
    fn not_after(&self) -> Option<crate::Millis> {
        None
    }

    /// How long this one attempt may take, where the step's own data says so.
    fn timeout_ms(&self) -> u64 {
        Self::TIMEOUT_MS
    }
}

/// Why an effect was surely not applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// A word that machines read: `absent`, `exhausted`, `too-late`, `cancelled`, or one of an adapter's.
    pub code: String,
    /// A sentence that people read.
    pub text: String,
}

impl Reason {
    /// The effect is not there and can no longer arrive.
    pub const ABSENT: &'static str = "absent";
    /// Every allowed attempt surely failed.
    pub const EXHAUSTED: &'static str = "exhausted";
    /// The effect could not have ended in time, so it was not begun.
    pub const TOO_LATE: &'static str = "too-late";
    /// A person cancelled while the effect was surely not applied.
    pub const CANCELLED: &'static str = "cancelled";

    /// A reason from its two parts.
    pub fn new(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self { code: code.into(), text: text.into() }
    }
}

/// What came of an effect. Unknown is not an outcome: the intent stays open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<E> {
    /// It was applied, and this is what happened.
    Happened(E),
    /// It was surely not applied. For an [`Idempotent`] step with code `exhausted`: no attempt is known to have been.
    Refused(Reason),
}

/// What may be done when an intent is found open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Redo {
    /// A look: free to repeat.
    Pure,
    /// Applying it again leaves what applying it once leaves.
    Idempotent,
    /// Probe first; what is absent reaches the machine as a refusal.
    OnlyIfAbsent,
    /// Never again without a person's word.
    AtMostOnce,
}

/// A redo policy and the written argument for it, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redoing {
    /// The policy.
    pub redo: Redo,
    /// What makes a late arrival impossible before `absent` is believed; `None` where none can be late.
    pub fence: Option<&'static str>,
    /// Why the probe cannot lie; empty where there is no probe.
    pub argument: &'static str,
}

/// A type-level redo policy for the effect `E`.
pub trait RedoPolicy<E: Effect> {
    /// The policy as data.
    const REDOING: Redoing;
}

/// See [`Redo::Pure`].
#[derive(Debug)]
pub enum Pure {}
/// See [`Redo::Idempotent`].
#[derive(Debug)]
pub enum Idempotent {}
/// See [`Redo::OnlyIfAbsent`]. Only an effect with a [`Probe`] can have it: without one it does not compile.
#[derive(Debug)]
pub enum OnlyIfAbsent {}
/// See [`Redo::AtMostOnce`].
#[derive(Debug)]
pub enum AtMostOnce {}

impl<E: Effect> RedoPolicy<E> for Pure {
    const REDOING: Redoing = Redoing { redo: Redo::Pure, fence: None, argument: "" };
}
impl<E: Effect> RedoPolicy<E> for Idempotent {
    const REDOING: Redoing = Redoing { redo: Redo::Idempotent, fence: None, argument: "" };
}
impl<E: Probe> RedoPolicy<E> for OnlyIfAbsent {
    const REDOING: Redoing = Redoing { redo: Redo::OnlyIfAbsent, fence: E::FENCE, argument: E::CANNOT_LIE };
}
impl<E: Effect> RedoPolicy<E> for AtMostOnce {
    const REDOING: Redoing = Redoing { redo: Redo::AtMostOnce, fence: None, argument: "" };
}

/// The outside can be asked whether an effect was applied.
///
/// `Absent` is a promise: not there *and* it can no longer arrive. Where it could still be on its way, a fence is named, and
/// the engine believes `Absent` only after that fence is journaled.
pub trait Probe: Effect {
    /// What the fence does, in a few words; `None` if nothing can arrive late.
    const FENCE: Option<&'static str>;
    /// Why the probe's answer is true, for the reader who doubts it.
    const CANNOT_LIE: &'static str;
}

/// What the engine needs to know of a step without its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doing {
    /// The step's name.
    pub step: &'static str,
    /// Its data.
    pub body: Json,
    /// One line for a person.
    pub summary: String,
    /// What may be done after a crash.
    pub redoing: Redoing,
    /// One attempt's limit in milliseconds.
    pub timeout_ms: u64,
    /// Attempts that may surely fail.
    pub attempts: u32,
    /// See [`Effect::not_after`].
    pub not_after: Option<crate::Millis>,
    /// See [`Effect::attested`].
    pub attested: Option<Told>,
}

/// An event without its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which ending it is.
    pub ending: String,
    /// The event as JSON.
    pub data: Json,
}

impl Told {
    /// The event without its type.
    pub fn of<E: Event>(event: &E) -> Self {
        Self { ending: event.ending().to_owned(), data: Json::of(event) }
    }
}

/// The steps a scenario is made of: an enum with one variant per [`Effect`]. Made by [`step_set!`](crate::step_set).
pub trait StepSet: Clone + Eq + Debug + Send + 'static {
    /// The enum with one variant per event type, in the same order.
    type Event: Clone + Eq + Debug + Send + 'static;

    /// The step without its type.
    fn doing(&self) -> Doing;

    /// The step's endings without their types.
    fn endings(&self) -> Vec<Outcome<Told>>;

    /// An event of the step of that name from its JSON.
    ///
    /// # Errors
    /// If there is no such step, the JSON has another shape, or the ending is not the one it claims to be.
    fn event(step: &str, told: &Told) -> Result<Self::Event, String>;
}

impl Doing {
    /// What the engine needs to know of this effect.
    #[must_use]
    pub fn of<E: Effect>(effect: &E) -> Self {
        Self {
            step: E::NAME,
            body: Json::of(effect),
            summary: effect.summary(),
            redoing: <E::Redo as RedoPolicy<E>>::REDOING,
            timeout_ms: effect.timeout_ms(),
            attempts: E::ATTEMPTS,
            not_after: effect.not_after(),
            attested: effect.attested().as_ref().map(Told::of),
        }
    }
}

/// The endings of one effect without their types. Used by [`step_set!`](crate::step_set).
#[doc(hidden)]
pub fn endings_of<E: Effect>(effect: &E) -> Vec<Outcome<Told>> {
    effect
        .endings()
        .into_iter()
        .map(|outcome| match outcome {
            Outcome::Happened(event) => Outcome::Happened(Told::of(&event)),
            Outcome::Refused(reason) => Outcome::Refused(reason),
        })
        .collect()
}

/// One event from its JSON. Used by [`step_set!`](crate::step_set).
#[doc(hidden)]
pub fn event_of<E: Effect>(told: &Told) -> Result<E::Event, String> {
    let event: E::Event = told.data.to().map_err(|e| format!("event of {}: {e}", E::NAME))?;
    if event.ending() == told.ending {
        Ok(event)
    } else {
        Err(format!("event of {} says {} and is {}", E::NAME, told.ending, event.ending()))
    }
}

/// Makes the two enums of a scenario's steps and events, one variant per [`Effect`], and their [`StepSet`].
#[macro_export]
macro_rules! step_set {
    ($(#[$meta:meta])* $vis:vis enum $steps:ident / $events:ident { $($variant:ident($effect:ty)),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each variant is named after the documented step it wraps")]
        $vis enum $steps { $($variant($effect)),+ }

        /// What can happen in these steps: one variant per step.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each variant is named after the documented step it wraps")]
        $vis enum $events { $($variant(<$effect as $crate::Effect>::Event)),+ }

        impl $crate::StepSet for $steps {
            type Event = $events;
            fn doing(&self) -> $crate::Doing {
                match self { $(Self::$variant(effect) => $crate::Doing::of(effect)),+ }
            }
            fn endings(&self) -> Vec<$crate::Outcome<$crate::Told>> {
                match self { $(Self::$variant(effect) => $crate::endings_of(effect)),+ }
            }
            fn event(step: &str, told: &$crate::Told) -> Result<$events, String> {
                $(if step == <$effect as $crate::Effect>::NAME {
                    return $crate::event_of::<$effect>(told).map($events::$variant);
                })+
                Err(format!("no step is called {step}"))
            }
        }

        $(impl From<$effect> for $steps {
            fn from(effect: $effect) -> Self { Self::$variant(effect) }
        })+
    };
}
