//! The laws, over every binary of the corpus and the committed ones.

use std::path::PathBuf;

use xpost::elf::Elf;

use crate::support::law::{Halves, hold};
use crate::support::xpost::{Xpost, xpost};
use crate::support::{corpus, tools};

/// Name and path of every input.
fn inputs() -> Vec<(String, PathBuf)> {
    let of_corpus = corpus::ALL.iter().map(|binary| (binary.name.to_owned(), binary.path()));
    let committed = ["amd64", "arm64"];
    let committed = committed.map(|machine| (format!("bin/{machine}"), corpus::committed(machine)));
    of_corpus.chain(committed).collect()
}

/// A symbol that a binary has: C's `main`, Go's, the library's.
fn symbol(name: &str) -> &'static str {
    match name {
        "c-shared" => "_init",
        name if name.starts_with("go") => "main.main",
        _ => "main",
    }
}

fn with_input(path: &PathBuf) -> Xpost {
    let xpost = xpost();
    std::fs::copy(path, xpost.path("app")).unwrap();
    xpost
}

/// The files of the release directory with their bytes.
fn outputs(xpost: &Xpost) -> Vec<(String, Vec<u8>)> {
    let names = xpost.list().into_iter();
    let names = names.filter(|name| name.starts_with("xpost-out/") && !name.ends_with('/'));
    names.map(|name| (name.clone(), xpost.read(name))).collect()
}

#[test]
fn every_binary_is_split_within_the_laws() {
    for (name, path) in inputs() {
        let one = symbol(&name);
        for flags in [&[][..], &["-K", one], &["-g"], &["--keep-symtab", "-N", one]] {
            let xpost = with_input(&path);
            xpost.run([&["slim", "-o", "slim"], flags, &["app"]].concat()).succeeds();
            let (input, slim) = (xpost.read("app"), xpost.read("slim"));
            assert!(input == std::fs::read(&path).unwrap(), "{name}: the input is as it was");
            assert!(slim.len() < input.len(), "{name} {flags:?}");
            hold(&Halves { input, slim, debug: Some(xpost.read("slim.debug")) });
        }
    }
}

#[test]
fn the_same_input_gives_the_same_bytes_wherever_and_whenever() {
    for (name, path) in inputs() {
        let first = with_input(&path);
        first.run(["slim", "-K", symbol(&name), "app"]).succeeds();
        let other = with_input(&path);
        let mut command = other.command(["slim", "-K", symbol(&name), "app"]);
        // One processor, another environment, another moment.
        command.env("TZ", "Asia/Tokyo").env("LC_ALL", "C").env("SOURCE_DATE_EPOCH", "1");
        let mut pinned = std::process::Command::new(tools::path("taskset"));
        pinned.args(["-c", "0"]).arg(command.get_program()).args(command.get_args());
        tools::stdout(pinned.current_dir(other.home()));
        assert!(outputs(&first) == outputs(&other), "{name}");
        assert_eq!(outputs(&first).len(), 2, "{name}");
    }
}

#[test]
fn slimming_what_is_slim_copies_it() {
    for (name, path) in inputs() {
        for flags in [&[][..], &["-K", symbol(&name)], &["-g"]] {
            let once = with_input(&path);
            once.run([&["slim", "-o", "slim"], flags, &["app"]].concat()).succeeds();
            let again = [&["slim", "-o", "again"], flags, &["slim"]].concat();
            once.run(&again).exits(0, &["slim already"]);
            assert!(once.read("again") == once.read("slim"), "{name} {flags:?}");
            assert!(!once.path("again.debug").exists(), "{name} {flags:?}");
        }
    }
}

#[test]
fn the_release_of_a_slim_file_keeps_the_debug_file_of_the_first_run() {
    for (name, path) in inputs() {
        let xpost = with_input(&path);
        xpost.run(["slim", "-K", symbol(&name), "app"]).succeeds();
        let before = outputs(&xpost);
        let (slim, _) = before.iter().find(|(name, _)| name.ends_with("/app")).unwrap();
        std::fs::copy(xpost.path(slim), xpost.path("app")).unwrap();
        xpost.run(["slim", "-K", symbol(&name), "app"]).exits(0, &["slim already"]);
        assert!(outputs(&xpost) == before, "{name}");
        // Slimmer still: the symbol leaves, and the debug file stays the one with everything.
        xpost.run(["slim", "app"]).succeeds();
        let after = outputs(&xpost);
        let debug = |files: &[(String, Vec<u8>)]| {
            files.iter().find(|(name, _)| name.ends_with(".debug")).map(|(_, bytes)| bytes.clone())
        };
        assert!(debug(&after) == debug(&before), "{name}");
        xpost.run(["sbom"]).succeeds();
    }
}

#[test]
fn sizes_add_up_and_the_platform_is_the_binary_s() {
    for (name, path) in inputs() {
        let xpost = with_input(&path);
        let json = xpost.run(["slim", "--json", "app"]).succeeds().json();
        let file = &json["files"][0];
        let rows = file["sizes"].as_array().unwrap();
        let sum: u64 = rows.iter().map(|row| row["size"].as_u64().unwrap()).sum();
        let slim = file["slim"]["path"].as_str().unwrap();
        assert_eq!(sum, xpost.read(slim).len() as u64, "{name}");
        let expected = match name.as_str() {
            "c-musl-dynamic" => "linux-amd64-musl",
            "go-arm" => "linux-arm-v7",
            "go-mips" => "linux-mips",
            "c-i386" => "linux-386",
            "c-ppc64le" => "linux-ppc64le",
            "c-riscv64" => "linux-riscv64",
            name if name.ends_with("s390x") => "linux-s390x",
            name if name.contains("arm64") => "linux-arm64",
            _ => "linux-amd64",
        };
        assert_eq!(slim, format!("xpost-out/{expected}/app"), "{name}");
        let digest = xpost::inspect::load_digest(&Elf::parse(&xpost.read(slim)).unwrap());
        assert_eq!(file["loadDigest"], digest.to_string(), "{name}");
    }
}
