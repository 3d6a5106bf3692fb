//! One input of `xpost slim`: read, split, written.

use std::path::{Path, PathBuf};

use super::job::{Job, To, output_name};
use crate::build_id::BuildId;
use crate::cli::failure::{Exit, Failure};
use crate::cli::ui;
use crate::debug::{self, Split};
use crate::digest::{Digest, Hashing};
use crate::elf::Elf;
use crate::fs::{self, Mode};
use crate::inspect::{self, Platform};
use crate::release::{Staged, companion};
use crate::slim::{self, DebugLink, Layout, Leaving, describe_missing, quoted};

/// An input with everything that was decided about it.
pub(super) struct Input<'data> {
    pub(super) path: PathBuf,
    pub(super) elf: Elf<'data>,
    pub(super) split: Split<'data>,
    pub(super) platform: Option<Platform>,
    pub(super) build_id: Option<BuildId>,
    pub(super) slim_path: PathBuf,
    pub(super) debug_path: PathBuf,
    /// The debug file that is there already and belongs to this very build.
    pub(super) kept_debug: bool,
    pub(super) warnings: Vec<String>,
}

impl<'data> Input<'data> {
    /// Splits an input. Nothing is written.
    pub(super) fn split(path: &Path, bytes: &'data [u8], job: &Job) -> Result<Self, Failure> {
        let doing = || format!("cannot slim {}", path.display());
        let elf = Elf::parse(bytes).map_err(|error| {
            let failure = Failure::new(Exit::Damaged, doing(), &error);
            if matches!(error, crate::elf::Error::NotElf { .. }) {
                failure
            } else {
                failure.hint("the file looks truncated or damaged")
            }
        })?;
        let build_id = inspect::build_id(&elf);
        let platform = Platform::of(&elf, inspect::go_build(&elf).as_ref());
        let (slim_path, debug_path) = match &job.to {
            To::File { slim, debug } => (slim.clone(), debug.clone()),
            To::Release { root, name } => {
                let name = output_name(path, name.as_ref())?;
                let platform = platform.as_ref().map_err(|error| {
                    Failure::new(Exit::Damaged, doing(), error)
                        .hint("write it elsewhere with --output FILE")
                })?;
                let directory = root.join(platform.directory());
                (directory.join(&name), directory.join(companion::debug(&name)))
            }
        };
        let existing = Existing::read(&debug_path, build_id.as_ref(), &elf);
        let link_name =
            debug_path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let mut kept_debug = existing.is_some();
        let split = debug::split(&elf, &job.options, job.compression, |layout| match &existing {
            // What leaves an already slim file must not replace the debug file with everything.
            Some(existing) if existing.wealth > Wealth::of(&elf) => {
                DebugLink { name: link_name.clone(), crc: existing.crc }
            }
            _ => {
                kept_debug = false;
                debug::link(&link_name, layout)
            }
        })
        .map_err(|error| explain(error, doing()))?;
        let writes_debug = split.debug.is_some() && !kept_debug;
        let in_tree = tree_paths(job, build_id.as_ref());
        let replaced_in_tree =
            in_tree.is_some_and(|outputs| outputs.iter().any(|output| fs::same_file(path, output)));
        if split.plan.leaves() && (fs::same_file(path, &slim_path) || replaced_in_tree)
            || writes_debug && fs::same_file(path, &debug_path)
        {
            return Err(Failure::plain(Exit::Usage, doing())
                .because("the output would replace the input")
                .hint("slim the file that the build made, or write elsewhere with --output"));
        }
        if writes_debug && fs::same_file(&slim_path, &debug_path) {
            return Err(Failure::plain(Exit::Usage, doing()).because(format!(
                "the slim file and the debug file would both go to {}",
                slim_path.display()
            )));
        }
        let mut input = Self {
            path: path.to_owned(),
            elf,
            split,
            platform: platform.ok(),
            build_id,
            slim_path,
            debug_path,
            kept_debug,
            warnings: Vec::new(),
        };
        input.warnings = input.find_warnings(job);
        Ok(input)
    }

    fn find_warnings(&self, job: &Job) -> Vec<String> {
        let path = self.path.display();
        let mut warnings = Vec::new();
        if self.build_id.is_none() {
            warnings.push(format!(
                "{path} has no build-id, so its debug file is found beside it alone; link with -Wl,--build-id \
                 (Rust: -C link-arg=-Wl,--build-id, Go before 1.24: -ldflags=-B=gobuildid)"
            ));
        }
        if !self.split.plan.leaves() {
            warnings.push(format!("{path} is slim already: nothing leaves it"));
        } else if self.split.plan.sets_aside() && !inspect::has_debug_info(&self.elf) {
            warnings.push(format!(
                "{path} has no debug information, so the debug file has symbols alone; build with -g \
                 (Rust: debug = true and strip = \"none\", Go: without -ldflags=-s or -w)"
            ));
        }
        if job.options.leaving == Leaving::Dropped && self.split.plan.leaves() {
            warnings.push(format!(
                "{path}: what leaves is dropped, there will be no debug file (--no-debug-file)"
            ));
        }
        if !self.split.plan.symbols.missing.is_empty() {
            let missing = describe_missing(&self.split.plan.symbols.missing);
            warnings.push(format!("{path} has no symbol {missing} (--allow-missing)"));
        }
        if !self.split.plan.missing_sections.is_empty() {
            let missing = quoted(&self.split.plan.missing_sections);
            warnings.push(format!("{path} has no section {missing} (--allow-missing)"));
        }
        for preset in &self.split.plan.symbols.idle {
            warnings.push(format!("{path} has none of the symbols of {preset}"));
        }
        for range in &self.split.plan.unowned {
            let size = ui::size(range.end - range.start);
            warnings.push(format!(
                "{path}: {size} at {:#x} belong to no section; they stay",
                range.start
            ));
        }
        warnings
    }

