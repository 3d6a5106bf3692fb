//! `xpost push`: publish the release, or files as they are.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Global;
use super::coherent;
use super::failure::{self, Exit, Failure};
use super::files::{self, PlainFile};
use super::published::{self, Beside, Publishing};
use super::pull;
use super::sign::{ImageContents, annotation, annotations};
use super::store::{self, Reach};
use super::ui::{self, Ui};
use crate::oci::manifest::{Manifest, PlatformEntry, media};
use crate::oci::{self, Access, Artifact, DebugFiles, Graph, Options, Reference, Tag};
use crate::release::{self, Form, Release, Staged};

/// Publish the release to a registry, or into an OCI layout
///
/// Pushes the index, one manifest for each platform with the binaries, and as referrers the debug files, SBOMs and signatures.
/// Everything is checked before, listed and read back after, and the tags move last. The same release gives the same digest
/// everywhere. With files it pushes these instead, in one manifest, as oras does.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  xpost push ghcr.io/org/app:v1.2.0 --tag v1.2 --tag latest
  xpost push oci:release:v1                        # a directory, no registry needed
  xpost push ghcr.io/org/app:v1 --debug-to ghcr.io/org/app-debug
  xpost push ghcr.io/org/app:v1-image --image --ca-certificates /etc/ssl/certs/ca-certificates.crt
  xpost push ghcr.io/org/app:policy rules.json:application/json")]
pub(super) struct Args {
    /// HOST/NAME[:TAG], oci:DIR[:TAG] or oci-archive:FILE.tar[:TAG]
    #[arg(value_name = "REF")]
    reference: Reference,
    /// Instead of the release: files, with what they are
    #[arg(value_name = "FILE[:MEDIATYPE]")]
    files: Vec<PlainFile>,
    /// What the files are together
    #[arg(long, value_name = "TYPE", value_parser = files::media_type, requires = "files")]
    artifact_type: Option<String>,
    /// An annotation of the index (of a signed release it is given to `xpost sign`), or of the files' manifest
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = annotation)]
    annotations: Vec<(String, String)>,
    /// Publish this platform of an unsigned release and no other: OS/ARCH[/VARIANT]
    #[arg(long, value_name = "PLATFORM", value_parser = pull::platform, conflicts_with = "files")]
    only_platform: Vec<PlatformEntry>,
    /// Publish runnable images instead: of static programs, one layer for each platform
    #[arg(long, conflicts_with = "files")]
    image: bool,
    #[command(flatten)]
    contents: ImageContents,
    /// Also publish the debug files as an image to mount at /usr/lib/debug, under the tag with -debug behind it
    #[arg(long, conflicts_with_all = ["files", "no_debug"])]
    debug_image: bool,
    /// Publish no debug files
    #[arg(long, conflicts_with_all = ["files", "debug_to"])]
    no_debug: bool,
    /// Publish the debug files into this repository instead, where others may not read them
    #[arg(long, value_name = "REPOSITORY", conflicts_with = "files")]
    debug_to: Option<Reference>,
    #[command(flatten)]
    publishing: Publishing,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: &Args, global: &Global, ui: Ui) -> Result<(), Failure> {
    let options = args.publishing.options(&args.reference)?;
    if !args.files.is_empty() {
        return push_files(args, &options, ui);
    }
    let doing = || format!("cannot push to {}", args.reference);
    let explain = |error: oci::Error| store::failure(doing(), &error);
    let release = prepare(args, global)?;
    coherent::check(&release, false)?;
    coherent::warn_of_twins(&release, ui);
    let public = match (args.no_debug, &args.debug_to) {
        (false, None) => release.clone(),
        _ => without_debug(release.clone()),
    };
    let form = if args.image { Form::Image } else { Form::Files };
    let artifact = match form {
        Form::Image => Artifact::images(&public, &args.contents.options()?).map_err(explain)?,
        _ => Artifact::of(&public),
    };
    coherent::check_signatures(&release, &public, &artifact, form)?;
    let debug_image = args.debug_image.then(|| DebugImage::of(args, &release)).transpose()?;
    let graph = Graph::of(&artifact);
    let private =
        args.debug_to.as_ref().map(|to| private(to, args, &release, &artifact)).transpose()?;
    let debug_graph =
        private.as_ref().map(|files| Graph::of_debug_files(&files.nodes, &files.blobs));
    // From here the release is whole, and every byte that will be published is known.
    for stranger in &release.strangers {
        ui.warn(&format!("{} is no part of the release and is not published", stranger.display()));
    }
    if args.publishing.dry_run {
        let mut text = format!("{}\n{}", artifact.index.descriptor.digest, contents(&public));
        text.push_str(&published::manifests_text(&graph));
        text.extend(debug_graph.iter().map(published::manifests_text));
        let value = json!({
            "dryRun": true,
            "digest": artifact.index.descriptor.digest,
            "tags": options.tags.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "contents": plan_value(&public),
            "manifests": published::manifests_value(&graph),
            "debugManifests": debug_graph.as_ref().map(published::manifests_value),
            "debugImage": debug_image.as_ref().map(|image| {
                published::manifests_value(&Graph::of(&image.artifact))
            }),
        });
        return ui.result("push", value, &text);
    }
    ui.note(&format!("publishing to {}:", args.reference));
    for line in contents(&public).lines() {
        ui.note(line);
    }
    for form in [form].into_iter().chain(debug_image.iter().map(|_| Form::DebugImage)) {
        if !release.is_signed(form) {
            ui.warn(match form {
                Form::Files => "the release is not signed (xpost sign --key KEY)",
                Form::Image => "the image is not signed (xpost sign --key KEY --image)",
                Form::DebugImage => {
                    "the image of the debug files is not signed (xpost sign --key KEY --debug-image)"
                }
            });
        }
    }
    let connection = args.reach.connection(&args.reference, ui)?;
    let target = store::open_with(&args.reference, Access::Write, &connection)?;
    let mut staged = Staged::default();
    staged
        .annotate(&global.release_dir, &release.annotations)
        .map_err(|error| failure::release(error, &global.release_dir))?;
    let observer = store::progress(ui, "pushed");
    // First, so that whoever sees the tag finds them.
    let debug_receipt = match (&args.debug_to, &debug_graph) {
        (Some(to), Some(graph)) => {
            let target = store::open_with(to, Access::Write, &connection)?;
            let nameless = Options { tags: Vec::new(), digest: None, ..options.clone() };
            let receipt = oci::push(graph, target.as_ref(), &nameless, &observer);
            Some(receipt.map_err(|error| store::failure(format!("cannot push to {to}"), &error))?)
        }
        _ => None,
    };
    let mut volume = None;
    if let Some(DebugImage { artifact, tag }) = &debug_image {
        let place = args.debug_to.as_ref().unwrap_or(&args.reference);
        let target = store::open_with(place, Access::Write, &connection)?;
        let options = Options { tags: vec![tag.clone()], digest: None, ..options.clone() };
        let receipt = oci::push(&Graph::of(artifact), target.as_ref(), &options, &observer);
        let receipt = receipt.map_err(explain)?;
        volume = Some(format!("{}@{}", receipt.place, artifact.index.descriptor.digest));
    }
    let receipt = oci::push(&graph, target.as_ref(), &options, &observer).map_err(explain)?;
    // From here it is published, with these annotations.
    staged.commit()?;
    let beside = Beside { debug: debug_receipt.as_ref(), volume: volume.as_deref() };
    published::report("push", &receipt, &beside, &args.publishing, ui)
}

