//! The load identity: what of a slim file runs, as digests that anybody can compute again, and whether a slim file, its
//! debug file and the binary that they were made of agree.
//!
//! A record is taken when a binary is slimmed; [`compare`] needs the files alone.

use std::ops::Range;

use object::elf;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::checksum;
use super::origin::Origin;
use crate::build_id::BuildId;
use crate::digest::{Digest, hex};
use crate::elf::{Elf, Place, Section, Segment, Symbol};
use crate::inspect;
use crate::slim::DebugLink;

/// The segments of a binary, and the header fields that differ from its slim file's.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadIdentity {
    /// SHA-256 over all segments ([`inspect::load_digest`]).
    pub load_digest: Digest,
    /// In the order of the program headers.
    pub segments: Vec<SegmentIdentity>,
    /// The fields that locate the section header table: the only bytes under a segment that slimming changes.
    pub masked: Vec<Masked>,
}

/// One program header, and the bytes of the file that it covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SegmentIdentity {
    /// `p_type`
    pub kind: u32,
    /// `p_offset`
    pub offset: u64,
    /// `p_filesz` in bytes.
    pub size: u64,
    /// SHA-256 of the bytes, with the masked fields as zeros.
    pub digest: Digest,
}

/// A masked stretch of the ELF header, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Masked {
    /// Where it begins in both files.
    pub offset: u64,
    /// What the input has there.
    pub input: String,
    /// What the slim file has there.
    pub slim: String,
}

impl LoadIdentity {
    /// The record of an input and the header of its slim file.
    pub fn new(input: &Elf<'_>, slim_header: &[u8]) -> Self {
        let masked = input.masked_header_fields().map(|range| {
            let slim = slim_header.get(range.start as usize..range.end as usize);
            Masked {
                offset: range.start,
                input: hex(input.bytes(range)),
                slim: hex(slim.unwrap_or_default()),
            }
        });
        let load_digest = inspect::load_digest(input);
        Self { load_digest, segments: segments(input), masked: masked.into() }
    }
}

fn segments(elf: &Elf<'_>) -> Vec<SegmentIdentity> {
    let of = |segment: &Segment| SegmentIdentity {
        kind: segment.kind.0,
        offset: segment.offset,
        size: segment.file_size,
        digest: digest(elf, segment.range()),
    };
    elf.segments().iter().map(of).collect()
}

/// The digest of a range of the file, with the masked fields as zeros.
fn digest(elf: &Elf<'_>, range: Range<u64>) -> Digest {
    let head_end = elf.header_size().clamp(range.start, range.end);
    let mut head = elf.bytes(range.start..head_end).to_vec();
    for (offset, byte) in (range.start..).zip(&mut head) {
        if elf.masked_header_fields().iter().any(|field| field.contains(&offset)) {
            *byte = 0;
        }
    }
    let mut hasher = Sha256::new();
    hasher.update(&head);
    hasher.update(elf.bytes(head_end..range.end));
    Digest::from_bytes(hasher.finalize().into())
}

/// One thing that was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is about.
    pub check: &'static str,
    /// Whether the files agree.
    pub ok: bool,
    /// What was found.
    pub found: String,
}

fn check(check: &'static str, ok: bool, found: impl Into<String>) -> Check {
    Check { check, ok, found: found.into() }
}

/// Compares a slim file, its debug file and, where it is at hand, the binary that they were made of.
pub fn compare(slim: &Elf<'_>, debug: &Elf<'_>, original: Option<&Elf<'_>>) -> Vec<Check> {
    let ids = [slim, debug].map(|elf| id(inspect::build_id(elf)));
    let [of_slim, of_debug] = &ids;
    let same_headers = slim.bytes(slim.segments_range()) == debug.bytes(debug.segments_range());
    let same = if same_headers { "the same to the byte" } else { "not the same" };
    let counts = format!("{} and {}, {same}", slim.segments().len(), debug.segments().len());
    let mut checks = vec![
        check("program headers", same_headers, counts),
        check("build-id", of_slim == of_debug, format!("{of_slim} and {of_debug}")),
        link(slim, debug),
        sections(slim, debug),
        unaltered(slim, debug),
    ];
    if let Some(original) = original {
        checks.extend([loaded(slim, original), restored(slim, debug, original)]);
    }
    checks
}

