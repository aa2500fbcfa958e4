//! The never-list at the wire: whatever is asked of the transport and whatever the authority answers, what arrives at a real
//! socket is a request of the contract, at the configured origin, and what goes to the journal holds no secret.
//!
//! The judge is the server: it reads the bytes that came. The contract's requests are written out a second time here.

mod calls;
#[path = "../../../../../tests/harness/tls.rs"]
#[expect(unreachable_pub, reason = "it is public for the tests of the binary")]
mod certificates;
mod replies;
mod secrets;
mod tls;
mod wire;