    /// The files below `--build-id-tree`: the debug file, and the program by which a debugger finds it.
    pub(super) fn in_tree(&self, job: &Job) -> Option<[PathBuf; 2]> {
        tree_paths(job, self.build_id.as_ref())
    }

    /// Whether a debug file is to be written.
    pub(super) fn new_debug(&self) -> Option<&Layout<'data>> {
        self.split.debug.as_ref().filter(|_| !self.kept_debug)
    }

    /// Writes the outputs, without their names yet.
    pub(super) fn stage(&self, job: &Job, staged: &mut Staged) -> Result<(), Failure> {
        let slim = &self.split.slim;
        let is_there =
            || fs::digest(&self.slim_path).is_ok_and(|(digest, _)| digest == digest_of(slim));
        if let To::Release { root, .. } = &job.to
            && !is_there()
            && let (Some(platform), Some(name)) = (&self.platform, self.slim_path.file_name())
        {
            let name = name.to_string_lossy();
            staged.remove_companions(root, &platform.directory(), &name)?;
        }
        if let Some(debug) = self.new_debug() {
            staged.write(&self.debug_path, Mode::Data, |mut out| debug.write_to(&mut out))?;
        } else if !self.kept_debug && matches!(job.to, To::Release { .. }) {
            staged.remove(self.debug_path.clone());
        }
        if !fs::same_file(&self.path, &self.slim_path) {
            let mode = match job.to {
                To::File { .. } => fs::mode(&self.path)?,
                To::Release { .. } => Mode::Executable,
            };
            staged.write(&self.slim_path, mode, |mut out| slim.write_to(&mut out))?;
        }
        if let Some([debug_path, program_path]) = self.in_tree(job) {
            if let Some(debug) = self.new_debug() {
                staged.write(&debug_path, Mode::Data, |mut out| debug.write_to(&mut out))?;
            } else if self.kept_debug {
                let bytes = fs::read(&self.debug_path)?;
                staged.write(&debug_path, Mode::Data, |out| out.write_all(&bytes))?;
            }
            staged.write(&program_path, Mode::Executable, |mut out| slim.write_to(&mut out))?;
        }
        Ok(())
    }
}

fn tree_paths(job: &Job, build_id: Option<&BuildId>) -> Option<[PathBuf; 2]> {
    let (tree, build_id) = job.tree.as_ref().zip(build_id)?;
    Some([tree.join(build_id.debug_path()), tree.join(build_id.executable_path())])
}

/// A debug file that lies where the new one would go, and belongs to the same build.
struct Existing {
    crc: u32,
    wealth: Wealth,
}

impl Existing {
    fn read(path: &Path, build_id: Option<&BuildId>, elf: &Elf<'_>) -> Option<Self> {
        let bytes = fs::read(path).ok()?;
        let debug = Elf::parse(&bytes).ok()?;
        let crc = debug::checksum(&bytes);
        let same_id = build_id.is_some() && inspect::build_id(&debug).as_ref() == build_id;
        let linked = DebugLink::of(elf).is_some_and(|link| link.crc == crc);
        (same_id || linked).then(|| Self { crc, wealth: Wealth::of(&debug) })
    }
}

/// How much a debugger learns from a file: debug information counts first, then symbols.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Wealth {
    has_debug_info: bool,
    symbols: u64,
}

impl Wealth {
    fn of(elf: &Elf<'_>) -> Self {
        let table = elf.symbols(object::elf::SHT_SYMTAB).ok().flatten();
        let symbols = table.map_or(0, |table| table.len());
        Self { has_debug_info: inspect::has_debug_info(elf), symbols }
    }
}

pub(super) fn digest_of(layout: &Layout<'_>) -> Digest {
    let mut hashing = Hashing::new(std::io::sink());
    layout.write_to(&mut hashing).expect("a sink takes all");
    hashing.finish().0
}

fn explain(error: slim::Error, doing: String) -> Failure {
    use slim::Error as E;
    let exit = match &error {
        E::SymbolsMissing { .. }
        | E::SymbolLeaves { .. }
        | E::SectionsMissing { .. }
        | E::SectionStays { .. } => Exit::Refused,
        E::Broken(_) => Exit::Failed,
        _ => Exit::Damaged,
    };
    let failure = Failure::new(exit, doing, &error);
    match &error {
        E::SymbolsMissing { has_table: true, .. } => {
            failure.hint("list the symbols: nm FILE; where they may be absent: --allow-missing")
        }
        E::SymbolsMissing { .. } => {
            failure.hint("slim the binary as the build made it, before anything stripped it")
        }
        E::SectionsMissing { .. } => failure.hint("list the sections: readelf -SW FILE"),
        E::SectionStays { section, .. } => {
            failure.hint(format!("spare it where a pattern chose it: -R '!{section}'"))
        }
        E::Object => failure.hint("link it first, and slim the program"),
        E::DebugFile => failure.hint("slim the program itself"),
        _ => failure,
    }
}
