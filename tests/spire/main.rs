//! One contract suite on two servers: the fake always, the real SPIRE wherever `spire-server` and `spire-agent` are on PATH.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    reason = "a program for developers: what does not hold ends it, and nobody links against it"
)]

mod contract;
#[path = "../harness/spire/mod.rs"]
mod spire;

use std::process::ExitCode;

use contract::PARTS;
use spire::Site;

fn main() -> ExitCode {
    if let Some(ended) = spire::stand_in() {
        return ended;
    }
    // What test runners ask of every test binary.
    if std::env::args().any(|word| word == "--list") {
        PARTS.iter().for_each(|(name, ..)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    let only = std::env::var("RECOVER_PART").unwrap_or_default();
    let parts: Vec<_> = PARTS.iter().filter(|(name, ..)| name.contains(&only)).collect();
    for (what, site) in
        [("fake", (|ttl_s| Ok(Site::fake(ttl_s))) as fn(u32) -> Result<Site, String>), ("real", Site::real)]
    {
        // They wait most of the time, and have nothing in common.
        let ran: Vec<Result<(), String>> = std::thread::scope(|scope| {
            let run = |part: fn(&Site), ttl_s: u32| {
                move || match site(ttl_s) {
                    Ok(site) => {
                        part(&site);
                        Ok(())
                    }
                    Err(why) => Err(why),
                }
            };
            let running: Vec<_> = parts.iter().map(|(_, part, ttl_s)| scope.spawn(run(*part, *ttl_s))).collect();
            running.into_iter().map(|part| part.join().unwrap_or_else(|_| Err(String::new()))).collect()
        });
        for ((name, ..), ran) in parts.iter().zip(ran) {
            match ran {
                Ok(()) => {
                    println!("spire: {what}: {name}: ok");
                    passed += 1;
                }
                Err(why) if why.is_empty() => {
                    println!("spire: {what}: {name}: FAILED");
                    failed += 1;
                }
                Err(why) => {
                    println!("spire: {what}: {name}: NOT RUN: {why}");
                    ignored += 1;
                }
            }
        }
    }
    println!(
        "test result: {}. {passed} passed; {failed} failed; {ignored} ignored",
        if failed == 0 { "ok" } else { "FAILED" }
    );
    ExitCode::from(u8::from(failed > 0))
}
