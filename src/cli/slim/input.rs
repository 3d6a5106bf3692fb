//! One input of `xpost slim`, split, with what was decided about it and where its outputs go.

use std::path::{Path, PathBuf};

use super::deliver::Delivery;
use super::dwp::{self, Dwp};
use super::identify::Identified;
use super::job::Job;
use super::place::{Source, To, debug_beside, output_name};
use crate::build_id::BuildId;
use crate::cli::failure::{Exit, Failure};
use crate::cli::ui;
use crate::debug::{self, Split};
use crate::digest::{Digest, Hashing};
use crate::elf::Elf;
use crate::fs::{self, Contents, Mode};
use crate::inspect::{self, PayloadKind, Platform};
use crate::release::companion;
use crate::slim::{self, DebugLink, Layout, Leaving, MiniDebug, describe_missing, quoted};

/// An input with everything that was decided about it.
pub(super) struct Input<'data> {
    pub(super) source: Source,
    pub(super) identified: &'data Identified<'data>,
    pub(super) elf: Elf<'data>,
    pub(super) split: Split<'data>,
    pub(super) platform: Option<Platform>,
    pub(super) build_id: Option<BuildId>,
    /// None where the slim file goes to standard output.
    pub(super) slim_path: Option<PathBuf>,
    pub(super) debug_path: PathBuf,
    /// The debug file that is there already and belongs to this very build.
    pub(super) kept_debug: bool,
    /// What split DWARF leaves out of the debug file.
    pub(super) dwp: Option<Dwp>,
    pub(super) warnings: Vec<String>,
}

impl<'data> Input<'data> {
    /// Splits an input. Nothing is written.
    pub(super) fn split(
        source: Source,
        identified: &'data Identified<'data>,
        job: &Job,
    ) -> Result<Self, Failure> {
        let doing = || format!("cannot slim {source}");
        let elf = identified.elf().map_err(|error| Failure::new(Exit::Damaged, doing(), &error))?;
        let build_id = identified.identity.id.clone();
        let platform = Platform::of(&elf, inspect::go_build(&elf).as_ref());
        let (slim_path, debug_path) = match &job.place.to {
            To::Stdout { debug } => (None, debug.clone()),
            To::File { slim, debug } => (Some(slim.clone()), debug.clone()),
            To::InPlace { debug } => {
                let slim = job.place.slim_path(&source)?;
                let beside = || slim.as_deref().map(debug_beside).unwrap_or_default();
                let debug = debug.clone().unwrap_or_else(beside);
                (slim, debug)
            }
            To::Release { .. } if elf.is_object() => {
                return Err(Failure::plain(Exit::Usage, doing())
                    .because("it is an object file, and a release has programs and libraries")
                    .hint("link it first; or slim it elsewhere with --output or --in-place"));
            }
            To::Release { root, name } => {
                let name = output_name(&source, name.as_ref())?;
                let platform = platform.as_ref().map_err(|error| {
                    Failure::new(Exit::Damaged, doing(), error)
                        .hint("write it elsewhere with --output FILE")
                })?;
                let directory = root.join(platform.directory());
                (Some(directory.join(&name)), directory.join(companion::debug(&name)))
            }
        };
        if matches!(job.place.to, To::InPlace { debug: None }) {
            refuse_overwriting(&debug_path, doing)?;
        }
        let existing = Existing::read(&debug_path, build_id.as_ref(), &elf);
        let existing = existing.filter(|_| !elf.is_object());
        let link_name =
            debug_path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let mut kept_debug = existing.is_some();
        let Identified { identity, original, .. } = identified;
        let split = debug::split(&elf, identity, original.data(), &job.options, &job.form, |crc| {
            match &existing {
                // What leaves an already slim file must not replace the debug file with everything.
                Some(existing) if existing.wealth > Wealth::of(&elf) => {
                    DebugLink { name: link_name.clone(), crc: debug::checksum(&existing.contents) }
                }
                _ => {
                    kept_debug = false;
                    DebugLink { name: link_name.clone(), crc }
                }
            }
        })
        .map_err(|error| explain(error, doing()))?;
        let mut input = Self {
            source,
            identified,
            elf,
            split,
            platform: platform.ok(),
            build_id,
            slim_path,
            debug_path,
            kept_debug,
            dwp: None,
            warnings: Vec::new(),
        };
        let found = match input.new_debug() {
            Some(_) => {
                let slim = input.slim_path.as_deref();
                dwp::find(&input.source, &input.elf, slim, &input.debug_path)?
            }
            None => dwp::Found::default(),
        };
        input.dwp = found.dwp;
        input.refuse_replacing(job)?;
        input.warnings = input.find_warnings(job)?;
        input.warnings.extend(found.warning);
        Ok(input)
    }

