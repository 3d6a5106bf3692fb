//! The format that others read, and the road from a release into stores and back, as a whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::manifest::{Annotations, PlatformEntry, annotation, media};
use super::published::{self, Published, RemoteFile};
use super::pull::{Extent, Inspect, Plan};
use super::store::Verified;
use super::*;
use crate::build_id::BuildId;
use crate::digest::Digest;
use crate::fs::{self, Mode};
use crate::inspect::{Libc, Platform};
use crate::release::{Binary, PlatformRelease, Product, Release, Sbom, SbomFormat};

/// A release directory of small files.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, directory: &str, name: &str, contents: &str) -> Product {
        let path = self.path().join(directory).join(name);
        fs::write(&path, Mode::Data, contents.as_bytes()).expect("written");
        let (digest, size) = fs::digest(&path).expect("read");
        Product { name: name.to_owned(), path, digest, size }
    }

    fn platform(&self, architecture: &str, id: &str, contents: &str) -> PlatformRelease {
        let platform = Platform {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: None,
            libc: Libc::Static,
        };
        let directory = platform.directory();
        let file =
            |name: &str, what: &str| self.file(&directory, name, &format!("{what} {contents}"));
        let binary = Binary {
            file: file("app", "slim"),
            build_id: Some(id.parse().expect("a build-id")),
            load_digest: Digest::of(contents.as_bytes()),
            debug: Some(file("app.debug", "debug")),
            dwp: None,
            sboms: vec![Sbom { format: SbomFormat::CycloneDx, file: file("app.cdx.json", "sbom") }],
        };
        PlatformRelease {
            platform,
            binaries: vec![binary],
            bundle: Some(file("app.sigstore.json", "bundle")),
        }
    }

    fn release(&self, version: &str) -> Release {
        Release {
            platforms: vec![
                self.platform("amd64", "aa11", &format!("amd64 {version}")),
                self.platform("arm64", "bb22", &format!("arm64 {version}")),
            ],
            annotations: BTreeMap::from([(
                "org.opencontainers.image.version".into(),
                version.into(),
            )]),
            image_bundles: Vec::new(),
            problems: Vec::new(),
            strangers: Vec::new(),
            bundle: Some(self.file("", "index.sigstore.json", "bundle of the index")),
        }
    }
}

fn v1() -> Target {
    Target::tag(Tag::new("v1").expect("a tag"))
}

fn publish(artifact: &Artifact, store: &dyn Store, options: &Options) -> Result<Receipt, Error> {
    let options = Options { tags: v1().tag.into_iter().collect(), ..options.clone() };
    push(&Graph::of(artifact), store, &options, &|_| {})
}

fn artifact(home: &Home, version: &str) -> Artifact {
    Artifact::of(&home.release(version))
}

fn own_id(file: &RemoteFile, _: &Path) -> Result<Option<BuildId>, String> {
    Ok(file.build_id.clone())
}

fn fetch(store: &dyn Store, to: &Path, inspect: &Inspect<'_>) -> Result<Vec<PathBuf>, Error> {
    let published = Published::of(resolve(store, &v1())?)?;
    let wanted = PlatformEntry { os: "linux".into(), architecture: "arm64".into(), variant: None };
    let manifest = &published.platform(&wanted)?.descriptor;
    let plan = Plan::new(store, manifest, to, Extent::Debug, &|_| true)?;
    let fetched = plan.fetch(store, inspect, &|_| {})?;
    Ok(fetched.into_iter().map(|file| file.path).collect())
}

