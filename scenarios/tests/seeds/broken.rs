//! What must hold after every event and at the end, by name.

macro_rules! invariants {
    ($($variant:ident = $text:literal),+ $(,)?) => {
        /// One thing that must hold.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Invariant { $($variant),+ }

        impl Invariant {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// In a sentence.
            pub(crate) const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

invariants! {
    Kept = "an acknowledged record never changes and never vanishes",
    Legal = "every record is accepted by `advance`, and the typed machine agrees",
    OneOpen = "a subject has at most one open run, and the owner knows it",
    Intended = "nothing is done without an acknowledged, open intent",
    Guards = "the guards hold over every history, also across runs",
    AfterTheEnd = "nothing is done and nothing written after a run was closed",
    OnceOnly = "an effect that must not be repeated is not applied, or tried, while an earlier one may have been",
    PairedOnce = "one pairing for each loss, in the world's own ledger",
    OneToken = "never two tokens that may work, but for those that the second operator made",
    House = "the world's own rules: nothing starts on refuted storage",
    Answered = "every request that a run took gets one reply before the run stops, and a yes is durable before it is said",
    Stopped = "a run stops closed, at its question, in doubt or interrupted, and its records say the same",
    Recovered = "what ended recovered is recovered; what ended otherwise without residue is as it was found; and the end says how the workload is left",
    Ends = "without faults, and with a person who answers, every run ends",
    GoesOn = "the engine never fails over its own records, and never panics",
}

/// An invariant that did not hold.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) invariant: Invariant,
    pub(crate) what: String,
}

impl Broken {
    pub(crate) fn new(invariant: Invariant, what: impl Into<String>) -> Self {
        Self { invariant, what: what.into() }
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "broken: {}: {}", self.invariant.sentence(), self.what)
    }
}
