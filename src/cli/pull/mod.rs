//! `xpost pull`: fetch a release's binaries for one platform, what a debugger needs, or all of it.

mod all;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::{Exit, Failure};
use super::store::{self, Reach};
use super::ui::{self, Ui};
use super::{sign, verify};
use crate::build_id::BuildId;
use crate::digest::Digest;
use crate::elf::Elf;
use crate::fs;
use crate::inspect;
use crate::oci::brought::{Brought, Fetched};
use crate::oci::manifest::{Document, PlatformEntry};
use crate::oci::published::{Content, Published, PublishedPlatform, RemoteFile};
use crate::oci::pull::{Extent, Item, Plan};
use crate::oci::{self, Access, ByBuildId, Connection, Reference, Signatures, Store, Trusted};
use crate::release::companion;
use crate::sign::PublicKey;

/// Fetch the binaries of a release for this machine's platform
///
/// Every byte is checked against its digest before a file gets its name, and binaries become executable. With --key
/// the release must be signed with that key, and only files that the signature covers are fetched. What others published may lie
/// in directories below DIR, and directories that oras packed are unpacked. --all makes the release
/// directory again that was published; --build-id needs nothing but a repository and the id that a core names.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  xpost pull ghcr.io/org/app:v1 -o site
  xpost pull ghcr.io/org/app:v1 -o site --debug --key release.pub
  gdb -iex 'set debug-file-directory site/debug' site/app core
  xpost pull ghcr.io/org/app --build-id e88201535b323b96eb5a1e34529f4ed2cd0225d5 -o site
  xpost pull ghcr.io/org/app:v1 --all -o xpost-out --debug-from ghcr.io/org/app-debug")]
pub(super) struct Args {
    /// HOST/NAME:TAG, HOST/NAME@DIGEST, oci:DIR[:TAG] or oci-archive:FILE.tar[:TAG]
    #[arg(value_name = "REF")]
    reference: Reference,
    /// Where the files go
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Every platform with all that belongs to it, as a release directory; DIR has to be empty or new
    #[arg(long, requires = "output", conflicts_with_all = ["platform", "target", "debug", "build_id"])]
    all: bool,
    /// Only the debug file and the binary with this build-id, into DIR/debug/.build-id
    #[arg(long, value_name = "ID", conflicts_with_all = ["platform", "target", "debug", "debug_from"])]
    build_id: Option<BuildId>,
    /// Where a platform has several builds: the one for this target triple
    #[arg(long, value_name = "TRIPLE", conflicts_with = "platform")]
    target: Option<String>,
    /// Fetch the debug files from this repository (see `push --debug-to`)
    #[arg(long, value_name = "REPOSITORY")]
    debug_from: Option<Reference>,
    /// Another platform than this machine's: OS/ARCH[/VARIANT]
    #[arg(long, value_name = "PLATFORM", value_parser = platform)]
    platform: Option<PlatformEntry>,
    /// Also fetch the debug files, into DIR/debug/.build-id where debuggers look
    #[arg(long)]
    debug: bool,
    /// Fetch only what is signed with this public key
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The signed version must be this one
    #[arg(long, value_name = "VERSION", requires = "key")]
    require_version: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

/// `OS/ARCH[/VARIANT]`
pub(super) fn platform(text: &str) -> Result<PlatformEntry, String> {
    let mut parts = text.split('/');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(os), Some(architecture), variant, None)
            if !os.is_empty() && !architecture.is_empty() =>
        {
            Ok(PlatformEntry {
                os: os.to_owned(),
                architecture: architecture.to_owned(),
                variant: variant.map(str::to_owned),
            })
        }
        _ => Err("expected OS/ARCH or OS/ARCH/VARIANT, for example linux/arm64".to_owned()),
    }
}

/// The platform of this machine, in OCI's words.
fn here() -> PlatformEntry {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        other => other,
    };
    PlatformEntry { os: os.to_owned(), architecture: architecture.to_owned(), variant: None }
}

