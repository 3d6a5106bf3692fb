//! `xpost slim`: split binaries into slim files and debug files.

mod batch;
mod choose;
mod deliver;
mod dwp;
mod identify;
mod input;
mod job;
mod library;
mod place;
mod report;
mod stage;

use std::path::PathBuf;

use serde_json::{Value, json};

pub(super) use job::Args;

use super::Global;
use super::failure::Failure;
use super::ui::Ui;
use crate::build_id::BuildId;
use crate::digest::Digest;
use crate::release::Staged;
use batch::Batch;
use job::Job;
use place::{Source, To};

/// An input that was slimmed: a program or object file, or a library of them.
trait Outcome {
    /// The files that will be written at the places that were asked for.
    fn files(&self) -> Vec<PathBuf>;

    /// The debug file and the program below `--build-id-tree`.
    fn in_tree(&self, _: &Job) -> Option<[PathBuf; 2]> {
        None
    }

    /// The build-id, and a digest that no other program has.
    fn program(&self) -> Option<(BuildId, Digest)> {
        None
    }

    /// Writes the files, without their names yet. What a place refuses becomes a warning.
    fn stage(&mut self, job: &Job, staged: &mut Staged, ui: Ui) -> Result<(), Failure>;

    /// What the user will want to know or put right.
    fn warnings(&self) -> &[String];

    /// What happened, for people.
    fn text(&self, job: &Job) -> String;

    /// What happened, for programs.
    fn receipt(&self, job: &Job) -> Value;
}

pub(super) fn run(args: &Args, global: &Global, ui: Ui) -> Result<(), Failure> {
    let job = args.judge(global)?;
    let mut batch = Batch::default();
    for path in &args.files {
        let source = Source::new(path);
        let contents = source.contents()?;
        let taken = batch.take(args, &job, source, &contents, ui);
        // Whatever went wrong with a file that changed meanwhile went wrong by that.
        contents.unchanged()?;
        taken?;
    }
    // From here every input was fit to be slimmed, and every output is on disk without its name.
    let Batch { staged, receipts, text, .. } = batch;
    let removed = if args.dry_run { Vec::new() } else { staged.commit()? };
    for path in &removed {
        ui.note(&format!(
            "removed {}: it belonged to the binary that was replaced",
            path.display()
        ));
    }
    let removed: Vec<_> = removed.iter().map(|path| path.display().to_string()).collect();
    if matches!(job.place.to, To::Stdout { .. }) {
        // The slim file is the result.
        ui.aside(&text);
    } else {
        let value = json!({ "dryRun": args.dry_run, "files": receipts, "removed": removed });
        ui.result("slim", value, &text)?;
    }
    match &job.place.to {
        _ if args.dry_run => ui.note("nothing was written (--dry-run)"),
        To::Release { .. } => ui.note("next: xpost sbom, xpost sign --key KEY, xpost push REF"),
        To::File { .. } | To::InPlace { .. } | To::Stdout { .. } => {}
    }
    Ok(())
}
