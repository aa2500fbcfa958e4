//! The names of the procedures, so that one can name another without a stray text.

/// A connector that paired before lost its durable identity.
pub const IDENTITY_LOSS: &str = "identity-loss";
/// A connector that has its identity does not reconnect.
pub const RECONNECT_FAILURE: &str = "reconnect-failure";
/// A connector that never paired does not come through its first boot.
pub const BOOTSTRAP_FAILURE: &str = "bootstrap-failure";
/// A workload ends and is started again and again.
pub const CRASH_LOOP: &str = "crash-loop";
