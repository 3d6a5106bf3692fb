//! `xpost restore` and `xpost verify --load-identity`: the two halves are the whole.

use xpost::elf::Elf;

use crate::support::xpost::{Xpost, xpost};
use crate::support::{corpus, tools};

fn halves(name: &str, flags: &[&str]) -> Xpost {
    let xpost = xpost();
    std::fs::copy(corpus::path(name), xpost.path("app")).unwrap();
    xpost.run([&["slim", "-o", "slim"], flags, &["app"]].concat()).succeeds();
    xpost
}

fn restored(xpost: &Xpost) -> serde_json::Value {
    xpost.run(["restore", "slim", "slim.debug", "-o", "again", "--json"]).succeeds().json()
}

#[test]
fn every_binary_comes_back_bit_for_bit() {
    for binary in corpus::ALL {
        for flags in [&["--compress-debug-sections=none"][..], &[], &["-g"]] {
            // Decompressed on request, the compressed bytes of an input are gone.
            let compressed = binary.name.starts_with("go")
                || ["c-compressed", "c-zdebug"].contains(&binary.name);
            if compressed && flags.contains(&"--compress-debug-sections=none") {
                continue;
            }
            let flags = &[&["--no-merge-strings"][..], flags].concat();
            // With a note that the input does not have it comes back by its contents alone.
            let xpost = match binary.name.ends_with("nobuildid") {
                true => halves(binary.name, &[flags.as_slice(), &["--build-id", "keep"]].concat()),
                false => halves(binary.name, flags),
            };
            if !xpost.path("slim.debug").exists() {
                assert!(xpost.read("slim") == xpost.read("app"), "{} {flags:?}", binary.name);
                continue;
            }
            let json = restored(&xpost);
            assert_eq!(json["exact"], true, "{} {flags:?}", binary.name);
            assert!(xpost.read("again") == xpost.read("app"), "{} {flags:?}", binary.name);
            let digest = xpost::digest::Digest::of(&xpost.read("app")).to_string();
            assert_eq!(json["output"]["digest"], digest);
        }
    }
}

#[test]
fn a_program_with_a_new_build_id_comes_back_by_contents_and_runs() {
    for name in ["c-nobuildid", "c-musl-nobuildid"] {
        let xpost = halves(name, &[]);
        assert_eq!(restored(&xpost)["exact"], false, "{name}");
        let binary = corpus::get(name);
        let printed = tools::stdout(&mut binary.command(&xpost.path("again")));
        assert_eq!(printed, binary.prints(), "{name}");
    }
}

#[test]
fn what_was_compressed_otherwise_comes_back_by_contents_and_runs() {
    for (name, form) in [
        ("c-compressed", "none"),
        ("c-zdebug", "none"),
        ("c-zdebug", "zlib anew"),
        ("c-lld", "zlib"),
        ("go", "zstd"),
        ("go", "none"),
    ] {
        let flags: &[&str] = match form {
            "zlib anew" => &["--compression-level", "1"],
            _ => &["--compress-debug-sections", form],
        };
        let xpost = halves(name, flags);
        let ran = xpost.run(["restore", "slim", "slim.debug", "-o", "again"]).succeeds();
        assert!(ran.stdout.contains("by contents"), "{ran:?}");
        let (input, again) = (xpost.read("app"), xpost.read("again"));
        same_contents(&input, &again);
        if name != "c-zdebug" {
            // Of names and forms of sections it knows those of today alone.
            let mut compare = tools::tool("eu-elfcmp", xpost.home());
            tools::stdout(compare.args(["app", "again"]).current_dir(xpost.home()));
        }
        let binary = corpus::get(name);
        let printed = tools::stdout(&mut binary.command(&xpost.path("again")));
        assert_eq!(printed, binary.prints(), "{name}");
    }
}

/// Every section, decompressed, and every symbol.
fn same_contents(input: &[u8], again: &[u8]) {
    let (input, again) = (Elf::parse(input).unwrap(), Elf::parse(again).unwrap());
    assert_eq!(input.segments(), again.segments());
    assert_eq!(xpost::inspect::load_digest(&input), xpost::inspect::load_digest(&again));
    assert_eq!(input.sections().len(), again.sections().len());
    for (old, new) in input.sections().iter().zip(again.sections()) {
        let same = (old.debug_name(), old.kind, old.address);
        assert_eq!(same, (new.debug_name(), new.kind, new.address));
        // Names may be merged, and symbols refer to them by offset.
        let is_table = matches!(old.kind, object::elf::SHT_SYMTAB | object::elf::SHT_STRTAB);
        let same = is_table || input.contents(old).unwrap() == again.contents(new).unwrap();
        assert!(same, "{old:?}");
    }
    let symbols = |elf: &Elf<'_>| -> Vec<_> {
        let table = elf.symbols(object::elf::SHT_SYMTAB).unwrap().unwrap();
        table.iter().map(|s| (s.name.to_vec(), s.value, s.size, s.info, s.place)).collect()
    };
    assert!(symbols(&input) == symbols(&again), "every symbol");
}

