//! The contract: what `recover` relies on of a SPIRE server and its agent, step by step, on whichever of the two is given.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use recover_adapters::{Connector, SecretsDir};
use recover_engine::{Act, Doing, Effect, FenceRaised, Key, Millis, Performed, Probed, RunId, World};
use recover_steps::{
    AwaitOnline, Awaited, Durability, Evict, Evicted, Minted, Observe, Observed, Pair, Paired, ProveDurable,
    ProveStopped, Proven, PutBack, Reparent, Reparented, Restart, Restarted, RevokeOrphan, RevokeStale, Revoked,
    SetAside, Start, Started, Stop, Stopped, Storage, Token, Validate, Validated, Withdraw,
};

use sha2::{Digest as _, Sha256};

use crate::spire::{ALIAS, DOMAIN, Site, WORK};

const TTL_S: u32 = 9;
/// A part of it: its name, what it does, and for how many seconds an agent's certificate is good meanwhile.
pub type Part = (&'static str, fn(&Site), u32);

const HOUR: u32 = 3_600;

/// All of them.
pub const PARTS: &[Part] = &[
    ("an agent is seen from never paired to lost", seen, HOUR),
    ("one loss is recovered step by step, and what belonged to the old agent is the new one's", recovered, HOUR),
    ("a token works once, and not after its time", once, HOUR),
    ("a token is waited out, and none of it is left", waited_out, HOUR),
    ("a lost answer loses nothing", lost_answer, HOUR),
    ("a pairing that nobody answers ends without an agent", not_paired, HOUR),
    ("an agent whose certificate ran out is lost, and its directory goes aside", ran_out, 8),
];

/// A connector at a site, as one run acts on it.
struct Bench<'a> {
    site: &'a Site,
    connector: Connector,
    run: RunId,
    epoch: String,
    runtime: tokio::runtime::Runtime,
}

fn now() -> Millis {
    Millis(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap())
}

