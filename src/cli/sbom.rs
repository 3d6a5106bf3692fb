//! `xpost sbom`: list what is in the binaries of the release.

use std::fmt::Write as _;

use serde_json::json;

use super::failure::{self, Exit, Failure};
use super::ui::{self, Ui};
use super::{Global, environment};
use crate::elf::Elf;
use crate::fs::{self, Mode};
use crate::inspect::{self, Platform};
use crate::release::{self, Binary, SbomFormat, Staged, companion};
use crate::sbom::{self, Hashes, Subject};

/// List what is in the binaries of the release, as CycloneDX
///
/// Writes NAME.cdx.json beside each binary in the release directory: Go modules from what the Go linker wrote down,
/// crates from cargo-auditable, hashes of the slim file and its debug file, the build-id. The same release gives the
/// same bytes; a time is stated only where SOURCE_DATE_EPOCH gives one.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  xpost slim app && xpost sbom")]
pub(super) struct Args {
    /// Show what would be done; write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &Args, global: &Global, ui: Ui) -> Result<(), Failure> {
    let root = &global.release_dir;
    let release = release::read(root).map_err(|error| failure::release(error, root))?;
    let timestamp = environment::source_date_epoch()?;
    let mut staged = Staged::default();
    let mut rows = Vec::new();
    let mut text = String::new();
    for (platform, binary) in release.binaries() {
        let found = list(platform, binary)?;
        let bytes = found.to_cyclonedx(timestamp).map_err(|error| about(binary, &error))?;
        let name = companion::sbom(&binary.file.name, SbomFormat::CycloneDx);
        let path = binary.file.path.with_file_name(&name);
        let count = found.components.len();
        let shown = path.display().to_string();
        let _ = writeln!(
            text,
            "{}  {count} {}, {}",
            ui::safe(&shown),
            if count == 1 { "component" } else { "components" },
            ui::size(bytes.len() as u64)
        );
        rows.push(json!({ "path": shown, "binary": binary.file.name, "platform": platform.to_string(), "components": count }));
        let unchanged = binary.sboms.iter().any(|sbom| {
            sbom.file.name == name && sbom.file.digest == crate::digest::Digest::of(&bytes)
        });
        if !args.dry_run && !unchanged {
            staged.remove_signatures(root, &platform.directory())?;
            staged.write(&path, Mode::Data, |out| out.write_all(&bytes))?;
        }
    }
    for path in staged.commit()? {
        ui.note(&format!("removed {}: it does not cover the new SBOM", path.display()));
    }
    ui.result("sbom", json!({ "dryRun": args.dry_run, "sboms": rows }), &text)
}

fn list(platform: &Platform, binary: &Binary) -> Result<sbom::Sbom, Failure> {
    let bytes = fs::read(&binary.file.path)?;
    let elf = Elf::parse(&bytes).map_err(|error| about(binary, &error))?;
    let debug = match &binary.debug {
        Some(debug) => {
            let (file, _) = fs::open(&debug.path)?;
            let hashes = Hashes::read(file).map_err(fs::at("read", &debug.path))?;
            Some((debug.name.as_str(), hashes))
        }
        None => None,
    };
    let go = inspect::go_build(&elf);
    let subject = Subject {
        name: &binary.file.name,
        hashes: Hashes::of(&bytes),
        build_id: binary.build_id.as_ref(),
        platform,
        debug,
        go: go.as_ref(),
        dep_v0: elf.section_named(b".dep-v0").map(|section| section.data),
    };
    sbom::sbom(&subject).map_err(|error| about(binary, &error))
}

fn about(binary: &Binary, error: &dyn std::error::Error) -> Failure {
    Failure::new(
        Exit::Damaged,
        format!("cannot list what is in {}", binary.file.path.display()),
        error,
    )
}