fn id(id: Option<BuildId>) -> String {
    id.map_or("none".to_owned(), |id| id.to_string())
}

fn same_note(one: &Section<'_>, other: &Section<'_>) -> bool {
    (one.kind, one.name, one.data) == (other.kind, other.name, other.data)
}

fn link(slim: &Elf<'_>, debug: &Elf<'_>) -> Check {
    let crc = checksum::checksum(debug.data());
    match DebugLink::of(slim) {
        Some(link) => {
            let found = format!("{} {:08x}, the debug file's is {crc:08x}", link.name, link.crc);
            check("debuglink", link.crc == crc, found)
        }
        None => check("debuglink", true, "none"),
    }
}

/// What the slim file loads is what it loaded when it was made, as far as the debug file says it.
fn unaltered(slim: &Elf<'_>, debug: &Elf<'_>) -> Check {
    const WHAT: &str = "loaded checksum";
    let Some(origin) = Origin::read(debug.data()) else {
        return check(WHAT, true, "none");
    };
    let found = checksum::loaded(slim);
    let said = format!("{found:08x}, and {:08x} when it was made", origin.loaded);
    check(WHAT, found == origin.loaded, said)
}

/// The debug file describes the slim file's loaded sections, and has what both have with the same contents.
fn sections(slim: &Elf<'_>, debug: &Elf<'_>) -> Check {
    let mut described = debug.sections().iter();
    for section in slim.sections().iter().skip(1) {
        // The slim file alone has its link, and the names of functions that were made for it.
        let is_made =
            section.name == b".gnu_debugdata" && debug.section_named(section.name).is_none();
        if section.name == b".gnu_debuglink" || is_made {
            continue;
        }
        let same = |other: &&Section<'_>| {
            (other.debug_name(), other.address) == (section.debug_name(), section.address)
        };
        let name = section.display_name();
        // A note moves to where a core shows it, and then stands elsewhere in the order.
        let other = match section.kind {
            elf::SHT_NOTE => debug.sections().iter().find(|other| same_note(other, section)),
            _ => described.by_ref().find(same),
        };
        let Some(other) = other else {
            return check("sections", false, format!("the debug file does not describe {name}"));
        };
        let chosen =
            [elf::SHT_SYMTAB, elf::SHT_STRTAB, elf::SHT_SYMTAB_SHNDX].contains(&section.kind);
        let differs = other.has_contents()
            && !chosen
            && other.data != section.data
            && debug.contents(other).ok() != slim.contents(section).ok();
        if differs || section.is_loaded() && other.size != section.size {
            return check("sections", false, format!("{name} differs"));
        }
    }
    let counts = [slim, debug].map(|elf| elf.sections().len().saturating_sub(1).to_string());
    check("sections", true, format!("{} of the slim and debug file", counts.join(" and ")))
}

