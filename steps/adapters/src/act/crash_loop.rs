//! Whether a workload ends again and again: told by its lives and by whoever starts it again.

use std::time::{Duration, Instant};

use recover_steps::examined::{Found, WorkloadSeen};
use recover_steps::{Instance, WatchLoop, Watched};

use super::enrollment::said_untrusted;
use super::evidence::evidence;
use super::look::Poll;
use crate::connector::{Connector, Witnessed};
use crate::trouble::Trouble;

/// No more of a log's last line is told.
const SAYS_MOST: usize = 300;

impl Connector {
    pub(crate) async fn watch_loop(&self, step: &WatchLoop) -> Result<Witnessed<Watched>, Trouble> {
        let until = Instant::now() + Duration::from_millis(step.within_ms);
        let mut lives = Lives::default();
        let mut poll = Poll::new();
        let looping = loop {
            let seen = match self.workload.seen().await.found {
                Found::Seen(seen) => seen,
                Found::NotRead(why) => return Err(Trouble::retry(why)),
            };
            if let Some(restarts) = lives.again(seen) {
                break Some(restarts);
            }
            if Instant::now() >= until {
                break None;
            }
            poll.pause_until(Some(until)).await;
        };
        let log = match self.workload.log_tail().await {
            Ok(log) => log,
            Err(why) => format!("the log could not be read: {why}"),
        };
        let event = match (looping, lives.running) {
            (Some(restarts), _) => {
                let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
                let says: String = self.known().line(last).chars().take(SAYS_MOST).collect();
                Watched::Looping { restarts, says, untrusted: said_untrusted(&log).is_some() }
            }
            (None, Some(instance)) => Watched::Steady { instance },
            (None, None) => Watched::Stopped,
        };
        Ok(Witnessed { event, evidence: vec![evidence("log before", &log, self.known())] })
    }
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Lives {
    /// The life that runs.
    running: Option<Instance>,
    /// A life was seen to have ended, or none ran at first.
    ended: bool,
    restarts: Option<u32>,
}

impl Lives {
    /// Whether this shows that it is started again; with how often, where whoever does it counts.
    fn again(&mut self, seen: WorkloadSeen) -> Option<Option<u32>> {
        match seen {
            WorkloadSeen::Restarting { restarts } => Some(Some(restarts)),
            WorkloadSeen::Stopped => {
                self.running = None;
                self.ended = true;
                None
            }
            WorkloadSeen::Running { instance, restarts } => {
                let another = self.ended || self.running.as_ref().is_some_and(|before| *before != instance);
                let more = self.restarts.is_some_and(|before| restarts > Some(before));
                if another || more {
                    return Some(restarts);
                }
                (self.running, self.restarts) = (Some(instance), restarts);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(life: &str, restarts: Option<u32>) -> WorkloadSeen {
        WorkloadSeen::Running { instance: Instance(life.into()), restarts }
    }

    fn seen(all: Vec<WorkloadSeen>) -> Result<Option<u32>, bool> {
        let mut lives = Lives::default();
        all.into_iter().find_map(|seen| lives.again(seen)).ok_or(lives.running.is_some())
    }

    #[test]
    fn c13_a_loop_is_told_by_its_lives() {
        assert_eq!(seen(vec![running("1", None), running("2", None)]), Ok(None));
        assert_eq!(seen(vec![running("1", Some(3)), running("1", Some(4))]), Ok(Some(4)));
        assert_eq!(seen(vec![running("1", None), WorkloadSeen::Stopped, running("2", None)]), Ok(None));
        assert_eq!(seen(vec![WorkloadSeen::Stopped, running("1", Some(1))]), Ok(Some(1)));
        assert_eq!(seen(vec![WorkloadSeen::Restarting { restarts: 9 }]), Ok(Some(9)));
    }

    #[test]
    fn what_was_restarted_long_ago_and_lives_is_no_loop() {
        assert_eq!(seen(vec![running("1", Some(40)), running("1", Some(40))]), Err(true));
        assert_eq!(seen(vec![WorkloadSeen::Stopped, WorkloadSeen::Stopped]), Err(false));
        assert_eq!(seen(vec![running("1", None), WorkloadSeen::Stopped]), Err(false));
    }
}
