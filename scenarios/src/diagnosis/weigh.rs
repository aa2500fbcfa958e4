//! Weighing: a branch's word against everything that speaks for it and against it.

use recover_steps::examined::Observations;
use serde::Serialize;

use super::class::Class;
use super::fragments::told;
use super::judge;
use super::signals::Signals;

/// How sure a diagnosis is; the module says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sureness {
    /// Contradicted, or what would decide was not read.
    Unsure,
    /// It rests in part on texts.
    Likely,
    /// It was read, and nothing speaks against it.
    Certain,
}

impl Sureness {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsure => "unsure",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }

    const fn lowered(self) -> Self {
        match self {
            Self::Certain => Self::Likely,
            Self::Likely | Self::Unsure => Self::Unsure,
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Nothing is wrong.
    Healthy,
    /// This is.
    Failure(Class),
    /// Nothing that was read tells.
    Undetermined,
}

/// Something that was read, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// What.
    pub text: String,
    /// Where.
    pub from: String,
}

/// A diagnosis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What it is.
    pub finding: Finding,
    /// How sure that is.
    pub sureness: Sureness,
    /// Why, in a sentence.
    pub why: String,
    /// What speaks for it.
    pub supporting: Vec<Evidence>,
    /// What speaks against it.
    pub opposing: Vec<Evidence>,
    /// What speaks for something else that it may be.
    pub besides: Vec<Evidence>,
    /// What could not be read.
    pub not_read: Vec<Evidence>,
    /// What else it may be.
    pub possible: Vec<Class>,
    /// Whether the connector is known to have paired before, or to have an identity.
    pub paired_before: bool,
}

impl Diagnosis {
    /// The class, if it is a failure.
    #[must_use]
    pub const fn class(&self) -> Option<Class> {
        match self.finding {
            Finding::Failure(class) => Some(class),
            Finding::Healthy | Finding::Undetermined => None,
        }
    }

    /// The procedure for it, whether or not this build has it.
    #[must_use]
    pub const fn scenario(&self) -> Option<&'static str> {
        match self.finding {
            Finding::Failure(class) => Some(class.scenario(self.paired_before)),
            Finding::Healthy | Finding::Undetermined => None,
        }
    }
}

/// Names the failure class of what was read.
#[must_use]
pub fn diagnose(seen: &Observations) -> Diagnosis {
    let told = seen.log.value().map(|lines| told(lines, &seen.agent)).unwrap_or_default();
    let signals = Signals::of(seen, &told);
    let verdict = judge::judge(seen, &told);
    let class = match verdict.finding {
        Finding::Failure(class) => Some(class),
        Finding::Healthy | Finding::Undetermined => None,
    };
    let mut sureness = verdict.base;
    let (mut supporting, mut opposing, mut besides) = (Vec::new(), Vec::new(), Vec::new());
    for signal in signals.all {
        let speaks = |classes: &[Class]| class.is_some_and(|class| classes.contains(&class));
        if speaks(signal.against) {
            sureness = if signal.read { Sureness::Unsure } else { sureness.lowered() };
            opposing.push(signal.evidence);
        } else if speaks(signal.supports) || (class.is_none() && signal.read) {
            supporting.push(signal.evidence);
        } else if verdict.finding == Finding::Healthy && !signal.supports.is_empty() {
            // Somebody wrote of trouble that is not to be seen.
            sureness = sureness.min(Sureness::Likely);
            opposing.push(signal.evidence);
        } else if signal.supports.iter().any(|class| verdict.also.contains(class)) {
            besides.push(signal.evidence);
        }
    }
    let mut possible = verdict.also;
    possible.retain(|other| Some(*other) != class);
    possible.sort_unstable();
    possible.dedup();
    Diagnosis {
        finding: verdict.finding,
        sureness,
        why: verdict.why,
        supporting,
        opposing,
        besides,
        not_read: signals.not_read,
        possible,
        paired_before: judge::paired(seen, &told).unwrap_or(false),
    }
}
