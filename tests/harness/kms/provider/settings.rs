//! `config.yaml`, version v1alpha1: unknown fields are refused, and so is what cannot be meant.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::key::Scope;

/// A length of time as Go writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    const fn ms(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    fn parse(text: &str) -> Option<Self> {
        let (mut rest, mut total) = (text, 0.0);
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let amount: f64 = rest[..digits].parse().ok()?;
            let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
            total += amount
                * match &rest[digits..unit] {
                    "ms" => 0.001,
                    "s" => 1.0,
                    "m" => 60.0,
                    "h" => 3_600.0,
                    _ => return None,
                };
            rest = &rest[unit..];
        }
        (!text.is_empty()).then(|| Self(Duration::from_secs_f64(total)))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("invalid duration {text:?}")))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&format!("{:?}", self.0))
    }
}

macro_rules! section {
    ($name:ident { $($(#[$more:meta])* $field:ident: $of:ty = $default:expr),* $(,)? }) => {
        #[derive(Clone, Debug, Deserialize, Serialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
        pub struct $name { $($(#[$more])* pub $field: $of),* }
        impl Default for $name {
            fn default() -> Self { Self { $($field: $default),* } }
        }
    };
}

section!(Settings {
    config_version: String = String::new(),
    server: Server = Server::default(),
    openbao: OpenBao = OpenBao::default(),
    auth: Auth = Auth::default(),
    transit: Transit = Transit::default(),
    bootstrap: Bootstrap = Bootstrap::default(),
    status: Status = Status::default(),
    state: State = State::default(),
    rotation: Rotation = Rotation::default(),
    logging: Logging = Logging::default(),
});

section!(Server {
    socket_path: PathBuf = "/run/openbao-kms/kms.sock".into(),
    socket_mode: String = "0660".into(),
    socket_group: String = String::new(),
    metrics_address: String = "127.0.0.1:8081".into(),
    health_address: String = "127.0.0.1:8082".into(),
});

section!(OpenBao {
    address: String = String::new(),
    namespace: String = String::new(),
    ca_cert_file: Option<PathBuf> = None,
    tls_server_name: Option<String> = None,
    timeout: Span = Span::ms(2_000),
    instance_id: String = String::new(),
});

section!(Auth {
    method: String = "jwt".into(),
    login_before_token_expiry: Span = Span::ms(300_000),
    token_renewal_increment: Span = Span::ms(3_600_000),
    login_timeout: Span = Span::ms(5_000),
    jwt: Jwt = Jwt::default(),
    cert: Cert = Cert::default(),
});

section!(Jwt {
    mount_path: String = "jwt".into(),
    role: String = String::new(),
    jwt_file: PathBuf = PathBuf::new(),
    min_remaining_ttl: Span = Span::ms(120_000),
    clock_skew_leeway: Span = Span::ms(30_000),
    expected_issuer: String = String::new(),
    expected_audience: Vec<String> = Vec::new(),
    expected_subject: String = String::new(),
});

section!(Cert {
    mount_path: String = "cert".into(),
    name: String = String::new(),
    min_remaining_ttl: Span = Span::ms(86_400_000),
    source: String = "pkcs11".into(),
    pkcs11: Pkcs11 = Pkcs11::default(),
});

section!(Pkcs11 {
    certificate_file: PathBuf = PathBuf::new(),
    module_path: PathBuf = PathBuf::new(),
    token_label: String = String::new(),
    key_label: String = String::new(),
    pin_file: PathBuf = PathBuf::new(),
    max_sessions: u32 = 2,
});

section!(Transit {
    mount_path: String = String::new(),
    key_name: String = String::new(),
    key_id_scope: KeyIdScope = KeyIdScope::default(),
});

section!(KeyIdScope {
    provider_name: String = String::new(),
    cluster_id: String = String::new(),
    transit_mount_id: String = String::new(),
    key_lineage_id: String = String::new(),
});

section!(Bootstrap { grace_timeout: Span = Span::ms(60_000), retry_interval: Span = Span::ms(5_000) });

section!(Status {
    probe_interval: Span = Span::ms(30_000),
    deep_probe_interval: Span = Span::ms(300_000),
    status_max_staleness: Span = Span::ms(120_000),
});

section!(State { path: PathBuf = "/var/lib/openbao-kms/state/key-registry.json".into() });

section!(Rotation {
    mode: String = "observed".into(),
    activation_delay: Span = Span::ms(120_000),
    require_stable_observation_count: u32 = 3,
    reject_version_rollback: bool = true,
});

section!(Logging { level: String = "info".into(), format: String = "json".into() });

impl Settings {
    pub fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("read config {}: {e}", path.display()))?;
        serde_yaml_ng::from_str(&text).map_err(|e| format!("decode config: {e}"))
    }

    /// What is not as it must be, if anything.
    pub fn problem(&self) -> Option<String> {
        let scope = &self.transit.key_id_scope;
        let filled = [
            ("openbao.address", &self.openbao.address),
            ("openbao.instanceId", &self.openbao.instance_id),
            ("transit.mountPath", &self.transit.mount_path),
            ("transit.keyName", &self.transit.key_name),
            ("transit.keyIdScope.providerName", &scope.provider_name),
            ("transit.keyIdScope.clusterId", &scope.cluster_id),
            ("transit.keyIdScope.transitMountId", &scope.transit_mount_id),
            ("transit.keyIdScope.keyLineageId", &scope.key_lineage_id),
        ];
        let mut problems: Vec<String> =
            filled.iter().filter(|(_, of)| of.is_empty()).map(|(name, _)| format!("{name}: is required")).collect();
        for (name, holds, what) in [
            ("configVersion", self.config_version == "v1alpha1", "must be v1alpha1"),
            ("auth.method", ["jwt", "cert"].contains(&self.auth.method.as_str()), "must be jwt or cert"),
            ("server.socketPath", self.server.socket_path.is_absolute(), "must be absolute"),
            ("server.socketMode", self.socket_mode().is_some(), "must be an octal mode without others"),
            ("state.path", self.state.path.is_absolute(), "must be absolute"),
            ("rotation.mode", self.rotation.mode == "observed", "must be observed"),
            (
                "rotation.requireStableObservationCount",
                self.rotation.require_stable_observation_count > 0,
                "must be positive",
            ),
            ("auth.cert.pkcs11.maxSessions", self.auth.cert.pkcs11.max_sessions >= 2, "must be at least 2"),
        ] {
            if !holds {
                problems.push(format!("{name}: {what}"));
            }
        }
        (!problems.is_empty()).then(|| format!("invalid configuration: {}", problems.join("; ")))
    }

    pub fn socket_mode(&self) -> Option<u32> {
        u32::from_str_radix(&self.server.socket_mode, 8).ok().filter(|mode| mode & !0o770 == 0)
    }

    pub fn scope(&self) -> Scope {
        let of = &self.transit.key_id_scope;
        Scope {
            provider: of.provider_name.clone(),
            cluster: of.cluster_id.clone(),
            instance: self.openbao.instance_id.clone(),
            namespace: self.openbao.namespace.clone(),
            mount: of.transit_mount_id.clone(),
            lineage: of.key_lineage_id.clone(),
        }
    }

    /// One digest of everything that must never change.
    pub fn fingerprint(&self) -> String {
        let scope = self.scope();
        let parts = [
            &scope.provider,
            &scope.cluster,
            &scope.instance,
            &scope.namespace,
            &scope.mount,
            &scope.lineage,
            &self.transit.mount_path,
            &self.transit.key_name,
        ];
        super::key::hash(&parts.map(|part| format!("{part}\0")).concat())
    }
}