/// The debug files as an image, and what it is called.
struct DebugImage {
    artifact: Artifact,
    tag: Tag,
}

impl DebugImage {
    fn of(args: &Args, release: &Release) -> Result<Self, Failure> {
        let doing = "cannot publish the debug files as an image";
        let tag = args.reference.target.tag.as_ref();
        let tag = tag.and_then(|tag| Tag::new(&format!("{tag}-debug"))).ok_or_else(|| {
            Failure::plain(Exit::Usage, doing)
                .because("its tag is that of the release with -debug behind it")
                .hint("give the reference a tag")
        })?;
        let artifact =
            Artifact::debug_images(release).map_err(|error| store::failure(doing, &error))?;
        if artifact.platforms.is_empty() {
            return Err(Failure::plain(Exit::NotFound, doing)
                .because("no binary has both a debug file and a build-id"));
        }
        coherent::check_signatures(release, release, &artifact, Form::DebugImage)?;
        Ok(Self { artifact, tag })
    }
}

/// Files as they are, in one manifest.
fn push_files(args: &Args, options: &Options, ui: Ui) -> Result<(), Failure> {
    let (layers, blobs) = files::layers(&args.files, media::BYTES)?;
    let kind = args.artifact_type.as_deref().unwrap_or(media::UNKNOWN);
    let mut manifest = Manifest::new(kind, layers);
    manifest.annotations = annotations(&args.annotations)?;
    let graph = Graph::of_manifest(&manifest, &blobs);
    if args.publishing.dry_run {
        let digest = graph.root.as_ref().map(|root| root.descriptor.digest);
        let value = json!({
            "dryRun": true, "digest": digest, "manifests": published::manifests_value(&graph),
        });
        return ui.result("push", value, &published::manifests_text(&graph));
    }
    let target = store::open(&args.reference, Access::Write, &args.reach, ui)?;
    let observer = store::progress(ui, "pushed");
    let receipt = oci::push(&graph, target.as_ref(), options, &observer)
        .map_err(|error| store::failure(format!("cannot push to {}", args.reference), &error))?;
    published::report("push", &receipt, &Beside::default(), &args.publishing, ui)
}

