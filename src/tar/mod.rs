//! Tar files, as far as layers of images and archives of layouts go: POSIX.1-2001 (ustar and pax) and GNU's long names.
//!
//! A stream becomes [`Entry`] after entry, with limits on everything that a header promises; [`header`] makes the
//! blocks before an entry's contents. There is no clock and no owner in it: equal entries give equal bytes. The reader is
//! for hostile input, and holds one header at a time; nothing here makes a file, so no name can lead anywhere.

mod read;
mod write;

pub use read::{Entries, Entry, Error, read_past, seek_past};
pub use write::{END, header, padding};

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, and where it leads.
    Link(String),
    /// Another name of the entry with this name.
    HardLink(String),
    /// Devices, pipes and what nobody knows.
    Other,
}

/// Everything is padded to multiples of this (POSIX.1-2001, "pax", "ustar Interchange Format").
const BLOCK: usize = 512;

// The fields of a header (POSIX.1-2001, "pax", "ustar Interchange Format"): where they begin and how long they are.
const NAME: (usize, usize) = (0, 100);
const MODE: (usize, usize) = (100, 8);
const UID: (usize, usize) = (108, 8);
const GID: (usize, usize) = (116, 8);
const SIZE: (usize, usize) = (124, 12);
const TIME: (usize, usize) = (136, 12);
const CHECKSUM: (usize, usize) = (148, 8);
const TYPE: (usize, usize) = (156, 1);
const LINK: (usize, usize) = (157, 100);
const MAGIC: (usize, usize) = (257, 8);
const PREFIX: (usize, usize) = (345, 155);

/// One block as it is read and written.
type Block = [u8; BLOCK];

fn field(block: &Block, (start, length): (usize, usize)) -> &[u8] {
    block.get(start..start + length).unwrap_or_default()
}

/// The sum over all bytes of a header, with blanks in place of the sum.
fn checksum(block: &Block) -> u64 {
    let (start, length) = CHECKSUM;
    let sum = block.iter().enumerate().map(|(at, byte)| {
        let blank = (start..start + length).contains(&at);
        u64::from(if blank { b' ' } else { *byte })
    });
    sum.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn archive(entries: &[(&str, Kind, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, kind, contents) in entries {
            bytes.extend(header(path, kind, 0o644, contents.len() as u64));
            bytes.extend_from_slice(contents);
            bytes.extend(padding(contents.len() as u64));
        }
        bytes.extend(END);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, Error> {
        let mut entries = Entries::new(bytes, read_past);
        let mut found = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            let mut contents = Vec::new();
            entries.contents().read_to_end(&mut contents).expect("in memory");
            found.push((entry, contents));
        }
        Ok(found)
    }

    #[test]
    fn what_is_written_is_read() {
        let long = "d/".repeat(200) + "file";
        let bytes = archive(&[
            ("a", Kind::File, b"hello"),
            ("dir/", Kind::Directory, b""),
            ("link", Kind::Link("a".to_owned()), b""),
            (&long, Kind::File, &[7; 1024]),
            ("ünï", Kind::File, b""),
        ]);
        assert_eq!(bytes.len() % BLOCK, 0);
        let found = read(&bytes).expect("read");
        let names: Vec<&str> = found.iter().map(|(entry, _)| entry.path.as_str()).collect();
        assert_eq!(names, ["a", "dir/", "link", &long, "ünï"]);
        assert_eq!(found[0].1, b"hello");
        assert_eq!(found[2].0.kind, Kind::Link("a".to_owned()));
        assert_eq!((found[3].1.len(), found[3].0.size), (1024, 1024));
    }

    #[test]
    fn other_tars_write_what_is_read_here_and_read_what_is_written_here() {
        let home = tempfile::tempdir().expect("a directory");
        let long = "x".repeat(150);
        let run = |arguments: &[&str]| {
            let mut tar = std::process::Command::new("tar");
            tar.current_dir(home.path()).args(arguments).output().expect("tar runs")
        };
        crate::fs::write(&home.path().join(&long), crate::fs::Mode::Data, b"long").expect("put");
        for format in ["gnu", "oldgnu", "pax"] {
            assert!(run(&["cf", "a.tar", "--format", format, &long]).status.success());
            let found =
                read(&crate::fs::read(&home.path().join("a.tar")).expect("read")).expect(format);
            let (entry, contents) = &found[0];
            assert_eq!((entry.path.as_str(), contents.as_slice()), (long.as_str(), &b"long"[..]));
        }
        let long = format!("{long}/{long}");
        let bytes = archive(&[(&long, Kind::File, b"1"), ("b", Kind::File, b"22")]);
        crate::fs::write(&home.path().join("b.tar"), crate::fs::Mode::Data, &bytes).expect("put");
        let listed = String::from_utf8(run(&["tf", "b.tar"]).stdout).expect("text");
        assert_eq!(listed, format!("{long}\nb\n"));
    }

    #[test]
    fn hostile_headers_are_errors() {
        let good = archive(&[("a", Kind::File, b"hello")]);
        let mut changed = good.clone();
        changed[0] = b'b';
        assert!(matches!(read(&changed), Err(Error::Checksum { .. })));
        assert!(matches!(read(&good[..700]), Err(Error::Io(_)) | Ok(_)));
        assert!(matches!(read(&good[..100]), Err(Error::Io(_))));
        // A name of a gigabyte, a size that is none, a record that says it is longer than all of them.
        for (kind, size, contents) in [
            (b'L', "7777777777", &b"x"[..]),
            (b'0', "zzz", b""),
            (b'x', "5", b"99999"),
            (b'x', "12", b"12 size=-12\n"),
        ] {
            let mut block: Block = [0; BLOCK];
            block[..1].copy_from_slice(b"a");
            block[SIZE.0..SIZE.0 + size.len()].copy_from_slice(size.as_bytes());
            block[TYPE.0] = kind;
            let sum = format!("{:06o}\0 ", checksum(&block));
            block[CHECKSUM.0..CHECKSUM.0 + 8].copy_from_slice(sum.as_bytes());
            let mut bytes = block.to_vec();
            bytes.extend_from_slice(contents);
            bytes.resize(4 * BLOCK, 0);
            assert!(read(&bytes).is_err(), "{size}");
        }
    }

    #[test]
    fn every_cut_and_every_flipped_byte_ends() {
        let bytes =
            archive(&[("d/".repeat(90).as_str(), Kind::File, b"hello"), ("b", Kind::File, b"2")]);
        for at in 0..bytes.len() {
            let _ = read(&bytes[..at]);
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            let _ = read(&changed);
        }
    }
}
