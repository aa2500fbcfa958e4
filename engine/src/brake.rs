//! The brake: what keeps a run from being begun, because of what was begun or recovered shortly before.
//!
//! The same symptom on many targets at once is seldom so many failures: it is one, of something that they share, and stopping them one
//! by one makes it worse. A target that is recovered again and again is not recovered either. Both are for a person to look at first.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{Key, Millis, RunId};
use crate::scenario::Verdict;

/// So often within so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How often at most.
    pub most: u32,
    /// Within this time, in milliseconds.
    pub within_ms: u64,
}

/// The limits, each of which may be absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brake {
    /// How many subjects get a run of one scenario.
    pub subjects: Option<Rate>,
    /// How often one subject is recovered.
    pub recoveries: Option<Rate>,
    /// How long a subject that was recovered is left alone, in milliseconds.
    pub rest_ms: Option<u64>,
}

/// A run that was begun before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// The run.
    pub run: RunId,
    /// Its scenario.
    pub scenario: String,
    /// What it is about.
    pub subject: Key,
    /// When it was begun.
    pub begun_at: Millis,
    /// When it was closed, and how.
    pub closed: Option<(Millis, Verdict)>,
}

/// Why a run is not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Braked {
    /// Too many subjects have the same symptom.
    Many {
        /// How many have a run of that scenario.
        subjects: u32,
        /// Within this time, in milliseconds.
        within_ms: u64,
    },
    /// The subject was recovered too often.
    Often {
        /// How often.
        times: u32,
        /// Within this time, in milliseconds.
        within_ms: u64,
    },
    /// The subject was recovered a moment ago.
    Recent {
        /// By this run.
        by: RunId,
        /// And is left alone until then.
        until: Millis,
    },
}

impl fmt::Display for Braked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = |ms: &u64| ms.div_ceil(60_000);
        match self {
            Self::Many { subjects, within_ms } => {
                write!(f, "{subjects} other targets had the same procedure begun within {} min", minutes(within_ms))
            }
            Self::Often { times, within_ms } => {
                write!(f, "this target was recovered {times} times within {} min", minutes(within_ms))
            }
            Self::Recent { by, .. } => write!(f, "this target was recovered a moment ago, by {by}"),
        }
    }
}

impl Brake {
    /// The longest time that any limit looks back, in milliseconds.
    #[must_use]
    pub fn reach_ms(&self) -> u64 {
        let rates = [self.subjects, self.recoveries].into_iter().flatten().map(|rate| rate.within_ms);
        rates.chain(self.rest_ms).max().unwrap_or_default()
    }