pub(super) fn run(args: &Args, ui: Ui) -> Result<(), Failure> {
    let doing = || format!("cannot pull {}", args.reference);
    let explain = |error: oci::Error| store::failure(doing(), &error);
    let connection = args.reach.connection(&args.reference, ui)?;
    let store = store::open_with(&args.reference, Access::Read, &connection)?;
    let store = store.as_ref();
    let key = args.key.as_deref().map(sign::read_public_key).transpose()?;
    if let Some(id) = &args.build_id {
        return by_build_id(args, store, id, key.as_ref(), ui);
    }
    let (published, trusted) = resolve(args, store, key.as_ref())?;
    // From here everything goes by digest.
    if args.all {
        let trusted = trusted.as_ref().zip(key.as_ref());
        return all::run(args, store, &connection, &published, trusted, ui);
    }
    let platform = match &args.target {
        Some(target) => published.target(target),
        None => published.platform(&args.platform.clone().unwrap_or_else(here)),
    };
    let platform = platform.map_err(|error| match (&error, &args.target) {
        (oci::Error::NoPlatform { .. }, Some(_)) => explain(error).hint("choose one with --target"),
        _ => explain(error),
    })?;
    let signatures =
        trusted.as_ref().map(|trusted| signatures(args, trusted, platform)).transpose()?;
    let covered = |file: &RemoteFile| {
        let covered = signatures.as_ref().is_none_or(|signatures| signatures.cover(file));
        if !covered {
            ui.warn(&format!(
                "{} {} is not signed and is left out",
                file.title, file.descriptor.digest
            ));
        }
        covered
    };
    let extent = if args.debug { Extent::Debug } else { Extent::Binaries };
    let plan =
        Plan::new(store, &platform.descriptor, &args.output, extent, &covered).map_err(explain)?;
    if plan.items.is_empty() {
        return Err(without_files(args, store, platform));
    }
    if !plan.items.iter().any(|item| item.file.content != Content::Debug)
        && is_image(store, platform)
    {
        ui.warn("it is an image: its debug files are fetched, its program is in a layer");
    }
    let from_elsewhere = match &args.debug_from {
        Some(from) => Some(debug_from(args, from, &connection, &plan, signatures.as_ref())?),
        None => None,
    };
    let elsewhere = from_elsewhere.as_ref().map(|(_, plan)| plan);
    refuse_uncovered(args, &plan, elsewhere, signatures.as_ref())?;
    let observer = store::progress(ui, "pulled");
    let mut brought = vec![plan.bring(store, &look_inside, &observer).map_err(explain)?];
    if let Some((store, plan)) = &from_elsewhere {
        brought.push(plan.bring(store.as_ref(), &look_inside, &observer).map_err(explain)?);
    }
    let fetched = commit(brought).map_err(explain)?;
    let root = published.root.descriptor.digest;
    let what = platform.platform.as_ref().map(ToString::to_string);
    report(store, &root, what.as_deref(), signatures.is_some(), &fetched, &[], ui)?;
    let wanted = args.debug || args.debug_from.is_some();
    if wanted && !fetched.iter().any(|file| file.file.content == Content::Debug) {
        ui.warn("the release has no debug files for this platform");
    }
    Ok(())
}

/// Gives the files of all plans their names, when all of them are there.
fn commit(brought: Vec<Brought>) -> Result<Vec<Fetched>, oci::Error> {
    let fetched: Vec<_> = brought.into_iter().map(Brought::commit).collect::<Result<_, _>>()?;
    Ok(fetched.into_iter().flatten().collect())
}

fn is_image(store: &dyn Store, platform: &PublishedPlatform) -> bool {
    let node = oci::store::load(store, &platform.descriptor);
    let document = node.and_then(|node| node.document());
    document.is_ok_and(|document| matches!(document, Document::Manifest(of) if of.is_image()))
}

