//! Arbitrary replies of the authority: nothing panics, and nothing is taken for a success that does not say so.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| recover_fuzz::read_a_reply(bytes));
