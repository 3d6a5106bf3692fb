//! The form of the debug file: compression, its levels, and the names of symbols.

use std::fs;

use object::elf;
use xpost::debug::Compression;
use xpost::elf::Elf;
use xpost::slim::Options;

use crate::support::corpus;
use crate::support::elf::Builder;
use crate::support::law::{Halves, hold, split, symbols};
use crate::support::tools;
use crate::support::xpost::{Xpost, xpost};

/// The debug file that flags make of a corpus binary; the laws hold.
fn debug_of(binary: &str, flags: &[&str]) -> (Xpost, Vec<u8>) {
    let xpost = xpost();
    fs::copy(corpus::path(binary), xpost.path("app")).unwrap();
    xpost.run([&["slim", "-q", "-o", "slim"], flags, &["app"]].concat()).succeeds();
    let debug = xpost.read("slim.debug");
    hold(&Halves {
        input: xpost.read("app"),
        slim: xpost.read("slim"),
        debug: Some(debug.clone()),
    });
    (xpost, debug)
}

/// The contents of `.debug_info` as they stand in a file, and the algorithm's number; 0 for none.
fn info(bytes: &[u8]) -> (u32, Vec<u8>) {
    let elf = Elf::parse(bytes).unwrap();
    let section = elf.section_named(b".debug_info").unwrap();
    let kind = elf.compressed(section).unwrap().map_or(0, |header| header.kind.0);
    (kind, section.data.to_vec())
}

#[test]
fn a_higher_level_makes_a_smaller_file() {
    for form in ["zlib", "zstd"] {
        let form = format!("--compress-debug-sections={form}");
        let sizes = ["1", "7", "best"]
            .map(|level| debug_of("cxx-static", &[&form, "--compression-level", level]).1.len());
        assert!(sizes.is_sorted_by(|larger, smaller| larger > smaller), "{form}: {sizes:?}");
    }
}

#[test]
fn a_level_that_does_not_exist_is_refused_with_those_that_do() {
    let cases: [(&[&str], &str); 5] = [
        (&["--compression-level=0"], "0 is not within 1 to 12"),
        (&["--compression-level=13"], "13 is not within 1 to 12"),
        (&["--compress-debug-sections=zstd", "--compression-level=20"], "20 is not within 1 to 19"),
        (&["--compress-debug-sections=none", "--compression-level=best"], "no meaning without"),
        (&["--compression-level=fast"], "neither a number nor best"),
    ];
    for (flags, text) in cases {
        let xpost = xpost();
        fs::copy(corpus::path("c-musl"), xpost.path("app")).unwrap();
        xpost.run([&["slim", "-o", "slim"], flags, &["app"]].concat()).exits(2, &[text]);
        assert!(!xpost.path("slim").exists());
    }
}

#[test]
fn what_is_compressed_already_is_copied_unless_a_level_or_another_form_is_asked_for() {
    let (zlib, zstd, none) = (1, 2, 0);
    for binary in ["c-compressed", "go"] {
        let before = info(&fs::read(corpus::path(binary)).unwrap());
        assert_eq!(before.0, zlib, "{binary}");
        let after = |flags: &[&str]| info(&debug_of(binary, flags).1);
        assert!(after(&[]) == before, "{binary}: copied");
        let smaller = after(&["--compression-level=best"]);
        assert!(smaller.0 == zlib && smaller.1.len() < before.1.len(), "{binary}");
        // The smaller form wins.
        assert!(after(&["--compression-level=1"]).1.len() <= before.1.len(), "{binary}");
        let other = after(&["--compress-debug-sections=zstd"]);
        assert!(other.0 == zstd || binary == "c-compressed" && other == before, "{binary}");
        assert_eq!(after(&["--compress-debug-sections=none"]).0, none, "{binary}");
    }
}

/// Words in an order that does not repeat, so that parts differ: 17 MiB.
fn long_text() -> Vec<u8> {
    let mut state = 1_u64;
    let mut text = Vec::new();
    while text.len() < 17 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        text.extend(format!("DW_TAG_{} ", state >> 50).into_bytes());
    }
    text
}