#[test]
fn the_halves_that_gnu_tools_made_come_together_as_well() {
    let xpost = xpost();
    std::fs::copy(corpus::path("c-static-pie"), xpost.path("app")).unwrap();
    let run = |name: &str, arguments: &[&str]| {
        tools::stdout(tools::tool(name, xpost.home()).args(arguments).current_dir(xpost.home()))
    };
    run("objcopy", &["--only-keep-debug", "app", "slim.debug"]);
    run("strip", &["-s", "-o", "slim", "app"]);
    assert_eq!(restored(&xpost)["exact"], false);
    let (input, again) = (xpost.read("app"), xpost.read("again"));
    let (input, again) = (Elf::parse(&input).unwrap(), Elf::parse(&again).unwrap());
    for old in input.sections().iter().filter(|old| old.name.starts_with(b".debug_")) {
        let new = again.section_named(old.name).unwrap();
        assert!(old.data == new.data, "{old:?}");
    }
    let binary = corpus::get("c-static-pie");
    assert_eq!(tools::stdout(&mut binary.command(&xpost.path("again"))), binary.prints());
}

#[test]
fn appended_bytes_come_back_where_they_were() {
    let xpost = xpost();
    let mut bytes = std::fs::read(corpus::committed("amd64")).unwrap();
    bytes.extend(b"#!payload\n".repeat(50));
    xpost.put("app", &bytes);
    xpost.run(["slim", "--no-merge-strings", "-o", "slim", "app"]).succeeds();
    assert_eq!(restored(&xpost)["exact"], true);
    assert!(xpost.read("again") == bytes);
}

#[test]
fn strangers_are_refused_and_both_build_ids_are_shown() {
    let xpost = halves("c-static-pie", &[]);
    std::fs::copy(corpus::path("c-glibc-static"), xpost.path("other")).unwrap();
    xpost.run(["slim", "-o", "other.slim", "other"]).succeeds();
    let id = |file: &str| {
        let bytes = xpost.read(file);
        xpost::inspect::build_id(&Elf::parse(&bytes).unwrap()).unwrap().to_string()
    };
    let ran = xpost.run(["restore", "slim", "other.slim.debug", "-o", "again"]);
    ran.exits(3, &["do not belong together", &id("app"), &id("other")]);
    xpost.run(["restore", "slim.debug", "slim", "-o", "again"]).exits(2, &["slim file first"]);
    xpost.run(["restore", "slim", "app", "-o", "again"]).exits(2, &["no debug file"]);
    xpost.run(["restore", "slim", "slim.debug", "-o", "slim"]).exits(2, &["replace an input"]);
    xpost.run(["restore", "slim", "absent", "-o", "again"]).exits(5, &["absent"]);
    assert!(!xpost.path("again").exists());
}

#[test]
fn what_was_dropped_is_named() {
    let xpost = halves("c-static-pie", &["-R", ".comment"]);
    let ran = xpost.run(["restore", "slim", "slim.debug", "-o", "again"]);
    ran.exits(3, &[".comment", "dropped"]);
}

#[test]
fn a_damaged_half_never_makes_a_wrong_whole() {
    let xpost = xpost();
    std::fs::copy(corpus::committed("amd64"), xpost.path("app")).unwrap();
    let input = xpost.read("app");
    xpost.run(["slim", "-o", "slim", "app"]).succeeds();
    let (slim, debug) = (xpost.read("slim"), xpost.read("slim.debug"));
    let parsed = Elf::parse(&slim).unwrap();
    for position in (0..debug.len()).step_by(7).chain(debug.len() - 700..debug.len()) {
        for value in [0, 0xff, debug[position] ^ 1, b'f'] {
            let mut damaged = debug.clone();
            damaged[position] = value;
            let Ok(other) = Elf::parse(&damaged) else { continue };
            if let Ok(restored) = xpost::debug::restore(&parsed, &other)
                && restored.exact
            {
                assert!(restored.layout.to_vec() == input, "byte {position}");
            }
        }
    }
}

