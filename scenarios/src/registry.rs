//! The registry: the one list of scenarios. Whatever is listed inherits every test, the graph, `plan`, `replay` and the docs.

use std::sync::{Arc, OnceLock};

use recover_engine::{Begun, Charter, Digest, Graph, Guard, IllegalRecord, Json, ScenarioEntry, charter_digest};

/// What kind of target a procedure is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A connector with an identity on durable storage.
    Connector,
    /// The control-plane nodes of a cluster that keeps its secrets under KMS v2.
    Kms,
}

/// A scenario of this build.
#[derive(Debug)]
pub struct Registered {
    /// Its erased type.
    pub entry: ScenarioEntry,
    /// What it is for.
    pub family: Family,
    graph_text: &'static str,
    parsed: OnceLock<Parsed>,
}

#[derive(Debug)]
struct Parsed {
    graph: Arc<Graph>,
    graph_json: Json,
    guards: Arc<[Guard]>,
    guards_json: Json,
    digest: Digest,
}

macro_rules! scenarios {
    ($($module:ident::$scenario:ident = $graph:literal for $family:ident),+ $(,)?) => {
        /// Every scenario of this build, in the order of its name.
        pub static SCENARIOS: [Registered; [$(stringify!($scenario)),+].len()] = [
            $(Registered {
                entry: ScenarioEntry::of::<crate::$module::$scenario>(),
                family: Family::$family,
                graph_text: include_str!(concat!("../graphs/", $graph, ".json")),
                parsed: OnceLock::new(),
            }),+
        ];
    };
}

scenarios! {
    bootstrap_failure::BootstrapFailure = "bootstrap-failure" for Connector,
    crash_loop::CrashLoop = "crash-loop" for Connector,
    identity_loss::IdentityLoss = "identity-loss" for Connector,
    kms_aad_mismatch::KmsAadMismatch = "kms-aad-mismatch" for Kms,
    kms_auth::KmsAuth = "kms-auth" for Kms,
    kms_identity_fallback::KmsIdentityFallback = "kms-identity-fallback" for Kms,
    kms_key_id_mismatch::KmsKeyIdMismatch = "kms-key-id-mismatch" for Kms,
    kms_key_missing::KmsKeyMissing = "kms-key-missing" for Kms,
    kms_min_decryption::KmsMinDecryption = "kms-min-decryption" for Kms,
    kms_openbao_unavailable::KmsOpenbaoUnavailable = "kms-openbao-unavailable" for Kms,
    kms_socket::KmsSocket = "kms-socket" for Kms,
    kms_static_pod_image::KmsStaticPodImage = "kms-static-pod-image" for Kms,
    kms_transit_profile::KmsTransitProfile = "kms-transit-profile" for Kms,
    kms_unknown_key_id::KmsUnknownKeyId = "kms-unknown-key-id" for Kms,
    kms_version_drift::KmsVersionDrift = "kms-version-drift" for Kms,
    reconnect_failure::ReconnectFailure = "reconnect-failure" for Connector,
}

/// The scenarios for that kind of target.
pub fn of(family: Family) -> impl Iterator<Item = &'static Registered> {
    SCENARIOS.iter().filter(move |scenario| scenario.family == family)
}

/// The scenario of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Registered> {
    SCENARIOS.iter().find(|scenario| scenario.entry.name == name)
}

impl Registered {
    fn parsed(&self) -> &Parsed {
        self.parsed.get_or_init(|| {
            // The text is ours and golden; a test explores the scenario and compares.
            let graph: Graph = serde_json::from_str(self.graph_text).unwrap_or_default();
            let guards = self.entry.guards();
            let (graph_json, guards_json) = (Json::of(&graph), Json::of(&guards));
            let digest = charter_digest(self.entry.name, self.entry.version, graph_json.as_str(), guards_json.as_str());
            Parsed { graph: Arc::new(graph), graph_json, guards: guards.into(), guards_json, digest }
        })
    }

    /// The scenario's graph, as every run of it carries it.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.parsed().graph
    }

    /// The digest over name, version, graph and guards.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.parsed().digest
    }

    /// A first record for a run, with this scenario's graph and guards.
    #[must_use]
    pub fn charter(&self, fill: impl FnOnce(Begun) -> Begun) -> Charter {
        let parsed = self.parsed();
        let begun = fill(Begun {
            scenario: self.entry.name.to_owned(),
            version: self.entry.version,
            target: String::new(),
            subject: String::new(),
            params: Json::null(),
            graph: parsed.graph_json.clone(),
            guards: parsed.guards_json.clone(),
            digest: parsed.digest,
            alert: None,
            ticket: None,
            plan: None,
            request_id: None,
            despite: None,
            second_person: false,
            consumed: Vec::new(),
        });
        Charter { begun, graph: Arc::clone(&parsed.graph), guards: Arc::clone(&parsed.guards) }
    }

    /// The charter of a run read from the journal; parses nothing where the run carries this build's graph.
    ///
    /// # Errors
    /// If the run's graph or guards cannot be read.
    pub fn charter_of(&self, begun: Begun) -> Result<Charter, IllegalRecord> {
        let parsed = self.parsed();
        if begun.graph == parsed.graph_json && begun.guards == parsed.guards_json && begun.digest == parsed.digest {
            return Ok(Charter { begun, graph: Arc::clone(&parsed.graph), guards: Arc::clone(&parsed.guards) });
        }
        recover_engine::charter(begun)
    }
}
