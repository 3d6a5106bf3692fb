//! What programs lie in the layers of an image, without unpacking them anywhere (OCI image-spec, "Image Layer").
//!
//! Layers are streamed: decompressed, read as tar, and of each program only the first bytes are looked at. What counts is
//! what a container would see: a later layer replaces and removes what an earlier one has. Nothing is written, and
//! what a layer may grow to is limited.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::Error;
use super::manifest::Descriptor;
use super::store::Store;
use crate::inspect::{self, Machine};
use crate::tar::{self, Entries, Kind};

/// The largest layer, uncompressed. Those with models and toolchains have some ten gigabytes.
pub(super) const MAX_LAYER: u64 = 64 << 30;

/// So many bytes of a file say what it is.
const HEAD: u64 = 64;

/// More programs and links than this are not in any image.
const MAX_PATHS: usize = 500_000;

/// More links in a row than this lead nowhere (as Linux has it, path_resolution(7)).
const MAX_LINKS: usize = 40;

/// What begins with it removes what an earlier layer has under the rest of the name.
const WHITEOUT: &str = ".wh.";
/// Removes everything that earlier layers have in its directory.
const OPAQUE: &str = ".wh..wh..opq";

/// The programs and links of an image, by path without the first slash.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Programs, and the machine each is for.
    pub(super) programs: BTreeMap<String, Machine>,
    links: BTreeMap<String, String>,
}

impl Tree {
    /// Takes a layer of what is no image: it is a file.
    pub(super) fn add_file(&mut self, store: &dyn Store, layer: &Descriptor) -> Result<(), Error> {
        let step = || format!("read {} of {}", layer.digest, store.name());
        let (mut bytes, mut start) = (store.blob(layer)?, Vec::new());
        let read = bytes.by_ref().take(HEAD).read_to_end(&mut start);
        read.map_err(|error| Error::of_stream(error, step))?;
        if let Some(machine) = inspect::machine(&start) {
            let name = layer.annotations.get(super::manifest::annotation::TITLE);
            let name = name.cloned().unwrap_or_else(|| layer.digest.to_string());
            self.programs.insert(name, machine);
        }
        // To its end, because only there it shows whether these were the bytes.
        bytes.check().map_err(|error| Error::of_stream(error, step))
    }

    /// Puts a layer of an image on top.
    pub(super) fn add(&mut self, store: &dyn Store, layer: &Descriptor) -> Result<(), Error> {
        let mut bytes = BufReader::with_capacity(1 << 16, store.blob(layer)?);
        let unpacked = self.unpack(&mut bytes, &|| format!("the layer {}", layer.digest));
        // To its end, because only there it shows whether these were the bytes: if not, that is what is wrong.
        let step = || format!("read the layer {} of {}", layer.digest, store.name());
        let read = io::copy(&mut bytes, &mut io::sink());
        match (read.map_err(|error| Error::of_stream(error, step)), unpacked) {
            (Err(error), Ok(()) | Err(Error::Malformed { .. })) => Err(error),
            (_, unpacked) => unpacked,
        }
    }

    fn unpack(&mut self, bytes: &mut dyn BufRead, what: &dyn Fn() -> String) -> Result<(), Error> {
        let torn = |error| Error::of_unpacked(error, what);
        let malformed = |reason: String| Error::Malformed { what: what(), reason };
        let start: Vec<u8> = bytes.fill_buf().map_err(torn)?.iter().take(4).copied().collect();
        let mut below = Self::default();
        std::mem::swap(self, &mut below);
        let unpacked: Box<dyn Read + '_> = match start.as_slice() {
            [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(bytes)),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                Box::new(zstd::Decoder::with_buffer(bytes).map_err(torn)?)
            }
            _ => Box::new(bytes),
        };
        let mut limited = unpacked.take(MAX_LAYER);
        let mut entries = Entries::new(&mut limited, tar::read_past);
        while let Some(entry) = entries.next_entry().map_err(|error| match error {
            tar::Error::Io(error) => torn(error),
            error => malformed(error.to_string()),
        })? {
            let path = plain(&entry.path);
            below.whiten(&path);
            match entry.kind {
                Kind::File => {
                    let mut head = Vec::new();
                    entries.contents().take(HEAD).read_to_end(&mut head).map_err(torn)?;
                    self.links.remove(&path);
                    match inspect::machine(&head) {
                        Some(machine) => drop(self.programs.insert(path.clone(), machine)),
                        None => drop(self.programs.remove(&path)),
                    }
                    below.forget(&path);
                }
                Kind::Link(target) => {
                    below.forget(&path);
                    self.programs.remove(&path);
                    self.links.insert(path, target);
                }
                Kind::HardLink(target) => {
                    let target = plain(&target);
                    let machine =
                        self.programs.get(&target).or_else(|| below.programs.get(&target));
                    if let Some(machine) = machine.copied() {
                        self.programs.insert(path, machine);
                    }
                }
                Kind::Directory | Kind::Other => {}
            }
            if self.programs.len() + self.links.len() > MAX_PATHS {
                return Err(malformed(format!("more than {MAX_PATHS} programs and links")));
            }
        }
        io::copy(&mut limited, &mut io::sink()).map_err(torn)?;
        if limited.limit() == 0 {
            return Err(malformed(format!("it grows to more than {MAX_LAYER} bytes")));
        }
        for (path, machine) in below.programs {
            self.programs.entry(path).or_insert(machine);
        }
        for (path, target) in below.links {
            self.links.entry(path).or_insert(target);
        }
        Ok(())
    }

    fn forget(&mut self, path: &str) {
        self.programs.remove(path);
        self.links.remove(path);
    }

    /// Removes what a path says is to be removed from the layers below.
    fn whiten(&mut self, path: &str) {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let (gone, itself) = if name == OPAQUE {
            (directory.to_owned(), false)
        } else if let Some(name) = name.strip_prefix(WHITEOUT) {
            (plain(&format!("{directory}/{name}")), true)
        } else {
            return;
        };
        let inside = |path: &str| {
            let rest = path.strip_prefix(gone.as_str());
            gone.is_empty()
                || rest.is_some_and(|rest| rest.starts_with('/') || (itself && rest.is_empty()))
        };
        self.programs.retain(|path, _| !inside(path));
        self.links.retain(|path, _| !inside(path));
    }

    /// The program that a container would start, and where it lies; nothing where it is a script or is not there.
    pub(super) fn program(&self, command: &str, search: &str) -> Option<(String, Machine)> {
        let candidates: Vec<String> = if command.contains('/') {
            vec![command.to_owned()]
        } else {
            search.split(':').map(|directory| format!("{directory}/{command}")).collect()
        };
        candidates.iter().find_map(|path| {
            let path = self.resolve(path)?;
            let machine = *self.programs.get(&path)?;
            Some((path, machine))
        })
    }

    /// Where a path leads, through the links of the image.
    fn resolve(&self, path: &str) -> Option<String> {
        let mut path = plain(path);
        for _ in 0..MAX_LINKS {
            let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            let link = ends
                .filter_map(|end| path.get(..end))
                .find_map(|prefix| Some((prefix.to_owned(), self.links.get(prefix)?)));
            let Some((prefix, target)) = link else { return Some(path) };
            let rest = path.strip_prefix(prefix.as_str()).unwrap_or_default();
            let directory = prefix.rsplit_once('/').map_or("", |(directory, _)| directory);
            path = match target.strip_prefix('/') {
                Some(target) => plain(&format!("{target}{rest}")),
                None => plain(&format!("{directory}/{target}{rest}")),
            };
        }
        None
    }
}

