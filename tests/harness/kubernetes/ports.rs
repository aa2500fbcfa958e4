//! Ports that were free a moment ago.

use std::net::TcpListener;

/// So many different ones.
pub fn free<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}
