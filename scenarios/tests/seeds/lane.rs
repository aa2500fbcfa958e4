//! The lanes, the one seed that somebody wants to read, and the list of tests as `cargo test` expects it.

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::broken::{Broken, Invariant};
use crate::choices::Choices;
use crate::setups;
use crate::shrink::shrink;
use crate::sim::{Counts, Setup, Went, play};
use crate::teeth;

type Test = (&'static str, fn());

const TESTS: [Test; 11] = [
    ("no_seed_breaks_an_invariant", no_seed_breaks_an_invariant),
    ("a_seed_is_the_same_twice", teeth::a_seed_is_the_same_twice),
    ("a_list_of_decisions_is_the_seed_that_made_it", teeth::a_list_of_decisions_is_the_seed_that_made_it),
    ("a_pairing_repeated_blindly_is_found", teeth::a_pairing_repeated_blindly_is_found),
    ("an_act_before_its_intent_is_durable_is_found", teeth::an_act_before_its_intent_is_durable_is_found),
    ("a_resume_without_a_probe_is_found", teeth::a_resume_without_a_probe_is_found),
    ("a_guard_that_looks_at_outcomes_is_found", teeth::a_guard_that_looks_at_outcomes_is_found),
    ("absence_believed_without_a_fence_is_found", teeth::absence_believed_without_a_fence_is_found),
    ("a_disk_that_forgets_is_found", teeth::a_disk_that_forgets_is_found),
    ("without_a_bug_nothing_is_found", teeth::without_a_bug_nothing_is_found),
    ("what_is_found_is_made_short", teeth::what_is_found_is_made_short),
];

/// Seeds of a plain `cargo test`, for each simulation.
const SEEDS_EACH: u64 = 400;

fn seeds_few() -> u64 {
    SEEDS_EACH * setups::all().len() as u64
}

/// Which of the simulations a seed is.
pub(crate) fn setup_of(setups: &[Setup], seed: u64) -> &Setup {
    &setups[(seed % setups.len() as u64) as usize]
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// The time that this process, which has one thread, has had of a core: what else the machine does is not in it.
fn busy() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("it only grows")
}

fn seeds_wanted() -> u64 {
    number("RECOVER_SEEDS").unwrap_or_else(|| match std::env::var("RECOVER_LANE").as_deref() {
        Ok("full") => 10_000_000,
        Ok("bounded") => 100_000,
        _ => seeds_few(),
    })
}

/// A broken seed in words: what broke, the shortest way to it, and how to see it again.
fn report(setup: &Setup, seed: u64, broken: &Broken, went: Went) -> String {
    let decisions = shrink(setup, went.decisions, broken.invariant);
    let short = play(setup, Choices::of_list(decisions.clone()), true);
    let wild = decisions.iter().enumerate().filter(|(_, made)| **made != 0);
    let wild: Vec<String> = wild.map(|(at, made)| format!("{at}:{made}")).collect();
    let lines = short.lines.join("\n");
    let why = short.broken.map_or_else(|| broken.to_string(), |broken| broken.to_string());
    format!(
        "seed {seed}, {}: {broken}\nthe shortest way found, {} decisions:\n{lines}\n{why}\nnot calm: {}\n\
         again: RECOVER_SEED={seed} cargo test -p recover-scenarios --test seeds",
        setup.name,
        decisions.len(),
        wild.join(" "),
    )
}

fn no_seed_breaks_an_invariant() {
    let setups = setups::all();
    let (wanted, first, began) = (seeds_wanted(), number("RECOVER_FIRST_SEED").unwrap_or_default(), busy());
    let mut sum = Counts::default();
    let mut taken: Vec<Vec<bool>> = setups.iter().map(|setup| vec![false; setup.charter.graph.edges.len()]).collect();
    for seed in first..first + wanted {
        let setup = setup_of(&setups, seed);
        let went = play(setup, Choices::of_seed(seed), false);
        for (all, one) in taken[(seed % setups.len() as u64) as usize].iter_mut().zip(&went.taken) {
            *all |= one;
        }
        sum.events += went.counts.events;
        sum.runs += went.counts.runs;
        sum.kills += went.counts.kills;
        sum.acts += went.counts.acts;
        if let Some(broken) = went.broken.clone() {
            panic!("{}", report(setup, seed, &broken, went));
        }
    }
    let rate = wanted as f64 / (busy() - began).as_secs_f64();
    for (setup, taken) in setups.iter().zip(&taken) {
        let walked = taken.iter().filter(|taken| **taken).count();
        println!("{}: {walked} of {} transitions walked", setup.name, taken.len());
        // What is never reached is never tested.
        assert!(setup.detailed || wanted < seeds_few() || walked * 2 > taken.len(), "hardly anything is reached");
    }
    println!(
        "sim: {wanted} seeds, {} events, {} runs, {} kills; 0 invariants broken; {rate:.0} seeds/s/core",
        sum.events, sum.runs, sum.kills
    );
    // A simulation in which nothing happens breaks nothing.
    assert!(sum.runs > wanted && sum.kills > wanted / 4 && sum.acts > 5 * wanted, "hardly anything happens: {sum:?}");
}

fn one(seed: u64) -> ExitCode {
    let setups = setups::all();
    let setup = setup_of(&setups, seed);
    let went = play(setup, Choices::of_seed(seed), true);
    for line in &went.lines {
        println!("{line}");
    }
    println!("seed {seed}: {} events, digest {:016x}", went.counts.events, went.digest);
    match went.broken.clone() {
        None => {
            println!("every invariant held:");
            for invariant in Invariant::ALL {
                println!("  {}", invariant.sentence());
            }
            ExitCode::SUCCESS
        }
        Some(broken) => {
            println!("{}", report(setup, seed, &broken, went));
            ExitCode::FAILURE
        }
    }
}

/// As the test harness of the standard library, as far as `cargo test` asks for it.
pub(crate) fn main() -> ExitCode {
    if let Some(seed) = number("RECOVER_SEED") {
        return one(seed);
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let exact = args.iter().any(|arg| arg == "--exact");
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name: &str| {
        filters.is_empty() || filters.iter().any(|filter| if exact { name == *filter } else { name.contains(*filter) })
    };
    if args.iter().any(|arg| arg == "--list") {
        for (name, _) in TESTS.iter().filter(|(name, _)| wanted(name)) {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let (began, mut passed, mut failed) = (Instant::now(), 0, 0);
    let tests: Vec<&Test> = TESTS.iter().filter(|(name, _)| wanted(name)).collect();
    println!("\nrunning {} tests", tests.len());
    for (name, test) in &tests {
        let held = catch_unwind(test).is_ok();
        println!("test {name} ... {}", if held { "ok" } else { "FAILED" });
        if held { passed += 1 } else { failed += 1 }
    }
    println!(
        "\ntest result: {}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {} filtered out; finished in {:.2}s\n",
        if failed == 0 { "ok" } else { "FAILED" },
        TESTS.len() - tests.len(),
        began.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
