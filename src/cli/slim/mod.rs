//! `xpost slim`: split binaries into slim files and debug files.

mod choose;
mod input;
mod job;
mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

pub(super) use job::Args;

use super::Global;
use super::failure::{Exit, Failure};
use super::ui::Ui;
use crate::fs;
use crate::release::Staged;
use input::Input;
use job::To;

pub(super) fn run(args: &Args, global: &Global, ui: Ui) -> Result<(), Failure> {
    let job = args.judge(global)?;
    let mut staged = Staged::default();
    let mut receipts: Vec<Value> = Vec::new();
    let mut text = String::new();
    let mut outputs: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for path in &args.files {
        let bytes = fs::read(path)?;
        let input = Input::split(path, &bytes, &job)?;
        if let Some(other) = outputs.insert(input.slim_path.clone(), path.clone()) {
            return Err(Failure::plain(
                Exit::Usage,
                format!("cannot write {} twice", input.slim_path.display()),
            )
            .because(format!("{} and {} would both go there", other.display(), path.display()))
            .hint("slim them one after the other with --name"));
        }
        if let Some([_, program]) = input.in_tree(&job)
            && let Some(other) = outputs.insert(program.clone(), path.clone())
        {
            return Err(Failure::plain(
                Exit::Usage,
                format!("cannot write {} twice", program.display()),
            )
            .because(format!("{} and {} have one build-id", other.display(), path.display()))
            .hint("give each program its own (-Wl,--build-id), or a tree of its own"));
        }
        for warning in &input.warnings {
            ui.warn(warning);
        }
        text.push_str(&input.text(&job));
        // Digests are read by programs alone, and cost a pass over each file.
        if ui.json {
            receipts.push(input.receipt(&job));
        }
        if !args.dry_run {
            input.stage(&job, &mut staged)?;
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
    ui.result(
        "slim",
        json!({ "dryRun": args.dry_run, "files": receipts, "removed": removed }),
        &text,
    )?;
    match &job.to {
        _ if args.dry_run => ui.note("nothing was written (--dry-run)"),
        To::Release { .. } => ui.note("next: xpost sbom, xpost sign --key KEY, xpost push REF"),
        To::File { .. } => {}
    }
    Ok(())
}
