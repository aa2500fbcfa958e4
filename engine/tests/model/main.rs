//! Random outcomes, crashes and requests against `Run`: whatever comes, the records fold to where the run is, no other
//! sequence of records is believed, and nothing panics.

mod mutations;
mod scenario;
mod sequences;
mod words;
