//! recover-scenarios