    /// Whether the slim file is another than the input.
    pub(super) fn changes(&self) -> bool {
        self.split.plan.changes() || self.identified.identity.changes()
    }

    pub(super) fn delivery<'a>(&'a self, job: &'a Job) -> Delivery<'a> {
        Delivery {
            source: &self.source,
            place: &job.place,
            slim_path: self.slim_path.as_deref(),
            changes: self.changes(),
        }
    }

    /// No output replaces the input, unless that was asked for, or another output.
    fn refuse_replacing(&self, job: &Job) -> Result<(), Failure> {
        let delivery = self.delivery(job);
        delivery.refuse_replacing()?;
        let is_slim =
            |output: &Path| self.slim_path.as_ref().is_some_and(|path| fs::same_file(path, output));
        let mut in_tree = self.in_tree(job).into_iter().flatten();
        if self.changes() && in_tree.any(|output| delivery.is_input(&output))
            || self.new_debug().is_some() && delivery.is_input(&self.debug_path)
            || self.dwp.as_ref().is_some_and(|dwp| delivery.is_input(&dwp.path))
        {
            return Err(delivery.replaces());
        }
        if self.new_debug().is_some() && is_slim(&self.debug_path) {
            let failure = Failure::plain(Exit::Usage, format!("cannot slim {}", self.source));
            return Err(failure.because(format!(
                "the slim file and the debug file would both go to {}",
                self.debug_path.display()
            )));
        }
        Ok(())
    }

    fn find_warnings(&self, job: &Job) -> Result<Vec<String>, Failure> {
        let path = &self.source;
        let mut warnings = Vec::from_iter(self.identified.warning(path, job.build_id));
        warnings.extend(self.delivery(job).other_names()?);
        if !self.changes() {
            warnings.push(format!("{path} is slim already: nothing leaves it"));
        } else if !self.split.plan.leaves() {
            warnings.push(format!(
                "{path} is slim already: nothing leaves it; only its build-id changes"
            ));
        } else if self.split.plan.sets_aside() && !inspect::has_debug_info(&self.elf) {
            warnings.push(format!(
                "{path} has no debug information, so the debug file has symbols alone; build with -g \
                 (Rust: debug = true and strip = \"none\", Go: without -ldflags=-s or -w)"
            ));
        }
        if job.options.leaving == Leaving::Dropped
            && self.split.plan.leaves()
            && !self.elf.is_object()
        {
            warnings.push(format!(
                "{path}: what leaves is dropped, there will be no debug file (--no-debug-file)"
            ));
        }
        if !self.split.plan.symbols.missing.is_empty() {
            let missing = describe_missing(&self.split.plan.symbols.missing);
            warnings.push(format!("{path} has no symbol {missing} (--allow-missing)"));
        }
        if job.options.minidebug == MiniDebug::Functions && self.split.plan.functions.is_empty() {
            warnings.push(format!(
                "{path}: --minidebug adds nothing: no function loses its name, or .gnu_debugdata is there already"
            ));
        }
        if !self.split.plan.missing_sections.is_empty() {
            let missing = quoted(&self.split.plan.missing_sections);
            warnings.push(format!("{path} has no section {missing} (--allow-missing)"));
        }
        for preset in &self.split.plan.symbols.idle {
            warnings.push(format!("{path} has none of the symbols of {preset}"));
        }
        if let Some(payload) =
            self.split.plan.payload.as_ref().filter(|_| self.split.plan.changes())
        {
            let (size, start) = (payload.range.end - payload.range.start, payload.range.start);
            let size = ui::size(size);
            warnings.extend(match payload.kind {
                PayloadKind::Unknown => Some(format!(
                    "{path}: {size} of no known kind follow the image; they stay at the end, but a program that looks for \
                     them at {start:#x} will not find them"
                )),
                PayloadKind::ZipFromStart => Some(format!(
                    "{path}: the offsets of the zip archive behind the image count from the start of the file, which some \
                     readers cannot bear when it is smaller; zip -A puts them right in the slim file"
                )),
                _ => None,
            });
        }
        for range in &self.split.plan.unowned {
            let size = ui::size(range.end - range.start);
            warnings.push(format!(
                "{path}: {size} at {:#x} belong to no section; they stay",
                range.start
            ));
        }
        Ok(warnings)
    }

