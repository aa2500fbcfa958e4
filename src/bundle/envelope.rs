//! The DSSE envelope: a payload, its type, and signatures over both.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::invalid;
use super::key::{PublicKey, SigningKey};
use crate::fault::Fault;

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// An envelope with one signature.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Envelope {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    keyid: String,
    sig: String,
}

/// What is signed: the type and the payload, each with its length, so that neither can be taken for a part of the other.
fn pre_authentication(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

impl Envelope {
    pub(super) fn signed(payload: &[u8], key: &SigningKey) -> Self {
        let sig = BASE64.encode(key.sign(&pre_authentication(payload)));
        let signatures = vec![Signature { keyid: key.public().id(), sig }];
        Self { payload_type: PAYLOAD_TYPE.into(), payload: BASE64.encode(payload), signatures }
    }

    /// The payload, not yet believed.
    pub(super) fn payload(&self) -> Result<Vec<u8>, Fault> {
        if self.payload_type != PAYLOAD_TYPE {
            return Err(invalid("the envelope holds something else than a statement"));
        }
        BASE64.decode(&self.payload).map_err(|e| invalid(format!("the payload is no base64: {e}")))
    }

    /// Whether this key signed it, and nobody else.
    pub(super) fn check(&self, payload: &[u8], key: &PublicKey) -> Result<(), Fault> {
        let [signature] = self.signatures.as_slice() else {
            return Err(invalid(format!("it has {} signatures, and not one", self.signatures.len())));
        };
        let sig = BASE64.decode(&signature.sig).map_err(|e| invalid(format!("the signature is no base64: {e}")))?;
        if signature.keyid != key.id() {
            return Err(invalid("the signature names another key than the one inside"));
        }
        if key.verifies(&pre_authentication(payload), &sig) {
            Ok(())
        } else {
            Err(invalid("the signature does not hold: something was changed, or another key signed it"))
        }
    }
}
