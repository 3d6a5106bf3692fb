//! The form of the debug file: compression, its levels, and the names of symbols.

use std::fs;

use object::{Endianness, elf};
use xpost::debug::Compression;
use xpost::elf::Elf;
use xpost::slim::Options;

use crate::support::corpus;
use crate::support::elf::Builder;
use crate::support::law::{Halves, hold, split, symbols, try_split};
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

/// What readelf reads in the debug sections of a file, under the names of today.
fn dwarf(xpost: &Xpost, file: &str) -> String {
    let mut readelf = tools::tool("readelf", xpost.home());
    let said = tools::stdout(readelf.arg("--debug-dump=info,line,str").arg(xpost.path(file)));
    said.replace(".zdebug_", ".debug_")
}

#[test]
fn what_gnu_tools_compressed_before_there_was_a_standard_has_the_form_and_names_of_today() {
    let old = fs::read(corpus::path("c-zdebug")).unwrap();
    let old = Elf::parse(&old).unwrap();
    let names = old.sections().iter().filter(|section| section.name.starts_with(b".zdebug_"));
    let names: Vec<_> = names.map(|section| section.display_debug_name()).collect();
    assert!(names.contains(&".debug_info".to_owned()), "{names:?}");
    for (form, kind) in [("zlib", 1), ("zstd", 1), ("none", 0)] {
        // zstd is not smaller here, and the smaller form wins.
        let (xpost, debug) =
            debug_of("c-zdebug", &[&format!("--compress-debug-sections={form}"), "-g"]);
        let elf = Elf::parse(&debug).unwrap();
        assert!(names.iter().all(|name| elf.section_named(name.as_bytes()).is_some()), "{form}");
        assert_eq!(info(&debug).0, kind, "{form}");
        assert!(dwarf(&xpost, "slim.debug") == dwarf(&xpost, "app"), "{form}");
        assert!(elf.sections().iter().all(|section| !section.name.starts_with(b".zdebug_")));
        let list = tools::stdout(
            tools::tool("gdb", xpost.home())
                .args(["-q", "-nx", "-batch", "-ex", "info line main"])
                .arg(xpost.path("slim")),
        );
        assert!(list.contains("of \"tally.c\""), "{form}: {list}");
        xpost.run(["verify", "--load-identity", "slim", "slim.debug", "app"]).succeeds();
    }
    let xpost = xpost();
    fs::copy(corpus::path("c-zdebug"), xpost.path("app")).unwrap();
    let text = xpost.run(["slim", "--explain", "-o", "slim", "app"]).succeeds().stdout;
    let rule = text.lines().find(|line| line.contains(".zdebug_info")).unwrap();
    assert!(rule.contains("debug") && rule.contains("gnu-compressed"), "{rule}");
    // One that stays as well is what it was, and the debug file's is of today.
    xpost.run(["slim", "--keep-section", ".zdebug_info", "-o", "slim", "app"]).succeeds();
    assert!(Elf::parse(&xpost.read("slim")).unwrap().section_named(b".zdebug_info").is_some());
    xpost.run(["verify", "--load-identity", "slim", "slim.debug", "app"]).succeeds();
}

#[test]
fn gnu_headers_are_read_in_every_class_and_byte_order_and_none_is_believed() {
    let text = b"debug information ".repeat(40);
    let mut deflater = libdeflater::Compressor::new(libdeflater::CompressionLvl::default());
    let mut stream = vec![0; deflater.zlib_compress_bound(text.len())];
    let len = deflater.zlib_compress(&text, &mut stream).unwrap();
    stream.truncate(len);
    let contents =
        |size: usize, stream: &[u8]| [b"ZLIB", &(size as u64).to_be_bytes()[..], stream].concat();
    for (is_64, endian, machine) in [
        (true, Endianness::Little, elf::EM_X86_64),
        (false, Endianness::Little, elf::EM_386),
        (true, Endianness::Big, elf::EM_S390),
        (false, Endianness::Big, elf::EM_MIPS),
    ] {
        let build = |bytes: Vec<u8>| {
            let mut builder = Builder::usual_for(is_64, endian, machine);
            let section = builder.change(".debug_info");
            (section.name, section.bytes) = (".zdebug_info".to_owned(), bytes);
            builder.build()
        };
        let read =
            |bytes: Vec<u8>| try_split(&build(bytes), &Options::default(), Default::default());
        let input = build(contents(text.len(), &stream));
        for compression in [Compression::Zlib, Compression::Zstd, Compression::None] {
            let halves = split(&input, &Options::default(), compression);
            let debug = halves.debug.unwrap();
            let (slim, debug) = (Elf::parse(&halves.slim).unwrap(), Elf::parse(&debug).unwrap());
            let section = debug.section_named(b".debug_info").unwrap();
            assert!(debug.contents(section).unwrap() == text, "{compression:?}");
            let restored = xpost::debug::restore(&slim, &debug).unwrap();
            assert!(!restored.exact || restored.layout.to_vec() == input, "{compression:?}");
        }
        let mut damaged = stream.clone();
        damaged[9] ^= 0xff;
        for (lie, said) in [
            (contents(text.len() + 1, &stream), "another length"),
            (contents(text.len() - 1, &stream), "another length"),
            (contents(1 << 40, &stream), "not believable"),
            (contents(usize::MAX, &stream), "not believable"),
            (contents(text.len(), &stream[..20]), "damaged"),
            (contents(text.len(), &damaged), "damaged"),
            (b"ZLIB\0\0".to_vec(), "too short"),
        ] {
            let error = read(lie).err().unwrap().to_string();
            assert!(error.contains(said), "{error}");
        }
        // The name alone says nothing.
        let debug = read(text.clone()).unwrap().debug.unwrap();
        let plain = Elf::parse(&debug).unwrap();
        assert!(plain.section_named(b".zdebug_info").unwrap().data == text);
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