    /// The files below `--build-id-tree`: the debug file, and the program by which a debugger finds it.
    pub(super) fn in_tree(&self, job: &Job) -> Option<[PathBuf; 2]> {
        let (tree, build_id) = job.place.tree.as_ref().zip(self.build_id.as_ref())?;
        Some([tree.join(build_id.debug_path()), tree.join(build_id.executable_path())])
    }

    /// Who may read what leaves: nobody else where the input is somebody's own.
    pub(super) fn debug_mode(&self, job: &Job) -> Mode {
        let is_private = || self.source.path().is_some_and(fs::is_private);
        match job.place.to {
            To::File { .. } | To::InPlace { .. } if is_private() => Mode::Secret,
            _ => Mode::Data,
        }
    }

    /// Whether a debug file is to be written.
    pub(super) fn new_debug(&self) -> Option<&Layout<'data>> {
        self.split.debug.as_ref().filter(|_| !self.kept_debug)
    }
}

/// A file that nobody named is replaced only if it is a debug file.
fn refuse_overwriting(debug_path: &Path, doing: impl Fn() -> String) -> Result<(), Failure> {
    let is_debug_file = || {
        let contents = Contents::of(debug_path).ok();
        contents.is_some_and(|contents| Elf::parse(&contents).is_ok_and(|elf| elf.is_debug_file()))
    };
    if !fs::exists(debug_path) || is_debug_file() {
        return Ok(());
    }
    let shown = debug_path.display();
    Err(Failure::plain(Exit::Usage, doing())
        .because(format!("{shown} is there and is no debug file, so it is not replaced"))
        .hint("say where the debug file goes: --debug-out FILE, or --no-debug-file"))
}

/// A debug file that lies where the new one would go, and belongs to the same build.
struct Existing {
    contents: Contents,
    wealth: Wealth,
}

impl Existing {
    fn read(path: &Path, build_id: Option<&BuildId>, elf: &Elf<'_>) -> Option<Self> {
        let contents = Contents::of(path).ok()?;
        let debug = Elf::parse(&contents).ok()?;
        let wealth = Wealth::of(&debug);
        let same_id = build_id.is_some() && inspect::build_id(&debug).as_ref() == build_id;
        let linked =
            || DebugLink::of(elf).is_some_and(|link| link.crc == debug::checksum(&contents));
        (same_id || linked()).then_some(Self { contents, wealth })
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

pub(super) fn explain(error: slim::Error, doing: String) -> Failure {
    use slim::Error as E;
    let exit = match &error {
        E::SymbolsMissing { .. }
        | E::SymbolLeaves { .. }
        | E::SectionsMissing { .. }
        | E::SectionStays { .. }
        | E::ObjectSymbols
        | E::SymbolNeeded { .. } => Exit::Refused,
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
        E::ObjectSymbols => failure.hint(
            "-g takes the debug information alone, --strip-unneeded all that linking can spare",
        ),
        E::Packed => failure.hint("unpack it with upx -d, slim it, and pack that"),
        E::PayloadMoves { .. } => {
            failure.hint("slim the program that it was made from (deno, denort), and compile again")
        }
        E::DebugFile => failure.hint("slim the program itself"),
        E::SplitDwarf => {
            failure.hint("slim the program: the PROGRAM.dwp beside it is carried along")
        }
        _ => failure,
    }
}
