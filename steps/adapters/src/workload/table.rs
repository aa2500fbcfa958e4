//! The kernel's table of processes, read from `/proc`.

use std::path::PathBuf;

/// What matters of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) pid: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// When it started, in clock ticks since the boot.
    pub(super) start: u64,
    /// Whether it can still do anything: a zombie cannot, unless other threads of it live on.
    pub(super) runs: bool,
}

impl Entry {
    /// Reads the file's text. The name in it may hold anything, also parentheses and spaces.
    fn parse(pid: i32, text: &[u8]) -> Option<Self> {
        let end = text.iter().rposition(|b| *b == b')')?;
        let fields: Vec<&str> = std::str::from_utf8(text.get(end + 1..)?).ok()?.split_ascii_whitespace().collect();
        // The first of these is field 3 of the file.
        let field = |n: usize| fields.get(n - 3).copied();
        let threads: u32 = field(20)?.parse().ok()?;
        let dead = matches!(field(3)?, "Z" | "X" | "x") && threads <= 1;
        Some(Self {
            pid,
            group: field(5)?.parse().ok()?,
            session: field(6)?.parse().ok()?,
            start: field(22)?.parse().ok()?,
            runs: !dead,
        })
    }
}

/// One process, if there is one of that number.
pub(super) fn entry(pid: i32) -> Option<Entry> {
    Entry::parse(pid, &std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Every process that can be seen.
pub(super) fn entries() -> std::io::Result<Vec<Entry>> {
    let mut all = Vec::new();
    for found in std::fs::read_dir("/proc")? {
        let name = found?.file_name();
        if let Some(pid) = name.to_str().and_then(|n| n.parse().ok())
            && let Some(entry) = entry(pid)
        {
            all.push(entry);
        }
    }
    Ok(all)
}

/// Whether the table hides other users' processes from us, so that "none runs" cannot be told.
pub(super) fn is_hidden() -> bool {
    entry(1).is_none()
}

/// Whether a process runs this very command, directly or through the interpreter of its first line.
pub(super) fn runs_command(pid: i32, command: &[String]) -> bool {
    let Ok(line) = std::fs::read(PathBuf::from(format!("/proc/{pid}/cmdline"))) else { return false };
    is_command(&line, command)
}

fn is_command(line: &[u8], command: &[String]) -> bool {
    let Some(line) = line.strip_suffix(b"\0") else { return false };
    let words: Vec<&[u8]> = line.split(|b| *b == 0).collect();
    let Some(before) = words.len().checked_sub(command.len()) else { return false };
    // A script's words stand behind its interpreter and, at most, one word for that.
    before <= 2 && words.iter().skip(before).copied().eq(command.iter().map(String::as_bytes))
}

/// The id of this boot.
pub(super) fn boot_id() -> std::io::Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let id = text.trim();
    // It goes into a JSON text that a forked child writes without an encoder.
    if !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        Ok(id.to_owned())
    } else {
        Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "the boot id has an unknown form"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_whatever_the_program_is_called() {
        // Fields 3 to 22 in order: state ppid group session, thirteen that do not matter, threads, another, start.
        let full = |state: &str, threads: u32| {
            format!("12 (a) R (b)) {state} 1 12 11 5 6 7 8 9 10 11 12 13 14 15 16 17 {threads} 18 4711 20")
        };
        let parse = |text: String| Entry::parse(12, text.as_bytes());
        let entry = parse(full("S", 1)).unwrap();
        assert_eq!((entry.group, entry.session, entry.start, entry.runs), (12, 11, 4711, true));
        assert!(!parse(full("Z", 1)).unwrap().runs);
        assert!(parse(full("Z", 3)).unwrap().runs, "its other threads live on");
        assert_eq!(Entry::parse(12, b"12 (a) S 1 12 11 5"), None);
    }

    #[test]
    fn we_are_in_the_table() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(entries().unwrap().iter().any(|e| e.pid == own && e.runs));
        assert!(!is_hidden());
        assert!(boot_id().is_ok());
    }

    #[test]
    fn a_command_is_known_by_every_word() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(is_command(b"/a\0b\0", &words("/a b")));
        assert!(is_command(b"/bin/sh\0-e\0/a\0b\0", &words("/a b")), "a script");
        assert!(!is_command(b"/a\0b\0c\0", &words("/a b")));
        assert!(!is_command(b"/a\0c\0", &words("/a b")));
        assert!(!is_command(b"/a\0", &words("/a b")));
        assert!(!is_command(b"x\0y\0z\0/a\0b\0", &words("/a b")));
        assert!(!is_command(b"", &words("/a")));
        assert!(is_command(b"/a\0\0", &["/a".to_owned(), String::new()]), "an empty word is a word");
    }
}
