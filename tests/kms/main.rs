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
#[path = "../harness/packages.rs"]
mod packages;
#[path = "../harness/kubernetes/programs.rs"]
mod programs;
mod rows;
mod served;
mod surface;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use kms::{Kind, Site, Wanted};

/// A part: its name, what it is to run on, what it needs besides, and what it does.
type Part = (&'static str, Wanted, Needs, fn(&Site));

/// What not every machine or OpenBao can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    /// To start processes as somebody else.
    Users,
    /// A namespace with a seal of its own.
    NamespaceSeal,
    /// Metadata of a key that leaves a version out.
    Hiding,
    /// kube-apiserver and etcd.
    Kubernetes,
}

impl Needs {
    /// Why it cannot be had, if it cannot.
    fn missing(self, site: &Site) -> Option<&'static str> {
        match self {
            Self::Nothing | Self::Kubernetes => None,
            Self::Users => (!Site::users()).then_some("only root with setpriv can start processes as somebody else"),
            Self::NamespaceSeal => {
                (!site.peer.seals_namespaces()).then_some("this OpenBao's namespaces have no seal of their own")
            }
            Self::Hiding => (site.peer.name() == "real")
                .then_some("nothing that is asked of a real OpenBao makes it leave a version out"),
        }
    }
}

const fn wanted(auth: &'static str, generation: &'static str, nodes: usize) -> Wanted {
    Wanted { kind: Kind::Fake, auth, generation, nodes }
}

fn parts() -> Vec<Part> {
    let rows = rows::ROWS.iter().map(|(name, needs, row)| (*name, wanted("jwt", "g2", 2), *needs, *row));
    let surface = surface::PARTS
        .iter()
        .map(|(name, auth, generation, part)| (*name, wanted(auth, generation, 1), Needs::Nothing, *part));
    let served = served::PARTS.iter().map(|(name, part)| (*name, wanted("jwt", "g2", 2), Needs::Kubernetes, *part));
    rows.chain(surface).chain(served).collect()
}

/// So many parts run beside each other.
const AT_ONCE: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ran {
    Passed,
    Failed,
    Not,
}

fn one(kind: Kind, what: &str, (name, wanted, needs, part): Part) -> Ran {
    // A thread of its own, so that one that fails does not end the others.
    let ran = std::thread::spawn(move || {
        if needs == Needs::Kubernetes {
            kms::Cluster::there()?;
        }
        let site = Site::start(Wanted { kind, ..wanted })?;
        if let Some(why) = needs.missing(&site) {
            return Err(why.to_owned());
        }
        part(&site);
        assert_eq!(site.proxy.forbidden(), Vec::<String>::new());
        Ok(())
    });
    let (ran, said) = match ran.join().unwrap_or_else(|_| Err(String::new())) {
        Ok(()) => (Ran::Passed, "ok".to_owned()),
        Err(why) if why.is_empty() => (Ran::Failed, "FAILED".to_owned()),
        Err(why) => (Ran::Not, format!("NOT RUN: {why}")),
    };
    println!("kms: {what}: {name}: {said}");
    ran
}

fn main() -> ExitCode {
    if let Some(ended) = kms::stand_in() {
        return ended;
    }
    let parts = parts();
    openbao::knows_what_is_forbidden();
    // What test runners ask of every test binary.
    if std::env::args().any(|word| word == "--list") {
        parts.iter().for_each(|(name, ..)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let only = std::env::var("RECOVER_PART").unwrap_or_default();
    let kinds = [(Kind::Fake, "fake"), (Kind::Real, "real")];
    let all = kinds.iter().flat_map(|kind| parts.iter().map(move |part| (kind, part)));
    let all: Vec<_> = all.filter(|((_, what), (name, ..))| format!("{what}: {name}").contains(&only)).collect();
    let next = AtomicUsize::new(0);
    // They wait most of the time, and have nothing in common.
    let ran: Vec<Ran> = std::thread::scope(|scope| {
        let work = || {
            let mut ran = Vec::new();
            while let Some(((kind, what), part)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                ran.push(one(*kind, what, **part));
            }
            ran
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let count = |wanted: Ran| ran.iter().filter(|ran| **ran == wanted).count();
    let (passed, failed, ignored) = (count(Ran::Passed), count(Ran::Failed), count(Ran::Not));
    println!(
        "test result: {}. {passed} passed; {failed} failed; {ignored} ignored",
        if failed == 0 { "ok" } else { "FAILED" }
    );
    ExitCode::from(u8::from(failed > 0))
}
