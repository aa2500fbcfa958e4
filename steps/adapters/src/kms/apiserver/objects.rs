//! Old objects read from storage, and objects written again as they are. What is in them is dropped as soon as it was there.

use recover_steps::kms::{ObjectsRead, Rewritten};
use serde::Deserialize;

use super::client::{Asked, Kube, said};
use crate::known::Known;
use crate::trouble::Trouble;

const JSON: &str = "application/json";
/// Names alone: what the objects hold is not even sent.
const NAMES: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const PAGE: &str = "200";
/// How often an object that changes all the time is tried.
const TRIES: u32 = 8;
/// No cluster has more pages.
const PAGES_MOST: u32 = 100_000;

#[derive(Deserialize)]
struct List {
    metadata: ListMeta,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct ListMeta {
    #[serde(rename = "continue", default)]
    more: String,
}

#[derive(Deserialize)]
struct Item {
    metadata: ItemMeta,
}

#[derive(Deserialize)]
struct ItemMeta {
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiGroup {
    preferred_version: ApiVersion,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiVersion {
    group_version: String,
}

fn plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

impl Kube {
    /// Where a resource is: `secrets`, or `RESOURCE.GROUP` in the version that the API server prefers.
    async fn resource(&self, resource: &str, known: &Known) -> Result<(String, String), Asked> {
        let Some((name, group)) = resource.split_once('.') else { return Ok(("/api/v1".into(), resource.to_owned())) };
        let asked = self.get(&format!("/apis/{group}"), &[], JSON, known).await;
        if let Asked::Answered { status: 200, body } = &asked
            && let Ok(found) = serde_json::from_slice::<ApiGroup>(body)
        {
            let version = found.preferred_version.group_version;
            if version.split('/').all(plain) {
                return Ok((format!("/apis/{version}"), name.to_owned()));
            }
        }
        Err(asked)
    }

    /// Reads each of the objects from storage: without a resource version the API server answers from etcd and not from its cache.
    pub(in crate::kms) async fn read_objects(&self, objects: &[String], known: &Known) -> Result<ObjectsRead, Trouble> {
        let (mut unreadable, mut first, mut count) = (Vec::new(), None, 0);
        for object in objects {
            let path = match self.path_of(object, known).await {
                Ok(path) => path,
                Err(asked) => return unavailable(asked, known),
            };
            match self.get(&path, &[], JSON, known).await {
                Asked::Answered { status: 200, .. } => count += 1,
                Asked::Answered { status: 404, .. } => {
                    unreadable.push(object.clone());
                    first.get_or_insert_with(|| "it is not there".to_owned());
                }
                Asked::Answered { status: 500, body } => {
                    unreadable.push(object.clone());
                    first.get_or_insert_with(|| said(500, &body, known));
                }
                other @ (Asked::Answered { .. } | Asked::Silent(_)) => return unavailable(other, known),
            }
        }
        Ok(match first {
            Some(why) => ObjectsRead::Unreadable { objects: unreadable, why },
            None => ObjectsRead::Read { count },
        })
    }

    async fn path_of(&self, object: &str, known: &Known) -> Result<String, Asked> {
        let parts: Vec<&str> = object.split('/').collect();
        let resource = parts.first().copied().unwrap_or_default();
        let (root, resource) = self.resource(resource, known).await?;
        Ok(match parts.as_slice() {
            [_, namespace, name] => format!("{root}/namespaces/{namespace}/{resource}/{name}"),
            [_, name] => format!("{root}/{resource}/{name}"),
            _ => root,
        })
    }

    /// Writes every object of these resources again: read, and put back as it was read. Which version it replaces stands in it.
    pub(in crate::kms) async fn rewrite(&self, resources: &[String], known: &Known) -> Result<Rewritten, Trouble> {
        let mut count = 0;
        for resource in resources {
            let (root, name) = self.resource(resource, known).await.map_err(|asked| trouble(asked, known))?;
            let mut more = String::new();
            for _ in 0..PAGES_MOST {
                let query = [("limit", PAGE), ("continue", more.as_str())];
                let query = if more.is_empty() { &query[..1] } else { &query[..] };
                let list = match self.get(&format!("{root}/{name}"), query, NAMES, known).await {
                    Asked::Answered { status: 200, body } => serde_json::from_slice::<List>(&body)
                        .map_err(|_| Trouble::retry(format!("the list of {resource} is none")))?,
                    // The list is too old to go on with: from the beginning.
                    Asked::Answered { status: 410, .. } if !more.is_empty() => {
                        more.clear();
                        continue;
                    }
                    other @ (Asked::Answered { .. } | Asked::Silent(_)) => return Err(trouble(other, known)),
                };
                for item in &list.items {
                    count += u64::from(self.rewrite_one(&root, &name, &item.metadata, known).await?);
                }
                more = list.metadata.more;
                if more.is_empty() {
                    break;
                }
            }
        }
        Ok(Rewritten::Rewritten { count })
    }

    /// Whether there was something to write.
    async fn rewrite_one(&self, root: &str, resource: &str, item: &ItemMeta, known: &Known) -> Result<bool, Trouble> {
        if !plain(&item.name) || !(item.namespace.is_empty() || plain(&item.namespace)) {
            return Err(Trouble::refused("apiserver", "an object of the list has a name that is none"));
        }
        let path = if item.namespace.is_empty() {
            format!("{root}/{resource}/{}", item.name)
        } else {
            format!("{root}/namespaces/{}/{resource}/{}", item.namespace, item.name)
        };
        for _ in 0..TRIES {
            let body = match self.get(&path, &[], JSON, known).await {
                Asked::Answered { status: 200, body } => body,
                Asked::Answered { status: 404, .. } => return Ok(false),
                other @ (Asked::Answered { .. } | Asked::Silent(_)) => return Err(trouble(other, known)),
            };
            match self.put(&path, &body, known).await {
                Asked::Answered { status: 200, .. } => return Ok(true),
                // Somebody was faster: what is there now is read again. Gone: nothing is left to write.
                Asked::Answered { status: 409, .. } => {}
                Asked::Answered { status: 404, .. } => return Ok(false),
                other @ (Asked::Answered { .. } | Asked::Silent(_)) => return Err(trouble(other, known)),
            }
        }
        Err(Trouble::retry(format!("{path} changes all the time")))
    }
}

fn unavailable(asked: Asked, known: &Known) -> Result<ObjectsRead, Trouble> {
    match asked {
        Asked::Answered { status: status @ (401 | 403), body } => {
            Err(Trouble::refused("apiserver", format!("the objects may not be read: {}", said(status, &body, known))))
        }
        Asked::Answered { status, body } => Ok(ObjectsRead::Unavailable { why: said(status, &body, known) }),
        Asked::Silent(why) => Ok(ObjectsRead::Unavailable { why }),
    }
}

fn trouble(asked: Asked, known: &Known) -> Trouble {
    match asked {
        Asked::Answered { status: status @ (400..=428 | 430..=499), body } => {
            Trouble::refused("apiserver", said(status, &body, known))
        }
        Asked::Answered { status, body } => Trouble::retry(said(status, &body, known)),
        Asked::Silent(why) => Trouble::retry(why),
    }
}
