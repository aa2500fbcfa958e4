//! How long the writer thread waits for those whom it has just answered, before it writes what others left meanwhile.
//!
//! Tasks that were answered together come back one after another. Whoever writes for the first of them makes the rest wait
//! for two syncs instead of one. So the writer lets them come, for as long as a sync takes; where they stay away, it learns not
//! to wait. Where all of them need longer for their next batches than a sync takes, one half is better written while the other
//! half thinks: then neither the disk nor the tasks' thread is ever idle.

use std::time::{Duration, Instant};

/// The longest wait, however slow the disk is. A model of the hand-over has no time.
const LIMIT: Duration = if cfg!(loom) { Duration::from_secs(3600) } else { Duration::from_millis(5) };
/// After so many waits in vain in a row the pauses between two tries grow no longer: 2 to this power, in frames.
const VAIN_MAX: u32 = 6;

/// Who there is when a frame has been acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crowd {
    /// How many batches ever came.
    pub(crate) come: u64,
    /// How many of them wait to be written.
    pub(crate) waiting: u64,
    /// How many of those just answered may come again.
    pub(crate) back: u64,
}

/// In so many frames what is known of the fastest one is forgotten: the disk may have become slower.
const FORGET: u32 = 1024;

/// The writer's patience.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    awaited: Option<Awaited>,
    /// What one task needs, from its answer to its next batch, as last seen.
    each: Duration,
    /// What the fastest frame took.
    least: Option<Duration>,
    /// Waits in vain since the last that was not.
    vain: u32,
    /// For so many frames nobody is waited for.
    skip: u32,
}

/// A wait.
#[derive(Debug)]
struct Awaited {
    /// How many had come when it began.
    from: u64,
    /// How many are to have come.
    enough: u64,
    since: Instant,
    until: Instant,
}