/// Why there is nothing to pull, and what to do.
fn without_files(args: &Args, store: &dyn Store, platform: &PublishedPlatform) -> Failure {
    let doing = format!("cannot pull {}", args.reference);
    if is_image(store, platform) {
        return Failure::plain(Exit::Damaged, doing)
            .because("it is an image for container runtimes: its program is in a layer, not a file")
            .hint("pull the release that it was made of (`xpost push` without --image), or have a runtime pull it: docker, podman, ctr");
    }
    Failure::plain(Exit::NotFound, doing)
        .because(format!("there is no file in {}", platform.descriptor.digest))
}

fn report(
    store: &dyn Store,
    root: &Digest,
    what: Option<&str>,
    verified: bool,
    fetched: &[Fetched],
    missing: &[String],
    ui: Ui,
) -> Result<(), Failure> {
    let reference = format!("{}@{root}", store.name());
    let mut text = ui::safe(&reference).into_owned();
    text.extend(what.map(|what| format!("  {}", ui::safe(what))));
    text.push('\n');
    let mut rows = Vec::new();
    for file in fetched {
        let path = file.path.display().to_string();
        let _ = writeln!(text, "  {}  {}", ui::safe(&path), ui::size(file.file.descriptor.size));
        rows.push(json!({ "path": path, "digest": file.file.descriptor.digest, "size": file.file.descriptor.size, "buildId": file.build_id }));
    }
    let value = json!({
        "reference": reference,
        "digest": root,
        "platform": what,
        "verified": verified,
        "files": rows,
        "debugFiles": fetched.iter().filter(|file| file.file.content == Content::Debug).count(),
        "missing": missing,
    });
    ui.result("pull", value, &text)
}

/// The debug files of the planned binaries, from a repository that has nothing else.
fn debug_from(
    args: &Args,
    from: &Reference,
    connection: &Connection,
    plan: &Plan,
    signatures: Option<&Signatures>,
) -> Result<(Box<dyn Store>, Plan), Failure> {
    let explain =
        |error: oci::Error| store::failure(format!("cannot pull debug files from {from}"), &error);
    let store = store::open_with(from, Access::Read, connection)?;
    let mut items: Vec<Item> = Vec::new();
    for id in plan.items.iter().filter_map(|item| item.file.build_id.as_ref()) {
        let found =
            ByBuildId::find(store.as_ref(), id, &oci::Target::default()).map_err(explain)?;
        let plan = found.plan(store.as_ref(), id, &args.output).map_err(explain)?;
        items.extend(plan.items.into_iter().filter(|item| item.file.content != Content::Binary));
    }
    items.dedup();
    let uncovered_one = |item: &&Item| signatures.is_some_and(|of| !of.cover(&item.file));
    if let Some(item) = items.iter().find(uncovered_one) {
        return Err(uncovered(args, item));
    }
    Ok((store, Plan { items }))
}

fn uncovered(args: &Args, item: &Item) -> Failure {
    Failure::plain(Exit::Unverified, format!("cannot pull {}", args.reference)).because(format!(
        "the signature does not cover {} {}",
        item.file.title, item.file.descriptor.digest
    ))
}

/// A debug file that has to be there, and is not.
fn not_there(args: &Args, name: &str) -> Failure {
    let failure = Failure::plain(Exit::Unverified, format!("cannot pull {}", args.reference))
        .because(format!("{name} is signed and not there"));
    match &args.debug_from {
        Some(_) => failure,
        None => failure
            .hint("--debug-from: the repository where debug files are kept (push --debug-to)"),
    }
}

