//! A store in a directory: the OCI image layout (OCI image-spec, "Image Layout").
//!
//! Blobs and manifests lie under `blobs/sha256`, `index.json` names what has a tag. It is written whole or not at
//! all, and what others wrote into it stays. A directory that holds anything else is never written to.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::manifest::{Descriptor, Document, MAX_MANIFEST, Node, annotation, media};
use super::reference::Tag;
use super::store::{Opener, Store, Verified, check_size, checked};
use super::{Error, fallback};
use crate::digest::Digest;
use crate::fs::{self, AtomicFile, Mode};

/// A layout directory.
#[derive(Debug, Clone)]
pub struct Layout {
    directory: PathBuf,
}

/// The contents of the file `oci-layout`.
const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

impl Layout {
    /// A layout to read from.
    ///
    /// # Errors
    /// [`Error::NotFound`] where nothing is, [`Error::NoLayout`] where something else is.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        if !fs::exists(directory) {
            let place = directory.display().to_string();
            return Err(Error::NotFound {
                what: "layout: the directory does not exist".to_owned(),
                place,
            });
        }
        let layout = Self { directory: directory.to_owned() };
        layout.check_marker()?;
        Ok(layout)
    }

    /// A layout to write to, which is made with the first thing that is put into it.
    ///
    /// # Errors
    /// [`Error::OccupiedDirectory`] where the directory holds anything that is no layout.
    pub fn create(directory: &Path) -> Result<Self, Error> {
        let layout = Self { directory: directory.to_owned() };
        if fs::exists(&layout.marker()) {
            layout.check_marker()?;
        } else if fs::exists(directory) {
            if !fs::is_dir(directory) {
                return Err(layout.no_layout("it is not a directory"));
            }
            if !fs::list(directory)?.is_empty() {
                return Err(Error::OccupiedDirectory { directory: directory.to_owned() });
            }
        }
        Ok(layout)
    }

    fn marker(&self) -> PathBuf {
        self.directory.join("oci-layout")
    }

    fn index(&self) -> PathBuf {
        self.directory.join("index.json")
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.directory.join("blobs").join("sha256").join(digest.hex())
    }

    fn no_layout(&self, reason: &str) -> Error {
        Error::NoLayout { directory: self.directory.clone(), reason: reason.to_owned() }
    }

    fn check_marker(&self) -> Result<(), Error> {
        let bytes = match fs::read_small(&self.marker(), MAX_MANIFEST) {
            Err(error) if error.is_not_found() => {
                return Err(self.no_layout("it has no file oci-layout"));
            }
            bytes => bytes?,
        };
        let version = serde_json::from_slice::<Value>(&bytes).ok();
        let version = version.as_ref().and_then(|value| value.get("imageLayoutVersion")?.as_str());
        match version {
            Some(version) if version.starts_with("1.") => Ok(()),
            _ => Err(self.no_layout("its file oci-layout states no version 1")),
        }
    }

    /// The two files that make a directory a layout.
    fn begin(&self) -> Result<(), Error> {
        if !fs::exists(&self.marker()) {
            fs::write(&self.index(), Mode::Data, &empty_index().to_string().into_bytes())?;
            fs::write(&self.marker(), Mode::Data, MARKER)?;
        }
        Ok(())
    }

    fn read_index(&self) -> Result<Value, Error> {
        let bytes = match fs::read_small(&self.index(), MAX_MANIFEST) {
            Err(error) if error.is_not_found() => return Ok(empty_index()),
            bytes => bytes?,
        };
        serde_json::from_slice(&bytes).map_err(|error| Error::Malformed {
            what: self.index().display().to_string(),
            reason: error.to_string(),
        })
    }

    /// What `index.json` names, as far as it can be understood.
    fn entries(&self) -> Result<Vec<Descriptor>, Error> {
        Ok(fallback::entries(self.read_index()?.to_string().as_bytes()))
    }

    /// Puts an entry into `index.json` in place of those that have the same name (or, without a name, of its own).
    fn enter(&self, entry: &Descriptor) -> Result<(), Error> {
        self.begin()?;
        let mut index = self.read_index()?;
        let malformed =
            |reason: String| Error::Malformed { what: self.index().display().to_string(), reason };
        let ours = serde_json::to_value(entry).map_err(|error| malformed(error.to_string()))?;
        let list = index.get_mut("manifests").and_then(Value::as_array_mut);
        let list = list.ok_or_else(|| malformed("it has no list of manifests".to_owned()))?;
        if list.contains(&ours) {
            return Ok(());
        }
        list.retain(|other| {
            let same_name = ref_name(other) == ref_name(&ours);
            let same_digest = other.get("digest") == ours.get("digest");
            // An entry without a name gives way when its manifest gets one.
            !(same_name && (ref_name(&ours).is_some() || same_digest)
                || ref_name(other).is_none() && same_digest)
        });
        list.push(ours);
        let bytes = serde_json::to_vec(&index).map_err(|error| malformed(error.to_string()))?;
        Ok(fs::write(&self.index(), Mode::Data, &bytes)?)
    }

    fn read_node(&self, digest: &Digest) -> Result<Option<Node>, Error> {
        let path = self.path(digest);
        let (mut file, size) = match fs::open(&path) {
            Err(error) if error.is_not_found() => return Ok(None),
            opened => opened?,
        };
        check_size(&path.display().to_string(), size, MAX_MANIFEST)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fs::at("read", &path))?;
        checked("", bytes, digest).map(Some)
    }
}

