//! `xpost delete`: take a release, or what was attached to one, out of a store.

use std::fmt::Write as _;

use serde_json::json;

use super::failure::{Exit, Failure};
use super::store::{self, Reach};
use super::ui::{self, Ui};
use crate::oci::{self, Access, Deletion, Doomed, Error, Location, Reference};

/// Delete what a reference names, with everything that belongs to it
///
/// By tag: the tag, the release under it, and what refers to that: debug files with their buildid- tags, SBOMs, signatures,
/// lists of referrers. What another tag needs stays; where another names the same release, only the tag goes. With a digest
/// behind the tag (REF:TAG@DIGEST) the tag has to name that. By digest: the same under all its tags, for example a file that was
/// attached. Not every registry deletes (exit 3), and all keep
/// the blobs until they collect their garbage.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  xpost delete ghcr.io/org/app:v1 --dry-run
  xpost delete registry.example.com/org/app:v1
  xpost delete registry.example.com/org/app:latest --tag-only
  xpost delete registry.example.com/org/app@sha256:…      # what `xpost discover` shows, an attached report")]
pub(super) struct Args {
    /// HOST/NAME:TAG, HOST/NAME@DIGEST, oci:DIR:TAG or oci-archive:FILE.tar:TAG
    #[arg(value_name = "REF")]
    reference: Reference,
    /// Only the tag; what it names is still there by its digest
    #[arg(long)]
    tag_only: bool,
    /// Show what would go; delete nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: &Args, ui: Ui) -> Result<(), Failure> {
    let Args { reference, tag_only, dry_run, reach } = args;
    let doing = || format!("cannot delete {reference}");
    let explain = |error: Error| store::failure(doing(), &error);
    if reference.target.tag.as_ref().is_some_and(oci::Tag::is_fallback) {
        return Err(Failure::plain(Exit::Usage, doing())
            .because("it is a list of referrers, and goes with what they refer to")
            .hint("delete one of them by its digest (xpost discover shows them)"));
    }
    if *tag_only && reference.target.tag.is_none() {
        return Err(Failure::plain(Exit::Usage, doing())
            .because("--tag-only is about a tag, and the reference names none")
            .hint("name it: REPOSITORY:TAG"));
    }
    let store = store::open(reference, Access::Delete, reach, ui)?;
    let plan = if *tag_only { Deletion::of_tag } else { Deletion::plan };
    let plan = plan(store.as_ref(), &reference.target).map_err(explain)?;
    if let Some(signed_by) = &plan.signed_by {
        let what = format!("it is signed, as a part of {signed_by}, which is not whole without it");
        // A tag of a debug file is what a list of tags shows; a digest was looked up.
        if reference.target.tag.is_some() {
            return Err(Failure::plain(Exit::Refused, doing()).because(what).hint(format!(
                "to delete it all the same: xpost delete {}@{}",
                store.name(),
                plan.digest
            )));
        }
        ui.warn(&what);
    }
    if *dry_run && matches!(reference.location, Location::Registry(_)) {
        ui.note("whether the registry lets go of anything shows only when it is asked to");
    }
    // From here it is decided what goes and what stays.
    let by_digest = format!("{}@{}", store.name(), plan.digest);
    let value = |gone: usize, whole: bool| {
        let (gone, left) = plan.manifests.split_at_checked(gone).unwrap_or_default();
        let tags = plan.tag.iter().filter(|_| whole).chain(gone.iter().flat_map(|of| &of.tags));
        json!({
            "reference": by_digest, "digest": plan.digest, "dryRun": dry_run,
            "tags": tags.map(ToString::to_string).collect::<Vec<_>>(),
            "manifests": gone, "left": left, "spared": plan.spared, "signedBy": plan.signed_by,
        })
    };
    let mut gone = 0;
    if !dry_run {
        let mut count = |_: &Doomed| gone += 1;
        let done = oci::delete(store.as_ref(), &plan, &mut count);
        done.map_err(|error| {
            // An archive is written anew when all of it is decided: it has everything still.
            let gone = if matches!(reference.location, Location::Archive(_)) { 0 } else { gone };
            cut_short(explain(error), &store.name(), &plan, gone).after(value(gone, false))
        })?;
    }
    let verb = if *dry_run { "would go" } else { "deleted" };
    let mut text = format!("{}\n", ui::safe(&by_digest));
    for tag in plan.tags() {
        let _ = writeln!(text, "  {verb}  tag {tag}");
    }
    for doomed in &plan.manifests {
        let _ = writeln!(text, "  {verb}  {}  {}", doomed.digest, ui::safe(&doomed.kind));
        for moved in &doomed.moved {
            let _ = writeln!(text, "  stays    tag {}  now {}", moved.tag, moved.to);
        }
    }
    if plan.tag.is_some() {
        let _ = writeln!(text, "  stays    {}  only the tag goes", plan.digest);
    }
    for spared in &plan.spared {
        let _ = writeln!(text, "  stays    {}  {} needs it", spared.digest, ui::safe(&spared.by));
    }
    ui.result("delete", value(plan.manifests.len(), true), &text)
}

/// What is left, and how to go on.
fn cut_short(failure: Failure, place: &str, plan: &Deletion, gone: usize) -> Failure {
    let Some(next) = plan.manifests.get(gone).filter(|_| gone > 0) else { return failure };
    let count = plan.manifests.len();
    failure
        .because(format!(
            "{gone} of {} are gone, the one that was named among them",
            ui::count(count, "manifest")
        ))
        .hint(format!(
            "go on with what it led to: xpost delete {place}@{} (--json lists all that are left)",
            next.digest
        ))
}
