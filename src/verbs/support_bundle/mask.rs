//! Hosts out of a text: names that are known, the hosts of URLs, and addresses. The same host gets the same word throughout.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// What was masked, by the word that stands for it.
#[derive(Debug)]
pub(super) struct Mask {
    names: Vec<String>,
    words: RefCell<BTreeMap<String, String>>,
}

impl Mask {
    /// A mask of these names, and of every address and URL's host besides.
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let mut names: Vec<String> =
            names.into_iter().filter(|name| name.len() > 1).map(|name| name.to_lowercase()).collect();
        // A name within a longer one comes after it.
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        names.dedup();
        Self { names, words: RefCell::default() }
    }

    fn word(&self, host: &str) -> String {
        let mut words = self.words.borrow_mut();
        let next = format!("host-{}", words.len() + 1);
        words.entry(host.to_lowercase()).or_insert(next).clone()
    }

    /// The text without hosts.
    pub(super) fn apply(&self, text: &str) -> String {
        let mut masked = String::with_capacity(text.len());
        let mut rest = text;
        // What a host or an address consists of, and what does not.
        while !rest.is_empty() {
            let is_part = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
            let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
            let (token, behind) = rest.split_at(end);
            let of_url = masked.ends_with("://");
            masked += &self.token(token, of_url);
            let other = behind.find(is_part).unwrap_or(behind.len());
            let (between, next) = behind.split_at(other);
            masked += between;
            rest = next;
        }
        masked
    }

    /// One word of the text. Dots and colons at its end are the sentence's.
    fn token(&self, token: &str, of_url: bool) -> String {
        let core = token.trim_end_matches(['.', ':']);
        let tail = &token[core.len()..];
        if let Ok(address) = core.parse::<SocketAddr>() {
            return format!("{}:{}{tail}", self.word(&address.ip().to_string()), address.port());
        }
        if let Ok(address) = core.trim_matches(['[', ']']).parse::<IpAddr>() {
            return self.word(&address.to_string()) + tail;
        }
        if of_url {
            let (host, port) =
                core.split_once(':').map_or((core, String::new()), |(host, port)| (host, format!(":{port}")));
            return self.word(host) + &port + tail;
        }
        let (host, port) =
            core.split_once(':').map_or((core, String::new()), |(host, port)| (host, format!(":{port}")));
        if self.names.iter().any(|name| *name == host.to_lowercase()) {
            return self.word(host) + &port + tail;
        }
        token.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_masked_and_stay_told_apart() {
        let mask = Mask::new(["control.example.com".to_owned(), "edge-host".to_owned()]);
        let masked = mask.apply(
            "GET https://control.example.com:8443/v1, from edge-host at 10.1.2.3 to 10.1.2.3:443 or [2001:db8::1]:443; Control.Example.com.",
        );
        assert_eq!(masked, "GET https://host-1:8443/v1, from host-2 at host-3 to host-3:443 or host-4:443; host-1.");
        assert_eq!(mask.apply("http://other.example.org/x"), "http://host-5/x", "a URL's host need not be known");
    }

    #[test]
    fn what_is_no_host_stays() {
        let mask = Mask::new(["edge-host".to_owned(), String::new()]);
        for text in [
            "2026-11-23T07:45:26.190Z connected in 1.5 s, version 0.1.0",
            "the identity edge-host-2 of edge_host, 12:34",
            "sha256:abcdef 0123 a.b.c",
            "",
            "täglich: ende.",
        ] {
            assert_eq!(mask.apply(text), text);
        }
    }
}
