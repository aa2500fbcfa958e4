//! What of a configuration is taken, and what is refused under which key.

use super::*;

pub(crate) fn sample() -> serde_json::Value {
    serde_json::json!({
        "workload": { "process": { "command": ["/bin/sleep", "60"], "pidfile": "/r/p", "log": "/r/l", "token_file": "/r/t" } },
        "storage": { "directory": { "path": "/d/data", "originals": ["/d/original"] } },
        "authority": { "http": { "base": "http://127.0.0.1:9/", "agent": "edge-1", "credential": "file:/c" } },
        "timing": { "observe": "1s" }
    })
}

#[test]
fn a_configuration_is_read_and_names_its_subject() {
    let config: ConnectorConfig = serde_json::from_value(sample()).unwrap();
    config.check().unwrap();
    assert_eq!(config.subject(), "http://127.0.0.1:9/edge-1");
    assert_eq!(config.timing.observe.as_ms(), 1_000);
    assert_eq!(config.timing.online_within, Timing::default().online_within);
    let again: ConnectorConfig = serde_json::from_value(serde_json::to_value(&config).unwrap()).unwrap();
    assert_eq!(again, config);
    let schema = serde_json::to_string(&schemars::schema_for!(ConnectorConfig)).unwrap();
    assert!(schema.contains("token_file") && schema.contains("additionalProperties"));
}

#[test]
fn what_is_unknown_or_useless_is_refused() {
    for (at, value) in [
        ("/workload/process/command/0", "sleep"),
        ("/workload/process/pidfile", "p"),
        ("/workload/process/log", "/r/../l"),
        ("/storage/directory/path", "/"),
        ("/storage/directory/originals/0", "/d/data"),
        ("/authority/http/agent", "a/../b"),
        ("/authority/http/agent", ".."),
        ("/authority/http/base", "http://example.com"),
        ("/authority/http/base", "https://user@example.com"),
        ("/authority/http/base", "https://example.com/api"),
        ("/authority/http/base", "https://169.254.169.254"),
        ("/authority/http/credential", "hunter2"),
        ("/authority/http/credential", "systemd-credential:../x"),
        ("/timing/observe", "1"),
    ] {
        let mut raw = sample();
        *raw.pointer_mut(at).unwrap() = value.into();
        let config = serde_json::from_value::<ConnectorConfig>(raw);
        assert!(
            config.map_err(|e| e.to_string()).and_then(|c| c.check().map_err(|e| e.to_string())).is_err(),
            "{at} {value}"
        );
    }
    for at in ["", "/workload/process", "/storage/directory", "/authority/http", "/timing"] {
        let mut raw = sample();
        raw.pointer_mut(at).unwrap()["surprise"] = 1.into();
        assert!(serde_json::from_value::<ConnectorConfig>(raw).is_err(), "{at}");
    }
}

#[test]
fn a_unit_of_systemd_is_named_in_full() {
    let config = |unit: &str| {
        let mut raw = sample();
        raw["workload"] = serde_json::json!({ "systemd": { "unit": unit, "token_file": "/r/t" } });
        serde_json::from_value::<ConnectorConfig>(raw).unwrap()
    };
    let sound = config("vaultpam-connector@edge.service");
    sound.check().unwrap();
    assert!(matches!(&sound.workload, WorkloadConfig::Systemd(unit) if unit.manager == Manager::System));
    let long = "x".repeat(260);
    for unit in ["", ".service", "connector", "connector.timer", "../x.service", "a b.service", "x@.service", &long] {
        assert_eq!(config(unit).check().unwrap_err().key, "workload.systemd.unit", "{unit}");
    }
    let mut raw = sample();
    raw["workload"] = serde_json::json!({ "systemd": { "unit": "x.service", "token_file": "t" } });
    assert!(serde_json::from_value::<ConnectorConfig>(raw).unwrap().check().is_err());
}