/// What a core names: nothing but a repository and an id are needed.
fn by_build_id(
    args: &Args,
    store: &dyn Store,
    id: &BuildId,
    key: Option<&PublicKey>,
    ui: Ui,
) -> Result<(), Failure> {
    let doing = || format!("cannot pull {}", args.reference);
    let explain = |error: oci::Error| {
        let hint = "without the tag of a build-id, which mirrors lose, it is looked for around a thousand tags at most: \
                    name the release as well (:TAG)";
        let failure = store::failure(doing(), &error);
        let bare = args.reference.target == oci::Target::default();
        if bare && failure.exit == Exit::NotFound { failure.hint(hint) } else { failure }
    };
    let found = ByBuildId::find(store, id, &args.reference.target).map_err(explain)?;
    if let Some(around) = &found.around {
        let named = Reference { target: around.clone(), ..args.reference.clone() };
        ui.warn(&format!(
            "the tag {} is not there; it was found around {named} (xpost copy {named} {named} makes the tag anew)",
            id.tag()
        ));
    }
    let plan = found.plan(store, id, &args.output).map_err(explain)?;
    if let Some(key) = key {
        let unsigned = || Failure::plain(Exit::Unverified, doing());
        let manifest = found.binary.clone().ok_or_else(|| {
            unsigned().because("the manifest of the binary, which would be signed, is not here")
        })?;
        let trusted = Trusted::verify(store, manifest, key, None);
        let trusted = trusted.map_err(|error| Failure::new(Exit::Unverified, doing(), &error))?;
        let covered = |item: &&Item| trusted.platforms.iter().any(|of| of.cover(&item.file));
        if let Some(item) = plan.items.iter().find(|item| !covered(item)) {
            return Err(uncovered(args, item));
        }
    }
    let observer = store::progress(ui, "pulled");
    let fetched = plan.fetch(store, &look_inside, &observer).map_err(explain)?;
    let root = found.debug.descriptor.digest;
    report(store, &root, Some(&format!("build-id {id}")), key.is_some(), &fetched, &[], ui)
}

/// What the reference names, and whether it is signed where a key was given.
fn resolve(
    args: &Args,
    store: &dyn Store,
    key: Option<&PublicKey>,
) -> Result<(Published, Option<Trusted>), Failure> {
    if let Some(key) = key {
        let trusted = verify::trust(&args.reference, store, key, args.require_version.as_deref())?;
        return Ok((trusted.published.clone(), Some(trusted)));
    }
    let root = oci::resolve(store, &args.reference.target).and_then(Published::of);
    let root =
        root.map_err(|error| store::failure(format!("cannot pull {}", args.reference), &error))?;
    Ok((root, None))
}

/// What the signatures of a platform cover.
fn signatures(
    args: &Args,
    trusted: &Trusted,
    platform: &PublishedPlatform,
) -> Result<Signatures, Failure> {
    trusted.of(platform).cloned().ok_or_else(|| {
        Failure::plain(Exit::Unverified, format!("cannot pull {}", args.reference))
            .because(format!("{platform} is not signed"))
    })
}

/// A signature that does not cover a binary, or debug files that are signed and not there, fetches nothing.
fn refuse_uncovered(
    args: &Args,
    plan: &Plan,
    elsewhere: Option<&Plan>,
    signatures: Option<&Signatures>,
) -> Result<(), Failure> {
    let Some(signatures) = signatures else { return Ok(()) };
    if let Some(item) = plan.items.iter().find(|item| !signatures.cover(&item.file)) {
        return Err(uncovered(args, item));
    }
    let items = || [Some(plan), elsewhere].into_iter().flatten().flat_map(|plan| &plan.items);
    let planned = |name: &str| items().any(|item| item.file.title == name);
    let mut debug_files = signatures.names().filter(|name| companion::is_of_debugger(name));
    let wanted = args.debug || elsewhere.is_some();
    match debug_files.find(|name| wanted && !planned(name)) {
        Some(name) => Err(not_there(args, name)),
        None => Ok(()),
    }
}

/// The build-id in a file's own note: what the registry says of it is a hint.
fn look_inside(file: &RemoteFile, path: &Path) -> Result<Option<BuildId>, String> {
    if !matches!(file.content, Content::Binary | Content::Debug) {
        return Ok(None);
    }
    let bytes = fs::Contents::of(path).map_err(|error| error.to_string())?;
    let elf = Elf::parse(&bytes).map_err(|error| error.to_string())?;
    Ok(inspect::build_id(&elf))
}
