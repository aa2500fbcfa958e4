//! recover-journal
