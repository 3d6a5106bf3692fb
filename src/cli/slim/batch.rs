//! The inputs of one run of `xpost slim`, one after the other, and what came of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::Outcome;
use super::identify::Identified;
use super::input::Input;
use super::job::{Args, Job};
use super::library::Library;
use super::place::{Source, To};
use crate::archive;
use crate::build_id::BuildId;
use crate::cli::coherent;
use crate::cli::failure::{Exit, Failure};
use crate::cli::ui::Ui;
use crate::digest::Digest;
use crate::fs::{self, Contents};
use crate::release::Staged;

/// What came of the inputs so far.
#[derive(Default)]
pub(super) struct Batch {
    /// The outputs, without their names yet.
    pub(super) staged: Staged,
    /// What happened, for programs.
    pub(super) receipts: Vec<Value>,
    /// What happened, for people.
    pub(super) text: String,
    /// Where outputs go, and of which input.
    outputs: BTreeMap<PathBuf, String>,
    /// The programs by build-id.
    programs: BTreeMap<BuildId, (String, Digest)>,
}

impl Batch {
    /// Slims one input. Two that would be one file, or look like one, are noticed.
    pub(super) fn take(
        &mut self,
        args: &Args,
        job: &Job,
        source: Source,
        contents: &Contents,
        ui: Ui,
    ) -> Result<(), Failure> {
        let path = source.to_string();
        let identified;
        let mut input: Box<dyn Outcome + '_> = if archive::is_archive(contents) {
            Box::new(Library::slim(source, contents, job)?)
        } else {
            identified = Identified::new(&source, contents, job)?;
            Box::new(Input::split(source, &identified, job)?)
        };
        for output in &input.files() {
            if let Some(other) = self.outputs.insert(fs::resolve(output), path.clone()) {
                let failure =
                    Failure::plain(Exit::Usage, format!("cannot write {} twice", output.display()));
                let failure = failure.because(format!("{other} and {path} would both go there"));
                return Err(match job.place.to {
                    To::Release { .. } => failure.hint("slim them one after the other with --name"),
                    _ => failure,
                });
            }
        }
        if let Some([_, program]) = input.in_tree(job)
            && let Some(other) = self.outputs.insert(fs::resolve(&program), path.clone())
        {
            return Err(Failure::plain(
                Exit::Usage,
                format!("cannot write {} twice", program.display()),
            )
            .because(format!("{other} and {path} have one build-id"))
            .hint("give each program its own (--build-id rewrite), or a tree of its own"));
        }
        // The digest costs a pass over the file.
        if args.files.len() > 1
            && let Some((id, digest)) = input.program()
        {
            match self.programs.get(&id) {
                Some((other, theirs)) if *theirs != digest => {
                    ui.warn(&coherent::twins(other, &path, &id));
                }
                Some(_) => {}
                None => {
                    self.programs.insert(id, (path.clone(), digest));
                }
            }
        }
        if !args.dry_run {
            input.stage(job, &mut self.staged, ui)?;
        }
        for warning in input.warnings() {
            ui.warn(warning);
        }
        self.text.push_str(&input.text(job));
        // Digests are read by programs alone, and cost a pass over each file.
        if ui.json {
            self.receipts.push(input.receipt(job));
        }
        Ok(())
    }
}