#[test]
fn a_volume_belongs_to_a_container() {
    let config = |workload: serde_json::Value, storage: serde_json::Value| {
        let mut raw = sample();
        (raw["workload"], raw["storage"]) = (workload, storage);
        serde_json::from_value::<ConnectorConfig>(raw).unwrap()
    };
    let docker = |name: &str| serde_json::json!({ "docker": { "container": name, "token_file": "/r/t" } });
    let volume = |mount: &str, originals: &[&str], identity: &str| serde_json::json!({ "docker-volume": { "mount": mount, "originals": originals, "identity": identity } });
    let sound = config(docker("edge"), volume("/data", &["edge-data"], "identity.json"));
    sound.check().unwrap();
    let WorkloadConfig::Docker(found) = &sound.workload else { panic!("is docker") };
    assert_eq!(found.socket, Path::new("/var/run/docker.sock"));
    config(docker("edge"), sample()["storage"].clone()).check().unwrap();
    for (workload, storage, key) in [
        (sample()["workload"].clone(), volume("/data", &[], "i"), "storage.docker-volume"),
        (docker("../x"), volume("/data", &[], "i"), "workload.docker.container"),
        (docker("-x"), volume("/data", &[], "i"), "workload.docker.container"),
        (docker("edge"), volume("data", &[], "i"), "storage.docker-volume.mount"),
        (docker("edge"), volume("/", &[], "i"), "storage.docker-volume.mount"),
        (docker("edge"), volume("/data", &["/srv/x"], "i"), "storage.docker-volume.originals"),
        (docker("edge"), volume("/data", &["a?v=1"], "i"), "storage.docker-volume.originals"),
        (docker("edge"), volume("/data", &[], "../i"), "storage.docker-volume.identity"),
    ] {
        assert_eq!(config(workload, storage).check().unwrap_err().key, key);
    }
}

#[test]
fn a_secret_put_where_its_reference_belongs_is_not_repeated() {
    let mut raw = sample();
    raw["authority"]["http"]["credential"] = "s3cr3t-value".into();
    let error = serde_json::from_value::<ConnectorConfig>(raw).unwrap_err();
    assert!(!error.to_string().contains("s3cr3t-value"), "{error}");
}

#[test]
fn a_directory_that_a_unit_is_told_of_belongs_to_a_unit() {
    let config = |workload: serde_json::Value, storage: serde_json::Value| {
        let mut raw = sample();
        (raw["workload"], raw["storage"]) = (workload, storage);
        serde_json::from_value::<ConnectorConfig>(raw).unwrap()
    };
    let unit = |token: serde_json::Value| serde_json::json!({ "systemd": { "unit": "x.service", "token_file": "/r/t", "token": token } });
    let storage = |path: &str, variable: &str, identity: &str| serde_json::json!({ "systemd-unit": { "path": path, "variable": variable, "originals": ["/d/original"], "identity": identity } });
    let sound = storage("/d/data", "PAM_AGENT_DATA_DIR", "identity.json");
    for token in [
        serde_json::json!("file"),
        serde_json::json!({ "credential": "pairing-token" }),
        serde_json::json!({ "environment": "PAM_AGENT_TOKEN" }),
    ] {
        config(unit(token), sound.clone()).check().unwrap();
    }
    let file = || unit(serde_json::json!("file"));
    for (workload, storage, key) in [
        (sample()["workload"].clone(), sound.clone(), "storage.systemd-unit"),
        (file(), storage("/d/data", "A-B", "i"), "storage.systemd-unit.variable"),
        (file(), storage("/d/data", "", "i"), "storage.systemd-unit.variable"),
        (file(), storage("/d/data", "1A", "i"), "storage.systemd-unit.variable"),
        (file(), storage("data", "A", "i"), "storage.systemd-unit.path"),
        (file(), storage("/", "A", "i"), "storage.systemd-unit.path"),
        (file(), storage("/d/data", "A", "../i"), "storage.systemd-unit.identity"),
        (unit(serde_json::json!({ "credential": "a:b" })), sound.clone(), "workload.systemd.token.credential"),
        (unit(serde_json::json!({ "credential": "a/b" })), sound.clone(), "workload.systemd.token.credential"),
        (unit(serde_json::json!({ "credential": "%n" })), sound.clone(), "workload.systemd.token.credential"),
        (unit(serde_json::json!({ "environment": "A=B" })), sound.clone(), "workload.systemd.token.environment"),
    ] {
        assert_eq!(config(workload, storage).check().unwrap_err().key, key);
    }
    for file in ["/r/a token", "/dev/shm/token"] {
        let mut odd = unit(serde_json::json!({ "credential": "t" }));
        odd["systemd"]["token_file"] = file.into();
        assert_eq!(config(odd, sound.clone()).check().unwrap_err().key, "workload.systemd.token_file", "{file}");
    }
}