/// Every byte under a segment, aside from the masked fields; a note that was put right is named.
fn loaded(slim: &Elf<'_>, original: &Elf<'_>) -> Check {
    if segments(slim) == segments(original) {
        let load_digest = inspect::load_digest(original);
        return check("loaded bytes", true, format!("as in the original: {load_digest}"));
    }
    let allowed = [notes(original), notes(slim)].concat();
    let masked = original.masked_header_fields();
    let mut changed: Vec<u64> = Vec::new();
    for range in original.loaded_ranges() {
        let (old, new) = (original.bytes(range.clone()), slim.bytes(range.clone()));
        if old.len() != new.len() {
            let found = format!("{:#x}..{:#x} is not there", range.start, range.end);
            return check("loaded bytes", false, found);
        }
        let differing = (range.start..).zip(old.iter().zip(new)).filter(|(_, (a, b))| a != b);
        let differing = differing.map(|(offset, _)| offset);
        for at in differing.filter(|at| !masked.iter().any(|field| field.contains(at))) {
            if !allowed.iter().any(|range| range.contains(&at)) {
                return check("loaded bytes", false, format!("the byte at {at:#x} differs"));
            }
            changed.push(at);
        }
    }
    let changed: Vec<_> = changed.iter().map(|at| format!("{at:#x}")).collect();
    let found =
        format!("as in the original but for the build-id's note, at {}", changed.join(", "));
    check("loaded bytes", true, found)
}

/// Where a build-id may be put right: the program headers, their place and number, what they say are notes, and its section.
fn notes(elf: &Elf<'_>) -> Vec<Range<u64>> {
    let of = elf.segments().iter().filter(|segment| segment.kind == elf::PT_NOTE);
    let section = elf.section_named(b".note.gnu.build-id").map(Section::range);
    [elf.segments_range(), elf.segments_offset_field(), elf.segment_count_field()]
        .into_iter()
        .chain(of.map(Segment::range))
        .chain(section)
        .collect()
}

fn restored(slim: &Elf<'_>, debug: &Elf<'_>, original: &Elf<'_>) -> Check {
    let what = "nothing is lost";
    match super::restore(slim, debug) {
        Err(error) => check(what, false, error.to_string()),
        Ok(restored) => {
            let layout = restored.layout;
            if restored.exact {
                let same = layout.is_at(0..layout.len(), original.data());
                let said = if same {
                    "the halves are the original"
                } else {
                    "the halves are another binary"
                };
                return check(what, same, said);
            }
            let same =
                Elf::parse(&layout.to_vec()).is_ok_and(|again| same_contents(&again, original));
            let said = if same {
                "each section is there by contents"
            } else {
                "a section is not as it was"
            };
            check(what, same, said)
        }
    }
}

/// Whether two files have the same sections, decompressed. String tables may be merged: their symbols are compared.
fn same_contents(again: &Elf<'_>, original: &Elf<'_>) -> bool {
    let symbols = |elf: &Elf<'_>| -> Option<Vec<_>> {
        let table = elf.symbols(elf::SHT_SYMTAB).ok()??;
        // A note that moves takes its symbols along.
        let in_note = |place| match place {
            Place::Section(id) => elf.section(id).is_some_and(|s| s.kind == elf::SHT_NOTE),
            Place::Reserved(_) => false,
        };
        let row = |s: Symbol<'_>| {
            let value = Some(s.value).filter(|_| !in_note(s.place));
            (s.name.to_vec(), value, s.size, s.info, s.place)
        };
        Some(table.iter().map(row).collect())
    };
    let is_table = |kind| [elf::SHT_SYMTAB, elf::SHT_STRTAB].contains(&kind);
    let same = |(old, new): (&Section<'_>, &Section<'_>)| {
        let contents = || original.contents(old).ok() == again.contents(new).ok();
        (old.debug_name(), old.address) == (new.debug_name(), new.address)
            && (old.is_loaded() || is_table(old.kind) || contents())
    };
    fn others<'elf, 'data>(elf: &'elf Elf<'data>) -> impl Iterator<Item = &'elf Section<'data>> {
        elf.sections().iter().filter(|section| section.kind != elf::SHT_NOTE)
    }
    // A build-id may be new or another, and notes move for it.
    let notes = original.sections().iter().filter(|section| section.kind == elf::SHT_NOTE);
    let mut notes = notes.filter(|note| note.name != b".note.gnu.build-id");
    others(original).count() == others(again).count()
        && others(original).zip(others(again)).all(same)
        && notes.all(|note| again.sections().iter().any(|other| same_note(other, note)))
        && symbols(original) == symbols(again)
}