#[test]
fn the_format_is_exact() {
    let home = Home::new();
    let artifact = artifact(&home, "1");
    let text = |node: &Node| String::from_utf8(node.bytes.clone()).expect("text");
    let [amd64, arm64] = artifact.platforms.as_slice() else { panic!("two platforms") };
    assert_eq!(
        text(&artifact.index),
        format!(
            concat!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","#,
                r#""artifactType":"application/vnd.xpost.release.v1","manifests":["#,
                r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{},"#,
                r#""platform":{{"architecture":"amd64","os":"linux"}},"#,
                r#""annotations":{{"dev.xpost.target":"x86_64-unknown-linux"}}}},"#,
                r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{},"#,
                r#""platform":{{"architecture":"arm64","os":"linux"}},"#,
                r#""annotations":{{"dev.xpost.target":"aarch64-unknown-linux"}}}}],"#,
                r#""annotations":{{"org.opencontainers.image.version":"1"}}}}"#,
            ),
            amd64.node.descriptor.digest,
            amd64.node.descriptor.size,
            arm64.node.descriptor.digest,
            arm64.node.descriptor.size,
        )
    );
    let empty = concat!(
        r#""config":{"mediaType":"application/vnd.oci.empty.v1+json","#,
        r#""digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="}"#
    );
    assert_eq!(
        text(&amd64.node),
        format!(
            concat!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
                r#""artifactType":"application/vnd.xpost.binary.v1",{},"layers":["#,
                r#"{{"mediaType":"application/vnd.xpost.binary.elf.v1","digest":"{}","size":12,"annotations":{{"#,
                r#""dev.xpost.build-id":"aa11","dev.xpost.mode":"0755","org.opencontainers.image.title":"app"}}}}]}}"#,
            ),
            empty,
            Digest::of(b"slim amd64 1"),
        )
    );
    let subject = format!(
        r#""subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{}}}"#,
        amd64.node.descriptor.digest, amd64.node.descriptor.size
    );
    let referrers: Vec<String> =
        artifact.referrers.iter().map(|referrer| text(&referrer.node)).collect();
    let loads = Digest::of(b"amd64 1");
    let debug = format!(
        concat!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
            r#""artifactType":"application/vnd.xpost.debuginfo.v1",{},"layers":["#,
            r#"{{"mediaType":"application/vnd.xpost.debuginfo.elf.v1","digest":"{}","size":13,"annotations":{{"#,
            r#""dev.xpost.build-id":"aa11","dev.xpost.load-digest":"{}","org.opencontainers.image.title":"app.debug"}}}}],"#,
            r#"{},"annotations":{{"dev.xpost.build-id":"aa11","dev.xpost.load-digest":"{}"}}}}"#,
        ),
        empty,
        Digest::of(b"debug amd64 1"),
        loads,
        subject,
        loads
    );
    assert!(referrers.contains(&debug), "{referrers:#?}");
    let bundle = format!(
        concat!(
            r#""artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json",{},"layers":["#,
            r#"{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","digest":"{}","size":14}}],{},"#,
            r#""annotations":{{"dev.sigstore.bundle.content":"dsse-envelope","#,
            r#""dev.sigstore.bundle.predicateType":"https://sigstore.dev/cosign/sign/v1"}}}}"#,
        ),
        empty,
        Digest::of(b"bundle amd64 1"),
        subject
    );
    assert!(referrers.iter().any(|text| text.ends_with(&bundle)), "{referrers:#?}");
}

#[test]
fn what_is_signed_does_not_depend_on_signatures() {
    let home = Home::new();
    let signed = home.release("1");
    let mut unsigned = signed.clone();
    unsigned.bundle = None;
    unsigned.platforms.iter_mut().for_each(|platform| platform.bundle = None);
    let [signed, unsigned] = [signed, unsigned].map(|release| Artifact::of(&release));
    assert!(signed.signed().eq(unsigned.signed()));
    assert_eq!(signed.referrers.len(), unsigned.referrers.len() + 3);
}

#[test]
fn of_two_builds_for_one_platform_the_usual_one_is_first() {
    let home = Home::new();
    let mut release = home.release("1");
    let mut twin = home.platform("amd64", "cc33", "musl");
    twin.platform.libc = Libc::Musl;
    release.platforms.insert(1, twin);
    let artifact = Artifact::of(&release);
    let published = Published::of(artifact.index).expect("an index");
    let wanted = PlatformEntry { os: "linux".into(), architecture: "amd64".into(), variant: None };
    assert_eq!(published.platform(&wanted).expect("there"), &published.platforms[0]);
    let musl = published.target("x86_64-unknown-linux-musl").expect("there");
    assert_eq!(musl, &published.platforms[1]);
    let error = published.target("x86_64-unknown-linux-gnu").expect_err("not there");
    assert!(error.to_string().contains("x86_64-unknown-linux-musl"), "{error}");
}

#[test]
fn the_same_push_twice_moves_nothing() {
    let home = Home::new();
    let (artifact, store) = (artifact(&home, "1"), MemoryStore::default());
    let first = publish(&artifact, &store, &Options::default()).expect("pushed");
    assert_eq!(first.tags[0].state, TagState::Created);
    assert_eq!(first.build_id_tags, ["buildid-aa11", "buildid-bb22"]);
    let second = publish(&artifact, &store, &Options::default()).expect("pushed");
    assert_eq!(second.tags[0].state, TagState::Unchanged);
    let all = second.blobs.iter().chain(&second.manifests);
    assert!(all.clone().all(|upload| upload.state == State::Present) && all.count() == 10 + 10);
}

