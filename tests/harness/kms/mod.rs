//! The KMS family for tests: control-plane nodes with a provider each, an API server and etcd before them and OpenBao behind them.
#![allow(dead_code, unused_imports, reason = "not every test binary asks for everything")]

mod call;
mod cluster;
mod issuer;
mod node;
mod process;
mod provider;
mod site;
mod target;
mod wire;

pub use call::CallFailure;
pub use cluster::Cluster;
pub use issuer::{AUDIENCE, Issuer, NAME as ISSUER, subject};
pub use node::{APISERVER, Node, PROVIDER, SOCKET_GROUP, give, is_root};
pub use process::eventually;
pub use provider::{hash, load_registry, stand_in};
pub use site::{Kind, NAME, NAMESPACE, Site, Wanted};
pub use target::configured;
pub use wire::EncryptResponse;
