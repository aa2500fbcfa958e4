//! The decisions of one simulation: drawn from a seed and kept, or taken from a list that was kept before. The first
//! choice is always the calm one, and a list that is over goes on with it, so that every list is a whole story.

/// Where decisions come from, and those that were made.
#[derive(Clone, Debug)]
pub(crate) struct Choices {
    source: Source,
    made: Vec<u32>,
}

#[derive(Clone, Debug)]
enum Source {
    Seed(u64),
    List(Vec<u32>),
}

impl Choices {
    /// As the seed has it.
    pub(crate) fn of_seed(seed: u64) -> Self {
        Self { source: Source::Seed(seed), made: Vec::with_capacity(512) }
    }

    /// As the list has it.
    pub(crate) fn of_list(list: Vec<u32>) -> Self {
        Self { source: Source::List(list), made: Vec::new() }
    }

    /// The decisions made so far.
    pub(crate) fn made(self) -> Vec<u32> {
        self.made
    }

    /// One of `n`, from 0; `n` is not 0.
    pub(crate) fn one_of(&mut self, n: usize) -> usize {
        let drawn = match &mut self.source {
            // SplitMix64: each number is a mix of a counter, so that neighbouring seeds have nothing in common.
            Source::Seed(counter) => {
                *counter = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut mixed = *counter;
                mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                (mixed ^ (mixed >> 31)) as u32
            }
            Source::List(list) => list.get(self.made.len()).copied().unwrap_or_default(),
        };
        let chosen = drawn as usize % n;
        self.made.push(chosen as u32);
        chosen
    }

    /// True once in `n` times, and never if `n` is 0: then nothing is decided.
    pub(crate) fn once_in(&mut self, n: usize) -> bool {
        n != 0 && self.one_of(n) == n - 1
    }
}