#[test]
fn a_tag_of_another_release_is_refused_before_anything_is_written() {
    let home = Home::new();
    let store = MemoryStore::default();
    let old = artifact(&home, "1");
    publish(&old, &store, &Options::default()).expect("pushed");
    let before = store.len();
    let new = artifact(&home, "2");
    let error = publish(&new, &store, &Options::default()).expect_err("occupied");
    assert_eq!(error.kind(), Kind::Refused);
    let text = error.to_string();
    for digest in [old.index.descriptor.digest, new.index.descriptor.digest] {
        assert!(text.contains(&digest.to_string()), "{text}");
    }
    assert_eq!(store.len(), before);
    let options = Options { occupied: Occupied::Overwrite, ..Options::default() };
    let receipt = publish(&new, &store, &options).expect("pushed");
    assert_eq!(receipt.tags[0].state, TagState::Moved { from: old.index.descriptor.digest });
}

#[test]
fn a_build_id_tag_stays_with_its_program() {
    let home = Home::new();
    let store = MemoryStore::default();
    publish(&artifact(&home, "1"), &store, &Options::default()).expect("pushed");
    let overwrite = Options { occupied: Occupied::Overwrite, ..Options::default() };

    // Another program with the same build-id.
    let other = artifact(&home, "2");
    let receipt = publish(&other, &store, &overwrite).expect("pushed");
    assert_eq!((receipt.build_id_tags.len(), receipt.withheld.len()), (0, 2));

    // The same program, with a debug file that was made differently.
    let mut again = home.release("1");
    again.platforms.truncate(1);
    let binary = again.platforms.first_mut().and_then(|platform| platform.binaries.first_mut());
    binary.expect("one").debug = Some(home.file("other", "app.debug", "compressed"));
    let again = Artifact::of(&again);
    let receipt = publish(&again, &store, &overwrite).expect("pushed");
    assert_eq!(
        (receipt.build_id_tags, receipt.withheld),
        (vec!["buildid-aa11".to_owned()], vec![])
    );

    let force = Options { build_ids: BuildIds::Force, ..overwrite.clone() };
    let receipt = publish(&other, &store, &force).expect("pushed");
    assert_eq!((receipt.build_id_tags.len(), receipt.withheld.len()), (2, 0));
}

#[test]
fn a_push_that_fails_leaves_no_tag() {
    let home = Home::new();
    let release = home.release("1");
    let artifact = Artifact::of(&release);
    fs::remove(&home.path().join("linux-arm64/app.debug")).expect("removed");
    let store = MemoryStore::default();
    assert_eq!(
        publish(&artifact, &store, &Options::default()).expect_err("gone").kind(),
        Kind::NotFound
    );
    // A file that changed after it was looked at is as bad.
    home.file("linux-arm64", "app.debug", "debug arm64 2");
    assert_eq!(
        publish(&artifact, &store, &Options::default()).expect_err("changed").kind(),
        Kind::Damaged
    );
    assert_eq!(store.names(), []);
    home.file("linux-arm64", "app.debug", "debug arm64 1");
    publish(&artifact, &store, &Options::default()).expect("pushed");
}

#[test]
fn a_digest_in_the_reference_is_a_promise() {
    let home = Home::new();
    let store = MemoryStore::default();
    let options = Options { digest: Some(Digest::of(b"other")), ..Options::default() };
    let error = publish(&artifact(&home, "1"), &store, &options);
    assert_eq!(error.expect_err("another digest").kind(), Kind::Refused);
    assert!(store.is_empty());
}

#[test]
fn a_release_without_a_tag_is_published_by_digest() {
    let home = Home::new();
    let artifact = artifact(&home, "1");
    let store = MemoryStore::default();
    let untagged = |store: &dyn Store| {
        push(&Graph::of(&artifact), store, &Options::default(), &|_| {}).expect("pushed")
    };
    assert_eq!(untagged(&store).tags, []);
    assert_eq!(store.names().len(), 2);
    let layout = Layout::create(&home.path().join("layout")).expect("may be made");
    untagged(&layout);
    assert_eq!(resolve(&layout, &Target::default()).expect("found"), artifact.index);
}

