//! A container that is made anew is what it was, field by field, but for one mount.

use serde_json::json;

use super::super::container::tests::recorded;
use super::*;

const CACHE: &str = "/cache";

fn copied(change: impl FnOnce(&mut Value)) -> Spec {
    let mut told = recorded();
    change(&mut told);
    like(&Container::of(told).unwrap(), "/data", "edge-original", "edge:1")
}

/// The mounts and binds that come of a change, by their paths.
fn mounts(change: impl FnOnce(&mut Value)) -> (Value, Value) {
    let host = copied(change).body["HostConfig"].clone();
    (host["Binds"].clone(), host["Mounts"].clone())
}

#[test]
fn everything_is_copied_but_for_the_one_mount() {
    let told = recorded();
    let body = copied(|_| ()).body;
    for (name, value) in told["Config"].as_object().unwrap() {
        assert_eq!(&body[name], value, "{name}");
    }
    for (name, value) in told["HostConfig"].as_object().unwrap() {
        if !["Binds", "Mounts", "Links"].contains(&name.as_str()) {
            assert_eq!(&body["HostConfig"][name], value, "{name}");
        }
    }
    assert_eq!(body["Env"][0], "PASSWORD=hunter2", "the environment too");
    assert_eq!(body["Hostname"], "edge-host");
    let binds = told["HostConfig"]["Binds"].as_array().unwrap();
    let wanted: Vec<Value> = binds
        .iter()
        .map(|bind| if bind == "edge-data:/data" { "edge-original:/data".into() } else { bind.clone() })
        .collect();
    assert!(binds.len() > 1 && wanted != *binds);
    assert_eq!(body["HostConfig"]["Binds"], Value::from(wanted));
    assert!(body.get("NetworkingConfig").is_none(), "the host's network has no endpoint");
}

#[test]
fn a_field_that_nobody_here_knows_is_copied() {
    let body = copied(|told| {
        told["Config"]["FromTheFuture"] = json!({ "a": 1 });
        told["HostConfig"]["FromTheFutureToo"] = json!([2]);
    });
    assert_eq!(body.body["FromTheFuture"], json!({ "a": 1 }));
    assert_eq!(body.body["HostConfig"]["FromTheFutureToo"], json!([2]));
}

#[test]
fn a_volume_that_nobody_named_stays_where_it_is() {
    let (_, mounts) = mounts(|_| ());
    let told = recorded();
    let anonymous = told["Mounts"].as_array().unwrap().iter().find(|m| m["Destination"] == CACHE).unwrap();
    assert_eq!(mounts[0]["Source"], anonymous["Name"]);
    assert_eq!((mounts[0]["Target"].as_str(), mounts[0]["ReadOnly"].as_bool()), (Some(CACHE), Some(false)));
    assert_eq!(mounts.as_array().unwrap().len(), 1);
}

#[test]
fn the_mount_is_replaced_however_it_was_said() {
    let bind = |text: &str| mounts(|told| told["HostConfig"]["Binds"] = json!([text])).0[0].clone();
    assert_eq!(bind("edge-new:/data:rw,z"), "edge-original:/data:rw,z");
    assert_eq!(bind("/srv/edge:/data:rslave,Z"), "edge-original:/data:Z", "what is about a path of the host goes");
    let (_, of_mount) = mounts(|told| {
        told["HostConfig"]["Binds"] = Value::Null;
        let options = json!({ "NoCopy": true, "DriverConfig": { "Name": "local" } });
        told["HostConfig"]["Mounts"] =
            json!([{ "Type": "volume", "Source": "edge-new", "Target": "/data", "VolumeOptions": options }]);
    });
    let wanted = json!({ "Type": "volume", "Source": "edge-original", "Target": "/data",
        "VolumeOptions": { "NoCopy": true } });
    assert_eq!(of_mount[0], wanted);
    // It came of the image alone, or of `--tmpfs`.
    let (_, of_image) = mounts(|told| {
        told["HostConfig"]["Binds"] = Value::Null;
        told["HostConfig"]["Tmpfs"] = json!({ "/data": "", "/tmp": "" });
    });
    assert_eq!(of_image[0], json!({ "Type": "volume", "Source": "edge-original", "Target": "/data" }));
    let tmpfs = copied(|told| told["HostConfig"]["Tmpfs"] = json!({ "/data": "", "/tmp": "" })).body;
    assert_eq!(tmpfs["HostConfig"]["Tmpfs"], json!({ "/tmp": "" }));
}

