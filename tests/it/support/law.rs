//! The laws of a split, checked on bytes: whatever the input was.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use object::elf;
use xpost::debug::{self, Compression, Split};
use xpost::elf::{Elf, Place, Section, SectionId, Symbol};
use xpost::fs::Contents;
use xpost::identity::{self, Identity, Method, NewNote};
use xpost::slim::{self, DebugLink, Options, Rest, Symbols, Wish};

/// An input and what came of it.
pub struct Halves {
    pub input: Vec<u8>,
    pub slim: Vec<u8>,
    /// None where nothing left.
    pub debug: Option<Vec<u8>>,
}

/// Options that keep these symbols.
pub fn keeping(names: &[&str]) -> Options {
    let wish = |&name: &&str| Wish::named("-K", name);
    let keep = names.iter().map(wish).collect();
    Options { symbols: Symbols { keep, ..Symbols::default() }, ..Options::default() }
}

/// Options that keep all symbols.
pub fn keeping_all() -> Options {
    Options {
        symbols: Symbols { rest: Rest::Stays("-g"), ..Symbols::default() },
        ..Options::default()
    }
}

/// Splits with the library and holds the outcome against the laws.
pub fn split(input: &[u8], options: &Options, compression: Compression) -> Halves {
    let halves = try_split(input, options, compression);
    let halves = halves.unwrap_or_else(|error| panic!("it cannot be split: {error}"));
    hold(&halves);
    halves
}

/// Splits with the library; the build-id stays as it is.
pub fn try_split(
    input: &[u8],
    options: &Options,
    compression: Compression,
) -> Result<Halves, slim::Error> {
    split_as(input, &Identity::default(), input, options, compression)
}

/// Gives an input a build-id and splits it; `None` where it cannot be given one, or not be split.
pub fn try_identify(input: &[u8], wish: identity::Wish) -> Option<Halves> {
    let elf = Elf::parse(input).ok()?;
    let identity = Identity::new(&elf, wish).ok()?;
    let contents = Contents::from(input.to_vec());
    let bytes = match identity.apply(&elf, &contents) {
        Ok(patched) => patched.unwrap_or(contents),
        // Headers that contradict each other may be refused.
        Err(_) => return None,
    };
    match split_as(&bytes, &identity, input, &Options::default(), Compression::None) {
        Err(slim::Error::Broken(error)) => panic!("a law would have been broken: {error}"),
        split => split.ok(),
    }
}

fn split_as(
    bytes: &[u8],
    identity: &Identity,
    input: &[u8],
    options: &Options,
    compression: Compression,
) -> Result<Halves, slim::Error> {
    let elf = Elf::parse(bytes)?;
    let link = |crc| slim::DebugLink { name: "input.debug".to_owned(), crc };
    let form = compression.into();
    let Split { slim, debug, .. } = debug::split(&elf, identity, input, options, &form, link)?;
    let sum = |layout: &slim::Layout<'_>| layout.sizes().iter().map(|(_, size)| size).sum::<u64>();
    assert_eq!(sum(&slim), slim.len(), "sizes add up");
    let debug = debug.map(|layout| {
        assert_eq!(sum(&layout), layout.len(), "sizes add up");
        layout.to_vec()
    });
    Ok(Halves { input: input.to_vec(), slim: slim.to_vec(), debug })
}

/// Panics where a law is broken.
pub fn hold(halves: &Halves) {
    hold_without(halves, &[]);
}

