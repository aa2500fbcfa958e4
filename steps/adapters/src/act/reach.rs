//! Whether the control plane can be reached from here, and if not, where the way ends.

use recover_steps::Reached;

use super::look::Poll;
use crate::connector::Connector;

/// A single lost request is no outage.
const TRIES: u32 = 3;

impl Connector {
    pub(crate) async fn reach(&self) -> Reached {
        let mut poll = Poll::new();
        let mut tries = 1;
        loop {
            let failure = match self.authority.health().await {
                Ok(()) => return Reached::Reached,
                Err(failure) => failure,
            };
            if tries == TRIES {
                let (stage, why) = self.authority.obstacle(&failure).await;
                return Reached::Unreachable { stage, why: self.known().line(&why) };
            }
            tries += 1;
            poll.pause().await;
        }
    }
}
