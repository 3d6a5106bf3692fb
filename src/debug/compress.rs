//! Debug sections in the form asked for: plain, or compressed with zlib or zstd (gABI, "Section Compression").
//!
//! A section that is in that form already is copied as it is unless a level is given, and the smaller form wins:
//! nothing grows but by being decompressed on request, or by the header of today: what GNU tools compressed before there was
//! a standard (`.zdebug_*`) gets that before the same stream, 12 bytes more in a 64-bit file, and the name of today.

use std::collections::BTreeMap;

use object::elf;

use super::codec::{Coder, Part, part_size};
use super::form::Form;
use super::in_debug;
use crate::elf::{Compressed, Elf, Framing, Section, SectionId};
use crate::slim::{Broken, Error, Plan};
use crate::{fs, parallel};

/// A section's new contents and the header fields that change with them.
pub(super) struct Recoded {
    pub(super) bytes: Vec<u8>,
    pub(super) flags: elf::SectionFlags,
    pub(super) align: u64,
}

impl Recoded {
    fn plain(section: &Section<'_>, bytes: Vec<u8>, align: u64) -> Self {
        Self { bytes, flags: plain_flags(section), align }
    }

    fn compressed(elf: &Elf<'_>, section: &Section<'_>, bytes: Vec<u8>) -> Self {
        let flags = elf::SectionFlags(plain_flags(section).0 | elf::SHF_COMPRESSED.0);
        Self { bytes, flags, align: elf.encoder().address_size() }
    }
}

/// What one thread does at a time.
struct Unit<'elf, 'data> {
    section: &'elf Section<'data>,
    task: Task<'data>,
}

enum Task<'data> {
    /// Compress a part of what is plain.
    Part { plain: &'data [u8], is_last: bool },
    /// Decompress all of it, and compress it anew where it is to be compressed.
    All,
    /// Put the header of today before a stream that is in the form asked for.
    Header(Compressed<'data>),
}

/// New contents for the debug sections whose form is to change, on as many threads as there are cores. What is
/// compressed was read back and found to be what it was.
pub(super) fn recode(
    elf: &Elf<'_>,
    plan: &Plan<'_>,
    form: &Form,
) -> Result<BTreeMap<SectionId, Recoded>, Error> {
    let candidate = |section: &&Section<'_>| {
        // Symbols and names are read as they are, whatever their sections are called.
        let is_table = matches!(section.kind, elf::SHT_SYMTAB | elf::SHT_STRTAB)
            || elf.header().section_names == Some(section.id);
        in_debug(plan, section)
            && !section.is_loaded()
            && !is_table
            && section.debug_name().starts_with(b".debug_")
    };
    let mut sections: Vec<_> = elf.sections().iter().filter(candidate).collect();
    // The longest first, so that no core is left with it at the end.
    sections.sort_by_key(|section| std::cmp::Reverse(section.size));
    let mut units = Vec::new();
    for section in sections {
        units.extend(tasks(elf, section, form)?.into_iter().map(|task| Unit { section, task }));
    }
    let outcomes = parallel::each(
        parallel::cores(),
        &units,
        || Coder::new(form),
        |coder, unit| run(elf, unit, form, coder.as_mut()),
    )?;
    gather(elf, form, units.iter().zip(outcomes))
}

/// What is to be done about a section; nothing where it is to be copied.
fn tasks<'data>(
    elf: &Elf<'data>,
    section: &Section<'data>,
    form: &Form,
) -> Result<Vec<Task<'data>>, Error> {
    let present = elf.compressed(section)?;
    let wanted = form.compression.kind();
    let fits = present.map(|compressed| compressed.kind) == wanted;
    match present {
        Some(old) if fits && form.level.is_none() && old.framing == Framing::Gnu => {
            return Ok(vec![Task::Header(old)]);
        }
        _ if fits && (wanted.is_none() || form.level.is_none()) => return Ok(Vec::new()),
        Some(_) => return Ok(vec![Task::All]),
        None => {}
    }
    let parts = section.data.chunks(part_size(form));
    let count = parts.len();
    let part = |(index, plain)| Task::Part { plain, is_last: index + 1 == count };
    Ok(parts.enumerate().map(part).collect())
}