/// Panics where a law is broken, if these sections were dropped because the user said so.
pub fn hold_without(halves: &Halves, dropped: &[&str]) {
    let (identified, identity) = identified(halves);
    let input = Elf::parse(&identified).unwrap();
    let slim = Elf::parse(&halves.slim).expect("the slim file parses");
    loaded_bytes_are_equal(&input, &slim);
    // What leaves from between segments leaves zeros, so only that file can end up longer, by its new tables.
    let fixed = |segment: &xpost::elf::Segment| segment.range().end;
    let fixed = input.segments().iter().map(fixed).max().unwrap_or(0);
    let loaded = input.sections().iter().filter(|section| section.is_loaded());
    let fixed = loaded.map(|section| section.range().end).chain([fixed]).max().unwrap_or(0);
    let fixed = fixed.max(input.segments_range().end);
    let leaves_a_hole = |section: &Section<'_>| {
        !section.is_loaded() && section.has_contents() && section.offset < fixed
    };
    let has_holes =
        input.sections().iter().any(leaves_a_hole) || input.sections_range().start < fixed;
    // A file of which only a few symbols leave may gain what its link costs: a header, a name, padding.
    let link = slim.section_named(b".gnu_debuglink").map_or(0, |link| link.size + 64 + 15 + 8);
    // So does a note: its header, its name and itself.
    let note = identity.note.as_ref().map_or(0, |note| note.contents.len() as u64 + 64 + 19 + 8);
    // And the names of functions, where they were asked for.
    let names = slim.section_named(b".gnu_debugdata").map_or(0, |made| made.size + 64 + 15);
    let grown = slim.len().saturating_sub(input.len());
    assert!(grown <= link + note + names || has_holes, "{} from {}", slim.len(), input.len());
    assert_eq!(xpost::inspect::load_digest(&slim), xpost::inspect::load_digest(&input));
    assert_eq!(xpost::inspect::build_id(&slim), id(&input, &identity));
    links_hold(&input, &slim);
    // Two symbol tables, or names that claim to be one: nothing says which is meant. One that cannot be read stays as it is.
    let tables = |elf: &Elf<'_>| {
        elf.sections().iter().filter(|section| section.kind == elf::SHT_SYMTAB).count()
    };
    // One that is loaded, or whose names are, stays as well.
    let loaded = input.sections().iter().filter(|section| section.is_loaded());
    let loaded: Vec<_> = loaded
        .map(Section::range)
        .chain(input.segments().iter().map(xpost::elf::Segment::range))
        .collect();
    let is_loaded = |id| {
        let range = input.section(id).map_or(0..0, Section::range);
        loaded.iter().any(|loaded| loaded.start < range.end && range.start < loaded.end)
    };
    let table = input.sections().iter().find(|section| section.kind == elf::SHT_SYMTAB);
    let is_fixed =
        table.is_some_and(|table| is_loaded(table.id) || is_loaded(SectionId(table.link)));
    let clear = tables(&input) <= 1 && can_be_read(&input) && !is_fixed;
    if clear {
        symbols_hold(&input, &slim);
    }
    let Some(bytes) = &halves.debug else {
        // Only a note that nothing loads is not in the input by now; what leaves an object file is nowhere.
        let same = halves.slim == identified || identity.note.is_some() || input.is_object();
        assert!(same, "nothing left, so nothing changed");
        return;
    };
    let debug = Elf::parse(bytes).expect("the debug file parses");
    debug_headers_hold(&input, &debug);
    nothing_is_lost(&input, &slim, &debug, dropped);
    assert_eq!(xpost::inspect::build_id(&debug), id(&input, &identity));
    assert_eq!(
        debug.sections().len() - input.sections().len(),
        usize::from(identity.note.is_some())
    );
    // Without section names nothing can be called .gnu_debuglink.
    if input.header().section_names.is_some() {
        let link = DebugLink::of(&slim).expect("a link to the debug file");
        assert_eq!(link.crc, crc32fast::hash(bytes), "the link's checksum is the debug file's");
    }
    let whole = |elf| symbols(elf) == symbols(&input);
    assert!(!clear || whole(&debug) || whole(&slim), "every symbol is somewhere");
    if dropped.is_empty() {
        // Headers that contradict each other may be refused; what is called the input is the input.
        if let Ok(restored) = debug::restore(&slim, &debug) {
            assert!(
                !restored.exact || restored.layout.to_vec() == halves.input,
                "the halves are it"
            );
        }
    }
}

/// The build-id that both files have.
fn id(input: &Elf<'_>, identity: &Identity) -> Option<xpost::build_id::BuildId> {
    identity.id.clone().or_else(|| xpost::inspect::build_id(input))
}

/// The input with its build-id where the slim file has it, and that identity. What the patches may touch is held here
/// against the input alone.
fn identified(halves: &Halves) -> (Vec<u8>, Identity) {
    let input = Elf::parse(&halves.input).unwrap();
    let slim = Elf::parse(&halves.slim).expect("the slim file parses");
    let named = Method::named().map(|method| identity::Wish::Inject(Some(method)));
    let wishes = [identity::Wish::Keep, identity::Wish::Inject(None), identity::Wish::Rewrite]
        .into_iter()
        .chain(named);
    let headers = |elf: &Elf<'_>| elf.bytes(elf.segments_range()).to_vec();
    let mut fitting = wishes.filter_map(|wish| {
        let identity = Identity::new(&input, wish).ok()?;
        let contents = Contents::from(halves.input.clone());
        let bytes = identity.apply(&input, &contents).ok()?.unwrap_or(contents).to_vec();
        let elf = Elf::parse(&bytes).unwrap();
        let same =
            headers(&elf) == headers(&slim) && identity.id == xpost::inspect::build_id(&slim);
        same.then_some((bytes, identity))
    });
    let (bytes, identity) =
        fitting.next().expect("the program headers are the input's, or patched");
    let does = |method| identity.methods.contains(&method);
    let rewrites = does(Method::Rewrite) || does(Method::AbitagOverwrite);
    // gABI, "ELF Header": e_phoff.
    let place = if input.is_64() { 32..40 } else { 28..32 };
    let first = halves.input.iter().zip(&bytes).take(4096).enumerate();
    for (at, (old, _)) in first.filter(|(_, (old, new))| old != new) {
        let at = at as u64;
        let header = input.masked_header_fields().iter().any(|field| field.contains(&at));
        let free = *old == 0 || input.sections_range().contains(&at);
        let owners = input.sections().iter().filter(|section| section.range().contains(&at));
        let note = owners.clone().all(|owner| owner.kind == elf::SHT_NOTE) && rewrites;
        let allowed = input.segments_range().contains(&at)
            || header
            || does(Method::MovePhdrs) && place.contains(&at)
            || input.segment_count_field().contains(&at)
            || note
            || free && owners.count() == 0;
        assert!(allowed, "a patch at {at:#x}");
    }
    (bytes, identity)
}

