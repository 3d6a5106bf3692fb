//! `xpost restore`: a slim file and its debug file → the binary that they were made of.

use std::path::PathBuf;

use serde_json::json;

use super::failure::{Exit, Failure};
use super::ui::{self, Ui};
use crate::debug::{self, Unrestorable};
use crate::digest::{Digest, Hashing};
use crate::elf::Elf;
use crate::fs::{self, Attributes, Contents, Dates, Owner};
use crate::release::Staged;

/// Put a slim file and its debug file together again: the binary that the build made
///
/// Bit for bit where xpost made the two and every section is there in the form that it had; compressing what was not
/// compressed is undone. Otherwise (recompressed debug sections, merged names, another tool's debug file) the result has
/// the same loaded bytes and the same sections by contents, and says so.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  xpost restore app.slim app.slim.debug -o app
  xpost restore --json xpost-out/linux-amd64/app xpost-out/linux-amd64/app.debug -o app")]
pub(super) struct Args {
    /// The slim file
    #[arg(value_name = "SLIM")]
    slim: PathBuf,
    /// Its debug file
    #[arg(value_name = "DEBUG")]
    debug: PathBuf,
    /// Where the binary goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub(super) fn run(args: &Args, ui: Ui) -> Result<(), Failure> {
    let doing = || format!("cannot restore {}", args.output.display());
    if [&args.slim, &args.debug].iter().any(|path| fs::same_file(path, &args.output)) {
        return Err(Failure::plain(Exit::Usage, doing())
            .because("the output would replace an input")
            .hint("write it elsewhere with --output"));
    }
    let (slim_bytes, debug_bytes) = (Contents::of(&args.slim)?, Contents::of(&args.debug)?);
    let damaged = |path: &PathBuf| {
        let doing = format!("cannot read {}", path.display());
        move |error| Failure::new(Exit::Damaged, doing, &error)
    };
    let slim = Elf::parse(&slim_bytes).map_err(damaged(&args.slim))?;
    let debug = Elf::parse(&debug_bytes).map_err(damaged(&args.debug))?;
    let restored = debug::restore(&slim, &debug).map_err(|error| {
        let exit = match &error {
            Unrestorable::Strangers { .. } | Unrestorable::Dropped { .. } => Exit::Refused,
            Unrestorable::Kind(_) => Exit::Usage,
            _ => Exit::Damaged,
        };
        Failure::new(exit, doing(), &error)
    })?;
    let mut staged = Staged::default();
    let mut digest = None;
    let attributes = Attributes::of(&args.slim, Owner::Maker, Dates::Made)?;
    let refused = staged.write_like(&args.output, &attributes, |out| {
        let mut hashing = Hashing::new(out);
        restored.layout.write_to(&mut hashing)?;
        digest = Some(hashing.finish().0);
        Ok(())
    })?;
    slim_bytes.unchanged()?;
    debug_bytes.unchanged()?;
    staged.commit()?;
    if !refused.is_empty() {
        ui.warn(&format!("{} does not have {}", args.output.display(), refused.join(", ")));
    }
    let digest: Option<Digest> = digest;
    let size = restored.layout.len();
    let verdict = if restored.exact { "bit for bit" } else { "by contents" };
    let path = args.output.display().to_string();
    let text = format!("{}  {}  the input {verdict}\n", ui::safe(&path), ui::size(size));
    let value = json!({ "output": { "path": path, "size": size, "digest": digest }, "exact": restored.exact });
    ui.result("restore", value, &text)
}
