//! The properties, one for each line of the never-list that a machine can break.

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::judge::Seen;
use crate::story::story;

/// In a second or a few; `PROPTEST_CASES` takes more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_500)
}

/// No story breaks the rules of this line; and what the line is about did come up.
fn never(line: &str, enough: fn(&Seen) -> bool) {
    let seen = RefCell::new(Seen::default());
    let config = Config { cases: cases(), failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    let told = TestRunner::new(config).run(&story(), |story| {
        let told = story.play().map_err(TestCaseError::fail)?;
        seen.borrow_mut().add(&told.seen);
        let breach = told.breaches.iter().find(|breach| breach.starts_with(line));
        prop_assert!(breach.is_none(), "{}\n{:#?}", breach.map_or("", |b| b), told.records);
        Ok(())
    });
    if let Err(why) = told {
        panic!("{why}");
    }
    let seen = seen.into_inner();
    println!("{line}: {} stories: {seen:?}", cases());
    assert!(enough(&seen), "the stories hardly touch it: {seen:?}");
}

#[test]
fn n8_no_story_mints_while_it_must_not() {
    never("N8", |seen| seen.mints > 500 && seen.second_mints > 50);
}

#[test]
fn n9_no_story_starts_on_refuted_storage_or_loses_a_directory() {
    never("N9", |seen| seen.starts > 500 && seen.moves > 200);
}
