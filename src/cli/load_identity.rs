//! `xpost verify --load-identity`: do a slim file, its debug file and the original agree?

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::failure::{Exit, Failure};
use super::ui::{self, Ui};
use crate::debug;
use crate::digest::Digest;
use crate::elf::Elf;
use crate::fs::Contents;

/// What its result is called.
pub(super) const NAME: &str = "load-identity";

pub(super) fn run(paths: &[PathBuf], ui: Ui) -> Result<(), Failure> {
    let files: Vec<Contents> =
        paths.iter().map(|path| Contents::of(path)).collect::<Result<_, _>>()?;
    let parsed: Vec<Elf<'_>> = paths
        .iter()
        .zip(&files)
        .map(|(path, bytes)| parse(path, bytes))
        .collect::<Result<_, _>>()?;
    let [slim, debug, rest @ ..] = parsed.as_slice() else {
        return Err(Failure::plain(Exit::Usage, "--load-identity needs SLIM and DEBUG"));
    };
    let checks = debug::compare(slim, debug, rest.first());
    files.iter().try_for_each(Contents::unchanged)?;
    let mut text = String::new();
    for (path, bytes) in paths.iter().zip(&files) {
        let path = path.display().to_string();
        let _ = writeln!(text, "{}  {}", ui::safe(&path), Digest::of(bytes));
    }
    for check in &checks {
        let word = if check.ok { "ok" } else { "DIFFERS" };
        let _ = writeln!(text, "  {:<16} {word:<8} {}", check.check, ui::safe(&check.found));
    }
    let rows = paths.iter().zip(&files).map(
        |(path, bytes)| json!({ "path": path.display().to_string(), "digest": Digest::of(bytes) }),
    );
    let value = json!({ "files": rows.collect::<Vec<_>>(), "checks": checks });
    if checks.iter().all(|check| check.ok) {
        return ui.result(NAME, value, &text);
    }
    let doing = format!("{} and {} do not agree", show(paths.first()), show(paths.get(1)));
    let differing = checks.iter().filter(|check| !check.ok);
    let failure = differing.fold(Failure::plain(Exit::Unverified, doing), |failure, check| {
        failure.because(format!("{}: {}", check.check, check.found))
    });
    Err(failure.after(value))
}

fn show(path: Option<&PathBuf>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

fn parse<'data>(path: &Path, bytes: &'data [u8]) -> Result<Elf<'data>, Failure> {
    Elf::parse(bytes).map_err(|error| {
        Failure::new(Exit::Damaged, format!("cannot read {}", path.display()), &error)
    })
}