/// Every byte of the ELF header but three fields, of the program headers, under a program header and in a loaded section.
fn loaded_bytes_are_equal(input: &Elf<'_>, slim: &Elf<'_>) {
    let mask: [Range<u64>; 3] =
        if input.is_64() { [40..48, 60..62, 62..64] } else { [32..36, 48..50, 50..52] };
    let unmasked = |elf: &Elf<'_>, range: Range<u64>| -> Vec<u8> {
        let bytes = elf.data().get(range.start as usize..range.end as usize);
        let bytes = bytes.unwrap_or_else(|| panic!("{range:?} is outside the file"));
        let masked = |offset: u64| mask.iter().any(|field| field.contains(&offset));
        let numbered = (range.start..).zip(bytes);
        numbered.map(|(offset, &byte)| if masked(offset) { 0 } else { byte }).collect()
    };
    let mut ranges = vec![0..input.header_size(), input.segments_range()];
    let covered = input.segments().iter().filter(|segment| segment.kind != elf::PT_NULL);
    ranges.extend(covered.map(|segment| segment.offset..segment.offset + segment.file_size));
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        assert!(
            unmasked(input, range.clone()) == unmasked(slim, range.clone()),
            "the loaded bytes {range:x?} differ"
        );
    }
    let loaded = |elf: &Elf<'_>| -> Vec<_> {
        // The first header is of no section.
        let sections = elf.sections().iter().skip(1).filter(|section| section.is_loaded());
        // One without contents cannot stay where the file does not reach any more.
        let place = |section: &Section<'_>| {
            if section.has_contents() { section.offset } else { 0 }
        };
        sections
            .map(|section| {
                let name = section.name.to_vec();
                let over_header = section.range().start < elf.header_size();
                let data = if over_header { &[] } else { section.data };
                (name, section.address, place(section), section.size, data.to_vec())
            })
            .collect()
    };
    let (mut was, mut is) = (loaded(input), loaded(slim));
    // A note that was put somewhere stands where its address says.
    is.retain(|row| row.0 != NewNote::NAME || was.contains(row));
    was.sort();
    is.sort();
    assert!(was == is, "the loaded sections are where they were");
}

/// A section of the slim file that points to another points to the same one as before, or to none where that left.
fn links_hold(input: &Elf<'_>, slim: &Elf<'_>) {
    let name = |elf: &Elf<'_>, index: u32| {
        let found = elf.section(xpost::elf::SectionId(index)).filter(|_| index != 0);
        found.map(|section| section.name.to_vec())
    };
    let key = |section: &Section<'_>| {
        (section.name.to_vec(), section.kind, section.address, section.flags.0)
    };
    let olds: HashMap<_, _> = input.sections().iter().map(|old| (key(old), old)).collect();
    let names: HashSet<_> = slim.sections().iter().map(|section| section.name.to_vec()).collect();
    let distinct: HashSet<_> = input.sections().iter().map(|section| section.name).collect();
    if distinct.len() < input.sections().len() {
        // Names cannot say which section is meant.
        return;
    }
    let is_new = |new: &&Section<'_>| {
        matches!(new.name, b".gnu_debuglink" | b".gnu_debugdata")
            || new.name == NewNote::NAME && !olds.contains_key(&key(new))
    };
    for new in slim.sections().iter().skip(1).filter(|new| !is_new(new)) {
        let old = olds.get(&key(new)).unwrap_or_else(|| panic!("{new:?} is new"));
        let kept = |index| name(input, index).filter(|name| names.contains(name));
        assert_eq!(name(slim, new.link), kept(old.link), "sh_link of {new:?}");
        if old.info_is_section() && old.kind != elf::SHT_SYMTAB {
            assert_eq!(name(slim, new.info), kept(old.info), "sh_info of {new:?}");
        }
    }
}

