//! Whatever a compressed section holds: it is decompressed to the size it claims, or an error says why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use object::{Endianness, elf};
use xpost::debug::Compression;
use xpost::slim::{Error, Options};

#[allow(dead_code, unreachable_pub, reason = "the tests use the rest of it")]
#[path = "../../tests/it/support/elf.rs"]
mod build;
#[allow(dead_code, unreachable_pub, reason = "the tests use the rest of it")]
#[path = "../../tests/it/support/law.rs"]
mod law;

fuzz_target!(|data: &[u8]| {
    let Some((&shape, contents)) = data.split_first() else { return };
    let endian = if shape & 1 == 0 { Endianness::Little } else { Endianness::Big };
    let mut builder = build::Builder::usual_for(shape & 2 == 0, endian, elf::EM_X86_64);
    let section = builder.change(".debug_info");
    section.bytes = contents.to_vec();
    if shape & 4 == 0 {
        section.flags = elf::SHF_COMPRESSED;
    } else {
        section.name = ".zdebug_info".to_owned();
    }
    let input = builder.build();
    for compression in [Compression::None, Compression::Zlib, Compression::Zstd] {
        match law::try_split(&input, &Options::default(), compression) {
            Ok(halves) => law::hold(&halves),
            Err(Error::Broken(error)) => panic!("a law would have been broken: {error}"),
            Err(_) => {}
        }
    }
});
