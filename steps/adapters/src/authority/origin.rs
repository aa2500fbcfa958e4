//! The one origin that requests may go to, and the addresses that they may never reach.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A scheme, a host and a port: `https` anywhere, `http` on loopback only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(Url);

/// A text that is no usable origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOrigin {
    /// Not a URL of that kind.
    #[error("must be an origin such as https://cp.example or https://cp.example:8443, without user, path or query")]
    Shape,
    /// Plain text over a network.
    #[error("plain http is only spoken with this host: use https, or a loopback address")]
    Plain,
    /// An address that is never an authority's.
    #[error("{0} is a link-local, metadata, multicast or unspecified address")]
    Forbidden(IpAddr),
}

impl FromStr for Origin {
    type Err = BadOrigin;
    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let url = Url::parse(text).map_err(|_| BadOrigin::Shape)?;
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        if !bare || !matches!(url.scheme(), "http" | "https") {
            return Err(BadOrigin::Shape);
        }
        let host = url.host_str().ok_or(BadOrigin::Shape)?;
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        if let Some(address) = address.filter(|a| forbidden(*a)) {
            return Err(BadOrigin::Forbidden(address));
        }
        let here = address.map_or(host == "localhost", loopback);
        if url.scheme() == "http" && !here { Err(BadOrigin::Plain) } else { Ok(Self(url)) }
    }
}

impl Origin {
    /// A URL of this origin.
    pub(crate) fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url
    }

    /// Whether a URL is of this origin.
    pub(crate) fn has(&self, url: &Url) -> bool {
        url.origin() == self.0.origin() && url.username().is_empty() && url.password().is_none()
    }

    /// Where a connection to it would go, as its requests may: a literal address is its own.
    pub(crate) async fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        let host = self.0.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = self.0.port_or_known_default().unwrap_or(443);
        let found: Vec<_> = tokio::net::lookup_host((host, port)).await.map_err(|e| e.to_string())?.collect();
        let found = self.resolver().admit(host, found)?;
        if found.is_empty() { Err(format!("{host} has no address")) } else { Ok(found) }
    }

    /// Whether it is spoken with in plain text.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// Resolves names as this origin's requests may use them.
    pub(crate) fn resolver(&self) -> Resolver {
        Resolver { only_loopback: self.0.scheme() == "http" }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.origin().ascii_serialization())
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Origin {
    fn schema_name() -> Cow<'static, str> {
        "Origin".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "uri", "pattern": "^https?://[^/?#@]+/?$" })
    }
}

fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
    }
}

fn loopback(address: IpAddr) -> bool {
    unmapped(address).is_loopback()
}

/// Link-local addresses and the metadata services of the clouds: who reaches them with our credential has our host's.
fn forbidden(address: IpAddr) -> bool {
    const METADATA_4: [Ipv4Addr; 3] =
        [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];
    const METADATA_6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);
    match unmapped(address) {
        IpAddr::V4(a) => {
            a.is_link_local() || a.is_unspecified() || a.is_multicast() || a.is_broadcast() || METADATA_4.contains(&a)
        }
        IpAddr::V6(a) => a.is_unicast_link_local() || a.is_unspecified() || a.is_multicast() || a == METADATA_6,
    }
}

/// Resolves a name and refuses the whole answer if any address in it is out of bounds: an answer that mixes them is not
/// the authority's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolver {
    only_loopback: bool,
}

impl Resolver {
    fn admit(self, name: &str, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, String> {
        if let Some(bad) = addresses.iter().find(|a| forbidden(a.ip()) || (self.only_loopback && !loopback(a.ip()))) {
            return Err(format!("{name} resolves to {}, which the authority's requests may not go to", bad.ip()));
        }
        Ok(addresses)
    }
}

impl Resolver {
    /// Why an answer is not one that this origin's requests may use.
    pub(crate) fn refuses(self, name: &str, addresses: &[SocketAddr]) -> Option<String> {
        self.admit(name, addresses.to_vec()).err()
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = *self;
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let admitted = resolver.admit(name.as_str(), found)?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_bare_and_plain_ones_are_here() {
        for good in [
            "https://cp.example",
            "https://cp.example:8443/",
            "http://127.0.0.1:9",
            "http://[::1]:9",
            "http://localhost",
        ] {
            let origin: Origin = good.parse().unwrap();
            assert_eq!(origin.to_string(), good.trim_end_matches('/'));
        }
        for bad in [
            "cp.example",
            "ftp://cp.example",
            "https://u:p@cp.example",
            "https://cp.example/x",
            "https://cp.example/?q",
            "http://cp.example",
            "http://10.0.0.1",
            "https://169.254.169.254",
            "https://[fe80::1]",
            "https://0.0.0.0",
            "https://[::ffff:169.254.169.254]",
            "https://[fd00:ec2::254]",
            "https://100.100.100.200",
            // Other spellings of 169.254.169.254.
            "https://0xa9fea9fe",
            "https://2852039166",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_very_origin_is_its_own() {
        let origin: Origin = "https://cp.example".parse().unwrap();
        assert!(origin.has(&origin.at("/v1/x")));
        for other in
            ["http://cp.example/", "https://cp.example:8443/", "https://cp.example.evil/", "https://u@cp.example/"]
        {
            assert!(!origin.has(&Url::parse(other).unwrap()), "{other}");
        }
    }

    #[test]
    fn an_answer_that_leads_elsewhere_is_refused_whole() {
        let at = |text: &str| vec!["192.0.2.7:0".parse().unwrap(), format!("{text}:0").parse().unwrap()];
        let anywhere = Resolver { only_loopback: false };
        assert!(anywhere.admit("n", at("198.51.100.1")).is_ok());
        assert!(anywhere.admit("n", at("169.254.169.254")).is_err());
        assert!(anywhere.admit("n", at("[::ffff:169.254.169.254]")).is_err());
        let here = Resolver { only_loopback: true };
        assert!(here.admit("n", at("127.0.0.1")).is_err());
        assert!(here.admit("n", vec!["127.0.0.1:0".parse().unwrap()]).is_ok());
    }
}
