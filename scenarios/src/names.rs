//! The names of the procedures, so that one can name another without a stray text.

/// A connector that paired before lost its durable identity.
pub const IDENTITY_LOSS: &str = "identity-loss";
/// A connector that has its identity does not reconnect.
pub const RECONNECT_FAILURE: &str = "reconnect-failure";
/// A connector that never paired does not come through its first boot.
pub const BOOTSTRAP_FAILURE: &str = "bootstrap-failure";
/// A workload ends and is started again and again.
pub const CRASH_LOOP: &str = "crash-loop";
/// The provider or its socket is gone, barred, or not where the API server looks.
pub const KMS_SOCKET: &str = "kms-socket";
/// OpenBao cannot be reached, is sealed, or a provider did not get over it by itself.
pub const KMS_OPENBAO_UNAVAILABLE: &str = "kms-openbao-unavailable";
/// The Transit key's profile is not what Kubernetes needs.
pub const KMS_TRANSIT_PROFILE: &str = "kms-transit-profile";
/// A provider cannot log in to OpenBao.
pub const KMS_AUTH: &str = "kms-auth";
/// The Transit key is not found, or another one has its name.
pub const KMS_KEY_MISSING: &str = "kms-key-missing";
/// Key ids are unknown: the configuration drifted, or a registry is lost.
pub const KMS_UNKNOWN_KEY_ID: &str = "kms-unknown-key-id";
/// Versions of the key were made at other times than recorded, or are not told of.
pub const KMS_VERSION_DRIFT: &str = "kms-version-drift";
/// What is stored beside the ciphertext is not what it was encrypted with.
pub const KMS_AAD_MISMATCH: &str = "kms-aad-mismatch";
/// Status and Encrypt name different keys, or the nodes do.
pub const KMS_KEY_ID_MISMATCH: &str = "kms-key-id-mismatch";
/// The lowest decrypting version was raised too early.
pub const KMS_MIN_DECRYPTION: &str = "kms-min-decryption";
/// The image of the provider's static pod is not on the node.
pub const KMS_STATIC_POD_IMAGE: &str = "kms-static-pod-image";
/// Plain text is still allowed, or was stored and can no longer be read.
pub const KMS_IDENTITY_FALLBACK: &str = "kms-identity-fallback";
