//! How often one address is heard: requests, and wrong tokens. Each address has its own measure, so that one who asks too much, or guesses,
//! keeps nobody else out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many requests at once, and so many a second from then on. A page asks for a few; a thousand alerts, each by itself, are heard.
const AT_ONCE: f64 = 2_000.0;
const A_SECOND: f64 = 200.0;
/// So many wrong tokens a minute are listened to.
pub(super) const WRONG_MOST: f64 = 20.0;
const WRONG_A_SECOND: f64 = WRONG_MOST / 60.0;
/// So many addresses are remembered. Those that have asked for nothing since their measure was full are forgotten first.
const ADDRESSES_MOST: usize = 10_000;

/// What is left for each address.
#[derive(Debug)]
struct Buckets {
    full: f64,
    a_second: f64,
    left: Mutex<HashMap<IpAddr, (f64, Instant)>>,
}

impl Buckets {
    fn new(full: f64, a_second: f64) -> Self {
        Self { full, a_second, left: Mutex::default() }
    }

    /// Takes this much, if one whole is there; else how long it takes until one is.
    fn take(&self, peer: IpAddr, much: f64, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let now_in = |(left, since): (f64, Instant)| {
            self.a_second.mul_add(now.saturating_duration_since(since).as_secs_f64(), left).min(self.full)
        };
        if buckets.len() >= ADDRESSES_MOST && !buckets.contains_key(&peer) {
            buckets.retain(|_, bucket| now_in(*bucket) < self.full);
            // Whoever has that many addresses is not to be told apart by them.
            if buckets.len() >= ADDRESSES_MOST {
                return Err(Duration::from_secs(1));
            }
        }
        let left = buckets.get(&peer).map_or(self.full, |bucket| now_in(*bucket));
        let enough = left >= 1.0;
        buckets.insert(peer, (if enough { left - much } else { left }, now));
        if enough { Ok(()) } else { Err(Duration::from_secs_f64((1.0 - left) / self.a_second)) }
    }
}

/// The measures of one server.
#[derive(Debug)]
pub(super) struct Pace {
    requests: Buckets,
    wrong: Buckets,
}

impl Default for Pace {
    fn default() -> Self {
        Self { requests: Buckets::new(AT_ONCE, A_SECOND), wrong: Buckets::new(WRONG_MOST, WRONG_A_SECOND) }
    }
}

impl Pace {
    /// Counts a request; else how long whoever sent it should wait.
    pub(super) fn request(&self, peer: IpAddr) -> Result<(), Duration> {
        self.requests.take(peer, 1.0, Instant::now())
    }

    /// Whether a token from there is looked at.
    pub(super) fn may_try(&self, peer: IpAddr) -> bool {
        self.wrong.take(peer, 0.0, Instant::now()).is_ok()
    }

    /// Counts a token that nobody knows.
    pub(super) fn was_wrong(&self, peer: IpAddr) {
        // One that came when none was left has been refused already.
        let _none = self.wrong.take(peer, 1.0, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn whoever_asks_too_much_waits_and_keeps_nobody_out() {
        let buckets = Buckets::new(3.0, 2.0);
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(buckets.take(ONE, 1.0, now), Ok(()));
        }
        assert_eq!(buckets.take(ONE, 1.0, now), Err(Duration::from_millis(500)));
        assert_eq!(buckets.take(OTHER, 1.0, now), Ok(()));
        let later = now + Duration::from_millis(500);
        assert_eq!((buckets.take(ONE, 1.0, later), buckets.take(ONE, 1.0, later).is_err()), (Ok(()), true));
        let long = later + Duration::from_secs(3_600);
        assert_eq!((0..10).filter(|_| buckets.take(ONE, 1.0, long).is_ok()).count(), 3, "no more than it holds");
    }

    #[test]
    fn no_more_addresses_are_remembered_than_it_has_room_for() {
        let buckets = Buckets::new(2.0, 1.0);
        let now = Instant::now();
        let address = |n: u32| IpAddr::V4(std::net::Ipv4Addr::from(n));
        for n in 0..u32::try_from(ADDRESSES_MOST).unwrap() {
            assert_eq!(buckets.take(address(n), 1.0, now), Ok(()));
        }
        assert!(buckets.take(address(u32::MAX), 1.0, now).is_err());
        assert_eq!(buckets.take(address(7), 1.0, now), Ok(()), "who is known is heard");
        assert_eq!(buckets.take(address(u32::MAX), 1.0, now + Duration::from_secs(2)), Ok(()));
        assert_eq!(buckets.left.lock().unwrap().len(), 1);
    }
}
