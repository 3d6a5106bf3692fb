//! The OCI image layout as a store (OCI image-spec, "Image Layout"), whether its files lie in a directory or in a tar file.
//!
//! Blobs and manifests lie under `blobs/sha256`, `index.json` names what has a tag. It is written whole or not at
//! all, and what others wrote into it stays. What holds anything else than a layout is never written to.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};

use super::Error;
use super::archive::Archive;
use super::directory::Directory;
use super::fallback::{self, Remains};
use super::files::{Files, INDEX, MARKER, blob_path};
use super::manifest::{Descriptor, Document, MAX_MANIFEST, Manifest, Node, annotation, media};
use super::reference::Tag;
use super::store::{Opener, Store, Verified, check_size, checked};
use crate::digest::Digest;

/// A layout.
#[derive(Debug)]
pub struct Layout {
    files: Box<dyn Files>,
}

/// What the file says that makes the others a layout.
const VERSION: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
impl Layout {
    /// A layout in a directory, to read from.
    ///
    /// # Errors
    /// [`Error::NotFound`] where nothing is, [`Error::NoLayout`] where something else is.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        Self::marked(Directory::open(directory)?)
    }

    /// A layout in a directory, to write to; it is made with the first thing that is put into it.
    ///
    /// # Errors
    /// [`Error::OtherContents`] where the directory holds anything that is no layout.
    pub fn create(directory: &Path) -> Result<Self, Error> {
        let files = Directory::create(directory)?;
        if files.is_new() { Ok(Self { files: Box::new(files) }) } else { Self::marked(files) }
    }

    /// A layout in a tar file, to read from.
    ///
    /// # Errors
    /// [`Error::NotFound`] where nothing is, [`Error::NoLayout`] where something else is.
    pub fn open_archive(file: &Path) -> Result<Self, Error> {
        Self::marked(Archive::open(file)?)
    }

    /// A layout in a tar file, to write to; it is made anew, with what was in it, by [`Store::finish`].
    ///
    /// # Errors
    /// [`Error::OtherContents`] where the file holds anything that is no layout.
    pub fn create_archive(file: &Path) -> Result<Self, Error> {
        let files = Archive::create(file)?;
        if files.is_new() { Ok(Self { files: Box::new(files) }) } else { Self::marked(files) }
    }

    /// The layout of these files, if they say that they are one.
    fn marked(files: impl Files + 'static) -> Result<Self, Error> {
        let layout = Self { files: Box::new(files) };
        let no_layout = |reason: &str| Error::NoLayout {
            place: layout.files.name(),
            reason: reason.to_owned(),
        };
        let bytes = layout.small(MARKER)?.ok_or_else(|| no_layout("it has no file oci-layout"))?;
        let version = serde_json::from_slice::<Value>(&bytes).ok();
        let version = version.as_ref().and_then(|value| value.get("imageLayoutVersion")?.as_str());
        match version {
            Some(version) if version.starts_with("1.") => Ok(layout),
            _ => Err(no_layout("its file oci-layout states no version 1")),
        }
    }

    /// The contents of a file that is a document.
    fn small(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some((file, size)) = self.files.open(name)? else { return Ok(None) };
        let what = || format!("{name} in {}", self.files.name());
        check_size(&what(), size, MAX_MANIFEST)?;
        let mut bytes = Vec::new();
        let read = file.take(MAX_MANIFEST).read_to_end(&mut bytes);
        read.map_err(|error| Error::of_stream(error, || format!("read {}", what())))?;
        Ok(Some(bytes))
    }

    /// The two files that make a layout.
    fn begin(&self) -> Result<(), Error> {
        if self.files.open(MARKER)?.is_some() {
            return Ok(());
        }
        let _lock = self.files.lock()?;
        if self.files.open(MARKER)?.is_none() {
            // In this order: without the mark, what a killed run left would be somebody's directory.
            self.files.write(MARKER, &mut &VERSION[..])?;
            self.files.write(INDEX, &mut empty_index().to_string().as_bytes())?;
        }
        Ok(())
    }

    fn malformed_index(&self, reason: impl ToString) -> Error {
        Error::Malformed {
            what: format!("{INDEX} in {}", self.files.name()),
            reason: reason.to_string(),
        }
    }

    fn read_index(&self) -> Result<Value, Error> {
        let Some(bytes) = self.small(INDEX)? else { return Ok(empty_index()) };
        serde_json::from_slice(&bytes).map_err(|error| self.malformed_index(error))
    }

    /// What `index.json` names, as far as it can be understood.
    fn entries(&self) -> Result<Vec<Descriptor>, Error> {
        let entries = fallback::entries(self.read_index()?.to_string().as_bytes());
        entries.map_err(|reason| self.malformed_index(reason))
    }

    /// Changes what `index.json` names. Whoever calls it holds the lock, from reading what the change depends on.
    fn change(&self, change: impl FnOnce(&mut Vec<Value>)) -> Result<(), Error> {
        let mut index = self.read_index()?;
        let list = index.get_mut("manifests").and_then(Value::as_array_mut);
        let list = list.ok_or_else(|| self.malformed_index("it has no list of manifests"))?;
        let before = list.clone();
        change(list);
        if *list == before {
            return Ok(());
        }
        // Always in one order, so that equal layouts are equal bytes.
        list.sort_by_cached_key(|entry| {
            let digest = entry.get("digest").and_then(Value::as_str).unwrap_or_default();
            (ref_name(entry).map(str::to_owned), digest.to_owned())
        });
        let bytes = serde_json::to_vec(&index).map_err(|error| self.malformed_index(error))?;
        self.files.write(INDEX, &mut bytes.as_slice())
    }

    /// Puts an entry into `index.json` in place of those that have the same name (or, without a name, of its own).
    fn enter(&self, entry: &Descriptor) -> Result<(), Error> {
        let ours = serde_json::to_value(entry).map_err(|error| self.malformed_index(error))?;
        self.change(|list| {
            if list.contains(&ours) {
                return;
            }
            list.retain(|other| {
                let same_name = ref_name(other) == ref_name(&ours);
                let same_digest = other.get("digest") == ours.get("digest");
                // An entry without a name gives way when its manifest gets one.
                !(same_name && (ref_name(&ours).is_some() || same_digest)
                    || ref_name(other).is_none() && same_digest)
            });
            list.push(ours);
        })
    }

    /// Takes every entry of a manifest out of `index.json`.
    fn leave(&self, digest: &Digest) -> Result<(), Error> {
        let digest = digest.to_string();
        self.change(|list| list.retain(|entry| !has_digest(entry, &digest)))
    }

    /// Every manifest and blob that something in `index.json` leads to.
    fn reached(&self) -> Result<BTreeSet<Digest>, Error> {
        let mut waiting = self.entries()?;
        let mut seen = BTreeSet::new();
        while let Some(part) = waiting.pop() {
            if !seen.insert(part.digest) || !(part.is_manifest() || part.media_type.is_empty()) {
                continue;
            }
            match self.manifest(&part.digest)?.as_ref().map(Node::document).transpose()? {
                Some(Document::Index(index)) => waiting.extend(index.manifests),
                Some(Document::Manifest(Manifest { config, layers, .. })) => {
                    seen.extend(layers.iter().chain([&config]).map(|blob| blob.digest));
                }
                None => {}
            }
        }
        Ok(seen)
    }
}

