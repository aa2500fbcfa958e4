//! The names of the procedures, so that one can name another without a stray text.

/// A connector that paired before lost its durable identity.
pub const IDENTITY_LOSS: &str = "identity-loss";
/// A connector that has its identity does not reconnect.
pub const RECONNECT_FAILURE: &str = "reconnect-failure";
/// A connector never paired. A branch of the runbook that this build has no procedure for: a person follows it by hand.
pub const BOOTSTRAP_FAILURE: &str = "bootstrap-failure";
/// A workload that ends again and again. As the one before: followed by hand.
pub const CRASH_LOOP: &str = "crash-loop";
