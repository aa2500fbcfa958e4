//! recover-steps
