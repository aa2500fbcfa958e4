//! Arbitrary bytes as a configuration file: nothing panics, every error has its code and its place, and no value is repeated.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| recover_fuzz::read_a_configuration(bytes));