impl Pace {
    /// A frame that took so long is acknowledged.
    pub(crate) fn answered(&mut self, crowd: Crowd, took: Duration, now: Instant) {
        let Crowd { come, waiting, back } = crowd;
        self.awaited = None;
        let all = u32::try_from(waiting + back).unwrap_or(u32::MAX);
        // What a frame takes grows with what is in it; what two of them cost more than one is the least of that.
        let least = self.least.map_or(took, |least| least.min(took));
        self.least = Some(least + (took - least) / FORGET);
        let think_longer = self.each.saturating_mul(all) > least.min(took / 2);
        // By the time that a thread is awake about twice as many have come as woke it.
        let missing = if think_longer { back.saturating_sub(waiting).div_ceil(4) } else { back };
        if missing == 0 {
            return;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        self.awaited = Some(Awaited { from: come, enough: come + missing, since: now, until: now + took.min(LIMIT) });
    }

    /// How many are waited for and how long from now, if anybody is, when `come` have come.
    pub(crate) fn left(&mut self, come: u64, now: Instant) -> Option<(u64, Duration)> {
        let Awaited { from, enough, since, until } = *self.awaited.as_ref()?;
        let left = until.saturating_duration_since(now);
        if come < enough && !left.is_zero() {
            return Some((enough, left));
        }
        self.awaited = None;
        let came = u32::try_from(come.saturating_sub(from)).unwrap_or(u32::MAX);
        self.each = now.saturating_duration_since(since).checked_div(came).unwrap_or(self.each);
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

    /// Nobody waits, and so many may come back.
    fn answered(come: u64, back: u64) -> Crowd {
        Crowd { come, waiting: 0, back }
    }

    #[test]
    fn those_who_were_answered_are_waited_for_until_all_are_back_or_the_time_is_over() {
        let now = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.left(0, now), None, "nobody was answered");
        pace.answered(answered(10, 3), MS, now);
        assert_eq!(pace.left(12, now), Some((13, MS)));
        assert_eq!(pace.left(12, now + MS / 4), Some((13, MS * 3 / 4)));
        assert_eq!(pace.left(13, now + MS / 4), None, "all are back");
        pace.answered(answered(13, 3), MS, now);
        assert_eq!(pace.left(15, now + MS), None, "the time is over");
        pace.answered(answered(13, 0), MS, now);
        assert_eq!(pace.left(13, now), None, "nobody comes back from a run's end");
    }

    #[test]
    fn where_all_together_think_longer_than_a_sync_takes_one_half_is_written_while_the_other_thinks() {
        let now = Instant::now();
        let mut pace = Pace::default();
        // Of ten that were answered five are back within a sync: each needs a fifth of it.
        pace.answered(answered(0, 10), MS, now);
        assert_eq!(pace.left(5, now + MS), None);
        // One frame is written without a wait, since that one was in vain; then the first of them are enough.
        pace.answered(answered(5, 10), MS, now);
        assert_eq!(pace.left(5, now), None);
        pace.answered(answered(5, 10), MS, now);
        assert_eq!(pace.left(5, now), Some((8, MS)));
        assert_eq!(pace.left(10, now + MS / 2), None);
        // Whoever waits counts: four may come back, two wait, so one more is enough.
        pace.answered(Crowd { come: 20, waiting: 2, back: 4 }, MS / 4, now);
        assert_eq!(pace.left(20, now), Some((21, MS / 4)));
        pace.answered(Crowd { come: 20, waiting: 5, back: 4 }, MS / 4, now);
        assert_eq!(pace.left(20, now), None, "more wait than are missing");
        // Few of them think for a shorter time than a sync takes: all are waited for, also if others wait.
        pace.answered(Crowd { come: 20, waiting: 1, back: 1 }, MS, now);
        assert_eq!(pace.left(20, now), Some((21, MS)));
    }

    #[test]
    fn those_who_all_together_think_as_long_as_half_a_sync_are_waited_for_and_longer_are_not() {
        let now = Instant::now();
        let mut pace = Pace::default();
        // Each needs a fifth of a millisecond.
        pace.answered(answered(0, 5), MS, now);
        assert_eq!(pace.left(5, now + MS), None);
        pace.answered(answered(5, 2), MS * 4 / 5, now);
        assert_eq!(pace.left(5, now), Some((7, MS * 4 / 5)), "two think for half of this frame");
        pace.answered(answered(5, 3), MS, now);
        assert_eq!(
            pace.left(5, now),
            Some((6, MS)),
            "three for more than half of this one, and for less than all of it"
        );
    }

    #[test]
    fn what_the_fastest_frame_took_is_forgotten_little_by_little() {
        let now = Instant::now();
        let mut pace = Pace::default();
        // All ten together need a little less than half of what a slow frame takes.
        pace.answered(answered(0, 10), MS, now);
        assert_eq!(pace.left(10, now + MS * 45 / 100), None);
        let mut after = |took: Duration, frames: usize| {
            (0..frames).for_each(|_| pace.answered(answered(10, 10), took, now));
            pace.left(10, now)
        };
        assert_eq!(after(MS / 10, 1), Some((13, MS / 10)), "they think longer than a fast frame takes");
        assert_eq!(after(MS, 400), Some((13, MS)), "after hundreds of slow ones that is still known");
        assert_eq!(after(MS, 400), Some((20, MS)), "and after hundreds more it is not");
    }

    #[test]
    fn the_longest_wait_does_not_depend_on_the_disk() {
        let now = Instant::now();
        let mut pace = Pace::default();
        pace.answered(answered(0, 1), Duration::from_secs(1), now);
        assert_eq!(pace.left(0, now), Some((1, LIMIT)));
    }

    /// How many of so many frames are waited after, where nobody ever comes back.
    fn waits(frames: usize) -> usize {
        let now = Instant::now();
        let mut pace = Pace::default();
        let mut wait = || {
            pace.answered(answered(0, 1), MS, now);
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
        pace.answered(answered(0, 1), MS, now);
        assert_eq!(pace.left(0, now + MS), None);
        pace.answered(answered(0, 1), MS, now);
        assert_eq!(pace.left(0, now), None, "one frame without");
        pace.answered(answered(0, 1), MS, now);
        assert_eq!(pace.left(1, now), None, "and then it was worth it");
        pace.answered(answered(1, 1), MS, now);
        assert!(pace.left(1, now).is_some());
    }
}
