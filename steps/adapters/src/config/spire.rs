//! What a configuration says of a SPIRE server that enrolls by join tokens.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigError, Places, Timing, WorkloadConfig, err};

/// Nothing could be waited out in reasonable time that works longer.
const TTL_MOST_MS: u64 = 600_000;

/// A SPIRE server on this host, spoken with over its admin socket. The connector is a SPIRE agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpireConfig {
    /// The server's admin socket: the `socket_path` of its configuration. Whoever may use it has full control of the server.
    pub socket: PathBuf,
    /// The trust domain.
    pub trust_domain: String,
    /// The agent's stable name: the SPIFFE id of a node alias that is its own, such as `spiffe://example.org/connector/edge-1`.
    pub alias: String,
    /// The agent's own socket: the `socket_path` of its configuration. It is there once the agent has an identity.
    pub agent_socket: PathBuf,
}

impl SpireConfig {
    /// Checks what is no path; gives the paths.
    pub(super) fn places(&self, workload: &WorkloadConfig, timing: &Timing) -> Result<Places<'_>, ConfigError> {
        let domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        if self.trust_domain.is_empty() || self.trust_domain.len() > 255 || !self.trust_domain.bytes().all(domain) {
            return err("authority.spire-join-token.trust_domain", "must be the name of a trust domain");
        }
        let path = self.alias.strip_prefix("spiffe://").and_then(|rest| rest.strip_prefix(self.trust_domain.as_str()));
        let part = |part: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
            !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain)
        };
        let sound = path.and_then(|path| path.strip_prefix('/')).is_some_and(|path| path.split('/').all(part));
        // Ids below this belong to SPIRE itself.
        if !sound || self.alias.len() > 512 || path.is_some_and(|path| path == "/spire" || path.starts_with("/spire/"))
        {
            return err(
                "authority.spire-join-token.alias",
                "must be a SPIFFE id of the trust domain, such as spiffe://example.org/connector/edge-1",
            );
        }
        match workload {
            WorkloadConfig::Process(process) if !process.token_arguments.is_empty() => {}
            WorkloadConfig::Process(_)
            | WorkloadConfig::Systemd(_)
            | WorkloadConfig::Docker(_)
            | WorkloadConfig::Kubernetes(_)
            | WorkloadConfig::Windows(_) => {
                return err(
                    "authority.spire-join-token",
                    "needs `workload.process` with `token_arguments = [\"-joinTokenFile\", TOKEN_FILE]`: an agent that is always \
                     told of a file with a token does not start without one",
                );
            }
        }
        if timing.token_ttl.as_ms() > TTL_MOST_MS {
            return err("timing.token_ttl", "must be at most 10m: a join token cannot be revoked, only waited out");
        }
        Ok(vec![
            ("authority.spire-join-token.socket", Path::new(&self.socket)),
            ("authority.spire-join-token.agent_socket", &self.agent_socket),
        ])
    }
}