#[test]
fn a_section_of_many_parts_is_one_that_every_reader_takes() {
    let text = long_text();
    let mut builder = Builder::usual();
    builder.change(".debug_info").bytes = text.clone();
    let input = builder.build();
    for compression in [Compression::Zlib, Compression::Zstd] {
        // The laws decompress it as one stream, checksum and all.
        let debug = split(&input, &Options::default(), compression).debug.unwrap();
        assert!(debug.len() < text.len() / 2);
        let xpost = xpost();
        let file = xpost.put("app.debug", &debug);
        let plain = xpost.path("plain");
        for reader in ["eu-elfcompress", "objcopy"] {
            let mut reader_command = tools::tool(reader, xpost.home());
            match reader {
                // elfutils 0.188 knows no zstd.
                "eu-elfcompress" if compression == Compression::Zstd => continue,
                "eu-elfcompress" => {
                    reader_command.args(["-t", "none", "-o"]).arg(&plain).arg(&file)
                }
                _ => reader_command.arg("--decompress-debug-sections").arg(&file).arg(&plain),
            };
            tools::stdout(&mut reader_command);
            let (kind, found) = info(&xpost.read("plain"));
            assert!(kind == 0 && found == text, "{reader} {compression:?}");
            fs::remove_file(&plain).unwrap();
        }
    }
}

#[test]
fn no_frame_needs_more_memory_than_a_reader_in_go_has() {
    let mut builder = Builder::usual();
    builder.change(".debug_info").bytes = vec![b'x'; 9 << 20];
    let xpost = xpost();
    xpost.put("app", builder.build());
    let flags = ["--compress-debug-sections=zstd", "--compression-level=best"];
    xpost.run([&["slim", "-q", "-o", "slim"], &flags[..], &["app"]].concat()).succeeds();
    let debug = xpost.read("slim.debug");
    let elf = Elf::parse(&debug).unwrap();
    let stream =
        elf.compressed(elf.section_named(b".debug_info").unwrap()).unwrap().unwrap().stream;
    // RFC 8878, 3.1.1.1.2: the window of a frame that is no single segment.
    let (descriptor, window) = (stream[4], stream[5]);
    assert_eq!(descriptor & 0x20, 0, "not a single segment");
    let log = 10 + u32::from(window >> 3);
    assert!((1_u64 << log) + (1 << log >> 3) * u64::from(window & 7) <= 8 << 20);
}

#[test]
fn merged_names_are_the_same_symbols_in_fewer_bytes() {
    // GNU ld merges them itself, in programs of C and C++; lld, mold and Go do not.
    let of_gnu_ld = ["c-glibc-static", "c-arm64-static", "cxx-static"];
    let of_others = ["c-lld", "c-mold", "go", "go-mips"];
    for name in of_gnu_ld.into_iter().chain(of_others) {
        let binary = corpus::get(name);
        let (_, merged) = debug_of(binary.name, &[]);
        let (_, as_they_are) = debug_of(binary.name, &["--no-merge-strings"]);
        let input = fs::read(binary.path()).unwrap();
        let [input, merged, as_they_are] =
            [&input, &merged, &as_they_are].map(|bytes| Elf::parse(bytes).unwrap());
        assert!(symbols(&merged) == symbols(&input), "{}", binary.name);
        let names = |elf: &Elf<'_>| {
            let mut tables = elf.sections().iter().filter(|s| s.kind == elf::SHT_SYMTAB);
            let table = tables.next().unwrap();
            elf.section(xpost::elf::SectionId(table.link)).unwrap().data.to_vec()
        };
        assert!(names(&as_they_are) == names(&input), "{}", binary.name);
        let (was, is) = (names(&input).len(), names(&merged).len());
        assert!(is <= was, "{name}: {was} → {is}");
        assert!(is < was || of_gnu_ld.contains(&name), "{name}: {was} → {is}");
    }
}
