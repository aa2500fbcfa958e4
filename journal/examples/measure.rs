//! Measures the journal beside a raw write and `fdatasync` on the same disk: `measure latency DIR`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use recover_engine::{Journal, Kind, Latch, Millis, RunId};
use recover_journal::testing::contract::block_on;
use recover_journal::testing::entries::{Script, closed_run, id, subject};
use recover_journal::{Author, CommitLog, DiskStorage, FileJournal, Host, Options, Query, Reader};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn p50(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

fn open(path: &Path) -> Result<CommitLog> {
    std::fs::create_dir_all(path)?;
    Ok(CommitLog::open(Arc::new(DiskStorage::open(path)?), Options::default())?)
}

fn raw(path: &Path) -> Result<(File, Vec<u8>)> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path.join("raw"))?;
    file.write_all_at(&vec![0; 8 << 20], 0)?;
    file.sync_all()?;
    Ok((file, vec![7; 364]))
}

fn payload() -> String {
    format!(r#"{{"step":"pair","text":"{}"}}"#, "x".repeat(150))
}

/// One appender, in turn with raw writes, so that both see the same disk.
fn latency(path: &Path, rounds: u64) -> Result<()> {
    let log = open(&path.join("latency"))?;
    let (file, bytes) = raw(path)?;
    let mut script = Script::new(id(1));
    log.append_blocking(vec![script.begin(subject(1))])?;
    let (mut raws, mut blocking, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let at = Instant::now();
        file.write_all_at(&bytes, (round * bytes.len() as u64) % (7 << 20))?;
        file.sync_data()?;
        raws.push(at.elapsed());
        let at = Instant::now();
        let entry = script.next(Kind::Outcome, Latch::None, recover_engine::Key::NONE, &payload());
        log.append_blocking(vec![entry])?;
        blocking.push(at.elapsed());
        let at = Instant::now();
        let entry = script.next(Kind::Outcome, Latch::None, recover_engine::Key::NONE, &payload());
        block_on(log.append(vec![entry]))?;
        tasks.push(at.elapsed());
    }
    let (raw, blocking, task) = (p50(raws), p50(blocking), p50(tasks));
    let ratio = |d: Duration| d.as_secs_f64() / raw.as_secs_f64();
    println!(
        "latency p50: raw {raw:?}, blocking {blocking:?} ({:.2}), future {task:?} ({:.2})",
        ratio(blocking),
        ratio(task)
    );
    Ok(())
}

/// `appenders` threads, each waiting for its record before it appends the next.
fn throughput(path: &Path, appenders: u64, each: u32) -> Result<()> {
    let log = open(&path.join(format!("throughput-{appenders}")))?;
    let at = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..appenders)
            .map(|n| {
                let log = &log;
                scope.spawn(move || -> Result<()> {
                    let mut script = Script::new(id(n));
                    log.append_blocking(vec![script.begin(subject(n))])?;
                    for _ in 1..each {
                        log.append_blocking(vec![script.outcome()])?;
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or(Err("an appender panicked".into())))
    })?;
    let records = appenders * u64::from(each);
    let frames = log.head().frame;
    println!(
        "{appenders} threads: {:.0} records/s, {records} records in {frames} frames, {:.0} frames/s",
        records as f64 / at.elapsed().as_secs_f64(),
        frames as f64 / at.elapsed().as_secs_f64()
    );
    Ok(())
}

/// `appenders` tasks on one thread, as a runtime has them.
fn tasks(path: &Path, appenders: u64, each: u32) -> Result<()> {
    let log = open(&path.join(format!("tasks-{appenders}")))?;
    let at = Instant::now();
    let all = (0..appenders).map(|n| {
        let log = &log;
        Box::pin(async move {
            let mut script = Script::new(id(n));
            log.append(vec![script.begin(subject(n))]).await?;
            for _ in 1..each {
                log.append(vec![script.outcome()]).await?;
            }
            Ok::<(), recover_engine::JournalError>(())
        })
    });
    block_on(Together::new(all.collect()))?;
    let records = appenders * u64::from(each);
    let frames = log.head().frame;
    println!(
        "{appenders} tasks: {:.0} records/s, {records} records in {frames} frames",
        records as f64 / at.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Polls the tasks that were woken.
struct Together<F> {
    tasks: Vec<Option<F>>,
    woken: Arc<std::sync::Mutex<Woken>>,
}

#[derive(Default)]
struct Woken {
    places: Vec<usize>,
    outer: Option<std::task::Waker>,
}

struct WakeOne(usize, Arc<std::sync::Mutex<Woken>>);

impl std::task::Wake for WakeOne {
    fn wake(self: Arc<Self>) {
        let mut woken = self.1.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        woken.places.push(self.0);
        if let Some(outer) = woken.outer.take() {
            outer.wake();
        }
    }
}

impl<F> Together<F> {
    fn new(tasks: Vec<F>) -> Self {
        let woken = Woken { places: (0..tasks.len()).collect(), outer: None };
        Self { tasks: tasks.into_iter().map(Some).collect(), woken: Arc::new(std::sync::Mutex::new(woken)) }
    }
}

impl<E, F: Future<Output = std::result::Result<(), E>> + Unpin> Future for Together<F> {
    type Output = std::result::Result<(), E>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        let shared = Arc::clone(&self.woken);
        loop {
            let places = {
                let mut woken = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if woken.places.is_empty() {
                    if self.tasks.iter().all(Option::is_none) {
                        return std::task::Poll::Ready(Ok(()));
                    }
                    woken.outer = Some(cx.waker().clone());
                    return std::task::Poll::Pending;
                }
                std::mem::take(&mut woken.places)
            };
            for place in places {
                let waker = std::task::Waker::from(Arc::new(WakeOne(place, Arc::clone(&shared))));
                let Some(task) = self.tasks[place].as_mut() else { continue };
                match std::pin::Pin::new(task).poll(&mut std::task::Context::from_waker(&waker)) {
                    std::task::Poll::Pending => {}
                    std::task::Poll::Ready(Ok(())) => self.tasks[place] = None,
                    std::task::Poll::Ready(error) => return std::task::Poll::Ready(error),
                }
            }
        }
    }
}

/// Writes `runs` runs of `len` records, many to a batch.
fn fill(path: &Path, runs: u64, len: u32) -> Result<()> {
    let log = open(path)?;
    let at = Instant::now();
    for n in 0..runs {
        let entries = closed_run(n, len);
        if runs == 1 {
            for batch in entries.chunks(1000) {
                log.append_blocking(batch.to_vec())?;
            }
            continue;
        }
        // Nobody waits for these one by one: the writer groups them.
        drop(
            std::pin::pin!(log.append(entries))
                .as_mut()
                .poll(&mut std::task::Context::from_waker(std::task::Waker::noop())),
        );
        if n % 1000 == 999 {
            log.append_blocking(closed_run(runs + n, 2))?;
        }
    }
    drop(log);
    println!("{runs} runs of {len}: written in {:?}", at.elapsed());
    Ok(())
}

fn rss() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default().to_owned()
}

fn reading(path: &Path, run: RunId) -> Result<()> {
    let timed = |what: &str, at: Instant| println!("  {what}: {:?}", at.elapsed());
    let at = Instant::now();
    let log = open(path)?;
    timed("open for writing", at);
    println!("  {} after open", rss());
    let reader: Reader = log.reader();
    let at = Instant::now();
    let listing = reader.runs()?;
    timed(&format!("runs ({})", listing.runs.len()), at);
    let at = Instant::now();
    let entries = reader.run(run)?;
    timed(&format!("run ({} records)", entries.len()), at);
    let at = Instant::now();
    let report = reader.verify()?;
    let rate = report.records as f64 / at.elapsed().as_secs_f64();
    timed(&format!("verify ({} records, {rate:.0}/s, {} damaged places)", report.records, report.damage.len()), at);
    Ok(())
}

/// Opens a log with its index, made anew or as it is.
fn index(path: &Path, anew: bool) -> Result<()> {
    if anew {
        drop(std::fs::remove_dir_all(path.join("index")));
    }
    let host = Host { machine: "bench".into(), boot: "bench".into() };
    let author = Author { actor: "{}", at: Millis(0) };
    let at = Instant::now();
    let journal = FileJournal::adopt(path, &host, Options::default(), author, "bench")?;
    println!("  open for writing: {:?}, {}", at.elapsed(), rss());
    let done = journal.index().is_some_and(|index| index.wait(Duration::from_secs(300)));
    let stats = journal.stats()?;
    let rate = stats.records as f64 / at.elapsed().as_secs_f64();
    println!("  index of {} records: {done}, {rate:.0} records/s, {}, {:?}", stats.records, rss(), stats.index);
    let at = Instant::now();
    let open = journal.index().map(|index| index.lookup(Query::Open));
    println!("  lookup: {:?} in {:?}", open.map(|open| open.map(|open| open.len())), at.elapsed());
    Ok(())
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let usage = "measure latency|threads|tasks|fill|read|index DIR [N] [LEN]";
    let (what, dir) = args.next().zip(args.next()).ok_or(usage)?;
    let path = Path::new(&dir);
    std::fs::create_dir_all(path)?;
    let mut number = |default: u64| args.next().and_then(|n| n.parse().ok()).unwrap_or(default);
    match what.as_str() {
        "latency" => latency(path, number(2000)),
        "threads" => throughput(path, number(100), u32::try_from(number(5000))?),
        "tasks" => tasks(path, number(100), u32::try_from(number(5000))?),
        "fill" => fill(path, number(100_000), u32::try_from(number(10))?),
        "index" => index(path, true),
        "reopen" => index(path, false),
        "read" => reading(path, id(number(0))),
        _ => Err(usage.into()),
    }
}
