//! A directory that oras packed (a tar+gzip layer with `io.deis.oras.content.unpack`) → its files, as oras lays them out.
//!
//! Every entry has to lie below the layer's title, under names that are names everywhere; links lead to nothing outside, and no
//! entry goes through one. What it may grow to, and the number of its entries, have limits. As with every other file, all of
//! them are there before one gets its name.

use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::Error;
use super::brought::{Brought, Fetched};
use super::layers::MAX_LAYER;
use super::manifest::Descriptor;
use super::published::{Content, RemoteFile};
use crate::digest::{Digest, Hashing};
use crate::fs::{self, AtomicFile, Mode, NewDirs};
use crate::release::title::{self, Paths};
use crate::tar::{self, Entries, Kind};

/// It may grow to so many times its size, and to so many bytes beyond that. Logs and debug information, which compress
/// best of what people publish, grow to some thirty times; zeros to a thousand.
const MAX_GROWTH: u64 = 200;
const MAX_EXTRA: u64 = 64 << 20;

/// More entries are in no directory that anybody publishes.
const MAX_ENTRIES: usize = 100_000;

/// Reads a packed directory, and adds what is in it to what was brought. `paths` are those of all that comes.
pub(super) fn unpack(
    packed: &Path,
    of: &Fetched,
    stated: Option<Digest>,
    paths: &mut Paths,
    made: &mut NewDirs,
    brought: &mut Brought,
) -> Result<(), Error> {
    let (file, size) = fs::open(packed)?;
    let limit = size.saturating_mul(MAX_GROWTH).saturating_add(MAX_EXTRA).min(MAX_LAYER);
    let unpacked = Hashing::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file)));
    let mut limited = unpacked.take(limit);
    let mut unpack = Unpack { of, paths, made, brought };
    let whole = unpack.entries(&mut limited).and_then(|()| {
        // To its end, because only there it shows whether these were the bytes.
        io::copy(&mut limited, &mut io::sink()).map_err(|error| torn(of, error))
    });
    if limited.limit() == 0 {
        return Err(malformed(of, format!("it grows to more than {limit} bytes")));
    }
    whole?;
    let (found, _) = limited.into_inner().finish();
    match stated.filter(|stated| *stated != found) {
        Some(expected) => Err(Error::WrongDigest { what: what(of), expected, found }),
        None => Ok(()),
    }
}

fn what(of: &Fetched) -> String {
    format!("the packed directory {}", of.file.title)
}

fn malformed(of: &Fetched, reason: String) -> Error {
    Error::Malformed { what: what(of), reason }
}

fn torn(of: &Fetched, error: io::Error) -> Error {
    Error::of_unpacked(error, || what(of))
}

struct Unpack<'a> {
    of: &'a Fetched,
    paths: &'a mut Paths,
    made: &'a mut NewDirs,
    brought: &'a mut Brought,
}