#[test]
fn a_copy_brings_everything_and_makes_the_tags_anew() {
    let home = Home::new();
    let artifact = artifact(&home, "1");
    let (one, three) = (MemoryStore::default(), MemoryStore::default());
    let two = Layout::create(&home.path().join("layout")).expect("may be made");
    publish(&artifact, &one, &Options::default()).expect("pushed");
    let by_copy = |from: &dyn Store, to: &dyn Store| {
        let root = resolve(from, &v1()).expect("there");
        let graph = Graph::read(from, root).expect("read");
        let options = Options { tags: v1().tag.into_iter().collect(), ..Options::default() };
        let survey = survey(&graph, to, &options).expect("looked at");
        let receipt = push(&graph, to, &options, &|_| {}).expect("copied");
        assert_eq!(survey.blobs, receipt.blobs);
        receipt
    };
    let sent = |receipt: &Receipt| {
        let all = receipt.blobs.iter().chain(&receipt.manifests);
        all.filter(|upload| upload.state == State::Uploaded).count()
    };
    assert_eq!(sent(&by_copy(&one, &two)), 20);
    by_copy(&two, &three);
    assert_eq!(one.names(), three.names());
    assert_eq!(one.len(), three.len());
    let again = by_copy(&two, &three);
    assert_eq!((sent(&again), &again.tags[0].state), (0, &TagState::Unchanged));
    assert_eq!(again.build_id_tags, ["buildid-aa11", "buildid-bb22"]);
}

#[test]
fn what_lost_a_part_is_not_copied() {
    let home = Home::new();
    let artifact = artifact(&home, "1");
    let layout = Layout::create(&home.path().join("layout")).expect("may be made");
    publish(&artifact, &layout, &Options::default()).expect("pushed");
    let gone = artifact.platforms[1].node.descriptor.digest;
    fs::remove(&home.path().join("layout/blobs/sha256").join(gone.hex())).expect("removed");
    let graph = Graph::read(&layout, artifact.index.clone()).expect("read");
    assert_eq!(graph.missing[0].digest, gone);
    assert_eq!(graph.missing[0].what, "the manifest of linux/arm64");
    let store = MemoryStore::default();
    let error = push(&graph, &store, &Options::default(), &|_| {}).expect_err("incomplete");
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(store.is_empty());
}

#[test]
fn what_is_pulled_is_what_was_pushed() {
    let home = Home::new();
    let store = Layout::create(&home.path().join("layout")).expect("may be made");
    publish(&artifact(&home, "1"), &store, &Options::default()).expect("pushed");
    let site = home.path().join("site");
    let paths = fetch(&store, &site, &own_id).expect("fetched");
    let expected = [
        ("app", "slim"),
        ("debug/.build-id/bb/22", "slim"),
        ("debug/.build-id/bb/22.debug", "debug"),
    ];
    assert_eq!(paths, expected.map(|(path, _)| site.join(path)));
    for (path, what) in expected {
        let path = site.join(path);
        assert_eq!(fs::read(&path).expect("read"), format!("{what} arm64 1").as_bytes());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = path.metadata().expect("there").permissions().mode();
            assert_eq!(mode & 0o100 != 0, what == "slim");
        }
    }
    assert_eq!(fs::list(&site).expect("listed"), ["app", "debug"]);
}

#[test]
fn a_dwp_comes_back_under_the_names_that_gdb_looks_for() {
    let home = Home::new();
    let store = MemoryStore::default();
    let mut release = home.release("1");
    let binaries = release.platforms.iter_mut().flat_map(|platform| &mut platform.binaries);
    let dwp = home.file("linux-arm64", "app.dwp", "split");
    binaries.last().expect("one").dwp = Some(dwp.clone());
    let artifact = Artifact::of(&release);
    publish(&artifact, &store, &Options::default()).expect("pushed");
    let site = home.path().join("site");
    let paths = fetch(&store, &site, &own_id).expect("fetched");
    for name in ["22.dwp", "app.dwp"] {
        let path = site.join("debug/.build-id/bb").join(name);
        assert_eq!(fs::read(&path).expect("read"), b"split");
        assert!(paths.contains(&path));
    }
    // A name that is no program's with .dwp could be that of another build's file.
    let binaries = release.platforms.iter_mut().flat_map(|platform| &mut platform.binaries);
    binaries.last().expect("one").dwp = Some(Product { name: "22.debug".to_owned(), ..dwp });
    let store = MemoryStore::default();
    publish(&Artifact::of(&release), &store, &Options::default()).expect("pushed");
    let paths = fetch(&store, &home.path().join("other"), &own_id).expect("fetched");
    assert_eq!(paths.len(), 3, "it is left out: {paths:?}");
}

