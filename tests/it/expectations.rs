//! What LLVM's tests of llvm-objcopy expect of object files and programs, as far as it is expected of xpost too, on small
//! files that are made here. `tests/llvm.sh` runs LLVM's own inputs.

use object::{Endianness, elf};
use xpost::elf::{Elf, Relocations};

use crate::support::elf::{At, Builder, Section, Symbol, section, symbol};
use crate::support::law;
use crate::support::xpost::{Xpost, xpost};
use xpost::debug::Compression;
use xpost::slim::Options;

/// An object file with code, data and symbols of every kind.
fn object(is_64: bool, endian: Endianness, machine: elf::Machine) -> Builder {
    let mut builder = Builder::new(is_64, endian, machine);
    builder.kind = elf::ET_REL;
    builder.base = 0;
    builder.sections = vec![
        section(".text", [0x90; 64]).code().align(16),
        section(".data", [7; 16]).loaded().flag(elf::SHF_WRITE).align(8),
        section(".debug_info", b"debug information ".repeat(9)),
    ];
    let undefined = |name, binding| Symbol {
        info: elf::SymbolInfo::new(binding, elf::STT_NOTYPE),
        at: At::Reserved(elf::SHN_UNDEF),
        ..symbol(name, "")
    };
    let weak = elf::SymbolInfo::new(elf::STB_WEAK, elf::STT_FUNC);
    builder.symbols = vec![
        symbol("unused", ".text").local(),
        symbol("used", ".data").local(),
        symbol("global", ".text"),
        Symbol { info: weak, ..symbol("weak", ".text") },
        undefined("asked_for", elf::STB_GLOBAL),
        undefined("of_nobody", elf::STB_GLOBAL),
    ];
    builder
}

/// Relocations of `.text` that name these symbols of [`object`].
fn relocations(builder: &Builder, symbols: &[u32]) -> Section {
    let endian = builder.endian;
    let word = |value: u32| match endian {
        Endianness::Little => value.to_le_bytes(),
        Endianness::Big => value.to_be_bytes(),
    };
    let entry = |&symbol: &u32| -> Vec<u8> {
        let info = match (builder.is_64, builder.endian, builder.machine) {
            // The symbol is the upper half of r_info, but for MIPS its first field.
            (true, Endianness::Little, machine) if machine != elf::EM_MIPS => {
                [word(2), word(symbol)].concat()
            }
            (true, ..) => [word(symbol), word(2)].concat(),
            (false, ..) => word(symbol << 8 | 2).to_vec(),
        };
        let zeros = if builder.is_64 { 8 } else { 4 };
        [vec![0; zeros], info, vec![0; zeros]].concat()
    };
    let bytes: Vec<u8> = symbols.iter().flat_map(entry).collect();
    let made = section(".rela.text", bytes).kind(elf::SHT_RELA).link(".symtab").info(".text");
    Section { entry_size: if builder.is_64 { 24 } else { 12 }, ..made.align(8) }
}

/// Runs slim on it, and gives the slim file.
fn slim(builder: &Builder, flags: &[&str]) -> (Xpost, Vec<u8>) {
    let at = xpost();
    at.put("input", builder.build());
    at.run([&["slim", "-o", "slim"], flags, &["input"]].concat()).succeeds();
    let bytes = at.read("slim");
    (at, bytes)
}

/// The names of the symbols of a file, in order.
fn symbols(bytes: &[u8]) -> Vec<String> {
    let elf = Elf::parse(bytes).unwrap();
    let table = elf.symbols(elf::SHT_SYMTAB).unwrap();
    table.iter().flat_map(|table| table.iter()).map(|symbol| symbol.display_name()).collect()
}

/// The names of the sections of a file.
fn sections(bytes: &[u8]) -> Vec<String> {
    let elf = Elf::parse(bytes).unwrap();
    elf.sections().iter().skip(1).map(|section| section.display_name()).collect()
}

#[test]
fn unneeded_is_what_neither_a_relocation_nor_another_file_can_name() {
    for (is_64, endian, machine) in [
        (true, Endianness::Little, elf::EM_X86_64),
        (true, Endianness::Big, elf::EM_S390),
        (true, Endianness::Little, elf::EM_MIPS),
        (false, Endianness::Big, elf::EM_PPC),
    ] {
        let mut builder = object(is_64, endian, machine);
        builder.sections.push(relocations(&builder, &[2, 5]));
        let (_, bytes) = slim(&builder, &["--strip-unneeded"]);
        assert_eq!(symbols(&bytes), ["used", "global", "weak", "asked_for"], "{machine:?}");
        // Their indices changed, and relocations name them still.
        let elf = Elf::parse(&bytes).unwrap();
        let table = elf.symbols(elf::SHT_SYMTAB).unwrap().unwrap();
        let rows = Relocations::of(&elf, elf.section_named(b".rela.text").unwrap()).unwrap();
        let named = rows.symbols().map(|index| table.get(index.into()).unwrap().display_name());
        assert_eq!(named.collect::<Vec<_>>(), ["used", "asked_for"], "{machine:?}");
        assert_eq!(sections(&bytes)[..2], [".text", ".data"], "{machine:?}");
    }
}