    /// Why a run of this scenario on this subject is not to be begun now. Runs that found nothing to do count for nothing.
    #[must_use]
    pub fn holds(&self, now: Millis, scenario: &str, subject: Key, earlier: &[Earlier]) -> Option<Braked> {
        // A clock that has gone back makes what was done no older.
        let within = |at: Millis, ms: u64| now < at.plus(ms);
        let recovered = earlier.iter().filter(|run| run.subject == subject).filter_map(|run| match run.closed {
            Some((at, Verdict::Recovered)) => Some((run.run, at)),
            _ => None,
        });
        let recovered: Vec<(RunId, Millis)> = recovered.collect();
        if let Some(rest) = self.rest_ms
            && let Some((by, at)) = recovered.iter().max_by_key(|(_, at)| *at).filter(|(_, at)| within(*at, rest))
        {
            return Some(Braked::Recent { by: *by, until: at.plus(rest) });
        }
        if let Some(rate) = self.recoveries {
            let times = recovered.iter().filter(|(_, at)| within(*at, rate.within_ms)).count();
            let times = u32::try_from(times).unwrap_or(u32::MAX);
            if times >= rate.most {
                return Some(Braked::Often { times, within_ms: rate.within_ms });
            }
        }
        if let Some(rate) = self.subjects {
            let idle = |run: &&Earlier| matches!(run.closed, Some((_, Verdict::NotApplicable)));
            let same = earlier.iter().filter(|run| run.scenario == scenario && within(run.begun_at, rate.within_ms));
            let others: BTreeSet<Key> =
                same.filter(|run| !idle(run)).map(|run| run.subject).filter(|other| *other != subject).collect();
            let subjects = u32::try_from(others.len()).unwrap_or(u32::MAX);
            if subjects >= rate.most {
                return Some(Braked::Many { subjects, within_ms: rate.within_ms });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn run(subject: &str, begun_min: u64, closed: Option<(u64, Verdict)>) -> Earlier {
        Earlier {
            run: RunId::new(Millis(0), [0; 10]),
            scenario: "identity-loss".into(),
            subject: Key::subject(subject),
            begun_at: Millis(0).plus(begun_min * MINUTE),
            closed: closed.map(|(min, verdict)| (Millis(0).plus(min * MINUTE), verdict)),
        }
    }

    fn at(brake: Brake, min: u64, subject: &str, earlier: &[Earlier]) -> Option<Braked> {
        brake.holds(Millis(0).plus(min * MINUTE), "identity-loss", Key::subject(subject), earlier)
    }

    #[test]
    fn the_same_symptom_on_many_targets_holds_the_next() {
        let brake = Brake { subjects: Some(Rate { most: 2, within_ms: 10 * MINUTE }), ..Brake::default() };
        let runs = [run("a", 0, None), run("b", 5, Some((6, Verdict::GivenUp)))];
        assert_eq!(at(brake, 9, "c", &runs), Some(Braked::Many { subjects: 2, within_ms: 10 * MINUTE }));
        assert_eq!(at(brake, 9, "b", &runs), None, "one of them is no further one");
        assert_eq!(at(brake, 10, "c", &runs), None, "the first is long ago");
        let other = [runs[0].clone(), Earlier { scenario: "crash-loop".into(), ..runs[1].clone() }];
        assert_eq!(at(brake, 9, "c", &other), None, "another symptom");
        let well = [runs[0].clone(), run("b", 5, Some((6, Verdict::NotApplicable)))];
        assert_eq!(at(brake, 9, "c", &well), None, "what was found well shows no symptom");
        let twice = [runs[0].clone(), run("a", 5, None)];
        assert_eq!(at(brake, 9, "c", &twice), None, "one target twice is one target");
        let back = [run("a", 30, None), run("b", 30, None)];
        assert!(at(brake, 9, "c", &back).is_some(), "a clock that went back does not make them older");
    }

    #[test]
    fn a_target_that_is_recovered_again_and_again_is_not_recovered() {
        let often = Brake { recoveries: Some(Rate { most: 2, within_ms: 60 * MINUTE }), ..Brake::default() };
        let recovered = |min| run("a", min, Some((min, Verdict::Recovered)));
        let runs = [recovered(1), run("a", 2, Some((2, Verdict::GivenUp))), recovered(30)];
        assert_eq!(at(often, 40, "a", &runs), Some(Braked::Often { times: 2, within_ms: 60 * MINUTE }));
        assert_eq!(at(often, 61, "a", &runs), None);
        assert_eq!(at(often, 40, "b", &runs), None);
        let rest = Brake { rest_ms: Some(15 * MINUTE), ..Brake::default() };
        let held = at(rest, 44, "a", &runs);
        assert_eq!(held, Some(Braked::Recent { by: runs[2].run, until: Millis(0).plus(45 * MINUTE) }));
        assert_eq!(at(rest, 45, "a", &runs), None);
    }

    #[test]
    fn without_limits_nothing_is_held() {
        let runs: Vec<Earlier> = (0..100).map(|n| run(&n.to_string(), 0, None)).collect();
        assert_eq!((at(Brake::default(), 0, "a", &runs), Brake::default().reach_ms()), (None, 0));
    }
}
