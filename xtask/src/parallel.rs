//! Some workers who take one after another from a list.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many processors there are, as far as can be told.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Does the work for each with so many workers, and gives what came of it with its place in the list; or the first error, after
/// which nothing is begun.
pub(crate) fn each<T: Sync, R: Send>(
    workers: usize,
    list: &[T],
    work: impl Fn(usize, &T) -> Result<R, String> + Sync,
) -> Result<Vec<(usize, R)>, String> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Ok(Vec::new())));
    let broke_off = std::thread::scope(|scope| {
        let start = |worker| {
            let (next, done, work) = (&next, &done, &work);
            scope.spawn(move || {
                while let Some((at, one)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|n| Some((n, list.get(n)?)))
                {
                    let came = work(worker, one);
                    let Ok(mut done) = done.lock() else { return };
                    match (came, done.as_mut()) {
                        (Ok(came), Ok(list)) => list.push((at, came)),
                        (Err(why), Ok(_)) => *done = Err(why),
                        (Ok(_) | Err(_), Err(_)) => {}
                    }
                    if done.is_err() {
                        return;
                    }
                }
            })
        };
        let running: Vec<_> = (0..workers).map(start).collect();
        running.into_iter().filter_map(|worker| worker.join().err()).count() > 0
    });
    if broke_off {
        return Err("a worker broke off".into());
    }
    let mut done = done.into_inner().map_err(|_| "a worker broke off")??;
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_done_in_order_or_the_first_error_ends_it() {
        let list: Vec<u32> = (0..100).collect();
        let doubled: Vec<u32> = each(3, &list, |_, n| Ok(n * 2)).unwrap().into_iter().map(|(_, n)| n).collect();
        assert_eq!(doubled, (0..200).step_by(2).collect::<Vec<u32>>());
        assert_eq!(
            each(3, &list, |_, n| if *n == 7 { Err("seven".to_owned()) } else { Ok(()) }),
            Err("seven".to_owned())
        );
    }
}
