//! Recoveries in the guest, cut again and again: the guest killed at a drawn moment, booted again, and carried on.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Programs;
use crate::guest::Machine;
use crate::random::Random;

/// As often is one recovery cut at most.
const CUTS_MAX: u64 = 6;
/// A recovery that is not over by then goes in circles.
const TRIES_MAX: u32 = 8;

/// The sandbox on ext4, its control plane's own files and the count of starts on the host: what is outside, and what the
/// ledger is made of, is not what loses its power.
const LOSE: &str = "\
$R sandbox up --dir $S && $R sandbox down --dir $S || $B halt -f
$B cp -a $S/control-plane/. $H/plane/ && $B chmod 700 $H/plane
bind
$B sed -i 's/observe = \"1s\"/observe = \"200ms\"/' $S/recover.toml
$R sandbox up --dir $S && $R sandbox lose-identity --dir $S || $B halt -f
$B sync";
/// The host comes up again: the control plane is there, and so is the workload, as it is configured.
const UP: &str = "bind\n$R sandbox up --dir $S";
/// What was said to be durable is looked for before anything else is done.
const EVENTS: &str = "recover events --output json >$H/events.new; $B mv $H/events.new $H/events";
const GO: &str = "\
echo 1 >$H/go
recover --scenario identity-loss --target edge-1 --output json >$H/out 2>$H/err
echo $? >$H/code.new; $B mv $H/code.new $H/code";
const ASK: &str = "\
$R sandbox ledger --dir $S >$H/ledger 2>$H/asked
recover verify --all >$H/verify 2>&1; echo exit $? >>$H/verify
$R sandbox down --dir $S";

#[derive(Default)]
pub struct Count {
    pub cuts: u64,
    pub synchronous: u64,
    pub recoveries: u64,
    pub boots: u64,
    pub replayed: u64,
    pub looked_for: u64,
    pub lost: u64,
    pub duplicates: u64,
    pub problems: Vec<String>,
}

pub fn run(programs: &Programs, home: &Path, cuts: u64, seed: u64) -> Count {
    let begun = Instant::now();
    let mut random = Random::new(seed);
    let mut count = Count::default();
    // The first recovery is not cut: it says how long one takes here.
    let mut length = None;
    while (count.cuts < cuts || length.is_none()) && count.problems.len() < 5 {
        let synchronous = count.recoveries % 2 == 1;
        let machine = Machine::new(programs, home.join(count.recoveries.to_string()), synchronous);
        let mut recovery = Recovery { machine, acked: BTreeSet::new(), fresh: true, was_cut: false };
        if let Some(length) = length {
            for _ in 0..(1 + random.below(CUTS_MAX)).min(cuts - count.cuts) {
                let moment = Duration::from_millis(random.below(length));
                if !recovery.cut(moment, &mut count) {
                    break;
                }
                count.synchronous += u64::from(synchronous);
            }
        }
        let took = recovery.finish(&mut count);
        length = length.or(Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX) * 5 / 4));
        println!(
            "uml: {} cuts in {} recoveries so far, {} problems, {} s",
            count.cuts,
            count.recoveries,
            count.problems.len(),
            begun.elapsed().as_secs()
        );
        _ = std::fs::remove_dir_all(&recovery.machine.home);
    }
    count
}

struct Recovery<'a> {
    machine: Machine<'a>,
    /// Every record that was told to be durable, as it was told.
    acked: BTreeSet<String>,
    /// Whether the identity is yet to be lost.
    fresh: bool,
    /// Whether the power went at the end of the boot before.
    was_cut: bool,
}