#[test]
fn a_pull_writes_all_files_or_none() {
    let home = Home::new();
    let store = MemoryStore::default();
    publish(&artifact(&home, "1"), &store, &Options::default()).expect("pushed");
    let site = home.path().join("site");
    let no = |file: &RemoteFile, _: &Path| match file.title.as_str() {
        "app" => own_id(file, Path::new("")),
        _ => Err("its note says cc33".to_owned()),
    };
    assert!(matches!(fetch(&store, &site, &no), Err(Error::Rejected { .. })));
    let other = |_: &RemoteFile, _: &Path| Ok("cc33".parse().ok());
    assert!(matches!(fetch(&store, &site, &other), Err(Error::Rejected { .. })));
    store.damage(&Digest::of(b"debug arm64 1"));
    assert!(matches!(fetch(&store, &site, &own_id), Err(Error::WrongDigest { .. })));
    assert_eq!(fs::list(&site).expect("listed"), [] as [&str; 0]);
}

#[test]
fn a_program_where_the_debug_files_go_is_fetched_without_them() {
    let home = Home::new();
    let store = MemoryStore::default();
    let mut release = home.release("1");
    for platform in &mut release.platforms {
        platform.binaries[0].file.name = "debug".to_owned();
    }
    publish(&Artifact::of(&release), &store, &Options::default()).expect("pushed");
    let site = home.path().join("site");
    let error = fetch(&store, &site, &own_id).expect_err("a file and a directory");
    assert!(matches!(error, Error::BadTitle { .. }), "{error}");
    assert!(!fs::exists(&site));
}

#[test]
fn signatures_are_read_and_broken_ones_passed_over() {
    let home = Home::new();
    let store = MemoryStore::default();
    let artifact = artifact(&home, "1");
    publish(&artifact, &store, &Options::default()).expect("pushed");
    let index = &artifact.index.descriptor.digest;
    assert_eq!(
        published::signatures(&store, index).expect("read"),
        [b"bundle of the index".to_vec()]
    );
    store.damage(&Digest::of(b"bundle of the index"));
    assert!(published::signatures(&store, index).expect("read").is_empty());
}

/// A manifest of somebody who means harm.
fn hostile(store: &MemoryStore, titles: &[&str]) -> Descriptor {
    let put = |bytes: &'static [u8]| {
        let blob = Descriptor::new(media::BINARY_ELF, Digest::of(bytes), bytes.len() as u64);
        store.put_blob(&blob, &|| Ok(Verified::new(bytes, &blob))).expect("kept");
        blob
    };
    put(b"{}");
    let layer = |(count, title): (usize, &&str)| {
        let mut layer = put(if count == 0 { b"first" } else { b"second" });
        layer.annotations =
            Annotations::from([(annotation::TITLE.to_owned(), (*title).to_owned())]);
        layer
    };
    let node =
        Manifest::new(media::BINARY, titles.iter().enumerate().map(layer).collect()).to_node();
    store.put_manifest(&node).expect("kept");
    node.descriptor
}

#[test]
fn a_name_never_leads_out_of_its_directory() {
    let store = MemoryStore::default();
    for titles in [&["../x"][..], &["/etc/passwd"], &["a\u{1b}[2J"], &["NUL"], &["a", "a"]] {
        let error = published::files(&store, &hostile(&store, titles)).expect_err("refused");
        assert!(matches!(error, Error::BadTitle { .. }), "{error}");
        assert_eq!(error.kind(), Kind::Damaged);
        assert!(!error.to_string().contains('\u{1b}'));
    }
    assert_eq!(published::files(&store, &hostile(&store, &["a", "b"])).expect("files").len(), 2);
}

