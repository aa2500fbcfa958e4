//! Words of the command line that do not fit.

use crate::{Case, World, handled, refused};

/// Every verb with the least that it takes.
const VERBS: &[&[&str]] = &[
    &["plan"],
    &["diagnose"],
    &["doctor"],
    &["rehearse"],
    &["resume"],
    &["approve", "run_0", "--reason", "r"],
    &["deny", "run_0", "--reason", "r"],
    &["cancel", "run_0"],
    &["resolve", "run_0", "--step", "pair", "--absent", "--reason", "r"],
    &["abandon", "run_0", "--reason", "r"],
    &["status"],
    &["list"],
    &["events"],
    &["watch"],
    &["show", "run_0"],
    &["scenarios"],
    &["graph", "identity-loss"],
    &["check"],
    &["replay", "run_0"],
    &["verify", "--all"],
    &["journal", "verify"],
    &["journal", "salvage", "--reason", "r"],
    &["journal", "adopt", "--reason", "r"],
    &["journal", "clear", "key", "--reason", "r"],
    &["journal", "stats"],
    &["sandbox", "up", "--dir", "@/s"],
    &["sandbox", "lose-identity", "--dir", "@/s"],
    &["sandbox", "fault", "--dir", "@/s", "clear"],
    &["sandbox", "ledger", "--dir", "@/s"],
    &["sandbox", "down", "--dir", "@/s"],
    &["config", "schema"],
    &["config", "show"],
    &["explain", "RCV0001"],
];

/// Verbs with something missing.
const INCOMPLETE: &[&[&str]] = &[
    &[],
    &["approve"],
    &["approve", "run_0"],
    &["deny", "run_0"],
    &["cancel"],
    &["resolve", "run_0", "--step", "pair", "--reason", "r"],
    &["resolve", "run_0", "--absent", "--reason", "r"],
    &["resolve", "run_0", "--step", "pair", "--absent"],
    &["resolve", "run_0", "--step", "pair", "--happened", "--absent", "--reason", "r"],
    &["resolve", "run_0", "--step", "pair", "--absent", "--reason", "r", "--data", "{}"],
    &["abandon", "run_0"],
    &["show"],
    &["graph"],
    &["replay"],
    &["journal"],
    &["journal", "salvage"],
    &["journal", "adopt"],
    &["journal", "clear", "--reason", "r"],
    &["sandbox"],
    &["sandbox", "up"],
    &["sandbox", "fault", "--dir", "@/s"],
    &["config"],
    &["explain"],
    &["init"],
    &["--scenario"],
    &["--plan"],
    &["--plan", "@/p", "--scenario", "identity-loss"],
    &["--plan", "@/p", "list"],
    &["--plan-age", "1h"],
    &["--target", "edge-1"],
    &["--config"],
    &["--scenario", "identity-loss", "--scenario", "identity-loss", "--target", "edge-1"],
    &["--scenario", "identity-loss", "list"],
    &["verify", "run_0", "--all"],
    &["verify", "--against", "@/a"],
    &["verify", "run_0", "--against"],
    &["verify", "--all", "--against", "@/a"],
    &["verify"],
];

/// Verbs that name a run.
const OF_A_RUN: &[&[&str]] = &[
    &["show"],
    &["handoff"],
    &["replay"],
    &["status"],
    &["events"],
    &["watch"],
    &["verify"],
    &["resume"],
    &["cancel"],
    &["approve", "--reason", "r"],
    &["deny", "--reason", "r"],
    &["abandon", "--reason", "r"],
    &["resolve", "--step", "pair", "--absent", "--reason", "r"],
];

fn ids() -> Vec<(&'static str, String)> {
    vec![
        ("climbs", "run_../../../../etc/passwd".into()),
        ("an escape sequence", "run_\u{1b}[2J\u{1b}]0;x\u{7}".into()),
        ("a newline", "run_0\nerror[RCV0001]".into()),
        ("10 KiB", "r".repeat(10 << 10)),
        ("empty", String::new()),
        ("the prefix alone", "run_".into()),
        ("not ASCII", "run_００００００００００００００００００００００００００".into()),
        ("another kind", "tgt_00000000000000000000000000".into()),
        ("of no run", "run_00000000000000000000000001".into()),
    ]
}

