//! What goes wrong, and how often: each seed has its own mixture, so that some stories are full of one fault and free of others.

use crate::choices::Choices;

/// What goes wrong with one attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    Nothing,
    /// It never arrives; nobody knows.
    Lost,
    /// It is applied; the reply is lost.
    Drop,
    /// It is applied later, or not; the reply is lost.
    Late,
    /// Surely not applied; may be tried again.
    Busy,
    /// Surely not applied, for good.
    Refuse,
    /// The request arrives twice.
    Duplicate,
    /// The token is consumed and nothing issued for it.
    Burn,
    /// A look shows the bad answer.
    Bad,
}

/// Once in how many times each thing happens; 0 is never.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) kill: usize,
    pub(crate) disk: usize,
    pub(crate) faults: [(Fault, usize); 8],
    pub(crate) no_fence: usize,
    pub(crate) no_probe: usize,
    pub(crate) jump: usize,
    pub(crate) hand: usize,
    pub(crate) reboot: usize,
    pub(crate) down: usize,
    pub(crate) arrive: usize,
    pub(crate) client: usize,
    pub(crate) loses_again: usize,
}

impl Rates {
    pub(crate) fn chosen(choices: &mut Choices) -> Self {
        let mut rate = |often: [usize; 4]| often[choices.one_of(4)];
        let seldom = [0, 200, 60, 20];
        let often = [0, 100, 25, 6];
        Self {
            kill: rate([0, 100, 30, 10]),
            disk: rate([0, 0, 80, 15]),
            faults: [
                (Fault::Lost, rate(often)),
                (Fault::Drop, rate(often)),
                (Fault::Late, rate(often)),
                (Fault::Busy, rate(often)),
                (Fault::Refuse, rate(seldom)),
                (Fault::Duplicate, rate(often)),
                (Fault::Burn, rate(often)),
                (Fault::Bad, rate(seldom)),
            ],
            no_fence: rate(often),
            no_probe: rate(often),
            jump: rate(seldom),
            hand: rate(seldom),
            reboot: rate(seldom),
            down: rate(seldom),
            arrive: rate([0, 30, 10, 3]),
            client: rate([25, 12, 6, 60]),
            loses_again: rate(seldom),
        }
    }

    /// What goes wrong with the next attempt.
    pub(crate) fn fault(&self, choices: &mut Choices) -> Fault {
        for (fault, rate) in self.faults {
            if choices.once_in(rate) {
                return fault;
            }
        }
        Fault::Nothing
    }
}
