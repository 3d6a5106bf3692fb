//! Layouts that real toolchains make and most strippers stumble over, each built in code, each held against every law.

use object::elf;
use object::{Endianness, pod};
use xpost::debug::Compression;
use xpost::elf::{Elf, SectionId};
use xpost::inspect::{Libc, Platform};
use xpost::slim::{Error, Options, Rest};

use crate::support::elf::{At, Builder, Cover, Symbol, note, section, symbol};
use crate::support::law::{Halves, keeping, keeping_all, split, symbols, try_split};

fn plain(builder: &Builder) -> Halves {
    split(&builder.build(), &Options::default(), Compression::Zlib)
}

fn names(bytes: &[u8]) -> Vec<String> {
    let elf = Elf::parse(bytes).unwrap();
    elf.sections().iter().skip(1).map(|section| section.display_name()).collect()
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn every_class_and_byte_order_is_split() {
    for (is_64, endian, machine) in [
        (true, Endianness::Little, elf::EM_X86_64),
        (false, Endianness::Little, elf::EM_386),
        (false, Endianness::Big, elf::EM_MIPS),
        (true, Endianness::Big, elf::EM_S390),
    ] {
        let input = Builder::usual_for(is_64, endian, machine).build();
        for compression in [Compression::Zlib, Compression::Zstd, Compression::None] {
            let halves = split(&input, &keeping(&["main"]), compression);
            let slim = [".note.gnu.build-id", ".text", ".data", ".bss", ".symtab", ".strtab"];
            let slim = [&slim[..], &[".shstrtab", ".gnu_debuglink"]].concat();
            assert_eq!(names(&halves.slim), slim, "{machine:?}");
            assert_eq!(symbols(&Elf::parse(&halves.slim).unwrap())[0].0, b"main");
        }
    }
}

#[test]
fn more_sections_than_sixteen_bits_can_number_are_renumbered() {
    let mut builder = Builder::usual();
    let many = (0..0xff10).map(|index| section(&format!("users.{index}"), vec![1]));
    builder.insert_after(".debug_line", many);
    builder.sections.push(section(".last", [1]));
    builder.symbols.push(symbol("far", ".last"));
    let input = builder.build();
    assert_eq!(&input[60..62], [0, 0], "e_shnum is in section 0");
    let halves = split(&input, &keeping(&["main", "far"]), Compression::Zlib);
    let slim = Elf::parse(&halves.slim).unwrap();
    assert!(slim.section_named(b".symtab_shndx").is_some());
    let kept = symbols(&slim);
    assert_eq!(kept[1].5, Ok(b".last".to_vec()), "an index beyond 16 bits follows");
    let extended = slim.section_named(b".symtab_shndx").unwrap();
    assert_eq!(extended.size, 12, "one word for each symbol");
    assert_eq!(slim.section(SectionId(extended.link)).unwrap().name, b".symtab");

    let gone = split(&input, &Options::default(), Compression::Zlib);
    let slim = Elf::parse(&gone.slim).unwrap();
    assert!(slim.section_named(b".symtab_shndx").is_none(), "it leaves with its table");
}

#[test]
fn fewer_sections_are_numbered_in_the_header_again() {
    let mut builder = Builder::usual();
    let many = (0..0xff10).map(|index| section(&format!(".debug_{index}"), vec![1]));
    builder.insert_after(".debug_line", many);
    let halves = split(&builder.build(), &Options::default(), Compression::None);
    let first = Elf::parse(&halves.slim).unwrap().sections()[0].clone();
    assert_eq!((first.size, first.link), (0, 0), "section 0 needs to hold nothing");
    assert_eq!(&halves.slim[60..64], [7, 0, 5, 0]);
}

#[test]
fn a_number_of_segments_in_section_0_stays_there() {
    let mut builder = Builder::usual();
    let nothing = (elf::PT_NULL, Cover::Bytes(0, 0));
    builder.segments.extend(std::iter::repeat_n(nothing, 0xffff));
    let halves = plain(&builder);
    let slim = Elf::parse(&halves.slim).unwrap();
    assert_eq!(slim.segments().len(), 0xffff + 3);
}

#[test]
fn links_between_sections_follow_them() {
    let mut builder = Builder::usual();
    // What leaves stands before what stays, so that every index changes.
    let leaving = builder.sections.drain(4..7).collect::<Vec<_>>();
    builder.insert_after(".bss", leaving);
    builder.sections.extend([
        section("users.text", [1, 2]),
        section("users.order", [3, 4]).flag(elf::SHF_LINK_ORDER).link("users.text"),
        section("users.info", [5]).flag(elf::SHF_INFO_LINK).info("users.text"),
        section(".rel.users", [0; 16]).kind(elf::SHT_REL).info("users.text"),
    ]);
    let halves = plain(&builder);
    let slim = Elf::parse(&halves.slim).unwrap();
    let target = slim.section_named(b"users.text").unwrap().id.0;
    assert!(target < Elf::parse(&halves.input).unwrap().section_named(b"users.text").unwrap().id.0);
    assert_eq!(slim.section_named(b"users.order").unwrap().link, target);
    assert_eq!(slim.section_named(b"users.info").unwrap().info, target);
    assert_eq!(slim.section_named(b".rel.users").unwrap().info, target);
}

#[test]
fn loaded_relocations_of_a_static_program_link_to_no_table_or_to_the_kept_one() {
    let mut builder = Builder::usual();
    let relocations = section(".rela.plt", [0; 24]).kind(elf::SHT_RELA).loaded().align(8);
    let relocations = relocations.link(".symtab").info(".data").flag(elf::SHF_INFO_LINK);
    builder.insert_after(".note.gnu.build-id", [relocations]);
    let links = |halves: &Halves| {
        let slim = Elf::parse(&halves.slim).unwrap();
        let relocations = slim.section_named(b".rela.plt").unwrap();
        let name = |index| slim.section(SectionId(index)).unwrap().display_name();
        (name(relocations.link), name(relocations.info))
    };
    assert_eq!(links(&plain(&builder)), (String::new(), ".data".into()));
    let halves = split(&builder.build(), &keeping(&["main"]), Compression::Zlib);
    assert_eq!(links(&halves), (".symtab".into(), ".data".into()));
}

#[test]
fn one_string_table_for_sections_and_symbols_keeps_both() {
    let mut builder = Builder::usual();
    builder.names = ".strtab";
    for options in
        [Options::default(), keeping(&["main"]), keeping(&["main", "helper"]), keeping_all()]
    {
        let halves = split(&builder.build(), &options, Compression::Zlib);
        let slim = Elf::parse(&halves.slim).unwrap();
        let kept = symbols(&slim).len();
        let expected = match options.symbols.rest {
            Rest::Stays(_) => 2,
            _ => options.symbols.keep.len(),
        };
        assert_eq!(kept, expected);
        assert_eq!(slim.sections().iter().filter(|s| s.kind == elf::SHT_STRTAB).count(), 1);
    }
}

#[test]
fn all_symbols_stay_true_when_sections_before_theirs_leave() {
    let mut builder = Builder::usual();
    builder.sections.push(section("users.data", [1; 8]));
    builder.symbols.push(symbol("users_symbol", "users.data"));
    let options = keeping_all();
    let halves = split(&builder.build(), &options, Compression::Zlib);
    let kept = symbols(&Elf::parse(&halves.slim).unwrap());
    assert_eq!(kept.len(), 3);
    assert_eq!(kept[2].5, Ok(b"users.data".to_vec()));
}

#[test]
fn symbols_of_debug_sections_leave_with_these_where_all_others_stay() {
    let mut builder = Builder::usual();
    let of_sections = [".text", ".comment", ".debug_info"].map(Symbol::of_section);
    builder.symbols.splice(0..0, of_sections);
    let options = keeping_all();
    let halves = split(&builder.build(), &options, Compression::Zlib);
    let kept = symbols(&Elf::parse(&halves.slim).unwrap());
    let places: Vec<_> = kept.iter().map(|symbol| symbol.5.clone().unwrap()).collect();
    assert_eq!(places, [b".text".to_vec(), b".text".to_vec(), b".text".to_vec()]);
}

#[test]
fn the_nameless_symbol_cannot_be_asked_for() {
    let mut builder = Builder::usual();
    builder.symbols.insert(0, Symbol::of_section(".text"));
    let outcome = try_split(&builder.build(), &keeping(&[""]), Compression::Zlib);
    assert!(matches!(outcome, Err(Error::SymbolsMissing { .. })));
}

#[test]
fn a_kept_symbol_whose_section_leaves_is_refused_by_name() {
    let mut builder = Builder::usual();
    builder.symbols.push(symbol("in_debug", ".debug_info"));
    let outcome = try_split(&builder.build(), &keeping(&["in_debug"]), Compression::Zlib);
    let error = outcome.err().unwrap().to_string();
    assert!(error.contains("in_debug") && error.contains(".debug_info"), "{error}");
}

#[test]
fn absolute_symbols_are_kept_as_they_are() {
    let mut builder = Builder::usual();
    builder.symbols.push(Symbol { at: At::Reserved(elf::SHN_ABS), ..symbol("absolute", ".text") });
    let halves = split(&builder.build(), &keeping(&["absolute"]), Compression::Zlib);
    assert_eq!(symbols(&Elf::parse(&halves.slim).unwrap())[0].5, Err(elf::SHN_ABS.0));
}

#[test]
fn sections_without_bytes_at_the_end_point_into_the_file() {
    let mut builder = Builder::usual();
    let far = section(".tbss", []).nobits(16).loaded().flag(elf::SHF_TLS).at(0x7000);
    builder.insert_after(".data", [far]);
    builder.change(".bss").offset = Some(0x8000);
    let halves = plain(&builder);
    let slim = Elf::parse(&halves.slim).unwrap();
    for name in [".bss", ".tbss"] {
        let section = slim.section_named(name.as_bytes()).unwrap();
        assert_eq!(section.kind, elf::SHT_NOBITS);
        assert!(section.offset <= slim.len(), "{name} at {:#x}", section.offset);
    }
    assert!(slim.section_named(b".bss").unwrap().offset >= 0x100);
}

#[test]
fn bytes_that_nothing_describes_stay_between_sections() {
    let mut builder = Builder::usual();
    let users = section("users.data", b"after the stranger").after(b"stranger between sections");
    builder.sections.push(users);
    let halves = plain(&builder);
    assert!(contains(&halves.slim, b"stranger between sections"));
    let elf = Elf::parse(&halves.input).unwrap();
    let plan = xpost::slim::Plan::new(&elf, &Default::default(), &Options::default()).unwrap();
    let named: Vec<_> = plan.unowned.iter().map(|range| elf.bytes(range.clone())).collect();
    assert_eq!(named, [b"stranger between sections"]);
}

#[test]
fn a_payload_stays_the_end_of_the_file_behind_the_section_headers() {
    let mut builder = Builder::usual();
    builder.payload = b"PK\x03\x04 what a self-extracting program looks for".to_vec();
    let halves = plain(&builder);
    assert!(halves.slim.ends_with(&builder.payload));
    let slim = Elf::parse(&halves.slim).unwrap();
    // AppImage's runtime looks for its payload where the section headers end.
    assert_eq!(slim.sections_range().end + builder.payload.len() as u64, slim.len());
}

#[test]
fn a_payload_behind_a_file_whose_section_headers_come_first_stays_the_end() {
    let mut builder = Builder::usual();
    builder.change(".note.gnu.build-id").at = Some(0x600);
    builder.table_at = Some(0x100);
    builder.payload = b"payload".to_vec();
    let halves = plain(&builder);
    assert!(halves.slim.ends_with(b"payload"));
}

#[test]
fn what_leaves_between_two_segments_makes_room_for_what_is_new_and_becomes_zeros() {
    let mut builder = Builder::usual();
    builder.sections.push(section(".late", b"loaded late").loaded().align(16));
    builder.segments.push((elf::PT_LOAD, Cover::Section(".late")));
    let halves = plain(&builder);
    let late = Elf::parse(&halves.input).unwrap().section_named(b".late").unwrap().offset;
    let slim = Elf::parse(&halves.slim).unwrap();
    let made = [".gnu_debuglink", ".shstrtab"].map(|name| slim.section_named(name.as_bytes()));
    assert!(made.iter().flatten().any(|section| section.range().end <= late), "{made:?}");
    assert!(halves.slim.len() <= halves.input.len());
    assert!(!contains(&halves.slim, b"debug information"));
    assert!(contains(halves.debug.as_ref().unwrap(), b".debug_info"));
}

#[test]
fn a_symbol_table_between_two_segments_is_made_anew_behind_them() {
    let mut builder = Builder::usual();
    let table = section(".symtab", []).kind(elf::SHT_SYMTAB).link(".strtab").align(8);
    builder.sections.extend([table, section(".strtab", []).kind(elf::SHT_STRTAB)]);
    builder.sections.push(section(".late", b"loaded late").loaded().align(16));
    builder.segments.push((elf::PT_LOAD, Cover::Section(".late")));
    let halves = split(&builder.build(), &keeping(&["main"]), Compression::Zlib);
    let slim = Elf::parse(&halves.slim).unwrap();
    let late = slim.section_named(b".late").unwrap().range();
    assert!(slim.section_named(b".symtab").unwrap().offset >= late.end);
    assert!(!contains(&halves.slim, b"helper"));
}

#[test]
fn a_section_that_is_not_loaded_but_lies_under_a_segment_stays_with_its_header() {
    let mut builder =
        Builder::usual_for(true, Endianness::Little, elf::Machine(243 /* EM_RISCV */));
    builder.insert_after(
        ".debug_line",
        [section(".riscv.attributes", b"A attributes").kind(elf::SectionType(0x7000_0003))],
    );
    // PT_RISCV_ATTRIBUTES
    builder.segments.push((elf::ProgramType(0x7000_0003), Cover::Section(".riscv.attributes")));
    let halves = plain(&builder);
    let (slim, input) = (Elf::parse(&halves.slim).unwrap(), Elf::parse(&halves.input).unwrap());
    let place = |elf: &Elf<'_>| elf.section_named(b".riscv.attributes").unwrap().range();
    assert_eq!(place(&slim), place(&input));
}

#[test]
fn section_names_under_a_segment_leave_their_bytes_there() {
    // Go before 1.23 has .shstrtab in the middle of the loaded data.
    let mut builder = Builder::usual();
    let table = section(".shstrtab", []).kind(elf::SHT_STRTAB);
    builder.insert_after(".note.gnu.build-id", [table]);
    let halves = plain(&builder);
    let input = Elf::parse(&halves.input).unwrap();
    let old = input.section_named(b".shstrtab").unwrap().range();
    let old = old.start as usize..old.end as usize;
    assert_eq!(halves.slim[old.clone()], halves.input[old]);
    assert_eq!(names(&halves.slim)[1], ".shstrtab");
}

#[test]
fn loaded_section_names_are_refused_with_a_reason() {
    let mut builder = Builder::usual();
    let table = section(".shstrtab", []).kind(elf::SHT_STRTAB).loaded();
    builder.insert_after(".note.gnu.build-id", [table]);
    let outcome = try_split(&builder.build(), &Options::default(), Compression::Zlib);
    let error = outcome.err().expect("it cannot be slimmed");
    assert!(!matches!(error, Error::Broken(_)), "{error}");
}

#[test]
fn symbols_whose_names_are_loaded_all_stay() {
    let mut builder = Builder::usual();
    let names = section(".strtab", []).kind(elf::SHT_STRTAB).loaded();
    builder.insert_after(".note.gnu.build-id", [names]);
    for options in [Options::default(), keeping(&["main"])] {
        match try_split(&builder.build(), &options, Compression::Zlib) {
            Ok(halves) => crate::support::law::hold(&halves),
            Err(error) => assert!(!matches!(error, Error::Broken(_)), "{error}"),
        }
    }
}

#[test]
fn section_headers_in_the_first_page_stay_as_stale_bytes() {
    let mut builder = Builder::usual();
    builder.change(".note.gnu.build-id").at = Some(0x600);
    builder.table_at = Some(0x200);
    let halves = plain(&builder);
    let slim = Elf::parse(&halves.slim).unwrap();
    assert!(slim.sections_range().start > 0x600);
    assert_eq!(halves.slim[0x200..0x600], halves.input[0x200..0x600]);
}

#[test]
fn program_headers_elsewhere_are_found_in_both_files() {
    for at in [0x300, 0x5000] {
        let mut builder = Builder::usual();
        builder.segments_at = Some(at);
        builder.change(".text").at = Some(0x800);
        if at > 0x800 {
            builder.sections.push(section(".late", [1]).loaded().at(at + 0x1000));
            builder.segments.push((elf::PT_LOAD, Cover::Bytes(at, at + 0x1001)));
        }
        plain(&builder);
    }
}

/// A section's contents behind a compression header.
fn compressed(endian: Endianness, kind: u32, contents: &[u8]) -> Vec<u8> {
    let header = elf::CompressionHeader64 {
        ch_type: object::U32::new(endian, elf::CompressionType(kind)),
        ch_reserved: object::U32::new(endian, 0),
        ch_size: object::U64::new(endian, contents.len() as u64),
        ch_addralign: object::U64::new(endian, 1),
    };
    let mut bytes = pod::bytes_of(&header).to_vec();
    match kind {
        1 => {
            let level = libdeflater::CompressionLvl::new(1).unwrap();
            let mut compressor = libdeflater::Compressor::new(level);
            let mut stream = vec![0; compressor.zlib_compress_bound(contents.len())];
            let size = compressor.zlib_compress(contents, &mut stream).unwrap();
            bytes.extend(&stream[..size]);
        }
        _ => bytes.extend(zstd::encode_all(contents, 1).unwrap()),
    }
    bytes
}

#[test]
fn compressed_sections_come_out_in_the_form_asked_for() {
    // Neither form of it is short by chance: a sequence that repeats at a distance.
    let text: Vec<u8> = (0..20_000u32).flat_map(|n| (n % 977 * n % 251).to_le_bytes()).collect();
    for kind in [0, 1, 2] {
        let mut builder = Builder::usual();
        let info = builder.change(".debug_info");
        if kind == 0 {
            info.bytes = text.clone();
        } else {
            info.bytes = compressed(Endianness::Little, kind, &text);
            info.flags = elf::SHF_COMPRESSED;
            info.align = 8;
        }
        let input = builder.build();
        for (compression, wanted) in
            [(Compression::None, 0), (Compression::Zlib, 1), (Compression::Zstd, 2)]
        {
            let halves = split(&input, &Options::default(), compression);
            let bytes = halves.debug.unwrap();
            let debug = Elf::parse(&bytes).unwrap();
            let section = debug.section_named(b".debug_info").unwrap();
            let found = debug.compressed(section).unwrap().map_or(0, |header| header.kind.0);
            if found != wanted {
                // Only where the other form is no smaller.
                assert!(wanted != 0 && kind != 0, "{kind} to {wanted}: {found}");
                assert_eq!(section.data, builder.change(".debug_info").bytes);
            }
            if wanted == kind {
                assert!(section.data == builder.change(".debug_info").bytes, "copied as it is");
            }
            assert!(debug.contents(section).unwrap() == text.as_slice());
        }
    }
}

#[test]
fn a_section_that_compression_would_make_larger_stays_plain() {
    let mut builder = Builder::usual();
    builder.change(".debug_line").bytes = b"short".to_vec();
    for compression in [Compression::Zlib, Compression::Zstd] {
        let halves = split(&builder.build(), &Options::default(), compression);
        let bytes = halves.debug.unwrap();
        let debug = Elf::parse(&bytes).unwrap();
        let section = debug.section_named(b".debug_line").unwrap();
        assert!(!section.is_compressed());
        assert_eq!(section.data, b"short");
    }
}

#[test]
fn damaged_compressed_contents_are_an_error_and_no_panic() {
    let good = compressed(Endianness::Little, 1, b"contents");
    for bytes in [good[..5].to_vec(), good[..30].to_vec(), [&good[..8], &[0xff; 24]].concat()] {
        let mut builder = Builder::usual();
        let info = builder.change(".debug_info");
        (info.bytes, info.flags) = (bytes, elf::SHF_COMPRESSED);
        let outcome = try_split(&builder.build(), &Options::default(), Compression::None);
        assert!(matches!(outcome, Err(Error::Elf(_))));
    }
}

#[test]
fn a_note_that_is_not_loaded_goes_into_both_files() {
    let mut builder = Builder::usual();
    builder.change(".note.gnu.build-id").flags = elf::SectionFlags(0);
    builder.segments.retain(|(kind, _)| *kind != elf::PT_NOTE);
    let note = builder.sections.remove(0);
    builder.sections.push(note);
    let halves = plain(&builder);
    for bytes in [&halves.slim, halves.debug.as_ref().unwrap()] {
        assert!(xpost::inspect::build_id(&Elf::parse(bytes).unwrap()).is_some());
    }
}

#[test]
fn notes_keep_their_place_in_the_debug_file_s_first_page() {
    let mut builder = Builder::usual();
    let tag = note(Endianness::Little, "GNU", 1, &[0; 16]);
    builder.insert_after(
        ".note.gnu.build-id",
        [section(".note.ABI-tag", tag.clone()).kind(elf::SHT_NOTE).loaded().align(4).at(0xd00)],
    );
    builder.insert_after(
        ".data",
        [section(".note.far", tag).kind(elf::SHT_NOTE).loaded().align(4).at(0x2_0000)],
    );
    builder.segments[0].1 = Cover::UpTo(".note.far");
    let halves = plain(&builder);
    let bytes = halves.debug.unwrap();
    let debug = Elf::parse(&bytes).unwrap();
    assert_eq!(debug.section_named(b".note.ABI-tag").unwrap().offset, 0xd00);
    assert!(debug.len() < 0x2000, "what lies further behind costs no zeros: {:#x}", debug.len());
}

#[test]
fn a_section_half_under_a_segment_is_refused() {
    let mut builder = Builder::usual();
    builder.segments.push((elf::PT_LOAD, Cover::Bytes(0, 0)));
    let input = builder.build();
    let comment = Elf::parse(&input).unwrap().section_named(b".comment").unwrap().range();
    builder.segments[3].1 = Cover::Bytes(0, comment.start + 4);
    let outcome = try_split(&builder.build(), &Options::default(), Compression::Zlib);
    assert!(matches!(outcome, Err(Error::Straddles { .. })));
}

#[test]
fn sections_that_share_bytes_cannot_multiply_them() {
    // A thousand headers over one megabyte would be a gigabyte.
    for kind in [elf::SHT_PROGBITS, elf::SHT_NOTE] {
        let mut builder = Builder::usual();
        builder.sections.push(section("users.data", vec![1; 1 << 20]));
        let start =
            Elf::parse(&builder.build()).unwrap().section_named(b"users.data").unwrap().offset;
        for index in 0..1000u64 {
            let mut again = section(&format!("users.{index}"), []).kind(kind);
            (again.size, again.offset) = (Some((1 << 20) - index), Some(start));
            builder.sections.push(again);
        }
        let outcome = try_split(&builder.build(), &Options::default(), Compression::Zlib);
        let error = outcome.err().expect("it is refused").to_string();
        assert!(error.contains("overlap"), "{error}");
    }
}

#[test]
fn names_that_share_bytes_cannot_take_hours() {
    // Four megabytes of name, asked for by 100,000 symbols, is 400 gigabytes to look at.
    let mut symbols = vec![0; 24 * 100_000];
    for symbol in symbols.chunks_exact_mut(24).skip(1) {
        symbol[0] = 1;
    }
    let mut names = vec![b'a'; 4 << 20];
    (names[0], names[(4 << 20) - 1]) = (0, 0);
    let mut builder = Builder::usual();
    builder.symbols.clear();
    let table = section("users.symtab", symbols).kind(elf::SHT_SYMTAB).link("users.strtab");
    builder.sections.extend([table, section("users.strtab", names).kind(elf::SHT_STRTAB)]);
    let outcome = try_split(&builder.build(), &Options::default(), Compression::Zlib);
    assert!(outcome.is_err_and(|error| error.to_string().contains("not believable")));
}

#[test]
fn notes_that_share_bytes_are_read_once() {
    // 20,000 headers over the same 20,000 notes.
    let mut builder = Builder::usual();
    let notes = note(Endianness::Little, "x", 1, b"").repeat(20_000);
    let size = notes.len() as u64;
    builder.sections.push(section("users.notes", notes));
    let start = Elf::parse(&builder.build()).unwrap().section_named(b"users.notes").unwrap().offset;
    for index in 0..20_000 {
        let mut again = section(&format!("note.{index}"), []).kind(elf::SHT_NOTE);
        (again.size, again.offset) = (Some(size), Some(start));
        builder.sections.push(again);
    }
    let input = builder.build();
    let elf = Elf::parse(&input).unwrap();
    assert!(elf.notes().count() as u64 * 12 <= elf.len());
}

#[test]
fn needed_libraries_that_share_their_names_cannot_take_hours() {
    // Four megabytes without an end, asked for by 100,000 entries.
    let mut builder = Builder::usual();
    builder.kind = elf::ET_DYN;
    let entry = [1u64.to_le_bytes(), 0u64.to_le_bytes()].concat();
    let dynamic = section(".dynamic", entry.repeat(100_000)).kind(elf::SHT_DYNAMIC);
    let names = section(".dynstr", vec![b'a'; 4 << 20]).kind(elf::SHT_STRTAB);
    builder.sections.extend([dynamic.link(".dynstr"), names]);
    let input = builder.build();
    let platform = Platform::of(&Elf::parse(&input).unwrap(), None).unwrap();
    assert_eq!(platform.libc, Libc::System);
}

#[test]
fn segments_that_share_bytes_cannot_take_hours() {
    let mut builder = Builder::usual();
    let len = builder.build().len() as u64;
    builder.segments.extend(vec![(elf::PT_NOTE, Cover::Bytes(0, len)); 100]);
    let error = Elf::parse(&builder.build()).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("not believable"), "{error}");
}