#[test]
fn a_symbol_that_something_names_is_not_stripped_and_the_message_says_by_what() {
    let mut builder = object(true, Endianness::Little, elf::EM_X86_64);
    builder.sections.push(relocations(&builder, &[2]));
    let group = [1u32, 1].map(u32::to_le_bytes).concat();
    let mut group = section(".group", group).kind(elf::SHT_GROUP).link(".symtab").align(4);
    group.entry_size = 4;
    builder.sections.push(group);
    builder.change(".text").flags.0 |= elf::SHF_GROUP.0;
    let at = xpost();
    let mut bytes = builder.build();
    // sh_info of a group is its symbol: the third, which is global.
    let elf = Elf::parse(&bytes).unwrap();
    let id = elf.section_named(b".group").unwrap().id;
    let row = elf.sections_range().start + u64::from(id.0) * elf.section_header_size();
    bytes[row as usize + 44] = 3;
    at.put("input", &bytes);
    for (name, by) in [("used", ".rela.text"), ("global", ".group")] {
        let ran = at.run(["slim", "-g", "-N", name, "-o", "slim", "input"]);
        ran.exits(3, &[&format!("the symbol {name:?} cannot leave: {by} needs it")]);
        assert!(!at.path("slim").exists());
    }
    at.run(["slim", "-g", "-N", "weak", "-o", "slim", "input"]).succeeds();
    assert!(!symbols(&at.read("slim")).contains(&"weak".to_owned()));
}

#[test]
fn symbols_that_mark_code_and_data_stay_in_object_files_alone() {
    let marks = ["$a", "$a.a", "$d", "$d.d", "$t", "$t.t"];
    let others = ["$aa", "$dd", "$m", "$tt"];
    let mut builder = object(false, Endianness::Little, elf::EM_ARM);
    let local = elf::SymbolInfo::new(elf::STB_LOCAL, elf::STT_NOTYPE);
    let made =
        marks.iter().chain(&others).map(|name| Symbol { info: local, ..symbol(name, ".text") });
    builder.symbols = made.chain([symbol("global", ".text")]).collect();
    let (_, bytes) = slim(&builder, &["--strip-unneeded"]);
    assert_eq!(symbols(&bytes), [&marks[..], &["global"]].concat());
    let mut program = Builder::usual_for(false, Endianness::Little, elf::EM_ARM);
    program.symbols = builder.symbols;
    let (_, bytes) = slim(&program, &["--strip-unneeded"]);
    assert!(symbols(&bytes).is_empty());
}

#[test]
fn what_the_machine_s_tools_read_stays_and_so_does_a_link_to_a_debug_file() {
    let mut program = Builder::usual_for(false, Endianness::Little, elf::EM_ARM);
    let attributes = section(".ARM.attributes", *b"A\x0f\0\0\0aeabi\0\x01\x05\0\0\0");
    program.insert_after(".comment", [attributes.kind(elf::SHT_ARM_ATTRIBUTES)]);
    let (_, bytes) = slim(&program, &["-s"]);
    assert!(sections(&bytes).contains(&".ARM.attributes".to_owned()));

    let mut builder = object(true, Endianness::Little, elf::EM_X86_64);
    builder.sections.push(section(".gnu_debuglink", *b"x.debug\0\x01\x02\x03\x04").align(4));
    let (_, bytes) = slim(&builder, &["--strip-unneeded"]);
    let left = [".text", ".data", ".gnu_debuglink", ".symtab", ".strtab", ".shstrtab"];
    assert_eq!(sections(&bytes), left);
}

#[test]
fn a_debug_file_has_headers_without_contents_for_thread_data_and_what_is_zero() {
    let mut builder = Builder::usual();
    let tls = |name: &str| section(name, []).loaded().flag(elf::SHF_WRITE).flag(elf::SHF_TLS);
    let mut data = tls(".tdata");
    data.bytes = vec![5; 7];
    builder.insert_after(".data", [data.align(128), tls(".tbss").nobits(5)]);
    builder.segments.push((elf::PT_TLS, crate::support::elf::Cover::Section(".tdata")));
    let halves = law::split(&builder.build(), &Options::default(), Compression::Zlib);
    let debug = halves.debug.unwrap();
    let debug = Elf::parse(&debug).unwrap();
    for (name, size) in [(".tdata", 7), (".tbss", 5), (".bss", 64), (".text", 200)] {
        let found = debug.section_named(name.as_bytes()).unwrap();
        assert_eq!((found.kind, found.size), (elf::SHT_NOBITS, size), "{name}");
    }
    assert!(debug.len() < 2500, "{}", debug.len());
}
