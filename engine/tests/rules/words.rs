//! What people read: ids, why a run is held back, and what a value shows of itself when something went wrong.

use recover_engine::{Attempt, Brake, Braked, Digest, Json, Key, Kind, Millis, Rate, Record, RunId, Verdict};

#[test]
fn an_id_is_its_number_in_base_32_and_shows_itself_so() {
    let least = RunId::new(Millis(0), [0; 10]);
    assert_eq!(least.to_string(), "run_00000000000000000000000000");
    // 48 bits of time: 1 is bit 80, the lowest of the tenth digit.
    assert_eq!(RunId::new(Millis(1), [0; 10]).to_string(), "run_00000000010000000000000000");
    assert_eq!(RunId::new(Millis(0), [0, 0, 0, 0, 0, 0, 0, 0, 0, 31]).to_string(), "run_0000000000000000000000000z");
    assert_eq!(RunId::new(Millis(0), [0, 0, 0, 0, 0, 0, 0, 0, 4, 2]).to_string(), "run_00000000000000000000000102");
    let most = "run_7zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<RunId>().unwrap();
    assert_eq!(most.as_bytes(), &[255; 16]);
    assert!("run_80000000000000000000000000".parse::<RunId>().is_err(), "one more does not fit");
    assert_eq!(format!("{most:?}"), "run_7zzzzzzzzzzzzzzzzzzzzzzzzz");
}

#[test]
fn a_digest_is_its_bytes_in_hexadecimal_and_shows_itself_so() {
    let mut text = "0123456789abcdef".repeat(4);
    let digest: Digest = text.parse().unwrap();
    assert_eq!((digest.to_string(), format!("{digest:?}")), (text.clone(), text.clone()));
    text.truncate(32);
    let key: Key = text.parse().unwrap();
    assert_eq!((key.to_string(), format!("{key:?}")), (text.clone(), text));
}

#[test]
fn only_digits_of_the_right_number_are_a_digest() {
    let digits = "0123456789abcdef".repeat(4);
    assert!(digits.parse::<Digest>().is_ok());
    // The last one has as many bytes, and letters that begin in the middle of a pair.
    let long = digits.clone() + "00";
    for text in ["", &digits[..62], &long, &digits.to_uppercase(), &format!("0{}0", "\u{e9}".repeat(31))] {
        assert!(text.parse::<Digest>().is_err(), "{text}");
    }
}

#[test]
fn json_is_read_from_exactly_one_value() {
    assert_eq!(Json::parse(r#"{"a":1}"#.into()).unwrap().as_str(), r#"{"a":1}"#);
    for text in ["", "1 2", "{"] {
        assert!(Json::parse(text.into()).is_err(), "{text}");
    }
}

#[test]
fn an_attempt_says_how_many_failed_only_if_some_did() {
    let written = |failed| {
        let attempt = Attempt { attempt: 2, why: "why".into(), failed, not_before: Millis(7), doubt: false };
        let json = Record::Attempt(attempt.clone()).payload();
        assert_eq!(Record::parse(Kind::Attempt, json.as_str()).unwrap(), Record::Attempt(attempt));
        json.as_str().to_owned()
    };
    assert_eq!(written(0), r#"{"attempt":2,"why":"why","not_before":7}"#);
    assert_eq!(written(3), r#"{"attempt":2,"why":"why","failed":3,"not_before":7}"#);
}

#[test]
fn a_value_shows_its_json() {
    let json: Json = serde_json::from_str(r#"{"a": [1, null]}"#).unwrap();
    assert_eq!(format!("{json:?}"), r#"{"a": [1, null]}"#);
}

#[test]
fn a_held_run_says_what_holds_it() {
    let within_ms = 90_000;
    let many = Braked::Many { subjects: 3, within_ms };
    assert_eq!(many.to_string(), "3 other targets had the same procedure begun within 2 min");
    let often = Braked::Often { times: 4, within_ms };
    assert_eq!(often.to_string(), "this target was recovered 4 times within 2 min");
    let by = RunId::new(Millis(0), [0; 10]);
    let recent = Braked::Recent { by, until: Millis(9) };
    assert_eq!(recent.to_string(), format!("this target was recovered a moment ago, by {by}"));
}

#[test]
fn the_brake_looks_back_as_far_as_its_longest_limit() {
    let rate = |within_ms| Some(Rate { most: 1, within_ms });
    let brake = |subjects, recoveries, rest_ms| Brake { subjects, recoveries, rest_ms }.reach_ms();
    assert_eq!(brake(rate(5), rate(7), Some(6)), 7);
    assert_eq!(brake(rate(8), None, Some(6)), 8);
    assert_eq!(brake(None, rate(5), Some(9)), 9);
}

#[test]
fn an_id_tells_when_its_run_began() {
    assert_eq!(RunId::new(Millis(1_234_567_890_123), [255; 10]).begun_at(), Millis(1_234_567_890_123));
}

#[test]
fn a_time_is_moved_as_far_as_there_are_times() {
    assert_eq!(Millis(-5).plus(7), Millis(2));
    assert_eq!(Millis(i64::MIN).plus(u64::MAX), Millis(i64::MAX));
    assert_eq!(Millis(1).plus(u64::MAX), Millis(i64::MAX));
}

#[test]
fn an_end_has_one_word_in_text_and_in_records() {
    use Verdict as V;
    for verdict in [V::Recovered, V::GivenUp, V::Cancelled, V::NotApplicable, V::GuardRefused, V::Abandoned] {
        assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.as_str());
    }
    assert_eq!(V::GivenUp.as_str(), "given-up");
}
