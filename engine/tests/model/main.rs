//! Random outcomes, crashes and requests against `Run`: whatever comes, the records fold to where the run is, no other
//! sequence of records is believed, and nothing panics.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "the helpers of a test fail as a test does"
)]

mod boundary;
mod forged;
mod heard;
mod mutations;
mod offered;
mod scenario;
mod sequences;
mod urgent;
mod words;
