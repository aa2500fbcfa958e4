//! Arbitrary files as a log: nothing panics, reading changes nothing, and a salvage neither invents a record nor loses a byte.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| recover_fuzz::import_a_log(bytes));
