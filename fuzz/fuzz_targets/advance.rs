//! Arbitrary bytes as a story of runs, or as a history of records: nothing panics, and the guards hold over what is accepted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use recover_fuzz::{Choices, forge, tell};

fuzz_target!(|bytes: &[u8]| {
    let mut choices = Choices::new(bytes);
    if choices.once_in(2) {
        forge(&mut choices);
    } else {
        tell(&mut choices);
    }
});