fn empty_index() -> Value {
    json!({ "schemaVersion": 2, "mediaType": media::INDEX, "manifests": [] })
}

fn has_digest(entry: &Value, digest: &str) -> bool {
    entry.get("digest").and_then(Value::as_str) == Some(digest)
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
        self.files.name()
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
        let bytes = self.small(&blob_path(digest))?;
        bytes.map(|bytes| checked("", bytes, digest)).transpose()
    }

    fn has_manifest(&self, node: &Descriptor) -> Result<bool, Error> {
        self.has_blob(node)
    }

    fn put_manifest(&self, node: &Node) -> Result<(), Error> {
        self.begin()?;
        self.files.write(&blob_path(&node.descriptor.digest), &mut node.bytes.as_slice())
    }

    fn put_tag(&self, tag: &Tag, node: &Node) -> Result<(), Error> {
        self.begin()?;
        let _lock = self.files.lock()?;
        self.enter(&entry_of(node, Some(tag)))
    }

    fn put_untagged(&self, node: &Node) -> Result<(), Error> {
        self.begin()?;
        let _lock = self.files.lock()?;
        let there = self.entries()?.iter().any(|entry| entry.digest == node.descriptor.digest);
        if there { Ok(()) } else { self.enter(&entry_of(node, None)) }
    }

    /// Read to its end: what a disk has lost is to be put there again.
    fn has_blob(&self, blob: &Descriptor) -> Result<bool, Error> {
        let Some((file, size)) = self.files.open(&blob_path(&blob.digest))? else {
            return Ok(false);
        };
        Ok(size == blob.size && Verified::new(file, blob).check().is_ok())
    }

    fn blob(&self, blob: &Descriptor) -> Result<Verified<'_>, Error> {
        match self.files.open(&blob_path(&blob.digest))? {
            Some((file, _)) => Ok(Verified::new(file, blob)),
            None => Err(Error::NotFound { what: blob.digest.to_string(), place: self.name() }),
        }
    }

    fn put_blob(&self, blob: &Descriptor, open: &Opener<'_>) -> Result<(), Error> {
        self.begin()?;
        self.files.write(&blob_path(&blob.digest), &mut open()?)
    }

    fn finish(&self) -> Result<(), Error> {
        self.files.finish()
    }

    /// The fallback index, and what stands in `index.json` by itself: oras writes referrers there.
    fn listed(&self, subject: &Digest, _: Option<&str>) -> Result<Vec<Descriptor>, Error> {
        let fallback = self.tagged(&Tag::fallback(subject))?;
        let entries = |node: Node| {
            let what = format!("the list of what refers to {subject} in {}", self.name());
            fallback::entries(&node.bytes).map_err(|reason| Error::Malformed { what, reason })
        };
        let fallback = fallback.filter(|node| node.descriptor.is_index());
        let mut found = fallback.map(entries).transpose()?.unwrap_or_default();
        found.extend(self.entries()?.into_iter().filter(|entry| !entry.is_index()));
        Ok(found)
    }

    fn list(&self, subject: &Digest, entries: &[Descriptor]) -> Result<Option<Tag>, Error> {
        let tag = Tag::fallback(subject);
        self.begin()?;
        let _lock = self.files.lock()?;
        let there = self.tagged(&tag)?;
        let Some(node) = fallback::merged(there.as_ref(), subject, entries) else {
            return Ok(None);
        };
        self.put_manifest(&node)?;
        self.enter(&entry_of(&node, Some(&tag)))?;
        Ok(Some(tag))
    }

    fn keeps_order(&self) -> bool {
        true
    }

    fn tags(&self) -> Result<Vec<Tag>, Error> {
        let tag = |entry: Descriptor| Tag::new(entry.annotations.get(annotation::REF_NAME)?);
        Ok(self.entries()?.into_iter().filter_map(tag).collect())
    }

    /// Also what others named by something that is no tag.
    fn untagged(&self) -> Result<Vec<Descriptor>, Error> {
        let has_tag = |entry: &Descriptor| {
            entry.annotations.get(annotation::REF_NAME).is_some_and(|name| Tag::new(name).is_some())
        };
        Ok(self.entries()?.into_iter().filter(|entry| !has_tag(entry)).collect())
    }

    /// First nothing names it any more.
    fn delete_manifest(&self, node: &Descriptor) -> Result<(), Error> {
        let _lock = self.files.lock()?;
        self.leave(&node.digest)?;
        self.files.remove(&blob_path(&node.digest))
    }

    fn delete_tag(&self, tag: &Tag) -> Result<(), Error> {
        let _lock = self.files.lock()?;
        self.change(|list| {
            let named = list.iter().position(|entry| ref_name(entry) == Some(tag.as_str()));
            let Some(mut entry) = named.map(|position| list.remove(position)) else { return };
            // Without any entry nobody would find what it named.
            let digest = entry.get("digest").and_then(Value::as_str).unwrap_or_default().to_owned();
            let others = list.iter().any(|other| has_digest(other, &digest));
            let annotations = entry.get_mut("annotations").and_then(Value::as_object_mut);
            if let Some(annotations) = annotations.filter(|_| !others) {
                annotations.remove(annotation::REF_NAME);
                list.push(entry);
            }
        })
    }

    fn unlist(&self, subject: &Digest, referrer: &Digest) -> Result<(), Error> {
        let tag = Tag::fallback(subject);
        let _lock = self.files.lock()?;
        let Some(there) = self.tagged(&tag)? else { return Ok(()) };
        match fallback::without(&there, referrer) {
            Remains::All => return Ok(()),
            Remains::Nothing => self.leave(&there.descriptor.digest)?,
            Remains::Some(rest) => {
                self.put_manifest(&rest)?;
                self.enter(&entry_of(&rest, Some(&tag)))?;
            }
        }
        self.files.remove(&blob_path(&there.descriptor.digest))
    }

    fn sweep(&self, blobs: &[Descriptor]) -> Result<(), Error> {
        let _lock = self.files.lock()?;
        let reached = self.reached()?;
        let mut rest = blobs.iter().filter(|blob| !reached.contains(&blob.digest));
        rest.try_for_each(|blob| self.files.remove(&blob_path(&blob.digest)))
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
    use crate::fs::{self, Mode};
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
        assert!(matches!(Layout::create(&path), Err(Error::OtherContents { .. })));
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
        fs::write(&home.path().join(INDEX), Mode::Data, text.as_bytes()).expect("written");
        for node in [release("1"), release("2")] {
            layout.put_manifest(&node).expect("put");
            layout.put_untagged(&node).expect("put");
            layout.put_tag(&tag("v1"), &node).expect("put");
        }
        assert_eq!(layout.tagged(&tag("v1")).expect("read"), Some(release("2")));
        let text =
            String::from_utf8(fs::read(&home.path().join(INDEX)).expect("read")).expect("text");
        assert!(text.contains("sha512:00") && text.contains(r#""x":1"#), "{text}");
        assert_eq!(text.matches("dev.cosignproject.cosign/image").count(), 1, "{text}");
    }

    #[test]
    fn pushes_at_the_same_time_lose_no_entry() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("new");
        let subject = release("subject");
        let one = |name: &str| {
            let layout = Layout::create(&path).expect("may be made");
            let node = release(name);
            layout.put_manifest(&node).expect("put");
            layout.put_tag(&tag(name), &node).expect("put");
            layout.list(&subject.descriptor.digest, &[node.descriptor]).expect("listed");
        };
        let names: Vec<String> = (0..8).map(|count| format!("v{count}")).collect();
        std::thread::scope(|scope| names.iter().for_each(|name| drop(scope.spawn(|| one(name)))));
        let layout = Layout::open(&path).expect("made");
        for name in &names {
            assert_eq!(layout.tagged(&tag(name)).expect("read"), Some(release(name)));
        }
        assert_eq!(layout.listed(&subject.descriptor.digest, None).expect("listed").len(), 8);
    }

    #[test]
    fn pushes_into_one_archive_at_the_same_time_lose_no_entry() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("new.tar");
        let open = |name: &str| {
            let layout = Layout::create_archive(&path).expect("may be made");
            let node = release(name);
            layout.put_manifest(&node).expect("put");
            layout.put_tag(&tag(name), &node).expect("put");
            layout
        };
        // Names of one length, so that the archives are as well.
        for pair in [["v1", "v2"], ["v2", "v3"]] {
            let [first, second] = pair.map(open);
            first.finish().expect("written");
            assert!(matches!(second.finish(), Err(Error::Changed { .. })));
            drop(second);
            let read = Layout::open_archive(&path).expect("made");
            assert_eq!(read.tagged(&tag(pair[0])).expect("read"), Some(release(pair[0])));
            assert_eq!(read.tagged(&tag(pair[1])).expect("read"), None);
            assert_eq!(fs::list(home.path()).expect("listed"), ["new.tar"]);
        }
        open("v3").finish().expect("nobody else is there now");
    }

    #[test]
    fn a_blob_that_rotted_is_not_there() {
        let home = tempfile::tempdir().expect("a directory");
        let layout = Layout::create(home.path()).expect("may be made");
        let blob = Descriptor::new("", Digest::of(b"abc"), 3);
        for _ in 0..2 {
            layout.put_blob(&blob, &|| Ok(Verified::new(&b"abc"[..], &blob))).expect("put");
            assert!(layout.has_blob(&blob).expect("read"));
            let path = home.path().join(blob_path(&blob.digest));
            fs::write(&path, Mode::Data, b"abx").expect("written");
            assert!(!layout.has_blob(&blob).expect("read"));
        }
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
        let path = home.path().join(blob_path(&node.descriptor.digest));
        fs::write(&path, Mode::Data, &bytes).expect("written");
        assert!(matches!(layout.manifest(&node.descriptor.digest), Err(Error::WrongDigest { .. })));
    }
}