#[test]
fn frames_that_share_their_common_part_cannot_take_hours() {
    // DWARF 5, 6.4.1: four megabytes of augmentation, and 100,000 entries that need it.
    let word = |value: usize| (value as u32).to_le_bytes();
    let augmentation = [b"z".as_slice(), &vec![b'S'; 4 << 20], b"\0"].concat();
    let rest = [&[0xff; 4], [1].as_slice(), &augmentation, &[1, 1, 0, 0]].concat();
    let common = [word(rest.len()).as_slice(), &rest].concat();
    let entry = [word(21).as_slice(), &word(0), &[1; 16], &[0]].concat();
    let mut builder = Builder::usual();
    builder.sections.push(section(".debug_frame", [common, entry.repeat(100_000)].concat()));
    plain(&builder);
}

#[test]
fn loaded_notes_that_share_bytes_cannot_multiply_them() {
    let mut builder = Builder::usual();
    let id = Elf::parse(&builder.build()).unwrap().section_named(b".text").unwrap().offset;
    for index in 0..100u64 {
        let mut again = section(&format!("note.{index}"), []).kind(elf::SHT_NOTE).loaded();
        (again.size, again.offset) = (Some(180), Some(id));
        builder.sections.push(again);
    }
    let outcome = try_split(&builder.build(), &Options::default(), Compression::Zlib);
    assert!(outcome.is_err_and(|error| error.to_string().contains("overlap")));
}

