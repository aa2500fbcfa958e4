//! The KMS family for tests: control-plane nodes with a provider each, an API server and etcd before them and OpenBao behind them.
#![allow(dead_code, reason = "not every test binary asks for everything")]

mod call;
mod issuer;
mod node;
mod process;
mod provider;
mod site;
mod wire;

pub use call::CallFailure;
pub use issuer::{AUDIENCE, Issuer, NAME as ISSUER, subject};
pub use node::{APISERVER, Node, PROVIDER, SOCKET_GROUP, as_user, give, is_root};
pub use process::eventually;
pub use provider::{Checkpoint, Scope, State, checkpoint_path, hash, load_registry, save_registry, stand_in};
pub use site::{KEY, Kind, MOUNT, NAME, NAMESPACE, Site, Wanted};
pub use wire::EncryptResponse;