#[test]
fn a_platform_is_chosen_as_it_was_asked_for() {
    let entry = |architecture: &str, variant: Option<&str>| {
        let mut entry = Descriptor::new(
            media::MANIFEST,
            Digest::of(format!("{architecture}{variant:?}").as_bytes()),
            1,
        );
        let variant = variant.map(str::to_owned);
        entry.platform =
            Some(PlatformEntry { os: "linux".into(), architecture: architecture.into(), variant });
        entry
    };
    let index = Index::new(
        None,
        vec![
            entry("amd64", Some("v3")),
            entry("amd64", None),
            entry("arm", Some("v7")),
            entry("arm", Some("v6")),
        ],
    );
    let published = Published::of(index.to_node()).expect("an index");
    let choose = |architecture: &str, variant: Option<&str>| {
        let variant = variant.map(str::to_owned);
        let wanted =
            PlatformEntry { os: "linux".into(), architecture: architecture.into(), variant };
        published.platform(&wanted).map(ToString::to_string)
    };
    assert_eq!(choose("amd64", None).expect("one"), "linux/amd64");
    assert_eq!(choose("amd64", Some("v3")).expect("one"), "linux/amd64/v3");
    assert_eq!(choose("arm", None).expect("one"), "linux/arm/v7");
    let error = choose("riscv64", None).expect_err("none");
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("linux/arm/v6"), "{error}");
}

/// A store that breaks off: after so many deletions nothing works any more.
struct Breaking<'a> {
    inner: &'a MemoryStore,
    left: std::sync::atomic::AtomicUsize,
}

impl Breaking<'_> {
    fn step(&self) -> Result<(), Error> {
        let left = &self.left;
        let ordering = std::sync::atomic::Ordering::SeqCst;
        match left.fetch_update(ordering, ordering, |left| left.checked_sub(1)) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::NotFound { what: "patience".into(), place: "here".into() }),
        }
    }
}

impl Store for Breaking<'_> {
    fn name(&self) -> String {
        self.inner.name()
    }
    fn tagged(&self, tag: &Tag) -> Result<Option<Node>, Error> {
        self.inner.tagged(tag)
    }
    fn manifest(&self, digest: &Digest) -> Result<Option<Node>, Error> {
        self.inner.manifest(digest)
    }
    fn put_manifest(&self, node: &Node) -> Result<(), Error> {
        self.inner.put_manifest(node)
    }
    fn put_tag(&self, tag: &Tag, node: &Node) -> Result<(), Error> {
        self.inner.put_tag(tag, node)
    }
    fn has_blob(&self, blob: &Descriptor) -> Result<bool, Error> {
        self.inner.has_blob(blob)
    }
    fn blob(&self, blob: &Descriptor) -> Result<store::Verified<'_>, Error> {
        self.inner.blob(blob)
    }
    fn put_blob(&self, blob: &Descriptor, open: &store::Opener<'_>) -> Result<(), Error> {
        self.inner.put_blob(blob, open)
    }
    fn listed(&self, subject: &Digest, wanted: Option<&str>) -> Result<Vec<Descriptor>, Error> {
        self.inner.listed(subject, wanted)
    }
    fn list(&self, subject: &Digest, entries: &[Descriptor]) -> Result<Option<Tag>, Error> {
        self.inner.list(subject, entries)
    }
    fn tags(&self) -> Result<Vec<Tag>, Error> {
        self.inner.tags()
    }
    fn delete_manifest(&self, node: &Descriptor) -> Result<(), Error> {
        self.step()?;
        self.inner.delete_manifest(node)
    }
    fn delete_tag(&self, tag: &Tag) -> Result<(), Error> {
        self.step()?;
        self.inner.delete_tag(tag)
    }
}

/// Two releases of the same files: their platforms' manifests are the same.
fn two_releases(home: &Home, store: &dyn Store) -> Tag {
    publish(&artifact(home, "1"), store, &Options::default()).expect("pushed");
    let mut second = home.release("1");
    second.annotations.insert("x".into(), "y".into());
    let v2 = Tag::new("v2").expect("a tag");
    let options = Options { tags: vec![v2.clone()], ..Options::default() };
    push(&Graph::of(&Artifact::of(&second)), store, &options, &|_| {}).expect("pushed");
    v2
}

#[test]
fn a_tag_of_several_debug_files_is_told_once() {
    let (home, store) = (Home::new(), MemoryStore::default());
    let mut release = home.release("1");
    let again = release.platforms.first().expect("one").binaries.clone();
    let mut again = again.into_iter().next().expect("one");
    again.file.name = "other".to_owned();
    again.debug = Some(home.file("linux-amd64", "other.debug", "another form of the same"));
    release.platforms.first_mut().expect("one").binaries.push(again);
    let artifact = Artifact::of(&release);
    let receipt = publish(&artifact, &store, &Options::default()).expect("pushed");
    assert_eq!(receipt.build_id_tags, ["buildid-aa11", "buildid-bb22"]);
}

