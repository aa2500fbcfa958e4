//! The KMS family: each row of the table is broken for real, recovered by the binary with kills at random moments, and asked of OpenBao,
//! of the providers and of the API servers. On the real OpenBao where `bao` is on PATH, and otherwise on the fake, which is said.

mod bench;
mod cases;
mod round;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::kms::{Cluster, Kind, Site};
use crate::lane::{Figures, Ran};
use crate::random::Random;
use bench::Bench;
use cases::{CASES, Case};

/// What no machine can show here, and why.
const CANNOT: &[(&str, &str)] = &[
    ("K14", "there is no kubelet and no container runtime here: pods cannot run"),
    ("bao-kms-provider", "it could not be had: a stand-in of the harness speaks its documented interface"),
    (
        "PKCS#11, SPIFFE",
        "the provider's own sources of a certificate: in place of a module there is a file of keys that opens with the PIN",
    ),
    ("K10 on the real OpenBao", "nothing that is asked of one makes it leave a version out: on the fake alone"),
    ("K3, a namespace's own seal", "it came with OpenBao 2.6; where `bao` is older it is on the fake alone"),
    ("K11, K12", "the trouble itself is the stand-in's: a version with a bug, and a race that a signal starts"),
];

/// The cases that are run where the lane is one of many, and with `RECOVER_CASE=beside`.
const BESIDE_OTHERS: &[&str] = &[
    "K1 socket gone",
    "K2 socket not permitted",
    "K3 sealed",
    "K3 down",
    "K5 deletion allowed",
    "K19 upsert allowed",
    "K7 soft-deleted",
    "K8 identity drifted",
    "K8 state lost",
    "K18 node replaced",
    "K13 minimum raised",
];

/// Which OpenBao is had here, and what is begun on it.
fn begun(auth: &'static str) -> Result<(Bench, Option<String>), String> {
    match Bench::start(Kind::Real, auth) {
        Ok(bench) => Ok((bench, None)),
        Err(why) => Ok((Bench::start(Kind::Fake, auth)?, Some(why))),
    }
}

/// What does not hold ends a case, and no other one.
fn caught<T>(what: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(what)).map_err(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no word of why");
        format!("what the lane does could not go on: {}", said.lines().next().unwrap_or_default())
    })
}

/// A site that is whole, for this case: the one that is there, or a new one. What no real OpenBao can be brought to is on the fake.
fn site(there: Option<Bench>, case: &Case) -> Result<Bench, String> {
    let fits = |bench: &Bench| bench.auth == case.auth && (!case.only_fake || bench.site.peer.name() == "fake");
    match there {
        Some(bench) if fits(&bench) => Ok(bench),
        other => {
            drop(other);
            let begin = || {
                let fake = case.only_fake.then(|| Bench::start(Kind::Fake, case.auth));
                fake.unwrap_or_else(|| begun(case.auth).map(|(bench, _)| bench))
            };
            caught(begin)?
        }
    }
}

pub fn run(kills: u32) -> Ran {
    if let Err(why) = Cluster::there() {
        return Ran::Not(why);
    }
    if !Site::users() {
        return Ran::Not("only root with setpriv can start providers and API servers as somebody else".into());
    }
    let only = std::env::var("RECOVER_CASE").unwrap_or_default();
    // Half of what other lanes make: each case is broken and mended anew for every few of them. Beside other lanes, as continuous
    // integration runs it, one kill and the cases that take little.
    let alone = std::env::var("RECOVER_REAL").is_ok_and(|lane| lane == "kms") && only != "beside";
    let kills = if alone { kills.div_ceil(2) } else { 1 };
    let named = |case: &Case| only.split(',').any(|only| case.name.contains(only.trim_start()));
    let chosen = |case: &&Case| if alone { named(case) } else { BESIDE_OTHERS.contains(&case.name) };
    let cases: Vec<&Case> = CASES.iter().filter(chosen).collect();
    let (first, not_real) = match begun(cases.first().map_or("jwt", |case| case.auth)) {
        Ok(begun) => begun,
        Err(why) => return Ran::Not(why),
    };
    if let Some(why) = &not_real {
        println!("real: kms: THE REAL PART IS NOT RUN: {why}; this is the fake");
    }
    for (what, why) in CANNOT {
        println!("real kms: cannot be run for real: {what}: {why}");
    }
    if !alone {
        println!(
            "real kms: {} of {} cases; `cargo xtask real --lane kms` runs them all",
            BESIDE_OTHERS.len(),
            CASES.len()
        );
    }
    let known = first.scenarios();
    let (mut random, mut figures, mut problems) = (Random::new(7), Figures::default(), Vec::new());
    let (mut left_out, mut forbidden) = (0, 0);
    let mut there = Some(first);
    for case in cases {
        let bench = match site(there.take(), case) {
            Ok(bench) => bench,
            Err(why) => {
                println!("real kms: {}: FAILED: no site for it: {why}", case.name);
                problems.push(format!("{}: no site for it: {why}", case.name));
                continue;
            }
        };
        if !known.contains(case.scenario) {
            println!("real kms: {}: NOT RUN: this build has no scenario {}", case.name, case.scenario);
            left_out += 1;
            there = Some(bench);
            continue;
        }
        let openbao = bench.site.peer.name();
        let before = bench.site.proxy.forbidden().len();
        let mut ran = round::Told::default();
        if let Err(why) = caught(|| whole(&bench, case, kills, &mut random, &mut ran)) {
            ran.problems.push(why);
        }
        let asked = bench.site.proxy.forbidden().split_off(before);
        println!("real kms: {}: {ran}; {} forbidden requests; on the {openbao} one", case.name, asked.len());
        ran.problems.extend(asked.iter().map(|request| format!("a forbidden request: {request}")));
        forbidden += asked.len();
        figures.losses += ran.rounds;
        figures.kills += ran.kills;
        figures.resumed += ran.resumed;
        figures.overhead = figures.overhead.max(ran.took);
        ran.problems.iter().for_each(|problem| println!("real kms: {}: FAILED: {problem}", case.name));
        problems.extend(ran.problems.iter().map(|problem| format!("{}: {problem}", case.name)));
        // What a case left broken would fail the ones after it: they begin on a new site. So do those after one on the fake.
        there = (ran.problems.is_empty() && !case.only_fake).then_some(bench);
    }
    println!("real kms: {forbidden} forbidden requests, {left_out} cases not run");
    if figures.losses == 0 && problems.is_empty() {
        return Ran::Not("none of its cases could be run".into());
    }
    Ran::Done { figures, problems }
}

/// So many rounds in a row may end before their kills come.
const MISSED_MOST: u32 = 6;

/// One round without a kill, and as many with some as it takes.
fn whole(bench: &Bench, case: &Case, kills: u32, random: &mut Random, told: &mut round::Told) {
    round::one(bench, case, 0, Duration::ZERO, random, told);
    let took = told.took;
    let mut missed = 0;
    while told.kills < kills && told.problems.is_empty() && missed < MISSED_MOST {
        let before = told.kills;
        // Where a run waits for a person, what is killed is shorter than the whole: after a round in vain it is tried sooner.
        let within = took / (1 << missed);
        round::one(bench, case, (kills - told.kills).min(round::KILLS_MOST), within, random, told);
        missed = if told.kills == before { missed + 1 } else { 0 };
    }
    if told.kills < kills && told.problems.is_empty() {
        told.problems.push(format!("of {kills} kills only {} met it", told.kills));
    }
    told.took = took;
}