fn empty_index() -> Value {
    json!({ "schemaVersion": 2, "mediaType": media::INDEX, "manifests": [] })
}

fn ref_name(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(annotation::REF_NAME)?.as_str()
}

/// How `index.json` points at a manifest. `cosign verify --local-image` looks for the release by its `kind`.
fn entry_of(node: &Node, tag: Option<&Tag>) -> Descriptor {
    let mut entry = node.descriptor.plain();
    if let Some(tag) = tag {
        entry.annotations.insert(annotation::REF_NAME.to_owned(), tag.to_string());
    }
    if node.document().is_ok_and(|document| document.kind() == media::RELEASE) {
        entry.annotations.insert(annotation::KIND.to_owned(), annotation::KIND_IMAGE.to_owned());
    }
    entry
}

impl Store for Layout {
    fn name(&self) -> String {
        format!("oci:{}", self.directory.display())
    }

    fn tagged(&self, tag: &Tag) -> Result<Option<Node>, Error> {
        let named = |entry: &Descriptor| {
            entry.annotations.get(annotation::REF_NAME).is_some_and(|name| name == tag.as_str())
        };
        match self.entries()?.iter().find(|entry| named(entry)) {
            Some(entry) => super::store::load(self, entry).map(Some),
            None => Ok(None),
        }
    }

    fn manifest(&self, digest: &Digest) -> Result<Option<Node>, Error> {
        self.read_node(digest)
    }

    fn has_manifest(&self, node: &Descriptor) -> Result<bool, Error> {
        self.has_blob(node)
    }

    fn put_manifest(&self, node: &Node) -> Result<(), Error> {
        self.begin()?;
        Ok(fs::write(&self.path(&node.descriptor.digest), Mode::Data, &node.bytes)?)
    }

    fn put_tag(&self, tag: &Tag, node: &Node) -> Result<(), Error> {
        self.enter(&entry_of(node, Some(tag)))
    }

    fn put_untagged(&self, node: &Node) -> Result<(), Error> {
        let there = self.entries()?.iter().any(|entry| entry.digest == node.descriptor.digest);
        if there { Ok(()) } else { self.enter(&entry_of(node, None)) }
    }

    fn has_blob(&self, blob: &Descriptor) -> Result<bool, Error> {
        match fs::open(&self.path(&blob.digest)) {
            Ok((_, size)) => Ok(size == blob.size),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Read + '_>, Error> {
        match fs::open(&self.path(&blob.digest)) {
            Ok((file, _)) => Ok(Box::new(Verified::new(file, blob))),
            Err(error) if error.is_not_found() => {
                Err(Error::NotFound { what: blob.digest.to_string(), place: self.name() })
            }
            Err(error) => Err(error.into()),
        }
    }

    fn put_blob(&self, blob: &Descriptor, open: &Opener<'_>) -> Result<(), Error> {
        self.begin()?;
        let path = self.path(&blob.digest);
        let mut file = AtomicFile::create(&path, Mode::Data)?;
        let mut source = Verified::new(open()?, blob);
        std::io::copy(&mut source, &mut file)
            .map_err(|error| Error::of_stream(error, || format!("write {}", path.display())))?;
        Ok(file.commit()?)
    }

    /// The fallback index, and what stands in `index.json` by itself: oras writes referrers there.
    fn listed(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let fallback = self.tagged(&Tag::fallback(subject))?;
        let mut found = fallback.map(|node| fallback::entries(&node.bytes)).unwrap_or_default();
        found.extend(self.entries()?.into_iter().filter(|entry| !entry.is_index()));
        Ok(found)
    }

    fn list(&self, subject: &Digest, entries: &[Descriptor]) -> Result<Option<Tag>, Error> {
        let tag = Tag::fallback(subject);
        let there = self.tagged(&tag)?;
        let Some(node) = fallback::merged(there.as_ref(), subject, entries) else {
            return Ok(None);
        };
        self.put_manifest(&node)?;
        self.put_tag(&tag, &node)?;
        Ok(Some(tag))
    }

    fn only_release(&self) -> Result<Node, Error> {
        let mut found: Vec<(Descriptor, Node)> = Vec::new();
        for entry in self.entries()?.into_iter().filter(Descriptor::is_index) {
            let node = super::store::load(self, &entry)?;
            let is_release = matches!(node.document(), Ok(Document::Index(index))
                if index.artifact_type.as_deref() == Some(media::RELEASE));
            if is_release && !found.iter().any(|(other, _)| other.digest == entry.digest) {
                found.push((entry, node));
            }
        }
        let names = |found: &[(Descriptor, Node)]| {
            let name = |entry: &Descriptor| entry.annotations.get(annotation::REF_NAME).cloned();
            found
                .iter()
                .map(|(entry, _)| name(entry).unwrap_or_else(|| entry.digest.to_string()))
                .collect()
        };
        if found.len() > 1 {
            return Err(Error::SeveralReleases { place: self.name(), names: names(&found) });
        }
        let missing = || Error::NotFound { what: "release".to_owned(), place: self.name() };
        found.pop().map(|(_, node)| node).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::manifest::{Index, Manifest};

    fn tag(text: &str) -> Tag {
        Tag::new(text).expect("a tag")
    }

    fn release(text: &str) -> Node {
        let mut index = Index::new(Some(media::RELEASE), Vec::new());
        index.annotations.insert("x".to_owned(), text.to_owned());
        index.to_node()
    }

    #[test]
    fn a_directory_with_anything_else_in_it_is_left_alone() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("src");
        fs::write(&path.join("main.c"), Mode::Data, b"x").expect("written");
        assert!(matches!(Layout::create(&path), Err(Error::OccupiedDirectory { .. })));
        assert!(matches!(Layout::create(&path.join("main.c")), Err(Error::NoLayout { .. })));
        assert!(matches!(Layout::open(&path), Err(Error::NoLayout { .. })));
        assert!(matches!(Layout::open(&path.join("no")), Err(Error::NotFound { .. })));
        assert_eq!(fs::list(&path).expect("listed"), ["main.c"]);
    }

    #[test]
    fn nothing_is_made_before_something_is_put() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("new");
        let layout = Layout::create(&path).expect("may be made");
        assert!(layout.tagged(&tag("v1")).expect("read").is_none());
        assert!(!fs::exists(&path));
    }

