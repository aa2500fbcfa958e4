//! A container's specification, copied: everything that its owner said of it, but for what is mounted at one path.

use serde_json::{Map, Value, json};

use super::container::Container;

/// What is made of a container: the specification, and the networks that it is put on afterwards.
pub(crate) struct Spec {
    pub(crate) body: Value,
    /// Network and endpoint: a daemon before API 1.44 takes only one when a container is made.
    pub(crate) networks: Vec<(String, Value)>,
}

/// A container like this one, with that volume at this path. It is made of the very same image: by its name, if that still
/// means it.
pub(crate) fn like(container: &Container, mount: &str, volume: &str, image: &str) -> Spec {
    let told = container.told();
    let mut body = told["Config"].clone();
    let mut host = told["HostConfig"].clone();
    body["Image"] = image.into();
    put(&mut host, container, mount, volume);
    host["Links"] = links(&host["Links"]);
    let mode = host["NetworkMode"].as_str().unwrap_or_default().to_owned();
    let uts_of_host = host["UTSMode"] == "host";
    if let Some(fields) = body.as_object_mut() {
        // What comes of sharing another's network or name is told as if it were said; to say it is refused.
        let shared: &[&str] = match mode.starts_with("container:") {
            true => &["Hostname", "Domainname", "ExposedPorts", "MacAddress"],
            false if uts_of_host => &["Hostname", "Domainname"],
            false => &[],
        };
        shared.iter().for_each(|name| drop(fields.remove(*name)));
    }
    let (first, others): (Vec<Network>, Vec<Network>) =
        networks(container, &mode).into_iter().partition(|network| network.is_first);
    // The first is the one that its mode names; it is given at once, so that it is the default route again.
    if let Some(network) = first.into_iter().next() {
        body["NetworkingConfig"] = json!({ "EndpointsConfig": { network.name: network.endpoint } });
    }
    let networks = others.into_iter().map(|network| (network.name, network.endpoint)).collect();
    body["HostConfig"] = host;
    Spec { body, networks }
}

/// A container that is never started, of the same image, to look into a volume. What the image has volumes for is memory, so
/// that no volume is made for it.
pub(crate) fn helper(container: &Container, mount: Option<(&str, &str)>, labels: &Value) -> Value {
    let empty = Map::new();
    let declared = container.told()["Config"]["Volumes"].as_object().unwrap_or(&empty);
    let place = mount.map(|(path, _)| path);
    let mut mounts: Vec<Value> = declared
        .keys()
        .filter(|path| Some(path.as_str()) != place)
        .map(|path| json!({ "Type": "tmpfs", "Target": path }))
        .collect();
    if let Some((path, volume)) = mount {
        let options = json!({ "NoCopy": true });
        mounts.push(
            json!({ "Type": "volume", "Source": volume, "Target": path, "ReadOnly": true, "VolumeOptions": options }),
        );
    }
    json!({
        "Image": container.image(),
        "Entrypoint": ["/never-started"],
        "Cmd": [],
        "NetworkDisabled": true,
        "Labels": labels,
        "HostConfig": { "Mounts": mounts, "NetworkMode": "none", "RestartPolicy": { "Name": "no" } },
    })
}

