//! A log that somebody edited: nothing panics, no reader invents a record, and what can still be opened can be written on.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| recover_fuzz::edit_a_log(bytes));