/// As Engine 20.10.24 tells of a stopped container on two networks.
fn on_two_networks(told: &mut Value) {
    let endpoint = |address: Value, alias: &str, id: &str| {
        json!({ "IPAMConfig": address, "Links": null, "Aliases": [alias, told_id()[..12]], "NetworkID": id, "EndpointID": "",
            "Gateway": "", "IPAddress": "", "IPPrefixLen": 0, "MacAddress": "", "DriverOpts": null })
    };
    told["Id"] = told_id().into();
    told["HostConfig"]["NetworkMode"] = "lab".into();
    told["NetworkSettings"]["Networks"] = json!({
        "lab": endpoint(json!({ "IPv4Address": "10.99.7.9" }), "web", "e74da83404360961a7168c10f8ce48304cc57e272945cbc9"),
        "lab2": endpoint(json!({}), "two", "3282297460c511591411de8c257030881dedba1f8b28ef6d5d431431987d8dc8"),
    });
}

fn told_id() -> String {
    "c7e3f964df0509d5".repeat(4)
}

#[test]
fn what_was_said_of_networks_is_said_again_and_what_came_of_it_is_not() {
    let spec = copied(on_two_networks);
    let first =
        json!({ "EndpointsConfig": { "lab": { "IPAMConfig": { "IPv4Address": "10.99.7.9" }, "Aliases": ["web"] } } });
    assert_eq!(spec.body["NetworkingConfig"], first);
    assert_eq!(spec.networks, [("lab2".to_owned(), json!({ "IPAMConfig": {}, "Aliases": ["two"] }))]);
    let by_id = copied(|told| {
        on_two_networks(told);
        told["HostConfig"]["NetworkMode"] = "e74da8340436".into();
    });
    assert_eq!(by_id.body["NetworkingConfig"], first, "a network may be named by its id");
    let mac = copied(|told| {
        on_two_networks(told);
        told["NetworkSettings"]["Networks"]["lab"]["MacAddress"] = "02:42:0a:63:07:09".into();
    });
    assert_eq!(mac.body["NetworkingConfig"]["EndpointsConfig"]["lab"]["MacAddress"], "02:42:0a:63:07:09");
}

#[test]
fn a_container_of_the_default_network_keeps_the_others_that_it_was_put_on() {
    let spec = copied(|told| {
        on_two_networks(told);
        told["HostConfig"]["NetworkMode"] = "default".into();
        told["NetworkSettings"]["Networks"]["bridge"] = json!({});
    });
    assert!(spec.body.get("NetworkingConfig").is_none());
    let names: Vec<&str> = spec.networks.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["lab", "lab2"]);
}

#[test]
fn what_comes_of_sharing_is_not_said_and_links_are_said_as_the_daemon_takes_them() {
    let shared = copied(|told| {
        told["HostConfig"]["NetworkMode"] = "container:other".into();
        told["Config"]["ExposedPorts"] = json!({ "80/tcp": {} });
    });
    assert!(shared.body.get("Hostname").is_none() && shared.body.get("ExposedPorts").is_none());
    let named = copied(|told| told["HostConfig"]["UTSMode"] = "host".into());
    assert!(named.body.get("Hostname").is_none());
    let linked = copied(|told| told["HostConfig"]["Links"] = json!(["/db:/edge-connector/database"]));
    assert_eq!(linked.body["HostConfig"]["Links"], json!(["db:database"]));
}

#[test]
fn a_helper_has_nothing_of_the_workload_but_its_image() {
    let container = Container::of(recorded()).unwrap();
    let body = helper(&container, Some(("/data", "edge-original")), &json!({ "l": "v" }));
    let text = body.to_string();
    assert!(!text.contains("hunter2") && !text.contains("handover"), "{text}");
    assert_eq!(body["Image"], recorded()["Image"]);
    let mounts = body["HostConfig"]["Mounts"].as_array().unwrap();
    let at = |path: &str| mounts.iter().find(|mount| mount["Target"] == path).unwrap();
    assert_eq!(
        (at("/data")["ReadOnly"].as_bool(), at("/data")["Source"].as_str()),
        (Some(true), Some("edge-original"))
    );
    // Without this, each helper would leave a volume behind that nobody named.
    assert_eq!(at(CACHE)["Type"], "tmpfs");
    let claim = helper(&container, None, &json!({}));
    assert!(claim["HostConfig"]["Mounts"].as_array().unwrap().iter().all(|mount| mount["Type"] == "tmpfs"));
}
