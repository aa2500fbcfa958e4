//! What a node's provider logs in to OpenBao with: a JWT or a certificate, which others issue.

use recover_engine::{Idempotent, Pure};
use serde::{Deserialize, Serialize};

use super::{Node, effect};
use crate::event;

effect! {
    /// Look at what the provider logs in with: readable as its user, its times, its claims or usage against the configuration; and
    /// whether a fresh one lies ready where the configuration says. Nothing is sent.
    LookAuth {
        /// Which node.
        node: Node,
    } = "look-auth", Pure, 20_000, 3 => AuthSeen;
    this: format!("look at what the provider of {} logs in with", this.node);
    [
        AuthSeen::Usable { for_s: 3_600, fresh: None },
        AuthSeen::Usable { for_s: 3_600, fresh: Some("0".repeat(64)) },
        AuthSeen::Unusable { why: "it expired".into(), fresh: Some("0".repeat(64)) },
        AuthSeen::Unusable { why: "it expired".into(), fresh: None },
        AuthSeen::Unclear { why: "its key is in a token of PKCS#11".into() },
    ] refused by ["auth"]
}

/// See [`LookAuth`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum AuthSeen {
    /// It looks as it must. Whether OpenBao accepts it is for the provider's own check to say.
    Usable {
        /// For how many seconds it is still good.
        for_s: u64,
        /// The digest of a fresh one that was brought, looks as it must and is another: where OpenBao refuses what is in place, only its
        /// signature may be what is wrong with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fresh: Option<String>,
    },
    /// It cannot work.
    Unusable {
        /// Why.
        why: String,
        /// The digest of a fresh one that was brought and looks as it must.
        fresh: Option<String>,
    },
    /// It cannot be looked at.
    Unclear {
        /// Why.
        why: String,
    },
}
event!(AuthSeen {
    AuthSeen::Usable { .. } => "usable",
    AuthSeen::Unusable { .. } => "unusable",
    AuthSeen::Unclear { .. } => "unclear",
});

effect! {
    /// Put the fresh material that a person or an issuer brought in place, with the owner and mode that the old one had. Idempotent: the
    /// digest says what must be there. Never one that the failing cluster issued.
    InstallAuth {
        /// Which node.
        node: Node,
        /// The digest of the fresh material.
        sha256: String,
    } = "install-auth", Idempotent, 20_000, 3 => AuthInstalled;
    this: format!("put the fresh login material of {} in place", this.node);
    [AuthInstalled::Installed] refused by ["auth"]
}

/// See [`InstallAuth`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum AuthInstalled {
    /// It is there.
    Installed,
}
event!(AuthInstalled { AuthInstalled::Installed => "installed" });