impl Recovery<'_> {
    fn boot(&mut self, count: &mut Count) -> crate::guest::Guest {
        let before = if self.fresh { LOSE.to_owned() } else { format!("{UP}\n{EVENTS}") };
        self.fresh = false;
        count.boots += 1;
        self.machine.boot(&format!("{before}\n{GO}\n{EVENTS}\n{ASK}"))
    }

    /// Boots, lets the recovery go on for so long, and takes the power away. False if it was over before.
    fn cut(&mut self, moment: Duration, count: &mut Count) -> bool {
        let mut guest = self.boot(count);
        if !guest.until("go") {
            self.problem(count, "the guest did not come up");
            return false;
        }
        // Once it runs, what was there when it came up can be read.
        self.look(count);
        std::thread::sleep(moment);
        let over = self.machine.said("code").is_some();
        guest.cut();
        count.cuts += 1;
        self.replayed(count, true);
        self.listen();
        !over
    }

    /// Counts the cuts that left ext4 a journal to replay.
    fn replayed(&mut self, count: &mut Count, cut: bool) {
        count.replayed += u64::from(self.was_cut && self.machine.said("replayed").is_some());
        self.was_cut = cut;
    }

    /// Remembers what the process said before it ended.
    fn listen(&mut self) {
        let said = self.machine.said("out").unwrap_or_default();
        // A line that was cut short was not said.
        let lines = said.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::trim_end);
        self.acked.extend(lines.filter(|line| line.contains("recover.event/v1")).map(str::to_owned));
    }

    /// Whatever was said to be durable is there.
    fn look(&self, count: &mut Count) {
        let events = self.machine.said("events").unwrap_or_default();
        let there: BTreeSet<&str> = events.lines().collect();
        count.looked_for += self.acked.len() as u64;
        let lost: Vec<&String> = self.acked.iter().filter(|line| !there.contains(line.as_str())).collect();
        if let Some(first) = lost.first() {
            count.lost += lost.len() as u64;
            let what = format!("{} of {} acknowledged records lost: {first}", lost.len(), self.acked.len());
            self.problem(count, &what);
        }
    }

    /// Carries it on without cuts, and asks the ledger. Gives how long the last one took.
    fn finish(&mut self, count: &mut Count) -> Duration {
        let mut took = Duration::ZERO;
        let mut code = None;
        for _ in 0..TRIES_MAX {
            let mut guest = self.boot(count);
            let came = guest.until("go");
            let begun = Instant::now();
            if came && guest.until("code") {
                took = begun.elapsed();
            }
            if !guest.halted() || self.machine.said("end").is_none() {
                self.problem(count, "the guest did not halt by itself");
                break;
            }
            self.replayed(count, false);
            self.listen();
            self.look(count);
            code = self.machine.said("code").and_then(|text| text.trim().parse::<i32>().ok());
            // 8: it is healthy, since the recovery had ended before the last cut.
            if matches!(code, Some(0 | 8)) {
                break;
            }
        }
        count.recoveries += 1;
        let ledger: Value = serde_json::from_str(&self.machine.said("ledger").unwrap_or_default()).unwrap_or_default();
        if !matches!(code, Some(0 | 8)) {
            self.problem(count, &format!("not recovered, exit {code:?}: {ledger}"));
        }
        let pairs = ledger["pairs"].as_u64().unwrap_or(0);
        if pairs != 1 {
            self.problem(count, &format!("{pairs} pairings: {ledger}"));
            count.duplicates += pairs.saturating_sub(1);
        }
        if ledger["live_tokens"] != 0 {
            self.problem(count, &format!("a token still works: {ledger}"));
        }
        let verified = self.machine.said("verify").unwrap_or_default();
        if !verified.trim_end().ends_with("exit 0") {
            self.problem(count, &format!("verify: {verified}"));
        }
        took
    }

    fn problem(&self, count: &mut Count, what: &str) {
        let last = |name: &str| self.machine.said(name).unwrap_or_default().lines().last().unwrap_or("").to_owned();
        let said = ["out", "err", "asked", "log", "console"].map(|name| format!("{name}: {}", last(name)));
        count.problems.push(format!("recovery {}: {what}; {}", count.recoveries, said.join("; ")));
    }
}
