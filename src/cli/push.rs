//! `xpost push`: publish the release.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::Global;
use super::coherent;
use super::failure::{self, Exit, Failure};
use super::sign::annotation;
use super::store::{self, Reach};
use super::ui::{self, Ui};
use crate::oci::{self, Access, Artifact, BuildIds, Occupied, Receipt, Reference, TagState};
use crate::release::{self, Release, Staged};

/// Publish the release to a registry, or into an OCI layout directory
///
/// Pushes the index, one manifest for each platform with the binaries, and as referrers the debug files, SBOMs and signatures.
/// Everything is checked before, listed and read back after, and the tag moves last. The same release gives the same digest
/// everywhere.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  xpost push ghcr.io/org/app:v1
  xpost push oci:release:v1                        # a directory, no registry needed")]
pub(super) struct Args {
    /// HOST/NAME[:TAG], or oci:DIR[:TAG]
    #[arg(value_name = "REF")]
    reference: Reference,
    /// Move the tag where it points at another release
    #[arg(long)]
    overwrite: bool,
    /// Move buildid- tags that point at another program's debug file
    #[arg(long)]
    force: bool,
    /// An annotation of the index; of a signed release it is given to `xpost sign`
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = annotation)]
    annotations: Vec<(String, String)>,
    /// Show what would be published; send nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: &Args, global: &Global, ui: Ui) -> Result<(), Failure> {
    if let Some(tag) = args.reference.target.tag.as_ref().filter(|tag| tag.is_reserved()) {
        return Err(Failure::plain(Exit::Usage, format!("cannot push to {}", args.reference))
            .because(format!("{tag} is the tag of a debug file or of a list of referrers"))
            .hint("choose another tag"));
    }
    let release = prepare(args, global)?;
    coherent::check(&release, false)?;
    coherent::warn_of_twins(&release, ui);
    let doing = || format!("cannot push to {}", args.reference);
    let artifact = Artifact::of(&release).map_err(|error| store::failure(doing(), &error))?;
    coherent::check_signatures(&release, &artifact)?;
    // From here the release is whole, and every byte that will be published is known.
    for stranger in &release.strangers {
        ui.warn(&format!("{} is no part of the release and is not published", stranger.display()));
    }
    if args.dry_run {
        let plan = contents(&release);
        let value = json!({ "dryRun": true, "digest": artifact.index.descriptor.digest, "contents": plan_value(&release) });
        return ui.result("push", value, &format!("{}\n{plan}", artifact.index.descriptor.digest));
    }
    ui.note(&format!("publishing to {}:", args.reference));
    for line in contents(&release).lines() {
        ui.note(line);
    }
    if !coherent::is_signed(&release) {
        ui.warn("the release is not signed (xpost sign --key KEY)");
    }
    let target = store::open(&args.reference, Access::Write, &args.reach)?;
    let options = oci::Options {
        occupied: if args.overwrite { Occupied::Overwrite } else { Occupied::Refuse },
        build_ids: if args.force { BuildIds::Force } else { BuildIds::Withhold },
    };
    let mut staged = Staged::default();
    staged
        .annotate(&global.release_dir, &release.annotations)
        .map_err(|error| failure::release(error, &global.release_dir))?;
    let observer = store::progress(ui, "pushed");
    let receipt =
        oci::push(&artifact, target.as_ref(), &args.reference.target, &options, &observer)
            .map_err(|error| store::failure(doing(), &error))?;
    // From here it is published, with these annotations.
    staged.commit()?;
    report(&receipt, ui)
}

/// The release with the annotations that were given; they are in no file yet.
fn prepare(args: &Args, global: &Global) -> Result<Release, Failure> {
    let root = &global.release_dir;
    let mut release = release::read(root).map_err(|error| failure::release(error, root))?;
    let mut given = args.annotations.iter();
    if given.any(|(key, value)| release.annotations.get(key) != Some(value))
        && coherent::is_signed(&release)
    {
        return Err(Failure::plain(Exit::Refused, "cannot annotate this release")
            .because("it is signed, and the signature covers the annotations")
            .hint("give --annotation to xpost sign, then push"));
    }
    release.annotations.extend(args.annotations.iter().cloned());
    Ok(release)
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

fn report(receipt: &Receipt, ui: Ui) -> Result<(), Failure> {
    let by_digest = format!("{}@{}", receipt.place, receipt.digest);
    let mut text = format!("{}\n", ui::safe(&by_digest));
    if let Some(tag) = &receipt.tag {
        let state = match &receipt.tag_state {
            Some(TagState::Unchanged) => "was there already".to_owned(),
            Some(TagState::Moved { from }) => format!("moved from {from}"),
            _ => "created".to_owned(),
        };
        let _ = writeln!(text, "  tag {tag} {state}");
    }
    let _ = writeln!(
        text,
        "  {} sent, {} manifests",
        ui::size(receipt.uploaded_bytes()),
        receipt.manifests.len()
    );
    let mut value = json!({ "receipt": receipt, "digest": receipt.digest, "reference": by_digest });
    if let Some(map) = value.as_object_mut() {
        map.insert("published".to_owned(), json!(receipt.withheld.is_empty()));
    }
    if receipt.withheld.is_empty() {
        return ui.result("push", value, &text);
    }
    if !ui.json {
        ui.result("push", Value::Null, &text)?;
    }
    let mut failure = Failure::plain(
        Exit::Refused,
        "everything is published, but some debug files without their buildid- tag",
    );
    for withheld in &receipt.withheld {
        let reason = format!(
            "buildid-{} belongs to another program ({})",
            withheld.build_id, withheld.there
        );
        failure = failure.because(reason);
    }
    Err(failure.after(value).hint("two programs share a build-id: give each its own (xpost slim --build-id rewrite), or move the tag of another release with --force"))
}