impl<'a> Bench<'a> {
    fn new(site: &'a Site) -> Self {
        let config = serde_json::from_value(site.target("9s")).unwrap();
        let connector = Connector::new(config, SecretsDir::new(Some(site.secrets()), None)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { site, connector, run: RunId::new(now(), [7; 10]), epoch: "none".into(), runtime }
    }

    fn act<E: Effect>(&self, effect: &E, ordinal: u32) -> Act {
        let doing = Doing::of(effect);
        Act {
            run: self.run,
            target: "edge-1".into(),
            subject: ALIAS.into(),
            epoch: Some(self.epoch.clone()),
            key: Key::effect(ALIAS, &self.epoch, doing.step, ordinal),
            doing: doing.into(),
            ordinal,
            attempt: 1,
            fenced: false,
        }
    }

    fn perform<E: Effect>(&self, effect: &E, ordinal: u32) -> Performed {
        let performed = self.runtime.block_on(self.connector.perform(&self.act(effect, ordinal)));
        // Before it was used a token is nowhere but on tmpfs; after that it is the last part of an id, which is not shown either.
        let shown = format!("{performed:?}");
        assert!(!shown.contains("join_token/"), "{shown}");
        for secret in self.secrets() {
            assert!(!shown.contains(&secret), "a token is given away");
        }
        performed
    }

    fn happens<E: Effect>(&self, effect: &E) -> E::Event {
        let performed = self.perform(effect, 0);
        let Performed::Happened(seen) = performed else { panic!("{}: {performed:?}", E::NAME) };
        seen.told.data.to().unwrap()
    }

    fn mint(&self, ordinal: u32) -> Token {
        let performed = self.perform(&recover_steps::Mint { ttl_s: TTL_S }, ordinal);
        let Performed::Happened(seen) = performed else { panic!("{performed:?}") };
        let Minted::Minted { token } = seen.told.data.to().unwrap();
        token
    }

    fn fence<E: Effect>(&self, effect: &E, ordinal: u32) -> Probed {
        let mut act = self.act(effect, ordinal);
        for _ in 0..2 {
            let raised = self.runtime.block_on(self.connector.fence(&act));
            assert!(matches!(raised, FenceRaised::Up(_)), "{raised:?}");
        }
        act.fenced = true;
        self.runtime.block_on(self.connector.probe(&act))
    }

    fn probe<E: Effect>(&self, effect: &E, ordinal: u32) -> Probed {
        self.runtime.block_on(self.connector.probe(&self.act(effect, ordinal)))
    }

    fn start(&self) -> recover_steps::Instance {
        let Started::Started { instance } = self.happens(&Start {});
        instance
    }

    /// What is sealed on tmpfs.
    fn secrets(&self) -> Vec<String> {
        let folders = std::fs::read_dir(self.site.secrets()).into_iter().flatten();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
        let sealed = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        let sealed = sealed.filter_map(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        sealed.map(|sealed| sealed["secret"].as_str().unwrap().to_owned()).collect()
    }

    /// Seals a token as a mint does before it asks for it.
    fn seal(&self, ordinal: u32, secret: &str) -> Token {
        let id = format!("spiffe://{DOMAIN}/spire/agent/join_token/{secret}");
        let digest: String = Sha256::digest(id).iter().map(|byte| format!("{byte:02x}")).collect();
        let token = Token {
            accessor: format!("agent-{}", &digest[..40]),
            label: format!("recover-{}-{ordinal}", self.run),
            expires_at: Millis(now().0 + i64::from(TTL_S) * 1_000 + 5_000),
        };
        let sealed = serde_json::json!({ "label": token.label, "accessor": token.accessor, "expires_at": token.expires_at, "secret": secret });
        let file = self.site.secrets().join(self.run.to_string()).join(format!("{}.json", token.label));
        std::fs::write(file, sealed.to_string()).unwrap();
        token
    }

    fn await_online(&self, serial: &str, instance: &recover_steps::Instance) -> Awaited {
        let (serial, instance) = (serial.to_owned(), instance.clone());
        self.happens(&AwaitOnline { serial, instance, observe_ms: 300, within_ms: 15_000 })
    }

    /// The loss, as it is seen.
    fn lost(&mut self) -> recover_steps::Loss {
        let Observed::Lost(loss) = self.happens(&Observe {}) else { panic!("it is lost") };
        self.epoch.clone_from(&loss.epoch);
        loss
    }
}

fn seen(site: &Site) {
    let mut bench = Bench::new(site);
    assert!(matches!(bench.happens(&Observe {}), Observed::NeverPaired { .. }));
    let first = bench.perform(&recover_steps::InspectEnrollment {}, 0);
    assert!(matches!(&first, Performed::Refused(reason) if reason.text.contains("token generate")), "{first:?}");
    site.enrol();
    let Observed::Usable { status, online: false, serial, running: None, .. } = bench.happens(&Observe {}) else {
        panic!("the identity is there, and nothing runs")
    };
    assert_eq!(status, "offline");
    // On its own storage it needs no token.
    let instance = bench.start();
    assert_eq!(bench.await_online(&serial, &instance), Awaited::Online { serial: serial.clone() });
    assert!(matches!(bench.happens(&Observe {}), Observed::Usable { online: true, .. }));
    site.lose(None);
    let loss = bench.lost();
    assert_eq!((loss.epoch, loss.foreign), (serial, None));
}

fn recovered(site: &Site) {
    let mut bench = Bench::new(site);
    let old = site.enrol();
    site.lose(None);
    let from = bench.lost().epoch;
    bench.happens(&Stop {});
    assert_eq!(bench.happens(&RevokeStale {}), Revoked::Revoked { live: 0 });
    let token = bench.mint(0);
    assert!(!format!("{token:?}").contains(&bench.secrets()[0]));
    assert_eq!(site.peer.agents(), std::slice::from_ref(&old), "nothing pairs by being minted");
    assert_eq!(bench.happens(&ProveStopped {}), Proven::Stopped);
    let Paired::Paired { serial, instance } = bench.happens(&Pair { token: token.clone(), within_ms: 15_000 });
    assert_eq!(serial, token.accessor);
    let _ = bench.happens(&Withdraw { token });
    assert!(bench.secrets().is_empty() && !site.token_file().exists());
    let step = Reparent { from: from.clone(), serial: serial.clone() };
    let evict = Evict { from, serial: serial.clone() };
    assert!(!matches!(bench.perform(&evict, 0), Performed::Happened(_)), "not before the new one has its place");
    assert_eq!(bench.happens(&step), Reparented::Reparented { entries: 1 });
    assert_eq!(bench.happens(&step), Reparented::Reparented { entries: 0 }, "it is done once");
    assert!(site.peer.entries().contains(&(WORK.to_owned(), ALIAS.to_owned())), "{:?}", site.peer.entries());
    let instance = instance.unwrap();
    assert_eq!(bench.await_online(&serial, &instance), Awaited::Online { serial: serial.clone() });
    let Restarted::Restarted { instance } = bench.happens(&Restart { from: instance });
    assert_eq!(bench.await_online(&serial, &instance), Awaited::Online { serial: serial.clone() });
    let validated = bench.happens(&Validate { serial: serial.clone(), instance });
    assert!(matches!(validated, Validated::Validated { .. }), "{validated:?}");
    assert_eq!(site.peer.agents().len(), 2, "the old one stays until it is evicted");
    assert_eq!(bench.happens(&evict), Evicted::Evicted);
    assert_eq!(bench.happens(&evict), Evicted::Evicted, "one that is not there is evicted");
    let agents = site.peer.agents();
    assert!(agents.len() == 1 && agents[0] != old, "{agents:?}");
    let entries = site.peer.entries();
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert!(entries.contains(&(ALIAS.to_owned(), agents[0].clone())), "{entries:?}");
    assert_ne!(site.peer.has_svid(site.home()), Some(false), "what hangs below it has an identity again");
    assert_eq!(bench.happens(&Stop {}), Stopped::Stopped);
}

fn once(site: &Site) {
    let token = site.peer.mint(60, None);
    assert!(site.attest(&token, "data"));
    assert!(site.attest("what-is-not-looked-at", "data"), "with its identity it needs none");
    site.lose(None);
    assert!(!site.attest(&token, "data"), "a token works once");
    let late = site.peer.mint(1, None);
    std::thread::sleep(Duration::from_millis(2_100));
    assert!(!site.attest(&late, "data"), "a token does not work after its time");
    assert_eq!(site.peer.agents().len(), 1);
    let file = site.token_file();
    let words = [site.peer.command(site.home()), vec!["-joinTokenFile".into(), file.display().to_string()]].concat();
    for text in [None, Some("")] {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let ended = std::process::Command::new(&words[0]).args(&words[1..]).output().unwrap();
        assert!(
            !ended.status.success(),
            "told of a file that is not there or empty, an agent does not start: {text:?}"
        );
    }
}

fn waited_out(site: &Site) {
    let mut bench = Bench::new(site);
    site.enrol();
    site.lose(None);
    bench.lost();
    let begun = Instant::now();
    let token = bench.mint(0);
    let again = bench.perform(&recover_steps::Mint { ttl_s: TTL_S }, 0);
    assert!(matches!(again, Performed::Unknown { .. }), "what is sealed is not written over: {again:?}");
    let orphan = RevokeOrphan { token };
    let Performed::Retry { after_ms: Some(after_ms), .. } = bench.perform(&orphan, 0) else {
        panic!("it is waited for")
    };
    assert!(bench.secrets().is_empty(), "no copy is left while it is waited for");
    assert!((1_000..=u64::from(TTL_S) * 1_000 + 3_000).contains(&after_ms), "{after_ms}");
    std::thread::sleep(Duration::from_millis(after_ms));
    assert_eq!(bench.happens(&orphan), Revoked::Revoked { live: 0 });
    assert!(begun.elapsed() >= Duration::from_secs(TTL_S.into()) && site.peer.live_tokens().unwrap_or(0) == 0);
}

fn lost_answer(site: &Site) {
    let mut bench = Bench::new(site);
    site.enrol();
    site.lose(None);
    bench.lost();
    let mint = recover_steps::Mint { ttl_s: TTL_S };
    assert!(matches!(bench.probe(&mint, 0), Probed::Absent(_)), "nothing is sealed");
    site.peer.lose_next_reply("/spire.api.server.agent.v1.Agent/CreateJoinToken");
    let token = bench.mint(0);
    assert_eq!(bench.secrets().len(), 1);
    // As after a kill between the mint and its record: what is sealed is what there is.
    let Probed::Happened(seen) = bench.probe(&mint, 0) else { panic!("it is there") };
    let Minted::Minted { token: probed } = seen.told.data.to().unwrap();
    assert_eq!(probed.accessor, token.accessor);
    // Whether it was made is made sure of: it works, and once.
    let Paired::Paired { serial, .. } = bench.happens(&Pair { token: probed, within_ms: 15_000 });
    assert_eq!(serial, token.accessor);
    assert_eq!(site.peer.agents().len(), 2);
    // Sealed and never asked for, as where the process was killed between the two: it is asked for before it is shown.
    bench.happens(&Stop {});
    site.lose(None);
    let sealed = bench.seal(2, "sealed-and-never-asked-for");
    let Probed::Happened(seen) = bench.probe(&mint, 2) else { panic!("it is sealed") };
    assert_eq!(seen.told.data.to::<Minted>().unwrap(), Minted::Minted { token: sealed.clone() });
    let Paired::Paired { serial, .. } = bench.happens(&Pair { token: sealed.clone(), within_ms: 15_000 });
    assert_eq!((serial, site.peer.agents().len()), (sealed.accessor, 3));
    bench.happens(&Stop {});
    let begun = Instant::now();
    let absent = bench.fence(&mint, 1);
    assert!(matches!(absent, Probed::Absent(_)), "{absent:?}");
    assert!(begun.elapsed() >= Duration::from_secs(TTL_S.into()), "of what nobody knows the whole time is waited out");
}

fn not_paired(site: &Site) {
    let mut bench = Bench::new(site);
    site.enrol();
    site.lose(None);
    bench.lost();
    let token = bench.mint(0);
    // Somebody else is quicker, so that the attempt finds the token used: on another agent's storage it makes an agent.
    let secret = bench.secrets().remove(0);
    assert!(site.attest(&secret, "data"));
    site.lose(None);
    let pair = Pair { token: token.clone(), within_ms: 4_000 };
    let performed = bench.perform(&pair, 0);
    assert!(
        matches!(performed, Performed::Unknown { .. }),
        "a token that was used before is not handed over: {performed:?}"
    );
    assert!(!site.token_file().exists());
    assert!(matches!(bench.probe(&pair, 0), Probed::Happened(_)), "there is an agent of this token");
    // One that was killed before the token was shown: after the fence it can come to nothing any more.
    let token = bench.mint(1);
    let (begun, agents) = (Instant::now(), site.peer.agents().len());
    let absent = bench.fence(&Pair { token, within_ms: 4_000 }, 1);
    assert!(matches!(absent, Probed::Absent(_)), "{absent:?}");
    assert!(begun.elapsed() >= Duration::from_secs(u64::from(TTL_S) - 1), "its time is waited out");
    assert!(!site.token_file().exists() && site.peer.agents().len() == agents);
}

fn ran_out(site: &Site) {
    let mut bench = Bench::new(site);
    site.enrol();
    let Observed::Usable { serial, .. } = bench.happens(&Observe {}) else { panic!("it is good for a while") };
    std::thread::sleep(Duration::from_secs(9));
    let loss = bench.lost();
    assert_eq!(loss.epoch, serial);
    assert!(loss.foreign.as_ref().is_some_and(|foreign| foreign.contains("expired since")), "{loss:?}");
    // With nothing but a certificate that is over it never serves again.
    let instance = bench.start();
    let awaited = bench.happens(&AwaitOnline { serial: serial.clone(), instance, observe_ms: 300, within_ms: 3_000 });
    assert!(matches!(awaited, Awaited::NotOnline { .. }), "{awaited:?}");
    bench.happens(&Stop {});
    let durable = ProveDurable { storage: Storage::Target };
    let occupied = bench.happens(&durable);
    assert!(
        matches!(&occupied, Durability::Occupied { serial: found, .. } if found.starts_with(&serial)),
        "{occupied:?}"
    );
    let _ = bench.happens(&SetAside {});
    assert!(matches!(bench.happens(&durable), Durability::Durable { .. }));
    assert!(site.identity().1.is_empty(), "what was there is aside");
    let _ = bench.happens(&PutBack {});
    assert!(!site.identity().1.is_empty(), "and can come back");
}
