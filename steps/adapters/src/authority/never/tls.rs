//! N6: nothing is said to a peer whose certificate the configured authority did not sign, for this name and this time; whatever
//! else the peer shows, its own authority too.

use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustls::{ServerConnection, StreamOwned};

use super::super::http::Http;
use super::certificates::{Ca, ca, message, server};
use super::wire::{CREDENTIAL, Wire, block_on};
use crate::fake::Reply;

#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Ours,
    Another,
    /// Another authority that gave itself the name of ours.
    Namesake,
    Itself,
}

const NAMES: &[&str] = &["127.0.0.1", "localhost", "127.0.0.2", "cp.example", "*.example"];
const GOOD: (i32, i32) = (2020, 2090);

struct Authorities {
    ours: Ca,
    another: Ca,
    namesake: Ca,
}

/// Listens once, and counts the requests that could be read.
fn listen(config: std::sync::Arc<rustls::ServerConfig>) -> (u16, std::sync::mpsc::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, heard) = channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let mut tls = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
        told.send(usize::from(message(&mut tls).is_some())).ok()
    });
    (port, heard)
}

#[test]
fn n6_nothing_is_said_to_a_peer_that_the_configured_authority_did_not_vouch_for() {
    let home = tempfile::tempdir().unwrap();
    let beside = tempfile::tempdir().unwrap();
    let all = Authorities {
        ours: ca(home.path(), "ours"),
        another: ca(home.path(), "another"),
        namesake: ca(beside.path(), "ours"),
    };
    let by = prop_oneof![3 => Just(By::Ours), 1 => Just(By::Another), 1 => Just(By::Namesake), 1 => Just(By::Itself)];
    let trusted = prop_oneof![5 => Just(Some(By::Ours)), 1 => Just(Some(By::Another)), 1 => Just(None)];
    let years = prop_oneof![3 => Just(GOOD), 1 => Just((2020, 2021)), 1 => Just((2089, 2090))];
    let name = prop_oneof![2 => Just("127.0.0.1"), 2 => prop::sample::select(NAMES)];
    let host = prop::sample::select(&["127.0.0.1", "localhost"][..]);
    let said = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    let config = Config { cases: 120, failure_persistence: None, ..Config::default() };
    let story = (by, trusted, years, name, host, any::<bool>());
    let told = TestRunner::new(config).run(&story, |(by, trusted, years, name, host, chain)| {
        let of = |by| match by {
            By::Ours => Some(&all.ours),
            By::Another => Some(&all.another),
            By::Namesake => Some(&all.namesake),
            By::Itself => None,
        };
        let (port, heard) = listen(server(of(by), name, years, chain));
        block_on(async {
            let wire = Wire::new(CREDENTIAL, |_, _| Reply::Reset).await;
            let mut config = wire.config("edge-1");
            config.base = format!("https://{host}:{port}").parse().unwrap();
            config.ca = trusted.and_then(of).map(|ca| ca.file.clone());
            _ = Http::new(config).unwrap().status().await;
        });
        let requests = heard.recv_timeout(Duration::from_secs(6)).unwrap_or(0);
        let vouched = trusted == Some(by) && years == GOOD && name == host;
        prop_assert_eq!(requests, usize::from(vouched));
        let count = if vouched { &said.0 } else { &said.1 };
        count.set(count.get() + 1);
        Ok(())
    });
    if let Err(why) = told {
        panic!("{why}");
    }
    assert!(said.0.get() > 3 && said.1.get() > 50, "one side hardly came up: {said:?}");
}
