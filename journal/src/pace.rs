//! How long the writer thread waits for those whom it has just answered, before it writes what others left meanwhile.
//!
//! Tasks that were answered together come back one after another. Whoever writes for the first of them makes the rest wait
//! for two syncs instead of one. So the writer lets them come, for as long as a sync takes: where they need longer than that,
//! going on beside each other is better, and where they stay away, it learns not to wait.

use std::time::{Duration, Instant};

/// The longest wait, however slow the disk is. A model of the hand-over has no time.
const LIMIT: Duration = if cfg!(loom) { Duration::from_secs(3600) } else { Duration::from_millis(5) };
/// After so many waits in vain in a row the pauses between two tries grow no longer: 2 to this power, in frames.
const VAIN_MAX: u32 = 6;

/// The writer's patience.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// How many are to have come, in all, and until when that is waited for.
    awaited: Option<(u64, Instant)>,
    /// Waits in vain since the last that was not.
    vain: u32,
    /// For so many frames nobody is waited for.
    skip: u32,
}

impl Pace {
    /// A frame that took so long is acknowledged. `come` had come by then, and `back` of those answered may come again.
    pub(crate) fn answered(&mut self, come: u64, back: u64, took: Duration, now: Instant) {
        self.awaited = None;
        if back == 0 {
            return;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        self.awaited = Some((come + back, now + took.min(LIMIT)));
    }

    /// How many are waited for and how long from now, if anybody is, when `come` have come.
    pub(crate) fn left(&mut self, come: u64, now: Instant) -> Option<(u64, Duration)> {
        let (enough, until) = self.awaited?;
        let left = until.saturating_duration_since(now);
        if come < enough && !left.is_zero() {
            return Some((enough, left));
        }
        self.awaited = None;
        self.vain = if come < enough { (self.vain + 1).min(VAIN_MAX) } else { 0 };
        self.skip = (1 << self.vain) - 1;
        None
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn those_who_were_answered_are_waited_for_until_all_are_back_or_the_time_is_over() {
        let now = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.left(0, now), None, "nobody was answered");
        pace.answered(10, 3, MS, now);
        assert_eq!(pace.left(12, now), Some((13, MS)));
        assert_eq!(pace.left(12, now + MS / 4), Some((13, MS * 3 / 4)));
        assert_eq!(pace.left(13, now + MS / 4), None, "all are back");
        pace.answered(13, 3, MS, now);
        assert_eq!(pace.left(15, now + MS), None, "the time is over");
        pace.answered(13, 0, MS, now);
        assert_eq!(pace.left(13, now), None, "nobody comes back from a run's end");
    }

    #[test]
    fn the_longest_wait_does_not_depend_on_the_disk() {
        let now = Instant::now();
        let mut pace = Pace::default();
        pace.answered(0, 1, Duration::from_secs(1), now);
        assert_eq!(pace.left(0, now), Some((1, LIMIT)));
    }

    /// How many of so many frames are waited after, where nobody ever comes back.
    fn waits(frames: usize) -> usize {
        let now = Instant::now();
        let mut pace = Pace::default();
        let mut wait = || {
            pace.answered(0, 1, MS, now);
            pace.left(0, now).is_some() && pace.left(0, now + MS).is_none()
        };
        (0..frames).filter(|_| wait()).count()
    }

    #[test]
    fn who_stays_away_is_waited_for_less_and_less() {
        assert_eq!(waits(1 + 1 + 1 + 3 + 1 + 7 + 1), 4);
        assert!(waits(10_000) < 10_000 / 60);
    }

    #[test]
    fn one_wait_that_was_worth_it_makes_patient_again() {
        let now = Instant::now();
        let mut pace = Pace::default();
        pace.answered(0, 1, MS, now);
        assert_eq!(pace.left(0, now + MS), None);
        pace.answered(0, 1, MS, now);
        assert_eq!(pace.left(0, now), None, "one frame without");
        pace.answered(0, 1, MS, now);
        assert_eq!(pace.left(1, now), None, "and then it was worth it");
        pace.answered(1, 1, MS, now);
        assert!(pace.left(1, now).is_some());
    }
}
