//! recover-adapters
