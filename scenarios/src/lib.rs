//! The procedures: one file or folder each, and the list below.

pub mod bootstrap_failure;
pub mod crash_loop;
pub mod diagnosis;
pub mod identity_loss;
pub mod kms;
pub mod kms_aad_mismatch;
pub mod kms_auth;
pub mod kms_identity_fallback;
pub mod kms_key_id_mismatch;
pub mod kms_key_missing;
pub mod kms_min_decryption;
pub mod kms_openbao_unavailable;
pub mod kms_socket;
pub mod kms_static_pod_image;
pub mod kms_transit_profile;
pub mod kms_unknown_key_id;
pub mod kms_version_drift;
pub mod names;
pub mod reconnect_failure;
mod registry;
pub mod validation;

pub use registry::{Family, Registered, SCENARIOS, find, of};
