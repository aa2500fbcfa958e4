//! Why a run stops.

use crate::id::Millis;
use crate::scenario::{Ending, Question};

/// Why a run stopped, closed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It ended.
    Closed(Ending),
    /// It may or may not have been applied; a person must say.
    InDoubt {
        /// The step.
        step: String,
        /// What is not known.
        why: String,
    },
    /// A person must decide, and here nobody waits for them.
    Asked {
        /// The number of the record that asks.
        seq: u32,
        /// The question.
        question: Question,
        /// When it expires.
        deadline: Millis,
    },
    /// It was told to stop at a boundary.
    Interrupted,
}

impl Stop {
    pub(super) fn why(&self) -> String {
        match self {
            Self::Closed(ending) => format!("it ended {}", ending.verdict.as_str()),
            Self::InDoubt { step, .. } => format!("{step} is in doubt and must be resolved first"),
            Self::Asked { question, .. } => format!("it asks {}", question.id),
            Self::Interrupted => "it was interrupted".to_owned(),
        }
    }
}
