//! Writes the committed corpus: `cargo run --release --example corpus`. Seeded, so that the same code writes the same files.
//!
//! It keeps the shortest of many random inputs for each way a history can end, and one record of each kind that they made. The
//! targets that read a format begin with inputs that were written by hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use recover_engine::{Kind, Record};
use recover_fuzz::{Choices, forge, seeds, tell};

const STORIES: u64 = 30_000;

/// SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Bytes that mostly choose the first of everything, so that stories get far.
fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let len = 40 + random(&mut state) % if seed.is_multiple_of(4) { 1_600 } else { 400 };
    let calm = random(&mut state) % 4 + 1;
    let byte = |state: &mut u64| if random(state) % 5 < calm { 0 } else { (random(state) % 256) as u8 };
    (0..len).map(|_| byte(&mut state)).collect()
}

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let seeds = [
        ("config", seeds::config()),
        ("arguments", seeds::arguments()),
        ("replies", seeds::replies()),
        ("import", seeds::import()),
    ];
    for (target, seeds) in seeds {
        for (name, bytes) in seeds {
            write(&corpus.join(target), &name, &bytes)?;
        }
    }
    let mut advance: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut records: BTreeMap<Kind, Vec<u8>> = BTreeMap::new();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 0..STORIES {
        let bytes = bytes(seed);
        let mut choices = Choices::new(&bytes);
        let mut ends = Vec::new();
        if choices.once_in(2) {
            let position = forge(&mut choices);
            ends.push(format!("forged-{}", position.state));
        } else {
            for entries in tell(&mut choices) {
                for entry in &entries {
                    let shortest = records.entry(entry.header().kind).or_insert_with(|| entry.bytes().to_vec());
                    if entry.bytes().len() < shortest.len() {
                        *shortest = entry.bytes().to_vec();
                    }
                }
                let Some(last) = entries.last() else { continue };
                ends.push(match Record::parse(last.header().kind, last.payload()) {
                    Ok(Record::Closed(ending)) => format!("told-{}", ending.verdict.as_str()),
                    _ => format!("told-open-at-{}", last.header().kind.as_str()),
                });
            }
        }
        for end in ends {
            *counts.entry(end.clone()).or_default() += 1;
            let shortest = advance.entry(end).or_insert_with(|| bytes.clone());
            if bytes.len() < shortest.len() {
                shortest.clone_from(&bytes);
            }
        }
    }
    for (end, bytes) in &advance {
        write(&corpus.join("advance"), end, bytes)?;
    }
    for (kind, bytes) in &records {
        write(&corpus.join("record"), kind.as_str(), bytes)?;
    }
    for (end, count) in counts {
        println!("{count:>7} {end}");
    }
    Ok(())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(name), bytes)
}
