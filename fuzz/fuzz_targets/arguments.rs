//! Arbitrary words as a command line: nothing panics, and what is said about them obeys no control character in them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| recover_fuzz::read_arguments(bytes));
