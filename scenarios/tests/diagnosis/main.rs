//! Diagnosis: a labelled corpus with its confusion matrix, and one test for each row of the runbook's table.

mod corpus;
mod rows;
