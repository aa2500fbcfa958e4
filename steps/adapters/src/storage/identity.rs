//! Reading the public part of an identity file. Its private part is in memory for the time of reading, and nowhere after.

use std::io;
use std::path::Path;

use recover_engine::{Digest, Millis};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::svid;
use crate::{files, time};

pub(super) const LONGEST: usize = 256 * 1024;

/// The public part of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) serial: String,
    /// What the file itself says, if it does.
    pub(crate) own_fingerprint: Option<String>,
    /// When its time is over, if the file says so.
    pub(crate) not_after: Option<Millis>,
    /// Why nothing can ever be done with it again, where that can be told.
    pub(crate) dead: Option<String>,
    /// The fingerprint that its certificate gives it.
    certificate: Option<String>,
}

/// What is where an identity should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// An identity that can be read.
    There(Identity),
    /// No file, or no folder.
    Absent,
    /// Something that cannot be read or is no identity.
    Unreadable(String),
}

#[derive(Deserialize)]
struct Public {
    serial: String,
    #[serde(default)]
    fingerprint: Option<String>,
    #[serde(default)]
    certificate: Option<String>,
    /// Of any shape: a time that is not one is no reason to call the identity unreadable.
    #[serde(default)]
    not_after: serde_json::Value,
}

impl Identity {
    /// What it is called where it is in the way, with what makes it useless.
    pub(crate) fn shown(&self) -> String {
        self.dead.as_ref().map_or_else(|| self.serial.clone(), |why| format!("{} ({why})", self.serial))
    }

    /// That of an agent of SPIRE. Its certificate is renewed again and again; the agent's id stays.
    pub(super) const fn of_agent(serial: String, not_after: Millis, dead: Option<String>) -> Self {
        Self { serial, own_fingerprint: None, not_after: Some(not_after), dead, certificate: None }
    }

    /// That which was told of from where it is: its own fingerprint, and the one it has without.
    pub(crate) fn told(
        serial: String,
        (own_fingerprint, fingerprint): (Option<String>, String),
        not_after: Option<Millis>,
        dead: Option<String>,
    ) -> Self {
        Self { serial, own_fingerprint, not_after, dead, certificate: Some(fingerprint) }
    }

    /// A fingerprint of the public part: the file's own, or a digest of the certificate, or of the serial.
    pub(crate) fn fingerprint(&self) -> String {
        match (&self.own_fingerprint, &self.certificate) {
            (Some(own), _) => own.clone(),
            (None, Some(certificate)) => certificate.clone(),
            (None, None) => format!("sha256:{}", Digest::of(self.serial.as_bytes())),
        }
    }
}

/// Looks into a directory for its identity.
pub(crate) fn look(directory: &Path, name: &str) -> Looked {
    match files::open_dir(directory) {
        Ok(folder) => look_in(&folder, name),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Looked::Absent,
        Err(e) => Looked::Unreadable(e.to_string()),
    }
}

pub(crate) fn look_in(folder: &std::os::fd::OwnedFd, name: &str) -> Looked {
    let file = match files::open_in(folder, Path::new(name), OFlags::RDONLY, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Looked::Absent,
        Err(Errno::LOOP) => return Looked::Unreadable(format!("{name} is a link")),
        Err(e) => return Looked::Unreadable(format!("{name}: {e}")),
    };
    match rustix::fs::fstat(&file) {
        Ok(stat) if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() => {}
        Ok(_) => return Looked::Unreadable(format!("{name} is not a regular file")),
        Err(e) => return Looked::Unreadable(format!("{name}: {e}")),
    }
    match files::read_capped(&file, LONGEST).map(Zeroizing::new) {
        Ok(bytes) => svid::read(&bytes, || svid::keys_beside(folder)).unwrap_or_else(|| read_as(name, &bytes)),
        Err(e) => Looked::Unreadable(format!("{name}: {e}")),
    }
}

/// What the bytes of that file are.
pub(super) fn read_as(name: &str, bytes: &[u8]) -> Looked {
    parse(bytes).map_or_else(|why| Looked::Unreadable(format!("{name}: {why}")), Looked::There)
}

/// The parser's own message could quote the file, so it is not repeated.
fn parse(bytes: &[u8]) -> Result<Identity, &'static str> {
    // The parser would take an array's elements for the fields.
    let object = bytes.trim_ascii_start().starts_with(b"{").then_some(bytes);
    let public = object.and_then(|bytes| serde_json::from_slice::<Public>(bytes).ok());
    let public = public.ok_or("it is not a JSON object with a serial")?;
    let word = |text: &str| !text.is_empty() && text.len() <= 200 && text.bytes().all(|b| b.is_ascii_graphic());
    if !word(&public.serial) || !public.fingerprint.as_deref().is_none_or(word) {
        return Err("its serial or fingerprint is not one word of printable characters");
    }
    let certificate = public.certificate.map(|c| format!("sha256:{}", Digest::of(c.as_bytes())));
    let not_after = public.not_after.as_str().and_then(time::parse);
    Ok(Identity { serial: public.serial, own_fingerprint: public.fingerprint, not_after, dead: None, certificate })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn an_identity_is_there_absent_or_unreadable() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert_eq!(look(&at("none"), "i"), Looked::Absent);
        assert_eq!(look(dir.path(), "i"), Looked::Absent);
        std::fs::write(at("i"), r#"{"serial":"s1","secret_key":"s3cr3t","certificate":"c"}"#).unwrap();
        let Looked::There(identity) = look(dir.path(), "i") else { panic!("is there") };
        assert_eq!((identity.serial.as_str(), identity.fingerprint()), ("s1", format!("sha256:{}", Digest::of(b"c"))));
        assert!(!format!("{identity:?}").contains("s3cr3t"));
        symlink(at("i"), at("link")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        for (name, text) in [
            ("empty", String::new()),
            ("torn", r#"{"serial":"s1","secret_key":"s3cr3t"#.to_owned()),
            ("other", r#"["s1"]"#.to_owned()),
            ("blank", r#"{"serial":""}"#.to_owned()),
            ("long", " ".repeat(LONGEST + 1)),
        ] {
            std::fs::write(at(name), text).unwrap();
        }
        for name in ["link", "folder", "pipe", "empty", "torn", "other", "blank", "long"] {
            let looked = look(dir.path(), name);
            assert!(matches!(&looked, Looked::Unreadable(why) if !why.contains("s3cr3t")), "{name}: {looked:?}");
        }
    }
}
