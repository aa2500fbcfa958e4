//! Each guard: what it allows and what it refuses, by the tally of a history.

use recover_engine::{Guard, Tally, Verdict};

/// A history in a line: `+step` is an intent, `-step` its refusal, `step:ending` its event, `!label` a fact.
fn tally(history: &str) -> Tally {
    let mut tally = Tally::default();
    for word in history.split_whitespace() {
        if let Some(step) = word.strip_prefix('+') {
            tally.intent(step);
        } else if let Some(step) = word.strip_prefix('-') {
            tally.outcome(step, &format!("{step}:refused"), true);
        } else if let Some(label) = word.strip_prefix('!') {
            tally.fact(label);
        } else {
            let step = word.split(':').next().unwrap();
            tally.outcome(step, word, false);
        }
    }
    tally
}

#[track_caller]
fn check(guard: &Guard, step: &str, allowed: &[&str], refused: &[&str]) {
    let guards = std::slice::from_ref(guard);
    for history in allowed {
        assert_eq!(tally(history).allows(guards, step), Ok(()), "after [{history}]");
        assert_eq!(tally(history).allows(guards, "another"), Ok(()), "another step after [{history}]");
    }
    for history in refused {
        let breach = tally(history).allows(guards, step).expect_err(history);
        assert_eq!((&breach.guard, breach.what), (guard, format!("an intent of {step}")), "after [{history}]");
        assert_eq!(tally(history).allows(guards, "another"), Ok(()), "another step after [{history}]");
        assert_eq!(tally(history).allows_verdict(guards, Verdict::Recovered), Ok(()), "it says nothing of ends");
    }
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

#[test]
fn once_counts_intents_that_were_not_refused() {
    let once = Guard::Once { step: "pair".into() };
    check(
        &once,
        "pair",
        &["", "+mint mint:minted", "+pair -pair", "+pair -pair +pair -pair"],
        &["+pair", "+pair pair:paired", "+pair -pair +pair"],
    );
}

#[test]
fn at_most_counts_intents_whatever_came_of_them() {
    let twice = Guard::AtMost { step: "mint".into(), count: 2 };
    check(&twice, "mint", &["", "+mint", "+mint -mint"], &["+mint +mint", "+mint -mint +mint -mint"]);
    let zero = Guard::AtMost { step: "mint".into(), count: 0 };
    check(&zero, "mint", &[], &[""]);
}

#[test]
fn before_wants_the_first_to_have_happened() {
    let before = Guard::Before { first: "restart".into(), then: "validate".into() };
    check(&before, "validate", &["+restart restart:restarted"], &["", "+restart", "+restart -restart"]);
}

#[test]
fn only_after_wants_a_fact_that_nothing_made_stale() {
    let proven = Guard::OnlyAfter {
        step: "mint".into(),
        facts: names(&["prove:stopped", "word:approve"]),
        since: names(&["start", "moved:yes"]),
    };
    check(
        &proven,
        "mint",
        &["+prove prove:stopped", "!word:approve", "+start +prove prove:stopped", "!moved:yes !word:approve"],
        &[
            "",
            "+prove prove:running",
            "+prove prove:stopped +start",
            "!word:approve !moved:yes",
            "+prove prove:stopped +start start:started",
        ],
    );
    let ever = Guard::OnlyAfter { step: "mint".into(), facts: names(&["search:gone"]), since: Vec::new() };
    check(&ever, "mint", &["+search search:gone +start"], &["", "+search search:found"]);
}

#[test]
fn never_after_a_fact_and_never_at_all() {
    let after = Guard::NeverAfter { step: "mint".into(), fact: "observe:usable".into() };
    check(
        &after,
        "mint",
        &["", "+observe observe:lost"],
        &["+observe observe:usable", "+observe observe:usable +start"],
    );
    check(&Guard::Never { step: "delete".into() }, "delete", &[], &["", "+delete -delete"]);
}

#[test]
fn settled_wants_what_stands_to_be_settled_before_the_next() {
    let settled = Guard::Settled { step: "mint".into(), by: names(&["revoke:revoked", "pair:paired"]) };
    check(
        &settled,
        "mint",
        &["", "+mint -mint", "+mint mint:minted +revoke revoke:revoked", "+mint mint:minted !pair:paired"],
        &[
            "+mint",
            "+mint mint:minted",
            "+revoke revoke:revoked +mint mint:minted",
            "+mint mint:minted +revoke -revoke",
            "+mint mint:minted +revoke revoke:revoked +mint",
        ],
    );
    let by_itself = Guard::Settled { step: "mint".into(), by: names(&["mint"]) };
    check(&by_itself, "mint", &["", "+mint -mint"], &["+mint", "+mint mint:minted"]);
}

#[test]
fn a_verdict_wants_its_fact_and_no_other_verdict_does() {
    let guard =
        [Guard::Verdict { verdict: Verdict::Recovered, fact: "validate:validated".into(), since: names(&["restart"]) }];
    for (history, allowed) in [
        ("", false),
        ("+validate validate:validated", true),
        ("+validate validate:invalid", false),
        ("+validate validate:validated +restart", false),
        ("+restart +validate validate:validated", true),
    ] {
        assert_eq!(tally(history).allows_verdict(&guard, Verdict::Recovered).is_ok(), allowed, "[{history}]");
        assert_eq!(tally(history).allows_verdict(&guard, Verdict::GivenUp), Ok(()));
        assert_eq!(tally(history).allows(&guard, "restart"), Ok(()));
    }
}

#[test]
fn the_first_guard_that_says_no_is_named_and_every_guard_survives_its_json() {
    let guards = vec![
        Guard::Once { step: "pair".into() },
        Guard::AtMost { step: "mint".into(), count: 3 },
        Guard::Before { first: "a".into(), then: "b".into() },
        Guard::OnlyAfter { step: "mint".into(), facts: names(&["x:y"]), since: names(&["z"]) },
        Guard::NeverAfter { step: "mint".into(), fact: "x:n".into() },
        Guard::Never { step: "mint".into() },
        Guard::Settled { step: "mint".into(), by: names(&["x:y"]) },
        Guard::Verdict { verdict: Verdict::Recovered, fact: "x:y".into(), since: Vec::new() },
    ];
    assert_eq!(tally("").allows(&guards, "mint").map_err(|b| b.guard), Err(guards[3].clone()));
    assert_eq!(tally("!x:y").allows(&guards, "mint").map_err(|b| b.guard), Err(guards[5].clone()));
    let text = serde_json::to_string(&guards).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Guard>>(&text).unwrap(), guards);
}

