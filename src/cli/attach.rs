//! `xpost attach`: hang a file on something that is published.

use serde_json::json;

use super::failure::Failure;
use super::files::{self, PlainFile};
use super::published::{self, Beside, Publishing};
use super::pull;
use super::sign::{annotation, annotations};
use super::store::{self, Named, Reach};
use super::ui::Ui;
use crate::oci::manifest::{Manifest, PlatformEntry};
use crate::oci::published::Published;
use crate::oci::{self, Access, Graph, Reference, Target};

/// Attach a file to a release: a test report, a scan, a policy report
///
/// The file becomes a referrer of the release, or with --platform of that platform's manifest; the release itself and its
/// digest stay as they are. `xpost discover` and other tools list it by its artifact type.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  xpost attach ghcr.io/org/app:v1 k6.json --artifact-type application/vnd.k6.report.v1+json
  xpost attach oci:release:v1 scan.sarif:application/sarif+json --artifact-type application/sarif+json --annotation tool=trivy")]
pub(super) struct Args {
    /// HOST/NAME:TAG, HOST/NAME@DIGEST, oci:DIR[:TAG] or oci-archive:FILE.tar[:TAG]
    #[arg(value_name = "REF")]
    reference: Reference,
    /// The files; without a media type they are of the artifact's
    #[arg(value_name = "FILE[:MEDIATYPE]", required = true)]
    files: Vec<PlainFile>,
    /// What it is
    #[arg(long, value_name = "TYPE", value_parser = files::media_type)]
    artifact_type: String,
    /// An annotation of the attachment
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = annotation)]
    annotations: Vec<(String, String)>,
    /// Attach it to the manifest of this platform: OS/ARCH[/VARIANT]
    #[arg(long, value_name = "PLATFORM", value_parser = pull::platform)]
    platform: Option<PlatformEntry>,
    #[command(flatten)]
    publishing: Publishing,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: &Args, ui: Ui) -> Result<(), Failure> {
    let explain =
        |error: oci::Error| store::failure(format!("cannot attach to {}", args.reference), &error);
    let annotations = annotations(&args.annotations)?;
    // The reference names what it is attached to: only further tags are the attachment's own.
    let mut nameless = args.reference.clone();
    nameless.target = Target::default();
    let options = args.publishing.options(&nameless)?;
    let (layers, blobs) = files::layers(&args.files, &args.artifact_type)?;
    let Named { store: target, root } =
        Named::find(&args.reference, Access::Write, &args.reach, "attach to", ui)?;
    if let Target { tag: Some(tag), digest: Some(digest) } = &args.reference.target
        && let Some(there) = target.tagged(tag).map_err(explain)?
        && there.descriptor.digest != *digest
    {
        let there = there.descriptor.digest;
        ui.warn(&format!("{tag} names {there}; it is attached to {digest}, as the reference says"));
    }
    let subject = match &args.platform {
        None => root.descriptor.plain(),
        Some(wanted) => {
            let published = Published::of(root).map_err(explain)?;
            published.platform(wanted).map_err(explain)?.descriptor.clone()
        }
    };
    let mut manifest = Manifest::new(&args.artifact_type, layers);
    manifest.subject = Some(subject);
    manifest.annotations = annotations;
    let graph = Graph::of_manifest(&manifest, &blobs);
    if args.publishing.dry_run {
        let value = json!({ "dryRun": true, "manifests": published::manifests_value(&graph) });
        return ui.result("attach", value, &published::manifests_text(&graph));
    }
    let observer = store::progress(ui, "pushed");
    let receipt = oci::push(&graph, target.as_ref(), &options, &observer).map_err(explain)?;
    published::report("attach", &receipt, &Beside::default(), &args.publishing, ui)
}