pub fn cases(world: &World) -> Vec<Case> {
    let state = world.state.to_str().unwrap();
    let mut cases = Vec::new();
    for verb in VERBS {
        let name = verb[..verb.len().min(2)].join(" ");
        let with = |more: &[&'static str]| [*verb, more].concat();
        cases.push(refused(format!("{name}: an unknown flag"), &with(&["--no-such-flag"]), "RCV0002", 64));
        cases.push(refused(format!("{name}: too many words"), &with(&["a", "b", "c", "d"]), "RCV0002", 64));
        cases.push(refused(format!("{name}: not UTF-8"), verb, "RCV0030", 64).word(b"\xff\xfe\x1b[2J"));
    }
    for words in INCOMPLETE {
        let named = ["--state-dir", state];
        cases.push(refused(format!("incomplete: {words:?}"), &[&named, *words].concat(), "RCV0002", 64));
    }
    for verb in OF_A_RUN {
        for (what, id) in ids() {
            let words = [&["--state-dir", state, verb[0], &id], &verb[1..]].concat();
            cases.push(refused(format!("{} a run whose id is {what}", verb[0]), &words, "RCV0007", 64));
        }
    }
    values(world, state, &mut cases);
    cases
}

fn values(world: &World, state: &str, cases: &mut Vec<Case>) {
    for wait in
        ["", "soon", "5 parsecs", "-1s", "1.5s", "30", "s", "99999999999999999999s", "18446744073709551615h", "１s"]
    {
        let words = ["--wait".to_owned() + "=" + wait, "list".into()];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        cases.push(refused(format!("--wait {wait:?}"), &words, "RCV0002", 64));
    }
    for (flag, value) in [("--output", "xml"), ("--output", ""), ("--output", "JSON")] {
        cases.push(refused(format!("{flag} {value:?}"), &[flag, value, "list"], "RCV0002", 64));
    }
    for name in ["", "identity-los", "../identity-loss", "IDENTITY-LOSS", "\u{1b}[31mred", "a\nb", "identity-loss "] {
        cases.push(refused(format!("--scenario {name:?}"), &["--scenario", name, "--target", "x"], "RCV0003", 64));
        cases.push(refused(format!("graph {name:?}"), &["graph", name], "RCV0003", 64));
        cases.push(refused(format!("check {name:?}"), &["check", name], "RCV0003", 64));
    }
    let run = ["--scenario", "identity-loss", "--target"];
    for name in ["", "edge-2", "../edge-1", "edge-1/", "\u{1b}[31mred", "edge-1\n", "*", "$(id)", "--", "EDGE-1"] {
        let target = format!("--target={name}");
        let words = [&run[..2], &[target.as_str()]].concat();
        cases.push(refused(format!("--target {name:?}"), &words, "RCV0004", 64).config(&*world.config));
    }
    for set in [
        "",
        "=",
        "=1",
        "observe_ms",
        "observe_ms=",
        "observe_ms=x",
        "observe_ms=-1",
        "observe_ms=1.5",
        "observe_ms=true",
        "observe_ms=18446744073709551616",
        "observe_ms=null",
        "observe_ms=[1]",
        "observe_ms={}",
        "observe=1",
        "token_ttl_s=4294967296",
        "token_ttl_s=-5",
        "reprovision=maybe",
        "reprovision=1",
        "OBSERVE_MS=1",
        "\u{1b}[2J=1",
    ] {
        let set_word = format!("--set={set}");
        let words = [&run[..], &["edge-1", &set_word]].concat();
        cases.push(refused(format!("--set {set:?}"), &words, "RCV0026", 64).config(&*world.config));
    }
    for question in ["", "12", "q", "q-1", "qx", "q99999999999", "q1 ", "Q1"] {
        let question_word = format!("--question={question}");
        let words = ["--state-dir", state, "approve", &world.run, &question_word, "--reason", "r"];
        cases.push(refused(format!("--question {question:?}"), &words, "RCV0002", 64));
    }
    for data in ["", "{", "nonsense", "{\"a\":1}x", "\u{0}1"] {
        let data = data.replace('\0', "\u{1}");
        let words = ["resolve", &world.run, "--step", "pair", "--happened", "--reason", "r", "--data", &data];
        let words = [&["--state-dir", state], &words[..]].concat();
        cases.push(refused(format!("--data {data:?}"), &words, "RCV0002", 64));
    }
    for key in ["", "x", "../x", "zz", "\u{1b}[2J"] {
        let words = ["--state-dir", state, "journal", "clear", key, "--reason", "r"];
        cases.push(refused(format!("journal clear {key:?}"), &words, "RCV0002", 64));
    }
    let zeros = "0".repeat(64);
    for head in ["", "1", "1:", ":", "x:0", "1:zz", "-1:0", &format!("99999999999999999999:{zeros}"), "1:00"] {
        let head_word = format!("--expect={head}");
        let words = ["--state-dir", state, "verify", &head_word];
        cases.push(refused(format!("verify --expect {head:?}"), &words, "RCV0002", 64));
    }
    for frame in ["0", "1", "2", "18446744073709551615"] {
        let head = format!("--expect={frame}:{zeros}");
        let words = ["--state-dir", state, "verify", &head];
        cases.push(refused(format!("verify --expect of a head that is not there: {frame}"), &words, "RCV0034", 7));
    }
    for code in ["", "RCV", "RCV0000", "RCV9999", "12", "RCV00001", "../RCV0001", "\u{1b}[2J"] {
        cases.push(refused(format!("explain {code:?}"), &["explain", code], "RCV0002", 64));
    }
    cases.push(handled("explain in small letters", &["explain", "rcv0001"], 0));
    for state in ["", "OPEN", "half", "open,closed"] {
        cases.push(refused(format!("list --state {state:?}"), &["list", "--state", state], "RCV0002", 64));
    }
    for format in ["", "svg", "MERMAID"] {
        cases.push(refused(
            format!("graph --format {format:?}"),
            &["graph", "identity-loss", "--format", format],
            "RCV0002",
            64,
        ));
    }
    for kind in ["", "explode", "delay", "delay=", "delay=x", "delay=-1", "error=", "error=99999", "error=x", "CLEAR"] {
        let words = ["sandbox", "fault", "--dir", "@/s", "--on", "pair", "--", kind];
        cases.push(refused(format!("sandbox fault {kind:?}"), &words, "RCV0002", 64));
    }
    for times in ["0", "-1", "x", "4294967296"] {
        let times_word = format!("--times={times}");
        let words = ["sandbox", "fault", "--dir", "@/s", "hang", "--on", "pair", &times_word];
        cases.push(refused(format!("sandbox fault --times {times}"), &words, "RCV0002", 64));
    }
    let closed = ["--state-dir", state, "resume", &world.run];
    cases.push(refused("resume a run that is closed", &closed, "RCV0008", 64).config(&*world.config));
    cases.push(refused("a state directory that is nowhere", &["--state-dir", "@/none", "list"], "RCV0016", 64));
}