/// The release with the annotations that were given (they are in no file yet) and the platforms that were asked for.
fn prepare(args: &Args, global: &Global) -> Result<Release, Failure> {
    let root = &global.release_dir;
    let mut release = release::read(root).map_err(|error| failure::release(error, root))?;
    let given = annotations(&args.annotations)?;
    if given.iter().any(|(key, value)| release.annotations.get(key) != Some(value))
        && release.is_signed(Form::Files)
    {
        return Err(Failure::plain(Exit::Refused, "cannot annotate this release")
            .because("it is signed, and the signature covers the annotations")
            .hint("give --annotation to xpost sign, then push"));
    }
    release.annotations.extend(given);
    if args.only_platform.is_empty() {
        return Ok(release);
    }
    let available: Vec<_> = release.platforms.iter().map(|of| of.platform.to_string()).collect();
    for wanted in &args.only_platform {
        let there =
            release.platforms.iter().any(|of| wanted.fits(&PlatformEntry::from(&of.platform)));
        if !there {
            let (wanted, available) = (wanted.to_string(), available.clone());
            let error = oci::Error::NoPlatform { wanted, available };
            return Err(Failure::new(Exit::NotFound, "cannot publish this release", &error));
        }
    }
    release.platforms.retain(|of| {
        args.only_platform.iter().any(|wanted| wanted.fits(&PlatformEntry::from(&of.platform)))
    });
    if release.platforms.len() < available.len() && release.bundle.is_some() {
        return Err(Failure::plain(Exit::Refused, "cannot publish a part of this release")
            .because("it is signed, and the signature of the index is about all platforms")
            .hint("push all of it, or sign the part in a release directory of its own (--release-dir)"));
    }
    Ok(release)
}

fn without_debug(mut release: Release) -> Release {
    for binary in release.platforms.iter_mut().flat_map(|of| &mut of.binaries) {
        (binary.debug, binary.dwp) = (None, None);
    }
    release
}

/// The debug files for a repository of their own. There they are found by build-id and in no other way.
fn private(
    to: &Reference,
    args: &Args,
    release: &Release,
    artifact: &Artifact,
) -> Result<DebugFiles, Failure> {
    let doing = || format!("cannot publish debug files to {to}");
    if to.location == args.reference.location {
        return Err(Failure::plain(Exit::Usage, doing())
            .because("the release goes there, and who reads it could read them as well")
            .hint("name another repository, or leave --debug-to out"));
    }
    if to.target != oci::Target::default() {
        return Err(Failure::plain(Exit::Usage, doing())
            .because("each debug file gets the tag of its build-id")
            .hint("name the repository without a tag"));
    }
    let nameless =
        release.binaries().find(|(_, binary)| binary.debug.is_some() && binary.build_id.is_none());
    if let Some((platform, binary)) = nameless {
        return Err(Failure::plain(Exit::Refused, doing()).because(format!(
            "{} of {platform} has no build-id, by which its debug file would be found",
            binary.file.name
        )));
    }
    Ok(DebugFiles::of(release, artifact))
}

/// What will be published, for people.
fn contents(release: &Release) -> String {
    let mut text = String::new();
    for (platform, binary) in release.binaries() {
        let _ = write!(
            text,
            "  {platform}  {}  {}",
            ui::safe(&binary.file.name),
            ui::size(binary.file.size)
        );
        if let Some(debug) = &binary.debug {
            let _ = write!(text, "  debug {}", ui::size(debug.size));
        }
        if let Some(dwp) = &binary.dwp {
            let _ = write!(text, "  dwp {}", ui::size(dwp.size));
        }
        for sbom in &binary.sboms {
            let _ = write!(text, "  {}", sbom.format.extension().trim_start_matches('.'));
        }
        text.push('\n');
    }
    text
}

fn plan_value(release: &Release) -> Vec<Value> {
    let rows = release.binaries().map(|(platform, binary)| {
        json!({
            "platform": platform.to_string(),
            "name": binary.file.name,
            "digest": binary.file.digest,
            "size": binary.file.size,
            "debug": binary.debug.as_ref().map(|debug| debug.digest),
            "dwp": binary.dwp.as_ref().map(|dwp| dwp.digest),
            "sboms": binary.sboms.iter().map(|sbom| sbom.file.digest).collect::<Vec<_>>(),
        })
    });
    rows.collect()
}