    #[test]
    fn a_tag_moves_and_foreign_entries_stay() {
        let home = tempfile::tempdir().expect("a directory");
        let layout = Layout::create(home.path()).expect("may be made");
        let foreign = r#"{"digest":"sha512:00","annotations":{"org.opencontainers.image.ref.name":"theirs"}}"#;
        layout.begin().expect("begun");
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{foreign}],"x":1}}"#);
        fs::write(&layout.index(), Mode::Data, text.as_bytes()).expect("written");
        for node in [release("1"), release("2")] {
            layout.put_manifest(&node).expect("put");
            layout.put_untagged(&node).expect("put");
            layout.put_tag(&tag("v1"), &node).expect("put");
        }
        assert_eq!(layout.tagged(&tag("v1")).expect("read"), Some(release("2")));
        let text = String::from_utf8(fs::read(&layout.index()).expect("read")).expect("text");
        assert!(text.contains("sha512:00") && text.contains(r#""x":1"#), "{text}");
        assert_eq!(text.matches("dev.cosignproject.cosign/image").count(), 1, "{text}");
    }

    #[test]
    fn without_a_tag_the_only_release_is_meant() {
        let home = tempfile::tempdir().expect("a directory");
        let layout = Layout::create(home.path()).expect("may be made");
        assert!(matches!(layout.only_release(), Err(Error::NotFound { .. })));
        let (one, two) = (release("1"), release("2"));
        layout.put_manifest(&one).expect("put");
        layout.put_untagged(&one).expect("put");
        assert_eq!(layout.only_release().expect("found"), one);
        layout.put_manifest(&two).expect("put");
        layout.put_tag(&tag("v2"), &two).expect("put");
        assert!(matches!(layout.only_release(), Err(Error::SeveralReleases { .. })));
    }

    #[test]
    fn referrers_of_others_are_found_in_the_index() {
        let home = tempfile::tempdir().expect("a directory");
        let layout = Layout::create(home.path()).expect("may be made");
        let subject = release("1");
        let mut manifest = Manifest::new(media::BUNDLE, Vec::new());
        manifest.subject = Some(subject.descriptor.plain());
        let theirs = manifest.to_node();
        layout.put_manifest(&theirs).expect("put");
        layout.put_untagged(&theirs).expect("put");
        let found = super::super::store::referrers(&layout, &subject.descriptor.digest, None)
            .expect("read");
        assert_eq!(
            found.iter().map(|found| found.descriptor.digest).collect::<Vec<_>>(),
            [theirs.descriptor.digest]
        );
    }

    #[test]
    fn a_damaged_blob_is_not_handed_out() {
        let home = tempfile::tempdir().expect("a directory");
        let layout = Layout::create(home.path()).expect("may be made");
        let node = release("1");
        layout.put_manifest(&node).expect("put");
        let mut bytes = node.bytes.clone();
        bytes.reverse();
        fs::write(&layout.path(&node.descriptor.digest), Mode::Data, &bytes).expect("written");
        assert!(matches!(layout.manifest(&node.descriptor.digest), Err(Error::WrongDigest { .. })));
    }
}
