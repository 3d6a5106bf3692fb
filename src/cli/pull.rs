//! `xpost pull`: fetch a release's binaries for one platform, and what a debugger needs.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::{Exit, Failure};
use super::store::{self, Reach};
use super::ui::{self, Ui};
use super::{sign, verify};
use crate::build_id::BuildId;
use crate::elf::Elf;
use crate::fs;
use crate::inspect;
use crate::oci::manifest::PlatformEntry;
use crate::oci::pull::{Content, Extent, Plan, Published, PublishedPlatform, RemoteFile};
use crate::oci::{self, Access, Reference, Signatures, Store};

/// Fetch the binaries of a release for this machine's platform
///
/// Every byte is checked against its digest before a file gets its name, and binaries become executable. With --key
/// the release must be signed with that key, and only files that the signature covers are fetched.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  xpost pull ghcr.io/org/app:v1 -o site
  xpost pull ghcr.io/org/app:v1 -o site --debug --key release.pub
  gdb -iex 'set debug-file-directory site/debug' site/app core")]
pub(super) struct Args {
    /// HOST/NAME:TAG, HOST/NAME@DIGEST, or oci:DIR[:TAG]
    #[arg(value_name = "REF")]
    reference: Reference,
    /// Where the files go
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
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
fn platform(text: &str) -> Result<PlatformEntry, String> {
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
    let store = store::open(&args.reference, Access::Read, &args.reach)?;
    let wanted = args.platform.clone().unwrap_or_else(here);
    let (published, signatures) = resolve(args, store.as_ref(), &wanted)?;
    let platform = published.platform(&wanted).map_err(explain)?;
    // From here everything goes by digest.
    let extent = if args.debug { Extent::Debug } else { Extent::Binaries };
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
    let plan = Plan::new(store.as_ref(), &platform.descriptor, &args.output, extent, &covered)
        .map_err(explain)?;
    if plan.items.is_empty() {
        return Err(Failure::plain(Exit::NotFound, doing())
            .because(format!("there is no file in {}", platform.descriptor.digest)));
    }
    refuse_uncovered(&plan, signatures.as_ref(), args.debug)
        .map_err(|reason| Failure::plain(Exit::Unverified, doing()).because(reason))?;
    let observer = store::progress(ui, "pulled");
    let fetched = plan.fetch(store.as_ref(), &look_inside, &observer).map_err(explain)?;
    let mut text =
        format!("{}@{}  {platform}\n", ui::safe(&store.name()), published.root.descriptor.digest);
    let mut rows = Vec::new();
    for file in &fetched {
        let path = file.path.display().to_string();
        let _ = writeln!(text, "  {}  {}", ui::safe(&path), ui::size(file.file.descriptor.size));
        rows.push(json!({ "path": path, "digest": file.file.descriptor.digest, "size": file.file.descriptor.size, "buildId": file.build_id }));
    }
    let value = json!({
        "reference": format!("{}@{}", store.name(), published.root.descriptor.digest),
        "digest": published.root.descriptor.digest,
        "platform": platform.to_string(),
        "verified": signatures.is_some(),
        "files": rows,
    });
    ui.result("pull", value, &text)?;
    if args.debug && !fetched.iter().any(|file| file.file.content == Content::Debug) {
        ui.warn("the release has no debug files for this platform");
    }
    Ok(())
}

/// What the reference names, and what the signature of the wanted platform covers where a key was given.
fn resolve(
    args: &Args,
    store: &dyn Store,
    wanted: &PlatformEntry,
) -> Result<(Published, Option<Signatures>), Failure> {
    let explain =
        |error: oci::Error| store::failure(format!("cannot pull {}", args.reference), &error);
    let key = args.key.as_deref().map(sign::read_public_key).transpose()?;
    let Some(key) = key else {
        let root = oci::resolve(store, &args.reference.target).map_err(explain)?;
        return Ok((Published::of(root).map_err(explain)?, None));
    };
    let trusted = verify::trust(&args.reference, store, &key, args.require_version.as_deref())?;
    let platform: &PublishedPlatform = trusted.published.platform(wanted).map_err(explain)?;
    let Some(signatures) = trusted.of(platform).cloned() else {
        return Err(Failure::plain(Exit::Unverified, format!("cannot pull {}", args.reference))
            .because(format!("{platform} is not signed")));
    };
    Ok((trusted.published, Some(signatures)))
}

/// A signature that does not cover a binary, or debug files that are signed and not there, fetches nothing.
fn refuse_uncovered(
    plan: &Plan,
    signatures: Option<&Signatures>,
    debug: bool,
) -> Result<(), String> {
    let Some(signatures) = signatures else { return Ok(()) };
    if let Some(item) = plan.items.iter().find(|item| !signatures.cover(&item.file)) {
        return Err(format!(
            "the signature does not cover {} {}",
            item.file.title, item.file.descriptor.digest
        ));
    }
    let planned = |name: &str| plan.items.iter().any(|item| item.file.title == name);
    let is_debug = |name: &&str| [".debug", ".dwp"].iter().any(|end| name.ends_with(end));
    let mut debug_files = signatures.names().filter(is_debug);
    match debug_files.find(|name| debug && !planned(name)) {
        Some(name) => Err(format!("{name} is signed and not there")),
        None => Ok(()),
    }
}

/// The build-id in a file's own note: what the registry says of it is a hint.
fn look_inside(file: &RemoteFile, path: &Path) -> Result<Option<BuildId>, String> {
    if matches!(file.content, Content::Dwp | Content::Other) {
        return Ok(None);
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let elf = Elf::parse(&bytes).map_err(|error| error.to_string())?;
    Ok(inspect::build_id(&elf))
}
