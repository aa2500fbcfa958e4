//! One contract suite on two servers: the fake always, the real OpenBao wherever `bao` is on PATH. Every request goes through a proxy
//! that is asked at the end whether any of them was forbidden.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    reason = "a program for developers: what does not hold ends it, and nobody links against it"
)]

mod beyond;
mod contract;
#[path = "../../../../tests/harness/openbao/mod.rs"]
mod openbao;

use std::process::ExitCode;

use contract::{PARTS, Site};

fn main() -> ExitCode {
    // What test runners ask of every test binary.
    if std::env::args().any(|word| word == "--list") {
        PARTS.iter().chain(beyond::PARTS).for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    openbao::knows_what_is_forbidden();
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for (what, site) in [("fake", Site::fake as fn() -> Result<Site, String>), ("real", Site::real)] {
        for (name, part) in PARTS.iter().chain(beyond::PARTS) {
            // A thread of its own, so that one that fails does not end the others.
            let ran = std::thread::spawn(move || {
                let site = site()?;
                part(&site);
                assert_eq!(site.proxy.forbidden(), Vec::<String>::new());
                let sends = PARTS.iter().any(|(sends, _)| sends == name);
                assert!(!sends || !site.proxy.ledger().is_empty(), "nothing went through the proxy");
                Ok(())
            });
            match ran.join().unwrap_or_else(|_| Err(String::new())) {
                Ok(()) => {
                    println!("openbao: {what}: {name}: ok");
                    passed += 1;
                }
                Err(why) if why.is_empty() => {
                    println!("openbao: {what}: {name}: FAILED");
                    failed += 1;
                }
                Err(why) => {
                    println!("openbao: {what}: {name}: NOT RUN: {why}");
                    ignored += 1;
                }
            }
        }
    }
    let all = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {all}. {passed} passed; {failed} failed; {ignored} ignored");
    ExitCode::from(u8::from(failed > 0))
}
