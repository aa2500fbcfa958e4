//! The one file of a tar archive, as the daemon sends a file of a container.

use zeroize::Zeroizing;

const BLOCK: usize = 512;

/// What an archive begins with.
#[derive(PartialEq, Eq)]
pub(crate) enum Entry {
    /// A regular file, whole.
    File(Zeroizing<Vec<u8>>),
    /// A link, which nobody followed.
    Link,
    /// A directory, a device, a pipe.
    Other,
}

/// The first entry that is no mere header of the one behind it.
pub(super) fn first(mut archive: &[u8], most: usize) -> Result<Entry, &'static str> {
    // A file has one such header before it, and a long name another.
    for _ in 0..8 {
        let (header, rest) = archive.split_at_checked(BLOCK).ok_or("the archive is cut off")?;
        if header.iter().all(|byte| *byte == 0) {
            return Err("the archive is empty");
        }
        let length = octal(header.get(124..136).unwrap_or_default()).ok_or("the archive's header has no size")?;
        if length > most {
            return Err("the file is too long");
        }
        let content = rest.get(..length).ok_or("the archive is cut off")?;
        match header.get(156) {
            Some(b'0' | 0) => return Ok(Entry::File(Zeroizing::new(content.to_vec()))),
            Some(b'1' | b'2') => return Ok(Entry::Link),
            Some(b'x' | b'g' | b'L' | b'K') => {
                archive = rest.get(length.next_multiple_of(BLOCK)..).ok_or("the archive is cut off")?;
            }
            Some(_) | None => return Ok(Entry::Other),
        }
    }
    Err("the archive has nothing but headers")
}

fn octal(field: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    usize::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One entry, as tar(5) says.
    pub(crate) fn entry(kind: u8, content: &[u8]) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..13].copy_from_slice(b"identity.json");
        block[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        block[156] = kind;
        block.extend_from_slice(content);
        block.resize(block.len().next_multiple_of(BLOCK), 0);
        block
    }

    fn file(content: &[u8]) -> Result<Entry, &'static str> {
        Ok(Entry::File(Zeroizing::new(content.to_vec())))
    }

    #[test]
    fn a_file_is_read_behind_its_headers_and_nothing_else_is_taken_for_one() {
        let plain = entry(b'0', b"{}");
        assert!(first(&plain, 10) == file(b"{}"));
        assert!(first(&[entry(b'x', b"30 mtime=1.5\n"), plain.clone()].concat(), 100) == file(b"{}"));
        assert!(first(&entry(b'2', b""), 10) == Ok(Entry::Link));
        assert!(first(&entry(b'5', b""), 10) == Ok(Entry::Other));
        assert!(first(&entry(b'0', &[b'x'; 11]), 10) == Err("the file is too long"));
    }

    #[test]
    fn what_is_cut_off_or_lies_about_its_size_is_an_error() {
        let plain = entry(b'0', &[b'x'; 600]);
        for length in [0, 1, 511, 512, 600, 1_111] {
            assert!(first(&plain[..length], 1_000).is_err(), "{length}");
        }
        assert!(first(&[0; 1_024], 10).is_err());
        let mut lie = plain;
        lie[124..136].copy_from_slice(b"77777777777\0");
        assert!(first(&lie, usize::MAX).is_err());
        lie[124..136].copy_from_slice(b"not a number");
        assert!(first(&lie, 1_000).is_err());
        assert!(first(&entry(b'x', b"").repeat(9), 10).is_err(), "nothing but headers");
    }
}