/// A path without its first slash, `.` and `..`.
fn plain(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::oci::MemoryStore;
    use crate::oci::store::Verified;

    const AMD64: [u8; 20] = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0";
    const ARM64: [u8; 20] = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xb7\0";

    fn layer(entries: &[(&str, Kind, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (path, kind, contents) in entries {
            bytes.extend(tar::header(path, kind, 0o755, contents.len() as u64));
            bytes.extend_from_slice(contents);
            bytes.extend(tar::padding(contents.len() as u64));
        }
        bytes.extend(tar::END);
        bytes
    }

    fn tree(layers: &[Vec<u8>]) -> Result<Tree, Error> {
        let store = MemoryStore::default();
        let mut tree = Tree::default();
        for bytes in layers {
            let blob = Descriptor::new("", Digest::of(bytes), bytes.len() as u64);
            store.put_blob(&blob, &|| Ok(Verified::new(bytes.as_slice(), &blob))).expect("kept");
            tree.add(&store, &blob)?;
        }
        Ok(tree)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flate2::read::GzEncoder::new(bytes, flate2::Compression::fast())
            .read_to_end(&mut out)
            .expect("in memory");
        out
    }

    #[test]
    fn programs_are_found_through_links_and_layers_in_every_form() {
        let base = layer(&[
            ("usr/bin/app", Kind::File, &AMD64),
            ("bin", Kind::Link("usr/bin".to_owned()), b""),
            ("./usr/bin/run", Kind::Link("../../bin/app".to_owned()), b""),
            ("loop", Kind::Link("loop".to_owned()), b""),
            ("etc/text", Kind::File, b"no program"),
        ]);
        let zstd = zstd::encode_all(base.as_slice(), 1).expect("in memory");
        for bytes in [base.clone(), gzip(&base), zstd] {
            let tree = tree(&[bytes]).expect("read");
            let found = tree.program("run", "/sbin:/bin").expect("found");
            assert_eq!((found.0.as_str(), found.1.architecture), ("usr/bin/app", Some("amd64")));
            assert_eq!(tree.program("/loop", ""), None);
            assert_eq!(tree.program("/etc/text", ""), None);
        }
    }

    #[test]
    fn a_later_layer_replaces_and_removes() {
        let base = layer(&[
            ("a/one", Kind::File, &AMD64),
            ("a/two", Kind::File, &AMD64),
            ("b/three", Kind::File, &AMD64),
        ]);
        let next = layer(&[
            ("a/one", Kind::File, &ARM64),
            ("a/.wh.two", Kind::File, b""),
            ("b/.wh..wh..opq", Kind::File, b""),
            ("b/four", Kind::HardLink("a/one".to_owned()), b""),
        ]);
        let tree = tree(&[base, next]).expect("read");
        let found: Vec<_> = tree
            .programs
            .iter()
            .map(|(path, machine)| (path.as_str(), machine.architecture))
            .collect();
        assert_eq!(found, [("a/one", Some("arm64")), ("b/four", Some("arm64"))]);
    }

    #[test]
    fn damaged_layers_are_errors() {
        let base = layer(&[("a", Kind::File, &AMD64)]);
        let packed = gzip(&base);
        let mut torn = base.clone();
        torn[0] ^= 1;
        for bytes in [packed[..packed.len() - 9].to_vec(), torn, base[..600].to_vec()] {
            assert!(tree(&[bytes]).is_err());
        }
    }
}