#[test]
fn what_comes_back_by_contents_is_of_these_very_halves() {
    let xpost = halves("go", &["--compress-debug-sections", "zstd", "--compression-level", "1"]);
    let ran = xpost.run(["restore", "slim", "slim.debug", "-o", "again"]).succeeds();
    assert!(ran.stdout.contains("by contents"), "{ran:?}");
    let (slim, debug) = (xpost.read("slim"), xpost.read("slim.debug"));
    let mut damaged = debug.clone();
    damaged[debug.len() / 2] ^= 1;
    xpost.put("damaged.debug", &damaged);
    let ran = xpost.run(["restore", "slim", "damaged.debug", "-o", "wrong"]);
    ran.exits(3, &["debuglink and debug file differ"]);
    let text = Elf::parse(&slim).unwrap().section_named(b".text").unwrap().offset as usize;
    let mut damaged = slim.clone();
    damaged[text + 100] ^= 1;
    xpost.put("damaged", &damaged);
    let ran = xpost.run(["restore", "damaged", "slim.debug", "-o", "wrong"]);
    ran.exits(8, &["what the slim file loads has the checksum"]);
    let ran = xpost.run(["verify", "--load-identity", "damaged", "slim.debug"]);
    ran.exits(4, &["loaded checksum"]);
    assert!(!xpost.path("wrong").exists());
}

#[test]
fn the_halves_of_every_binary_agree_with_it_and_with_the_record() {
    for binary in corpus::ALL {
        let xpost = xpost();
        std::fs::copy(binary.path(), xpost.path("app")).unwrap();
        let json = xpost.run(["slim", "--json", "-o", "slim", "app"]).succeeds().json();
        let file = &json["files"][0];
        let flags = ["verify", "--json", "--load-identity", "slim", "slim.debug", "app"];
        let verdict = xpost.run(flags).succeeds().json();
        assert_eq!(verdict["schema"], "xpost/load-identity/v1");
        assert_eq!(verdict["checks"].as_array().unwrap().len(), 7, "{}", binary.name);
        for (row, half) in
            verdict["files"].as_array().unwrap().iter().zip(["slim", "debug", "input"])
        {
            assert_eq!(row["digest"], file[half]["digest"], "{} {half}", binary.name);
        }
        // The record is of the slim file's own bytes.
        let bytes = xpost.read("slim");
        let slim = Elf::parse(&bytes).unwrap();
        let record = xpost::debug::LoadIdentity::new(&slim, &bytes);
        let told = &file["loadIdentity"];
        assert_eq!(told["segments"], serde_json::to_value(&record.segments).unwrap());
        assert_eq!(told["loadDigest"], file["loadDigest"]);
        for (masked, own) in told["masked"].as_array().unwrap().iter().zip(&record.masked) {
            assert_eq!(masked["slim"], own.input.as_str(), "{}", binary.name);
        }
    }
}

#[test]
fn what_differs_is_named_and_exits_with_4() {
    let xpost = halves("c-static-pie", &[]);
    xpost.run(["verify", "--load-identity", "slim", "slim.debug"]).succeeds();
    let slim = xpost.read("slim");
    let elf = Elf::parse(&slim).unwrap();
    let text = elf.section_named(b".text").unwrap().offset as usize;
    let mut other = slim.clone();
    other[text] ^= 1;
    xpost.put("other", &other);
    let ran = xpost.run(["verify", "--load-identity", "other", "slim.debug", "app"]);
    ran.exits(4, &["loaded bytes", &format!("{text:#x} differs")]);
    let mut debug = xpost.read("slim.debug");
    let last = debug.len() - 30;
    debug[last] ^= 1;
    xpost.put("other.debug", &debug);
    let ran = xpost.run(["verify", "--load-identity", "slim", "other.debug"]);
    ran.exits(4, &["debuglink"]);
    std::fs::copy(corpus::path("c-glibc-static"), xpost.path("foreign")).unwrap();
    xpost.run(["slim", "-o", "foreign.slim", "foreign"]).succeeds();
    let ran = xpost.run(["verify", "--json", "--load-identity", "slim", "foreign.slim.debug"]);
    let json = ran.exits(4, &["build-id"]).json();
    assert_eq!(json["schema"], "xpost/load-identity/v1");
    assert!(json["checks"].as_array().unwrap().iter().any(|row| row["ok"] == false), "{json}");
    xpost.run(["verify", "--load-identity", "slim"]).exits(2, &["--load-identity"]);
}
