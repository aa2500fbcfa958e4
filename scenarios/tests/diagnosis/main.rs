//! Diagnosis: a labelled corpus with its confusion matrix, and one test for each row of the runbook's table.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of a test fail as a test does")]

mod corpus;
mod doubt;
mod rows;
mod seen;
