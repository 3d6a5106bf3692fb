//! Whatever the bytes are: an error or two files that hold every law, which the tests' own judge decides.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xpost::debug::Compression;
use xpost::identity::{Method, Wish};
use xpost::slim::{Error, Options};

#[allow(dead_code, unreachable_pub, reason = "the tests use the rest of it")]
#[path = "../../tests/it/support/law.rs"]
mod law;

fuzz_target!(|data: &[u8]| {
    for options in [Options::default(), law::keeping(&["_start"]), law::keeping_all()] {
        match law::try_split(data, &options, Compression::Zlib) {
            Ok(halves) => law::hold(&halves),
            Err(Error::Broken(error)) => panic!("a law would have been broken: {error}"),
            Err(_) => {}
        }
    }
    for wish in [
        Wish::default(),
        Wish::Rewrite,
        Wish::Inject(Some(Method::AbitagOverwrite)),
        Wish::Inject(Some(Method::MovePhdrs)),
    ] {
        if let Some(halves) = law::try_identify(data, wish) {
            law::hold(&halves);
        }
    }
});
