//! The laws over files that no one thought of: layouts drawn by chance from a fixed seed, and real files with bits flipped.

use object::{Endianness, elf};
use xpost::debug::Compression;
use xpost::elf::Elf;
use xpost::slim::{Absent, Error, MiniDebug, Options};

use crate::support::corpus;
use crate::support::elf::{Builder, Cover, Section, note, section, symbol};
use crate::support::law::{self, hold, keeping, keeping_all, try_split};

/// Marsaglia's xorshift: the same numbers on every machine, so that a seed in a message finds the file again.
pub(crate) struct Chance(pub u64);

impl Chance {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn bytes(&mut self) -> Vec<u8> {
        // Long ones repeat, so that some of them are worth compressing.
        let size = if self.one_in(8) { 5000 } else { self.below(200) };
        (0..size).map(|at| (at % 61) as u8 ^ self.0 as u8).collect()
    }
}

/// As GNU tools did it before there was a standard.
fn gnu_compressed(plain: &[u8]) -> Vec<u8> {
    let mut deflater = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut stream = vec![0; deflater.zlib_compress_bound(plain.len())];
    let len = deflater.zlib_compress(plain, &mut stream).unwrap();
    [b"ZLIB", &(plain.len() as u64).to_be_bytes()[..], &stream[..len]].concat()
}

const LINKS: [&str; 4] = [".text", ".debug_info", ".symtab", ".data"];

fn a_section(chance: &mut Chance, number: u64, endian: Endianness) -> Section {
    const NAMES: [&str; 12] = [
        ".debug_abbrev",
        ".debug_frame",
        ".debug_str",
        ".debug_gdb_scripts",
        ".zdebug_info",
        ".comment",
        ".gnu.warning.gets",
        ".note.stapsdt",
        ".dep-v0",
        ".riscv.attributes",
        ".eh_frame",
        "users.data",
    ];
    let name = NAMES[chance.below(NAMES.len() as u64) as usize];
    let mut made = section(&format!("{name}{number}"), chance.bytes());
    if chance.one_in(2) {
        made.name = name.to_owned();
    }
    if name == ".zdebug_info" && chance.one_in(2) {
        made.bytes = gnu_compressed(&made.bytes);
    }
    made.align = 1 << chance.below(7);
    if name.starts_with(".note") {
        made = made.kind(elf::SHT_NOTE);
        made.bytes = note(endian, "stapsdt", 3, &made.bytes);
    }
    for (times, flag) in
        [(5, elf::SHF_ALLOC), (6, elf::SHF_STRINGS), (6, elf::SHF_MERGE), (9, elf::SHF_EXCLUDE)]
    {
        if chance.one_in(times) {
            made = made.flag(flag);
        }
    }
    let to = LINKS[chance.below(4) as usize];
    made = match chance.below(10) {
        0 => made.flag(elf::SHF_LINK_ORDER).link(to),
        1 => made.flag(elf::SHF_INFO_LINK).info(to),
        2 => made.kind(elf::SHT_RELA).link(".symtab").info(to),
        3 => made.flag(elf::SHF_COMPRESSED),
        _ => made,
    };
    if chance.one_in(9) {
        made.before = b"of no section".to_vec();
    }
    made
}

fn a_file(chance: &mut Chance) -> Builder {
    let endian = if chance.one_in(3) { Endianness::Big } else { Endianness::Little };
    let mut builder = Builder::usual_for(!chance.one_in(3), endian, elf::EM_X86_64);
    for number in 0..chance.below(8) {
        let made = a_section(chance, number, endian);
        if made.name != ".debug_info" {
            let at = builder.sections.len() - chance.below(4) as usize;
            builder.sections.insert(at, made);
        }
    }
    if chance.one_in(3) {
        let late = section(".late", chance.bytes()).loaded().align(16);
        builder.sections.push(late);
        builder.segments.push((elf::PT_LOAD, Cover::Section(".late")));
    }
    for number in 0..chance.below(6) {
        let name = format!("symbol{number}");
        let made = symbol(&name, [".text", ".data", ".debug_line"][chance.below(3) as usize]);
        builder.symbols.push(made);
    }
    let links = builder.sections.iter().flat_map(|section| [section.link, section.info]);
    if !links.into_iter().any(|link| link == Some(".symtab")) && chance.one_in(4) {
        builder.symbols.clear();
    } else if chance.one_in(6) {
        builder.names = ".strtab";
    }
    if chance.one_in(4) {
        builder.payload = chance.bytes();
    }
    builder
}

/// Splits in several ways; panics where a law is broken. Whether anything could be split.
fn splits(input: &[u8], what: &str) -> bool {
    let forms = [Compression::None, Compression::Zlib, Compression::Zstd, Compression::Zlib];
    let with_functions = Options { minidebug: MiniDebug::Functions, ..keeping(&["symbol1"]) };
    let with_functions = Options { absent: Absent::Allowed, ..with_functions };
    let wishes = [Options::default(), keeping(&["main"]), keeping_all(), with_functions];
    let mut any = false;
    for (options, form) in wishes.iter().zip(forms) {
        match try_split(input, options, form) {
            Ok(halves) => {
                let held = std::panic::catch_unwind(|| hold(&halves));
                assert!(held.is_ok(), "{what}: {:?}", options.symbols.rest);
                any = true;
            }
            Err(Error::Broken(error)) => panic!("{what}: {error}"),
            Err(_) => {}
        }
    }
    any
}

#[test]
fn whatever_layout_chance_draws_is_split_within_the_laws_or_refused() {
    let mut split = 0;
    for seed in 1..=600u64 {
        let input = a_file(&mut Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))).build();
        split += u32::from(splits(&input, &format!("seed {seed}")));
    }
    assert!(split > 200, "chance draws too few that can be split: {split}");
}

#[test]
fn a_bit_flipped_in_the_headers_of_a_real_file_breaks_no_law() {
    for name in ["c-musl", "c-musl-dynamic", "c-dynamic"] {
        let mut bytes = std::fs::read(corpus::path(name)).unwrap();
        let elf = Elf::parse(&bytes).unwrap();
        let ranges = [0..elf.segments_range().end, elf.sections_range()];
        let mut chance = Chance(1 + bytes.len() as u64);
        for range in ranges {
            for _ in 0..12 {
                let at = (range.start + chance.below(range.end - range.start)) as usize;
                let bit = chance.below(8);
                bytes[at] ^= 1 << bit;
                splits(&bytes, &format!("{name}: bit {bit} of byte {at:#x}"));
                bytes[at] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn a_real_file_cut_anywhere_is_refused() {
    for name in ["c-i386", "c-s390x", "c-riscv64", "go-mips", "c-mold"] {
        let bytes = std::fs::read(corpus::path(name)).unwrap();
        let mut chance = Chance(bytes.len() as u64);
        for _ in 0..100 {
            let end = chance.below(bytes.len() as u64) as usize;
            let cut = law::try_split(&bytes[..end], &Options::default(), Compression::Zlib);
            assert!(matches!(cut, Err(Error::Elf(_))), "{name}: {end:#x}");
        }
    }
}
