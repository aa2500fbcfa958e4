//! A sync fails under the real binary, it is killed, and then the power goes: at once, or under the next owner.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::cycles::{Count, Recovery, fresh, lose_anew};
use crate::disk::Kept;
use crate::mount::Lossy;
use crate::random::Random;

/// Nothing is waited for any longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// More syncs than a recovery makes.
const SYNCS_MAX: u32 = 40;

/// When the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    AtOnce,
    /// After the next owner has acknowledged something.
    UnderTheNextOwner,
}

/// Whether it is killed as it happens, or left to end by itself; and the cut.
const WAYS: [(bool, Cut); 4] =
    [(true, Cut::UnderTheNextOwner), (false, Cut::AtOnce), (false, Cut::UnderTheNextOwner), (true, Cut::AtOnce)];

/// Each sync of a segment that a recovery makes fails in turn: in one way, and in the full form in all.
pub fn a_kill_after_a_failed_sync_and_then_a_power_cut_lose_nothing_and_pair_once(
    lossy: &Lossy,
    at: &Path,
    full: bool,
) -> Count {
    let mut count = Count::default();
    let beside = tempfile::tempdir().unwrap();
    let mut sandbox = fresh();
    for after in 0..SYNCS_MAX {
        let mut met = false;
        let chosen = usize::try_from(after).unwrap() % WAYS.len();
        for (way, &(kill, cut)) in WAYS.iter().enumerate() {
            if !full && way != chosen {
                continue;
            }
            lose_anew(lossy, &mut sandbox);
            let mut recovery = Recovery::new(&sandbox, at, beside.path());
            lossy.fail_sync(after);
            let before = count.problems.len();
            met |= one(lossy, &mut recovery, kill, cut, &mut count);
            let case = format!("sync {after} fails, killed {kill}, cut {cut:?}: ");
            count.problems[before..].iter_mut().for_each(|problem| problem.insert_str(0, &case));
        }
        if !met || count.problems.len() > 5 {
            break;
        }
    }
    count
}

/// Whether a sync failed.
fn one(lossy: &Lossy, recovery: &mut Recovery<'_>, kill: bool, cut: Cut, count: &mut Count) -> bool {
    let mut child = recovery.start();
    let ended = wait(&mut child, || kill && lossy.has_failed());
    if !ended {
        child.kill().unwrap();
    }
    let code = child.wait().unwrap().code();
    if !lossy.has_failed() {
        // It makes no more syncs than that.
        return false;
    }
    count.cuts += 1;
    recovery.listen();
    if !kill && code != Some(74) {
        count.problems.push(format!("it went on after a failed sync, exit {code:?}"));
    }
    recovery.nothing_without_its_intent(count);
    if cut == Cut::UnderTheNextOwner {
        let known = recovery.acked.len();
        let mut next = recovery.start();
        // Lines are counted as they come; what was said before is not said again.
        if !wait(&mut next, || recovery.said() > 0) {
            next.kill().unwrap();
        }
        next.wait().unwrap();
        recovery.listen();
        if recovery.acked.len() == known {
            count.problems.push("the next owner acknowledged nothing".to_owned());
        }
    }
    lossy.cut(Kept::Nothing, &mut Random::new(1));
    recovery.look(count);
    recovery.finish(count);
    true
}

/// Until it ends or something is so; whether it ended.
fn wait(child: &mut Child, so: impl Fn() -> bool) -> bool {
    let until = Instant::now() + PATIENCE;
    while !so() && Instant::now() < until {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}
