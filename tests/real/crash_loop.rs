//! A unit that ends and is started again by its manager, again and again: what it cannot live without, and what is done about it.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bench::Bench;
use crate::lane::{self, System};
use crate::unit::{Manager, UNIT, Unit};

const GO: &[&str] = &["--scenario", "crash-loop", "--target", "edge-1", "--output", "json"];
/// The exit of a run that left something for a person.
const LEFT: Option<i32> = Some(3);

struct Told {
    exit: Option<i32>,
    line: Value,
}

fn run(bench: &Bench) -> Told {
    let output = bench.recover(GO);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
    Told { exit: output.status.code(), line: line.unwrap_or_else(|| String::from_utf8_lossy(&output.stderr).into()) }
}

/// How long something may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(60);

fn until(what: &str, problems: &mut Vec<String>, holds: impl Fn() -> bool) {
    let until = Instant::now() + WITHIN;
    while !holds() {
        if Instant::now() > until {
            problems.push(format!("{what} did not come about"));
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The table's row C13 on a real manager: a lost identity, a cause that nobody mends, and one that somebody mends.
pub fn c13<M: Manager + Sync>(system: &Unit<M>, bench: &Bench, command: &[String], lines: &str) -> Vec<String> {
    let manager = &system.manager;
    let mut problems = Vec::new();
    bench.configure("timing = { observe = \"1s\", steady = \"2s\" }");
    let broken = bench.sandbox().dir().join("broken");
    let script = bench.sandbox().dir().join("fragile.sh");
    let text = format!(
        "#!/bin/sh\n[ ! -e {} ] || {{ echo 'bad configuration'; exit 3; }}\nexec \"$@\" --ends\n",
        broken.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let fragile = [vec![script.display().to_string()], command.to_vec()].concat();
    let loops = |problems: &mut Vec<String>| {
        until("a loop", problems, || manager.property("NRestarts").parse::<u32>().is_ok_and(|n| n >= 3));
    };
    let mut expect = |what: &str, told: Told, exit: Option<i32>, says: &str, state: &str| {
        let active = manager.property("ActiveState");
        if told.exit != exit || !told.line.to_string().contains(says) || active != state {
            problems.push(format!("{what}: exit {:?}, the unit is {active}: {}", told.exit, told.line));
        }
    };

    system.lose(bench, false);
    manager.done(&["stop", UNIT]);
    manager.write_unit(&fragile, lines);
    manager.done(&["start", UNIT]);
    let mut waited = Vec::new();
    loops(&mut waited);
    let before = bench.ledger();
    expect("its identity is lost", run(bench), LEFT, "\"suggested_scenario\":\"identity-loss\"", "inactive");
    for effect in ["mints", "pairs", "revokes"] {
        if bench.ledger()[effect] != before[effect] {
            waited.push(format!("{effect} changed where only a look was due: {}", bench.ledger()));
        }
    }
    let recovered = bench.recover(lane::GO);
    if !recovered.status.success() || bench.ledger()["pairs"] != 1 {
        waited.push(format!("it was not recovered from there: {}", String::from_utf8_lossy(&recovered.stderr)));
    }

    std::fs::write(&broken, "").unwrap();
    manager.systemctl(&["restart", UNIT]);
    loops(&mut waited);
    expect("nobody mends it", run(bench), LEFT, "does not last", "inactive");

    manager.systemctl(&["start", UNIT]);
    loops(&mut waited);
    let told = std::thread::scope(|scope| {
        scope.spawn(|| {
            until("a stop", &mut Vec::new(), || manager.property("ActiveState") == "inactive");
            std::fs::remove_file(&broken).unwrap();
        });
        run(bench)
    });
    expect("it is mended while it is held stopped", told, Some(0), "\"verdict\":\"recovered\"", "active");
    expect("it lives", run(bench), Some(8), "this is no crash loop", "active");
    problems.extend(waited);
    problems
}
