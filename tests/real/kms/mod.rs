//! The KMS family: each row of the table is broken for real, recovered by the binary with kills at random moments, and asked of OpenBao,
//! of the providers and of the API servers. On the real OpenBao where `bao` is on PATH, and otherwise on the fake, which is said.

mod bench;
mod cases;
mod round;

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

/// Which OpenBao is had here.
fn begun() -> Result<(Bench, Option<String>), String> {
    let (bench, not_real) = match Bench::start(Kind::Real) {
        Ok(bench) => (bench, None),
        Err(why) => (Bench::start(Kind::Fake)?, Some(why)),
    };
    Ok((bench, not_real))
}

pub fn run(kills: u32) -> Ran {
    if let Err(why) = Cluster::there() {
        return Ran::Not(why);
    }
    if !Site::users() {
        return Ran::Not("only root with setpriv can start providers and API servers as somebody else".into());
    }
    let (bench, not_real) = match begun() {
        Ok(begun) => begun,
        Err(why) => return Ran::Not(why),
    };
    if let Some(why) = &not_real {
        println!("real: kms: THE REAL PART IS NOT RUN: {why}; this is the fake");
    }
    for (what, why) in CANNOT {
        println!("real kms: cannot be run for real: {what}: {why}");
    }
    let only = std::env::var("RECOVER_CASE").unwrap_or_default();
    let known = bench.scenarios();
    // Half of what other lanes make: each case is broken and mended anew for every few of them. Beside other lanes, as continuous
    // integration runs it, one kill and the cases that take little.
    let alone = std::env::var("RECOVER_REAL").is_ok_and(|lane| lane == "kms") && only != "beside";
    let kills = if alone { kills.div_ceil(2) } else { 1 };
    let (mut random, mut figures, mut problems, mut left_out) = (Random::new(7), Figures::default(), Vec::new(), 0);
    let chosen = |case: &&Case| if alone { case.name.contains(&only) } else { BESIDE_OTHERS.contains(&case.name) };
    if !alone {
        println!(
            "real kms: {} of {} cases; `cargo xtask real --lane kms` runs them all",
            BESIDE_OTHERS.len(),
            CASES.len()
        );
    }
    for case in CASES.iter().filter(chosen) {
        if let Some(why) = case.missing(&bench, &known) {
            println!("real kms: {}: NOT RUN: {why}", case.name);
            left_out += 1;
            continue;
        }
        let ran = whole(&bench, case, kills, &mut random);
        println!("real kms: {}: {} on the {} one", case.name, ran, bench.site.peer.name());
        figures.losses += ran.rounds;
        figures.kills += ran.kills;
        figures.resumed += ran.resumed;
        figures.overhead = figures.overhead.max(ran.took);
        problems.extend(ran.problems.iter().map(|problem| format!("{}: {problem}", case.name)));
        if !ran.problems.is_empty() && !bench.is_whole() {
            problems.push("what comes after would only tell of the same".into());
            break;
        }
    }
    let forbidden = bench.site.proxy.forbidden();
    println!("real kms: {} forbidden requests, {left_out} cases not run", forbidden.len());
    problems.extend(forbidden.iter().map(|request| format!("a forbidden request: {request}")));
    if figures.losses == 0 {
        return Ran::Not(format!("none of its cases could be run, on the {} OpenBao", bench.site.peer.name()));
    }
    Ran::Done { figures, problems }
}

/// One round without a kill, and as many with some as it takes.
fn whole(bench: &Bench, case: &Case, kills: u32, random: &mut Random) -> round::Told {
    let mut told = round::one(bench, case, 0, Duration::ZERO, random);
    let took = told.took;
    while told.kills < kills && told.problems.is_empty() && told.rounds <= kills {
        let next = round::one(bench, case, (kills - told.kills).min(round::KILLS_MOST), took, random);
        told.add(next);
    }
    told
}