#[test]
fn a_first_section_that_claims_contents_is_refused_or_kept_whole() {
    let mut input = Builder::usual().build();
    let elf = Elf::parse(&input).unwrap();
    let at = elf.sections_range().start as usize;
    // sh_type, sh_offset and sh_size of section 0.
    input[at + 4] = 1;
    input[at + 0x18] = 64;
    input[at + 0x20] = 16;
    if let Err(error) = try_split(&input, &Options::default(), Compression::Zlib) {
        assert!(!matches!(error, Error::Broken(_)), "{error}");
    }
}

#[test]
fn the_compiler_s_name_alone_is_not_worth_a_debug_file() {
    let mut builder = Builder::usual();
    builder.symbols.clear();
    builder.sections.retain(|section| !section.name.starts_with(".debug"));
    let halves = plain(&builder);
    assert!(halves.debug.is_none());
}

#[test]
fn a_symbol_table_out_of_order_says_where_its_last_local_symbol_is() {
    let mut builder = Builder::usual();
    let local = |name| symbol(name, ".text").local();
    builder.symbols = vec![symbol("main", ".text"), local("one"), symbol("exit", ".text")];
    builder.symbols.push(local("two"));
    let halves = split(&builder.build(), &keeping(&["main", "one", "exit"]), Compression::Zlib);
    let slim = Elf::parse(&halves.slim).unwrap();
    assert_eq!(slim.section_named(b".symtab").unwrap().info, 3);
}

