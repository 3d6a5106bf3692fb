//! `xpost slim`: split binaries into slim files and debug files.

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

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

pub(super) use job::Args;

use super::Global;
use super::coherent;
use super::failure::{Exit, Failure};
use super::ui::Ui;
use crate::archive;
use crate::build_id::BuildId;
use crate::digest::Digest;
use crate::fs;
use crate::release::Staged;
use identify::Identified;
use input::Input;
use job::Job;
use library::Library;
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
    let mut staged = Staged::default();
    let mut receipts: Vec<Value> = Vec::new();
    let mut text = String::new();
    let mut outputs: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut programs: BTreeMap<BuildId, (PathBuf, Digest)> = BTreeMap::new();
    for path in &args.files {
        let source = Source::new(path);
        let bytes = source.read()?;
        let identified;
        let mut input: Box<dyn Outcome + '_> = if archive::is_archive(&bytes) {
            Box::new(Library::slim(source, &bytes, &job)?)
        } else {
            identified = Identified::new(&source, &bytes, &job)?;
            Box::new(Input::split(source, &identified, &job)?)
        };
        for output in &input.files() {
            if let Some(other) = outputs.insert(fs::resolve(output), path.clone()) {
                let failure =
                    Failure::plain(Exit::Usage, format!("cannot write {} twice", output.display()));
                let (one, two) = (other.display(), path.display());
                let failure = failure.because(format!("{one} and {two} would both go there"));
                return Err(match job.place.to {
                    To::Release { .. } => failure.hint("slim them one after the other with --name"),
                    _ => failure,
                });
            }
        }
        if let Some([_, program]) = input.in_tree(&job)
            && let Some(other) = outputs.insert(fs::resolve(&program), path.clone())
        {
            return Err(Failure::plain(
                Exit::Usage,
                format!("cannot write {} twice", program.display()),
            )
            .because(format!("{} and {} have one build-id", other.display(), path.display()))
            .hint("give each program its own (--build-id rewrite), or a tree of its own"));
        }
        // The digest costs a pass over the file.
        if args.files.len() > 1
            && let Some((id, digest)) = input.program()
        {
            match programs.get(&id) {
                Some((other, theirs)) if *theirs != digest => {
                    ui.warn(&coherent::twins(&other.display(), &path.display(), &id));
                }
                Some(_) => {}
                None => {
                    programs.insert(id, (path.clone(), digest));
                }
            }
        }
        if !args.dry_run {
            input.stage(&job, &mut staged, ui)?;
        }
        for warning in input.warnings() {
            ui.warn(warning);
        }
        text.push_str(&input.text(&job));
        // Digests are read by programs alone, and cost a pass over each file.
        if ui.json {
            receipts.push(input.receipt(&job));
        }
    }
    // From here every input was fit to be slimmed, and every output is on disk without its name.
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