impl Unpack<'_> {
    fn entries(&mut self, unpacked: &mut impl Read) -> Result<(), Error> {
        let mut entries = Entries::new(unpacked, tar::read_past);
        for _ in 0..MAX_ENTRIES {
            let entry = entries.next_entry().map_err(|error| match error {
                tar::Error::Io(error) => torn(self.of, error),
                error => malformed(self.of, error.to_string()),
            });
            match entry? {
                Some(entry) => self.entry(&entry, &mut entries.contents())?,
                None => return Ok(()),
            }
        }
        Err(malformed(self.of, format!("it has more than {MAX_ENTRIES} entries")))
    }

    fn entry(&mut self, entry: &tar::Entry, contents: &mut dyn Read) -> Result<(), Error> {
        let refuse = |reason: String| malformed(self.of, format!("{:?}: {reason}", entry.path));
        // Reading a tar leaves this in place of what is no text, and two names could become one.
        let is_text = |name: &str| !name.contains(char::REPLACEMENT_CHARACTER);
        if !is_text(&entry.path) {
            return Err(refuse("its name is not UTF-8".to_owned()));
        }
        let title = self.of.file.title.as_str();
        let path = entry.path.strip_prefix("./").unwrap_or(&entry.path).trim_end_matches('/');
        let path = if path.is_empty() { "." } else { path };
        let below = match path.strip_prefix(title) {
            _ if title == "." && path != "." => Some(path),
            Some("") if entry.kind == Kind::Directory => {
                return Ok(self.made.make(&self.of.path, entry.mode)?);
            }
            Some(rest) => rest.strip_prefix('/'),
            None => None,
        };
        let below = below.ok_or_else(|| refuse(format!("it does not lie in {title}")))?;
        if let Some(reason) = title::path_problem(path) {
            return Err(refuse(reason.to_owned()));
        }
        let place = self.of.path.join(below);
        fs::refuse_links(&place, path.matches('/').count())?;
        // What is there already stands in the way now, and not when other files have their names.
        let in_the_way = match (entry.kind == Kind::Directory, fs::is_dir(&place)) {
            (true, _) if fs::is_link(&place) => Some("it is a symbolic link"),
            (true, false) if fs::exists(&place) => Some("it is no directory"),
            (false, true) if !fs::is_link(&place) => Some("it is a directory"),
            _ => None,
        };
        if let Some(reason) = in_the_way {
            return Err(Error::File(fs::at("write", &place)(io::Error::other(reason))));
        }
        if entry.kind == Kind::Directory {
            self.paths.directory(path).map_err(refuse)?;
            return Ok(self.made.make(&place, entry.mode)?);
        }
        self.paths.file(path).map_err(refuse)?;
        match &entry.kind {
            Kind::Link(target) if !is_text(target) => {
                return Err(refuse("what it links to is not UTF-8".to_owned()));
            }
            Kind::Link(target) if stays(below, target) => {
                self.brought.links.push((place, target.clone()));
            }
            Kind::Link(target) => {
                return Err(refuse(format!(
                    "it links to {target:?}, and links may only go up and then down, within {title}"
                )));
            }
            Kind::File => {
                self.made.above(&place);
                let mut file = AtomicFile::create(&place, Mode::Bits(entry.mode))?;
                let mut contents = Hashing::new(contents);
                io::copy(&mut contents, &mut file).map_err(|error| torn(self.of, error))?;
                file.finish()?;
                let (digest, size) = contents.finish();
                let file_of = RemoteFile {
                    title: path.to_owned(),
                    descriptor: Descriptor::new("", digest, size),
                    content: Content::Other,
                    build_id: None,
                    load_digest: None,
                };
                let fetched = Fetched { path: place, file: file_of, build_id: None };
                self.brought.ready.push((file, fetched));
            }
            Kind::Directory | Kind::HardLink(_) | Kind::Other => {
                let reason = "it is neither a file, a directory nor a symbolic link";
                return Err(refuse(reason.to_owned()));
            }
        }
        Ok(())
    }
}

/// Whether a link at `path` leads to something in its directory: first up, then down. Up again after that could leave by way
/// of another link, which says nothing about where it leads from here.
fn stays(path: &str, target: &str) -> bool {
    if target.is_empty() || target.starts_with('/') {
        return false;
    }
    // What is empty between slashes, or one dot, goes nowhere.
    let names: Vec<&str> = target.split('/').filter(|name| !["", "."].contains(name)).collect();
    let ups = names.iter().take_while(|name| **name == "..").count();
    let mut down = names.iter().skip(ups);
    ups <= path.matches('/').count() && down.all(|name| title::problem(name).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_nothing_outside() {
        for (path, target) in
            [("l", "a"), ("l", "./a/b"), ("a/l", "../b"), ("a/b/l", "../../c/d"), ("a/l", "..")]
                .into_iter()
                .chain([("l", "a/"), ("l", "."), ("l", "./"), ("l", "a//b/."), ("a/l", ".././")])
        {
            assert!(stays(path, target), "{path} → {target}");
        }
        for (path, target) in [
            ("l", ".."),
            ("l", "/a"),
            ("a/l", "../../b"),
            ("a/b/l", "c/../../d"),
            ("l", "../"),
            ("l", "/"),
            ("l", ""),
        ] {
            assert!(!stays(path, target), "{path} → {target}");
        }
    }
}