/// What a unit gave.
enum Outcome {
    Parts(Vec<Part>),
    Plain(Vec<u8>),
    Compressed(Vec<u8>),
}

fn run(
    elf: &Elf<'_>,
    unit: &Unit<'_, '_>,
    form: &Form,
    coder: Option<&mut Coder>,
) -> Result<Outcome, Error> {
    let unreadable = || Error::Broken(Broken::DebugFile(unit.section.display_name()));
    match (&unit.task, coder) {
        (Task::Part { plain, is_last }, Some(coder)) => {
            let part = coder.encode(plain, *is_last).ok_or_else(unreadable)?;
            fs::release(plain);
            Ok(Outcome::Parts(vec![part]))
        }
        (Task::Part { plain, .. }, None) => Ok(Outcome::Plain(plain.to_vec())),
        (Task::Header(old), _) => {
            // The header of today is as long or longer, and what it says was not said by us: it is looked at first.
            elf.contents(unit.section)?;
            Ok(Outcome::Compressed(with_standard_header(elf, old)))
        }
        (Task::All, None) => Ok(Outcome::Plain(elf.contents(unit.section)?.into_owned())),
        (Task::All, Some(coder)) => {
            let plain = elf.contents(unit.section)?;
            let parts = plain.chunks(part_size(form));
            let count = parts.len();
            let encoded = parts.enumerate().map(|(index, plain)| {
                coder.encode(plain, index + 1 == count).ok_or_else(unreadable)
            });
            Ok(Outcome::Parts(encoded.collect::<Result<_, _>>()?))
        }
    }
}

/// Puts the parts of each section together.
fn gather<'elf, 'data: 'elf>(
    elf: &Elf<'data>,
    form: &Form,
    outcomes: impl Iterator<Item = (&'elf Unit<'elf, 'data>, Outcome)>,
) -> Result<BTreeMap<SectionId, Recoded>, Error> {
    let mut parts: BTreeMap<SectionId, Vec<Part>> = BTreeMap::new();
    let mut recoded = BTreeMap::new();
    for (Unit { section, .. }, outcome) in outcomes {
        match outcome {
            Outcome::Parts(more) => parts.entry(section.id).or_default().extend(more),
            Outcome::Plain(bytes) => {
                let align = elf.compressed(section)?.map_or(section.align, |found| found.align);
                recoded.insert(section.id, Recoded::plain(section, bytes, align));
            }
            Outcome::Compressed(bytes) => {
                recoded.insert(section.id, Recoded::compressed(elf, section, bytes));
            }
        }
    }
    for (id, parts) in parts {
        let Some((section, kind)) = elf.section(id).zip(form.compression.kind()) else { continue };
        let present = elf.compressed(section)?;
        let size = present.map_or(section.size, |compressed| compressed.size);
        let align = present.map_or(section.align, |compressed| compressed.align);
        let mut bytes = Coder::join(form, elf.compression_header(kind, size, align), parts);
        match present.filter(|old| old.framing == Framing::Gnu) {
            // It has another name there, so it cannot stay as it is.
            Some(old) => {
                let standing = with_standard_header(elf, &old);
                if standing.len() <= bytes.len() {
                    bytes = standing;
                }
            }
            None if bytes.len() as u64 >= section.size => continue,
            None => {}
        }
        recoded.insert(id, Recoded::compressed(elf, section, bytes));
    }
    Ok(recoded)
}

/// The contents of a section in the standard's form with the stream that it has.
fn with_standard_header(elf: &Elf<'_>, old: &Compressed<'_>) -> Vec<u8> {
    let mut bytes = elf.compression_header(old.kind, old.size, old.align);
    bytes.extend_from_slice(old.stream);
    bytes
}

fn plain_flags(section: &Section<'_>) -> elf::SectionFlags {
    elf::SectionFlags(section.flags.0 & !elf::SHF_COMPRESSED.0)
}