#[test]
fn what_another_tag_needs_is_spared() {
    let (home, store) = (Home::new(), MemoryStore::default());
    let v2 = two_releases(&home, &store);
    let plan = Deletion::plan(&store, &v1()).expect("planned");
    // The index and its signature; the platforms and what refers to them stay.
    assert_eq!((plan.manifests.len(), plan.spared.len()), (2, 2));
    assert!(plan.spared.iter().all(|spared| spared.by == "v2"));
    delete(&store, &plan, &mut |_| {}).expect("deleted");
    let root = resolve(&store, &Target::tag(v2.clone())).expect("there");
    assert!(completeness(&store, root, DebugKept::Here).expect("looked at").is_complete());
    assert!(matches!(resolve(&store, &v1()), Err(Error::NotFound { .. })));
    // The last one takes everything along.
    let plan = Deletion::plan(&store, &Target::tag(v2)).expect("planned");
    delete(&store, &plan, &mut |_| {}).expect("deleted");
    assert_eq!((store.len().1, store.names().len()), (0, 0));
}

#[test]
fn a_release_under_the_tag_of_a_list_is_no_list() {
    let (home, store) = (Home::new(), MemoryStore::default());
    publish(&artifact(&home, "1"), &store, &Options::default()).expect("pushed");
    let other = Artifact::of(&home.release("2"));
    let v2 = Tag::new("v2").expect("a tag");
    let options = Options { tags: vec![v2.clone()], ..Options::default() };
    push(&Graph::of(&other), &store, &options, &|_| {}).expect("pushed");
    let root = resolve(&store, &v1()).expect("there").descriptor.digest;
    store.put_tag(&Tag::fallback(&root), &other.index).expect("put");
    let plan = Deletion::plan(&store, &v1()).expect("planned");
    delete(&store, &plan, &mut |_| {}).expect("deleted");
    let root = resolve(&store, &Target::tag(v2)).expect("there");
    let found = completeness(&store, root, DebugKept::Here).expect("looked at");
    assert!(found.missing.is_empty(), "{found:?}");
}

#[test]
fn a_part_of_a_release_does_not_go_alone() {
    let (home, store) = (Home::new(), MemoryStore::default());
    let artifact = artifact(&home, "1");
    publish(&artifact, &store, &Options::default()).expect("pushed");
    let child = artifact.platforms.first().expect("one").node.clone();
    let part = Target::digest(child.descriptor.digest);
    assert!(matches!(Deletion::plan(&store, &part), Err(Error::Needed { .. })));
    let nothing = Deletion::plan(&store, &Target::default());
    assert!(matches!(nothing, Err(Error::NoTag { .. })));
    let stale = Target { digest: part.digest, ..v1() };
    assert!(matches!(Deletion::plan(&store, &stale), Err(Error::Needed { .. })));
    // A tag of its own does not make it one that may go.
    let own = Tag::new("v1-amd64").expect("a tag");
    store.put_tag(&own, &child).expect("put");
    let plan = Deletion::plan(&store, &Target::tag(own.clone())).expect("planned");
    assert_eq!((plan.tag.as_ref(), plan.manifests.len()), (Some(&own), 0));
}

#[test]
fn a_deletion_that_breaks_off_leaves_nothing_that_lies() {
    for steps in 0.. {
        let (home, store) = (Home::new(), MemoryStore::default());
        publish(&artifact(&home, "1"), &store, &Options::default()).expect("pushed");
        let breaking = Breaking { inner: &store, left: steps.into() };
        let plan = Deletion::plan(&breaking, &v1()).expect("planned");
        let mut gone = 0;
        let done = delete(&breaking, &plan, &mut |_| gone += 1);
        for tag in store.tags().expect("listed") {
            let node = store.tagged(&tag).expect("asked").expect("a tag that names something");
            let found = completeness(&store, node, DebugKept::Here).expect("looked at");
            assert!(found.missing.is_empty(), "{steps}: {tag}: {found:?}");
        }
        if done.is_ok() {
            assert_eq!(gone, plan.manifests.len());
            assert_eq!(store.len().1, 0, "nothing is left");
            return;
        }
    }
}