#[test]
fn a_windows_host_is_refused_with_what_to_do_by_hand() {
    let mut raw = sample();
    raw["workload"] = serde_json::json!({ "windows": { "service": "VaultPAMConnector" } });
    let error = serde_json::from_value::<ConnectorConfig>(raw).unwrap().check().unwrap_err();
    assert_eq!(error.key, "workload.windows");
    let places: Vec<usize> = [
        "Stop-Service VaultPAMConnector",
        "original data directory",
        "revoke",
        "pair exactly once",
        "Start-Service",
        "Restart-Service",
        "%PROGRAMDATA%",
    ]
    .iter()
    .map(|step| error.wrong.find(step).expect(step))
    .collect();
    assert!(places.is_sorted(), "in the runbook's order: {}", error.wrong);
}

/// A connector that is an agent of SPIRE.
fn spire() -> serde_json::Value {
    let mut raw = sample();
    raw["workload"]["process"]["token_arguments"] = serde_json::json!(["-joinTokenFile", "/r/t"]);
    raw["authority"] = serde_json::json!({ "spire-join-token": { "socket": "/s/api.sock", "trust_domain": "example.test",
        "alias": "spiffe://example.test/connector/edge-1", "agent_socket": "/a/api.sock" } });
    raw
}

#[test]
fn an_agent_of_spire_is_named_by_its_alias() {
    let config: ConnectorConfig = serde_json::from_value(spire()).unwrap();
    config.check().unwrap();
    assert_eq!(config.subject(), "spiffe://example.test/connector/edge-1");
    for (at, value, key) in [
        ("/authority/spire-join-token/socket", "api.sock", "authority.spire-join-token.socket"),
        ("/authority/spire-join-token/agent_socket", "/a/../api.sock", "authority.spire-join-token.agent_socket"),
        ("/authority/spire-join-token/trust_domain", "Example.test", "authority.spire-join-token.trust_domain"),
        ("/authority/spire-join-token/alias", "spiffe://other.test/edge-1", "authority.spire-join-token.alias"),
        ("/authority/spire-join-token/alias", "spiffe://example.test", "authority.spire-join-token.alias"),
        ("/authority/spire-join-token/alias", "spiffe://example.testing/x", "authority.spire-join-token.alias"),
        ("/authority/spire-join-token/alias", "spiffe://example.test/a//b", "authority.spire-join-token.alias"),
        ("/authority/spire-join-token/alias", "spiffe://example.test/spire/server", "authority.spire-join-token.alias"),
        ("/timing/token_ttl", "11m", "timing.token_ttl"),
    ] {
        let mut raw = spire();
        raw["timing"]["token_ttl"] = "10m".into();
        *raw.pointer_mut(at).unwrap() = value.into();
        let config: ConnectorConfig = serde_json::from_value(raw).unwrap();
        assert_eq!(config.check().map_err(|e| e.key), Err(key), "{value}");
    }
    let mut raw = spire();
    raw["workload"]["process"].as_object_mut().unwrap().remove("token_arguments");
    let refused = serde_json::from_value::<ConnectorConfig>(raw).unwrap().check().unwrap_err();
    assert!(refused.wrong.contains("joinTokenFile"), "{refused}");
}