/// Puts the volume at the path, and names the volumes that nobody named, so that they stay where they are.
fn put(host: &mut Value, container: &Container, path: &str, volume: &str) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (mut binds, mut mounts) = (list(&host["Binds"]), list(&host["Mounts"]));
    let at_bind = binds.iter().position(|bind| bind.as_str().and_then(destination) == Some(path));
    let at_mount = mounts.iter().position(|mount| mount["Target"] == path);
    if let Some(tmpfs) = host["Tmpfs"].as_object_mut() {
        tmpfs.remove(path);
    }
    match (at_bind, at_mount) {
        (Some(at), _) => {
            let options = binds[at].as_str().and_then(|bind| bind.splitn(3, ':').nth(2)).unwrap_or_default();
            // The others are about paths of the host.
            let kept: Vec<&str> = options.split(',').filter(|o| matches!(*o, "z" | "Z" | "nocopy" | "rw")).collect();
            let options = if kept.is_empty() { String::new() } else { format!(":{}", kept.join(",")) };
            binds[at] = format!("{volume}:{path}{options}").into();
        }
        (None, Some(at)) => {
            let mut new = json!({ "Type": "volume", "Source": volume, "Target": path });
            if mounts[at]["VolumeOptions"]["NoCopy"] == true {
                new["VolumeOptions"] = json!({ "NoCopy": true });
            }
            mounts[at] = new;
        }
        (None, None) => mounts.push(json!({ "Type": "volume", "Source": volume, "Target": path })),
    }
    for mount in container.mounts().iter().filter(|mount| mount["Type"] == "volume") {
        let (Some(at), Some(name)) = (mount["Destination"].as_str(), mount["Name"].as_str()) else { continue };
        let named = binds.iter().any(|bind| bind.as_str().and_then(destination) == Some(at));
        if at == path || named {
            continue;
        }
        match mounts.iter_mut().find(|said| said["Target"] == at) {
            Some(said) => said["Source"] = name.into(),
            None => {
                mounts.push(json!({ "Type": "volume", "Source": name, "Target": at, "ReadOnly": mount["RW"] == false }))
            }
        }
    }
    host["Binds"] = binds.into();
    host["Mounts"] = mounts.into();
}

/// The path in the container of `source:path[:options]`.
fn destination(bind: &str) -> Option<&str> {
    bind.split(':').nth(1)
}

/// Links are told as `/other:/this/alias` and said as `other:alias`.
fn links(told: &Value) -> Value {
    let Some(told) = told.as_array() else { return Value::Null };
    let said = |link: &Value| {
        let (other, alias) = link.as_str()?.split_once(':')?;
        Some(Value::from(format!("{}:{}", other.trim_start_matches('/'), alias.rsplit('/').next()?)))
    };
    told.iter().filter_map(said).collect::<Vec<_>>().into()
}

/// A network that a container is on.
struct Network {
    name: String,
    endpoint: Value,
    /// Whether the container's mode names it.
    is_first: bool,
}

/// What was said of each network; what the daemon made of it is left out.
fn networks(container: &Container, mode: &str) -> Vec<Network> {
    if matches!(mode, "host" | "none") || mode.starts_with("container:") {
        return Vec::new();
    }
    let empty = Map::new();
    let told = container.told()["NetworkSettings"]["Networks"].as_object().unwrap_or(&empty);
    // There is nothing to be said of the daemon's own network, and it is there without a word.
    let by_default = matches!(mode, "" | "default" | "bridge");
    let said_of = told.iter().filter(|(name, _)| !(by_default && *name == "bridge"));
    said_of
        .map(|(name, endpoint)| {
            let by_id = mode.len() >= 12 && endpoint["NetworkID"].as_str().is_some_and(|id| id.starts_with(mode));
            let is_first = name == mode || by_id;
            Network { name: name.clone(), endpoint: said(endpoint, container.id()), is_first }
        })
        .collect()
}

fn said(endpoint: &Value, id: &str) -> Value {
    let mut said = Map::new();
    for name in ["IPAMConfig", "Links", "DriverOpts", "GwPriority", "MacAddress"] {
        let value = &endpoint[name];
        if !value.is_null() && value != "" {
            said.insert(name.to_owned(), value.clone());
        }
    }
    // The daemon gives each container the beginning of its id as an alias.
    let own = id.get(..12).unwrap_or(id);
    let aliases: Vec<Value> =
        endpoint["Aliases"].as_array().into_iter().flatten().filter(|alias| *alias != own).cloned().collect();
    if !aliases.is_empty() {
        said.insert("Aliases".to_owned(), aliases.into());
    }
    said.into()
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
