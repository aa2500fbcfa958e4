//! The other side of the KMS family, tried by itself: each row of the table of symptoms is broken for real, seen as it is described,
//! mended as a person would do it by hand, and an old object is read again. On the fake OpenBao always, and on the real one wherever
//! `bao` is on PATH.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    reason = "a program for developers: what does not hold ends it, and nobody links against it"
)]

#[path = "../harness/kms/mod.rs"]
mod kms;
#[path = "../harness/openbao/mod.rs"]
mod openbao;
mod rows;
mod surface;

use std::process::ExitCode;

use kms::{Kind, Site, Wanted};

/// A part: its name, what it needs, and what it does.
type Part = (&'static str, Wanted, fn(&Site));

const fn wanted(auth: &'static str, generation: &'static str, nodes: usize) -> Wanted {
    Wanted { kind: Kind::Fake, auth, generation, nodes }
}

fn parts() -> Vec<Part> {
    let rows = rows::ROWS.iter().map(|(name, row)| (*name, wanted("jwt", "g2", 2), *row));
    let surface = surface::PARTS.iter().map(|(name, auth, generation, part)| (*name, wanted(auth, generation, 1), *part));
    rows.chain(surface).collect()
}

fn main() -> ExitCode {
    if let Some(ended) = kms::stand_in() {
        return ended;
    }
    let parts = parts();
    // What test runners ask of every test binary.
    if std::env::args().any(|word| word == "--list") {
        parts.iter().for_each(|(name, ..)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let only = std::env::var("RECOVER_PART").unwrap_or_default();
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for kind in [Kind::Fake, Kind::Real] {
        let what = if kind == Kind::Fake { "fake" } else { "real" };
        for (name, wanted, part) in parts.iter().filter(|(name, ..)| name.contains(&only)) {
            let (wanted, part) = (Wanted { kind, ..*wanted }, *part);
            // A thread of its own, so that one that fails does not end the others.
            let ran = std::thread::spawn(move || {
                let site = Site::start(wanted)?;
                part(&site);
                assert_eq!(site.proxy.forbidden(), Vec::<String>::new());
                Ok(())
            });
            match ran.join().unwrap_or_else(|_| Err(String::new())) {
                Ok(()) => {
                    println!("kms: {what}: {name}: ok");
                    passed += 1;
                }
                Err(why) if why.is_empty() => {
                    println!("kms: {what}: {name}: FAILED");
                    failed += 1;
                }
                Err(why) => {
                    println!("kms: {what}: {name}: NOT RUN: {why}");
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
