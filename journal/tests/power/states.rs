//! Which states a cut can leave: every prefix of the operations, every tear of the last write, subsets of what was not synced.

use std::collections::BTreeMap;

use recover_journal::testing::sim::{Fate, Op};

/// A small generator of its own, so that a failure is the same every time.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below.max(1)
    }
}

/// What became of each operation that was not synced; one that is not named is lost.
pub(crate) type Fates = BTreeMap<usize, Fate>;

/// As many operations that were not synced are tried in every combination.
const EXHAUSTIVE: usize = 10;

/// Every combination of fates after the first `cut` operations, or, where there are more, as many as `sample`, drawn from the seed.
pub(crate) fn fates(ops: &[Op], cut: usize, sample: usize, random: &mut Random) -> Vec<Fates> {
    let pending = pending(ops, cut);
    let torn = tears(ops, cut);
    let mut all = Vec::new();
    // Of writes to one place that wait together (the mark) only the last that is kept counts.
    let mut places: BTreeMap<(usize, u64, usize), Vec<usize>> = BTreeMap::new();
    let mut single = Vec::new();
    for op in &pending {
        match &ops[*op] {
            Op::Write { inode, offset, bytes } if bytes.len() == 8 => {
                places.entry((*inode, *offset, bytes.len())).or_default().push(*op);
            }
            _ => single.push(*op),
        }
    }
    let last = cut.checked_sub(1).filter(|last| pending.contains(last));
    let marks: Vec<Option<usize>> = places.values().flatten().copied().map(Some).chain([None]).collect();
    let one_place = places.len() <= 1;
    let tries = |set: u64, mark: Option<usize>, tear: Option<Fate>| {
        let mut fates: Fates =
            single.iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1).map(|(_, op)| (*op, Fate::Kept)).collect();
        if let Some(mark) = mark {
            fates.insert(mark, Fate::Kept);
        }
        if let (Some(last), Some(tear)) = (last, tear) {
            fates.insert(last, tear);
        }
        fates
    };
    let tears: Vec<Option<Fate>> = torn.into_iter().map(Some).chain([None]).collect();
    // A tear replaces the fate of the last write: only sets without it are new.
    let of_last = last.and_then(|last| single.iter().position(|op| *op == last));
    let is_new = |set: u64, mark: Option<usize>, tear: Option<Fate>| {
        tear.is_none() || (of_last.is_none_or(|bit| set >> bit & 1 == 0) && (mark.is_none() || mark != last))
    };
    let sets = 1_u64 << single.len().min(40);
    let size = sets * marks.len() as u64 * tears.len() as u64;
    let nth = |n: u64| {
        let (rest, tear) = (n / tears.len() as u64, tears[(n % tears.len() as u64) as usize]);
        let (set, mark) = (rest / marks.len() as u64, marks[(rest % marks.len() as u64) as usize]);
        is_new(set, mark, tear).then(|| tries(set, mark, tear))
    };
    if single.len() <= EXHAUSTIVE && one_place && size <= sample as u64 {
        all.extend((0..size).filter_map(nth));
    } else {
        while all.len() < sample.min(usize::try_from(size / 2).unwrap_or(usize::MAX)) {
            all.extend(nth(random.below(size)));
        }
    }
    all
}

/// The operations among the first `cut` that no later sync made durable.
pub(crate) fn pending(ops: &[Op], cut: usize) -> Vec<usize> {
    let folder = |path: &str| path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let mut pending: Vec<usize> = Vec::new();
    for (number, op) in ops.iter().enumerate().take(cut) {
        match op {
            Op::Sync { inode } => pending.retain(|other| {
                !matches!(&ops[*other], Op::Write { inode: of, .. } | Op::Resize { inode: of, .. } if of == inode)
            }),
            Op::SyncDir { path } => pending.retain(|other| match &ops[*other] {
                Op::MakeDir { path: of } | Op::Make { path: of, .. } | Op::Remove { path: of } => folder(of) != *path,
                Op::Rename { to, .. } => folder(to) != *path,
                _ => true,
            }),
            _ => pending.push(number),
        }
    }
    pending
}

/// How the last operation can be torn: after 1 byte, half, all but one, at sectors; and a front that is lost while sectors behind it are kept.
fn tears(ops: &[Op], cut: usize) -> Vec<Fate> {
    let Some(Op::Write { offset, bytes, .. }) = cut.checked_sub(1).and_then(|last| ops.get(last)) else {
        return Vec::new();
    };
    let len = bytes.len();
    let to_sector = 512 - usize::try_from(offset % 512).unwrap();
    let sectors: Vec<usize> = (to_sector..len).step_by(512).collect();
    let mut at = vec![1, len / 2, len.saturating_sub(1)];
    at.extend(&sectors);
    at.retain(|n| *n > 0 && *n < len);
    at.sort_unstable();
    at.dedup();
    at.into_iter().map(Fate::Torn).chain(sectors.into_iter().map(Fate::Front)).collect()
}
