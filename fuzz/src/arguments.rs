//! Bytes as the words of a command line, a NUL between two.

use std::cell::RefCell;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use recover::outside::{Arguments, Understood};

use crate::Seeds;

/// More words than this say nothing new. The system would pass on thousands.
const WORDS_MAX: usize = 64;

thread_local! {
    static ARGUMENTS: RefCell<Arguments> = RefCell::default();
}

/// Reads the words, and judges what is said of them.
pub fn read_arguments(bytes: &[u8]) {
    let words: Vec<&[u8]> = bytes.split(|byte| *byte == 0).take(WORDS_MAX).collect();
    let line = words.iter().map(|word| OsString::from_vec(word.to_vec()));
    let line: Vec<OsString> = std::iter::once("recover".into()).chain(line).collect();
    let text = words.iter().all(|word| std::str::from_utf8(word).is_ok());
    match ARGUMENTS.with_borrow_mut(|arguments| arguments.read(&line)) {
        Ok(Understood::Command) => assert!(text, "what is no text was accepted"),
        Ok(Understood::Help(help)) => assert!(text && plain(&help), "{help:?}"),
        Err(refused) => {
            let code = if text { "RCV0002" } else { "RCV0030" };
            assert_eq!((refused.code, refused.exit), (code, 64), "{}", refused.text);
            assert!(refused.text.len() > "error[RCV0002]: ".len(), "nothing is said");
            assert!(plain(&refused.text), "{:?}", refused.text);
            // A line break in a word must not begin a line of its own: it would look like one of ours.
            let broken = words.iter().filter_map(|word| std::str::from_utf8(word).ok()?.split_once('\n'));
            for (before, after) in broken {
                let piece = format!("{}\n{}", last(before), first(after));
                let said = piece.len() > 6 && refused.text.contains(&piece);
                assert!(!said, "{piece:?} in {:?}", refused.text);
            }
            let json: serde_json::Value = serde_json::from_str(&refused.json).expect("it is JSON");
            assert_eq!(json["code"], code);
        }
    }
}

/// The letters that a text ends with, of the last three characters.
fn last(text: &str) -> &str {
    let from = text.char_indices().rev().nth(2).map_or(0, |(at, _)| at);
    let piece = &text[from..];
    if piece.chars().all(char::is_alphanumeric) { piece } else { "" }
}

/// The first four characters, if they are letters.
fn first(text: &str) -> &str {
    let piece = text.char_indices().nth(4).map_or(text, |(at, _)| &text[..at]);
    if piece.chars().all(char::is_alphanumeric) { piece } else { "" }
}

/// Whether a terminal only shows it.
fn plain(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() && c != '\n')
}

/// Command lines that are right, and some that are nearly so.
pub fn seeds() -> Seeds {
    let lines = [
        "--scenario identity-loss --target edge-1 --set observe_ms=1 --alert a --ticket t --request-id r --attach --dry-run",
        "--yes --wait 30m --output json --config /c --state-dir /s plan --scenario identity-loss",
        "plan --scenario identity-loss --out /p.json",
        "--plan /p.json --plan-age 30m --ticket t",
        "handoff run_1 --markdown --out /m",
        "doctor --target edge-1",
        "rehearse --target edge-1 --scenario identity-loss",
        "init --target e --workload docker --name c --data /d --authority https://c --credential file:/c",
        "resume --all",
        "resume run_1 --all",
        "approve run_1 --reason because --question q12 --choice retry",
        "deny run_1 --reason no",
        "cancel run_1",
        "resolve run_1 --step pair --happened --data {} --reason seen",
        "resolve run_1 --step pair --happened --absent --reason seen",
        "abandon run_1 --reason r",
        "status",
        "list --state open",
        "list --state ajar",
        "events run_1",
        "watch",
        "show",
        "scenarios",
        "graph identity-loss --format dot",
        "check",
        "replay run_1",
        "replay run_1 --until 7 --step",
        "verify --all --expect 1:00",
        "verify run_1 --against /a /b",
        "journal salvage --reason r",
        "journal clear KEY --reason r",
        "journal adopt",
        "journal stats",
        "sandbox up --dir /d",
        "sandbox fault --dir /d delay=5 --on pair --times 2",
        "sandbox fault --dir /d clear",
        "sandbox lose-identity --dir /d --keep-original",
        "config schema",
        "explain RCV0012",
        "--help",
        "journal --help",
        "--version",
        "--wait 99999999999999999999h",
        "--scenaro x",
        "-- --yes",
        "\u{1b}[31mred",
        "lisst",
    ];
    let numbered = lines.iter().enumerate();
    let mut seeds: Seeds =
        numbered.map(|(number, line)| (format!("{number:02}"), line.replace(' ', "\0").into_bytes())).collect();
    seeds.push(("line-break".into(), b"--wait\x001days\nhint run rm".to_vec()));
    seeds.push(("no-text".into(), b"show\0\xff".to_vec()));
    seeds
}