#[test]
fn program_headers_inside_the_elf_header_are_refused() {
    let mut bytes = Builder::usual().build();
    // gABI, "ELF Header": e_phoff.
    bytes[32..40].copy_from_slice(&40_u64.to_le_bytes());
    let error = Elf::parse(&bytes).unwrap_err();
    assert_eq!(error.to_string(), "the program header table begins at 0x28, inside the ELF header");
}

#[test]
fn a_program_of_which_no_section_says_what_it_loads_is_refused() {
    let mut bytes = Builder::usual().build();
    let elf = Elf::parse(&bytes).unwrap();
    let (table, size) = (elf.sections_range().start, elf.section_header_size());
    let loaded = elf.sections().iter().filter(|section| section.is_loaded());
    // gABI, "Section Header": sh_type. The flags still say that it is loaded.
    let types: Vec<_> =
        loaded.map(|section| (table + u64::from(section.id.0) * size) as usize + 4).collect();
    for at in types {
        bytes[at..at + 4].copy_from_slice(&elf::SHT_NULL.0.to_le_bytes());
    }
    let refused = try_split(&bytes, &Options::default(), Compression::None);
    assert!(matches!(refused, Err(Error::NoSections)));
}

#[test]
fn symbols_are_not_compressed_whatever_their_section_is_called() {
    let mut builder = Builder::usual();
    builder.symbols.extend((0..200).map(|number| symbol(&format!("f{number}"), ".text")));
    let mut bytes = builder.build();
    let name = bytes.windows(9).position(|window| window == b"\0.symtab\0").unwrap();
    bytes[name..name + 9].copy_from_slice(b"\0.debug_\0");
    let halves = split(&bytes, &Options::default(), Compression::Zlib);
    let debug = halves.debug.unwrap();
    assert!(symbols(&Elf::parse(&debug).unwrap()).len() > 200);
}