#[test]
fn what_was_refused_leaves_once_as_it_was() {
    let once = [Guard::Once { step: "pair".into() }];
    assert_eq!(tally("+pair -pair").view(&once), tally("").view(&once));
    assert_ne!(tally("+pair -pair +pair").view(&once), tally("").view(&once));
}

/// The explorer treats two histories with one view alike, so the view must tell apart whatever a guard can tell apart.
#[test]
fn histories_with_the_same_view_are_judged_alike() {
    let guards = [
        Guard::Once { step: "a".into() },
        Guard::AtMost { step: "b".into(), count: 2 },
        Guard::Before { first: "a".into(), then: "b".into() },
        Guard::OnlyAfter { step: "a".into(), facts: names(&["b:x"]), since: names(&["a"]) },
        Guard::NeverAfter { step: "b".into(), fact: "f:x".into() },
        Guard::Settled { step: "b".into(), by: names(&["f:y"]) },
        Guard::Verdict { verdict: Verdict::Recovered, fact: "b:x".into(), since: names(&["f:x"]) },
    ];
    let words = ["+a a:x", "+a -a", "+b b:x", "+b -b", "!f:x", "!f:y"];
    let mut seen = std::collections::BTreeMap::new();
    for n in 0..words.len().pow(5) {
        let pick = |digit: u32| words[n / words.len().pow(digit) % words.len()];
        let history: Vec<&str> = (0..5).map(pick).collect();
        let tally = tally(&history.join(" "));
        let judged = (
            tally.allows(&guards[..], "a").is_ok(),
            tally.allows(&guards[..], "b").is_ok(),
            tally.allows_verdict(&guards[..], Verdict::Recovered).is_ok(),
        );
        let known = seen.entry(tally.view(&guards)).or_insert_with(|| (judged, history.clone()));
        assert_eq!(known.0, judged, "{:?} and {history:?} look alike", known.1);
    }
    assert!(seen.len() > 20, "the view tells nothing apart");
}