/// What a symbol is, whatever its index and its section's are.
type Meaning = (Vec<u8>, u64, u64, u8, u8, Result<Vec<u8>, u16>);

fn can_be_read(elf: &Elf<'_>) -> bool {
    elf.symbols(elf::SHT_SYMTAB).is_ok()
}

/// The symbols of a file.
pub fn symbols(elf: &Elf<'_>) -> Vec<Meaning> {
    let table = elf.symbols(elf::SHT_SYMTAB).expect("the symbols can be read");
    let place = |symbol: &Symbol<'_>| match symbol.place {
        Place::Section(id) => Ok(elf.section(id).unwrap().debug_name().to_vec()),
        Place::Reserved(index) => Err(index),
    };
    let symbols = table.iter().flat_map(|table| table.iter());
    symbols
        .map(|symbol| {
            let meaning = (symbol.name.to_vec(), symbol.value, symbol.size);
            (meaning.0, meaning.1, meaning.2, symbol.info.0, symbol.other.0, place(&symbol))
        })
        .collect()
}

/// Symbols in the slim file mean what they meant, local ones first.
fn symbols_hold(input: &Elf<'_>, slim: &Elf<'_>) {
    let all = symbols(input);
    let count = all.len();
    let all: HashSet<_> = all.into_iter().collect();
    let kept = symbols(slim);
    assert!(kept.iter().all(|symbol| all.contains(symbol)), "{kept:?}");
    let Some(table) = slim.sections().iter().find(|section| section.kind == elf::SHT_SYMTAB) else {
        return;
    };
    if kept.len() == count {
        return;
    }
    // Of hostile tables the order is not the standard's, and stays.
    let last = kept.iter().rposition(|symbol| symbol.3 >> 4 == elf::STB_LOCAL.0);
    let behind = last.map_or(1, |last| last + 2);
    assert_eq!(table.info as usize, behind, "sh_info of the symbol table");
    assert_eq!(table.size, (kept.len() as u64 + 1) * if slim.is_64() { 24 } else { 16 });
}

/// The debug file has the input's program headers to the byte and its section headers in their order.
fn debug_headers_hold(input: &Elf<'_>, debug: &Elf<'_>) {
    let segments = |elf: &Elf<'_>| elf.bytes(elf.segments_range()).to_vec();
    assert!(segments(input) == segments(debug), "the program headers are the input's");
    for (old, new) in input.sections().iter().zip(debug.sections()) {
        // What GNU tools compressed has the name of today there, or no contents.
        let named = new.name == &*old.debug_name() || !new.has_contents() && new.name == old.name;
        let same = named
            && (new.address, new.link, new.info, new.entry_size)
                == (old.address, old.link, old.info, old.entry_size);
        assert!(same, "{old:?} became {new:?}");
        let note = old.is_loaded() && old.kind == elf::SHT_NOTE;
        if note {
            assert_eq!((new.kind, new.data), (old.kind, old.data), "a loaded note stays");
            if old.range().end <= 4096 && old.offset >= input.segments_range().end {
                assert_eq!(new.offset, old.offset, "in the first page it stays where it was");
            }
        } else if old.is_loaded() && old.has_contents() {
            let expected = (elf::SHT_NOBITS, old.size, old.flags);
            assert_eq!((new.kind, new.size, new.flags), expected, "{old:?}");
        }
    }
}

/// Every section of the input is in one of the files with its contents, and nothing made it larger.
fn nothing_is_lost(input: &Elf<'_>, slim: &Elf<'_>, debug: &Elf<'_>, dropped: &[&str]) {
    let kept: HashSet<_> =
        slim.sections().iter().map(|section| (section.name, section.data)).collect();
    // Names may be merged: then a symbol table is what it was if its symbols are.
    let table = input.sections().iter().find(|section| section.kind == elf::SHT_SYMTAB);
    let table = table.filter(|_| can_be_read(input) && symbols(debug) == symbols(input));
    let merged = table.map_or(vec![], |table| vec![table.id.0, table.link]);
    for (old, set_aside) in input.sections().iter().zip(debug.sections()).skip(1) {
        if !old.has_contents() || input.header().section_names == Some(old.id) {
            continue;
        }
        if dropped.iter().any(|name| name.as_bytes() == old.name) {
            let left = kept.iter().any(|(name, _)| *name == old.name) || set_aside.has_contents();
            assert!(!left, "{old:?} was dropped");
            continue;
        }
        if set_aside.has_contents() {
            let same = set_aside.data == old.data
                || merged.contains(&old.id.0)
                || debug.contents(set_aside).unwrap() == input.contents(old).unwrap();
            assert!(same, "{old:?} in the debug file");
        } else if old.offset >= input.header_size() {
            assert!(kept.contains(&(old.name, old.data)), "{old:?} is in neither file");
        }
    }
}