#[test]
fn names_of_symbols_are_read_from_a_string_table_alone() {
    let mut bytes = Builder::usual().build();
    let elf = Elf::parse(&bytes).unwrap();
    let [table, text] =
        [b".symtab".as_slice(), b".text"].map(|name| elf.section_named(name).unwrap().id.0);
    let header = elf.sections_range().start + u64::from(table) * elf.section_header_size();
    // gABI, "Section Header": sh_link.
    bytes[header as usize + 40..][..4].copy_from_slice(&text.to_le_bytes());
    let error = Elf::parse(&bytes).unwrap().symbols(elf::SHT_SYMTAB).unwrap_err();
    assert!(error.to_string().ends_with("which is no string table"), "{error}");
}

#[test]
fn a_program_without_names_or_program_headers_is_refused() {
    let program = Builder::usual().build();
    let without = |field: std::ops::Range<usize>| {
        let mut bytes = program.clone();
        bytes[field].fill(0);
        try_split(&bytes, &Options::default(), Compression::None)
    };
    // gABI, "ELF Header": e_shstrndx, e_phnum, e_phoff.
    assert!(matches!(without(62..64), Err(Error::NoNames)));
    assert!(matches!(without(56..58), Err(Error::NoSegments)));
    assert!(matches!(without(32..40), Err(Error::NoSegments)));
}
