//! `xpost copy`: carry a release, or anything else, from one store to another.

use super::failure::Failure;
use super::published::{self, Beside, Publishing};
use super::store::{self, Reach};
use super::ui::Ui;
use crate::oci::{self, Access, Graph, Reference};

/// Copy what a reference names, with everything that belongs to it
///
/// Between registries, layouts and archives, in any direction. Signatures, SBOMs, debug files and whatever else refers to
/// the manifests comes along, also what hangs on single platforms and what cosign 2 keeps under tags. Only what is
/// missing is sent; the buildid- tags of debug files and the lists of referrers are made anew. The digest stays the same.
#[derive(clap::Args)]
#[command(mut_arg("plain_http", |arg| {
    let of = "Speak http without TLS to the registry of DESTINATION, or (=false) https to one of this machine as well";
    arg.visible_alias("to-plain-http").help(of)
}))]
#[command(after_help = "\
Examples:
  xpost copy ghcr.io/org/app:v1 registry.example.com/mirror/app:v1
  xpost copy ghcr.io/org/app:v1 oci-archive:app.tar:v1     # carry the file over, and there:
  xpost copy oci-archive:app.tar:v1 registry.site/app:v1")]
pub(super) struct Args {
    /// HOST/NAME:TAG, HOST/NAME@DIGEST, oci:DIR[:TAG] or oci-archive:FILE.tar[:TAG]
    #[arg(value_name = "SOURCE")]
    source: Reference,
    /// Where to; without a tag it is there by its digest
    #[arg(value_name = "DESTINATION")]
    destination: Reference,
    /// Speak http without TLS to the registry of SOURCE (=false as with --to-plain-http)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    from_plain_http: Option<bool>,
    #[command(flatten)]
    publishing: Publishing,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: &Args, ui: Ui) -> Result<(), Failure> {
    let Args { source, destination, from_plain_http, publishing, reach } = args;
    let explain = |error: oci::Error| {
        store::failure(format!("cannot copy {source} to {destination}"), &error)
    };
    let options = publishing.options(destination)?;
    let mut connection = reach.connection(destination, ui)?;
    connection.plain.extend(store::plain_of(source, *from_plain_http));
    let from = store::open_with(source, Access::Read, &connection)?;
    let root = oci::resolve(from.as_ref(), &source.target).map_err(explain)?;
    let graph = Graph::read(from.as_ref(), root).map_err(explain)?;
    // From here every manifest is known, and all blobs are where they were.
    let to = store::open_with(destination, Access::Write, &connection)?;
    if publishing.dry_run {
        let receipt = oci::survey(&graph, to.as_ref(), &options).map_err(explain)?;
        return published::report_survey("copy", &receipt, ui);
    }
    let observer = store::progress(ui, "copied");
    let receipt = oci::push(&graph, to.as_ref(), &options, &observer).map_err(explain)?;
    published::report("copy", &receipt, &Beside::default(), publishing, ui)
}
