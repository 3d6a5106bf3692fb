//! `xpost slim` as a program: exit codes, sentences, files on disk.

use std::process::{Command, Stdio};

use object::elf;
use serde_json::Value;

use crate::support::elf::{Builder, section, symbol};
use crate::support::xpost::{Ran, Xpost, xpost};
use crate::support::{corpus, law, tools};

const SLIM: &str = "xpost-out/linux-amd64/app";
const DEBUG: &str = "xpost-out/linux-amd64/app.debug";

/// A directory with a program called `app` in it.
fn with_app() -> Xpost {
    let xpost = xpost();
    xpost.put("app", std::fs::read(corpus::committed("amd64")).unwrap());
    xpost
}

fn build_id(bytes: &[u8]) -> Option<String> {
    let elf = xpost::elf::Elf::parse(bytes).unwrap();
    xpost::inspect::build_id(&elf).map(|id| id.to_string())
}

#[test]
fn a_program_is_split_into_the_release_directory() {
    let xpost = with_app();
    let input = xpost.read("app");
    let ran = xpost.run(["slim", "--keep-symbol", "main", "app"]).succeeds();
    let files = ["app", "xpost-out/", "xpost-out/linux-amd64/", SLIM, DEBUG];
    assert_eq!(xpost.list(), files);
    assert!(xpost.read("app") == input, "the input stays as it is");
    for said in ["1 of ", "symbols", "build-id", "linux/amd64", "KiB"] {
        assert!(ran.stdout.contains(said), "{said}: {ran:?}");
    }
    law::hold(&law::Halves { input, slim: xpost.read(SLIM), debug: Some(xpost.read(DEBUG)) });
    let mode = |name| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(xpost.path(name)).unwrap().permissions().mode()
    };
    assert_eq!(mode(SLIM) & 0o111, 0o111 & mode(SLIM) | 0o100, "the slim file can be run");
    assert_eq!(mode(DEBUG) & 0o111, 0, "the debug file cannot");
    let printed = tools::stdout(&mut corpus::get("c-musl").command(&xpost.path(SLIM)));
    assert_eq!(printed, corpus::get("c-musl").prints());
}

#[test]
fn what_is_no_program_is_refused_with_a_sentence() {
    let usual = Builder::usual().build();
    let kind = |kind| {
        let mut builder = Builder::usual();
        builder.kind = kind;
        builder.build()
    };
    let mut no_sections = usual.clone();
    no_sections[40..48].fill(0);
    no_sections[60..64].fill(0);
    let mut outside = usual.clone();
    outside[40..48].copy_from_slice(&0x7fff_0000u64.to_le_bytes());
    let mut absurd = usual.clone();
    absurd[60..62].copy_from_slice(&0xfeffu16.to_le_bytes());
    let mut long_segment = usual.clone();
    long_segment[64 + 32..64 + 40].copy_from_slice(&u64::MAX.to_le_bytes());
    let debug = law::split(&usual, &xpost::slim::Options::default(), Default::default());
    let big_class = {
        let mut bytes = usual.clone();
        bytes[4] = 9;
        bytes
    };
    let cases: [(&str, Vec<u8>, &[&str]); 18] = [
        ("text", b"just text, and more of it".to_vec(), &["not an ELF file"]),
        ("empty", Vec::new(), &["the file is empty"]),
        ("script", b"#!/bin/sh\nexit\n".to_vec(), &["script"]),
        ("setup.exe", b"MZ\x90\0\x03\0".to_vec(), &["Windows program"]),
        ("mach", vec![0xcf, 0xfa, 0xed, 0xfe, 7, 0, 0, 1], &["macOS program"]),
        ("universal", vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2], &["macOS program"]),
        ("module.wasm", b"\0asm\x01\0\0\0".to_vec(), &["WebAssembly"]),
        ("app.gz", vec![0x1f, 0x8b, 8, 0, 0], &["gzip"]),
        ("one-byte", vec![0x7f], &["truncated"]),
        ("half-a-header", usual[..40].to_vec(), &["header needs 64 bytes", "40"]),
        ("class", big_class, &["class 9"]),
        ("truncated", usual[..usual.len() - 1].to_vec(), &["outside the file", "truncated"]),
        ("outside", outside, &["section header table", "outside the file"]),
        ("absurd", absurd, &["section header table", "65279"]),
        ("long-segment", long_segment, &["segment 0", "outside the file"]),
        ("no-sections", no_sections, &["no section headers"]),
        ("core", kind(elf::ET_CORE), &["core file"]),
        ("split", debug.debug.unwrap(), &["debug file", "slim the program itself"]),
    ];
    let xpost = xpost();
    for (name, bytes, said) in cases {
        xpost.put(name, bytes);
        let before = xpost.list();
        let ran = xpost.run(["slim", name]).exits(8, said);
        assert!(ran.stderr.contains(&format!("cannot slim {name}")), "{ran:?}");
        assert!(ran.stdout.is_empty(), "{ran:?}");
        assert_eq!(xpost.list(), before, "{name}: nothing is written");
    }
}

#[test]
fn what_cannot_be_read_or_written_is_named() {
    let xpost = with_app();
    xpost.put("directory/file", "");
    let before = xpost.list();
    let slim = |arguments: &[&str]| xpost.run([&["slim"], arguments].concat());
    slim(&["missing"]).exits(5, &["cannot read missing"]);
    slim(&["directory"]).exits(1, &["cannot read directory", "it is a directory"]);
    slim(&["app/below"]).exits(1, &["cannot read app/below"]);
    slim(&["/dev/null"]).exits(1, &["/dev/null", "a pipe or a device"]);
    slim(&["-o", "app/below", "app"]).exits(1, &["app"]);
    slim(&["-o", "directory", "app"]).exits(1, &["directory", "it is a directory"]);
    slim(&["--release-dir", "app", "app"]).exits(1, &["app"]);
    slim(&[]).exits(2, &[]);
    slim(&["--no-such-flag", "app"]).exits(2, &[]);
    assert_eq!(xpost.list(), before);
}

#[test]
fn a_file_without_permission_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let xpost = with_app();
    let set = |name, mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(xpost.path(name), permissions).unwrap();
    };
    set("", 0o755);
    set("app", 0o000);
    // Nothing is forbidden to root: somebody else has to try, with a program that this one can reach.
    let program = xpost.path("xpost");
    std::fs::copy(env!("CARGO_BIN_EXE_xpost"), &program).unwrap();
    let is_root = tools::stdout(Command::new("id").arg("-u")).trim() == "0";
    let mut command =
        if is_root { Command::new(tools::path("setpriv")) } else { Command::new(&program) };
    if is_root {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    }
    let ran = Ran::of(&tools::output(command.current_dir(xpost.home()).args(["slim", "app"])));
    ran.exits(1, &["cannot read app", "ermission denied"]);
    assert_eq!(xpost.list(), ["app", "xpost"]);
}

#[test]
fn a_disk_that_takes_no_more_leaves_everything_as_it_was() {
    let xpost = with_app();
    xpost.run(["slim", "app"]).succeeds();
    xpost.run(["sbom"]).succeeds();
    xpost.put("xpost-out/index.sigstore.json", "{}");
    let before: Vec<_> = xpost.list();
    let old = xpost.read(SLIM);
    xpost.put("app", std::fs::read(corpus::path("c-glibc-static")).unwrap());
    // A limit on file sizes fails writes in the middle, as a full disk does, without a disk of one's own.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 20; exec \"$0\" slim app"]);
    command.arg(env!("CARGO_BIN_EXE_xpost")).current_dir(xpost.home());
    Ran::of(&tools::output(&mut command)).exits(1, &["cannot write xpost-out/linux-amd64/app"]);
    assert_eq!(xpost.list(), before);
    assert!(xpost.read(SLIM) == old);
}

#[test]
fn an_output_never_replaces_its_input() {
    let xpost = with_app();
    let input = xpost.read("app");
    std::os::unix::fs::symlink("app", xpost.path("alias")).unwrap();
    std::fs::create_dir(xpost.path("sub")).unwrap();
    xpost.put("b.debug", &input);
    let before = xpost.list();
    for arguments in [
        &["-o", "app", "app"][..],
        &["-o", "./sub/../app", "app"],
        &["-o", "alias", "app"],
        &["-o", "app", "alias"],
        &["-o", "slim", "--debug-out", "app", "app"],
        &["-o", "slim", "--debug-out", "alias", "app"],
        &["-o", "b", "b.debug"],
    ] {
        let ran = xpost.run([&["slim"], arguments].concat());
        ran.exits(2, &["replace the input"]);
        assert_eq!(xpost.list(), before, "{arguments:?}");
        assert!(xpost.read("app") == input && xpost.read("b.debug") == input, "{arguments:?}");
    }
    xpost.run(["slim", "-o", "one", "--debug-out", "one", "app"]).exits(2, &["one"]);
    xpost.run(["slim", "-o", "one", "--debug-out", "sub/../one", "app"]).exits(2, &["one"]);
    assert_eq!(xpost.list(), before);
}

#[test]
fn a_slim_file_in_the_release_stays_when_it_is_the_input() {
    let xpost = with_app();
    xpost.run(["slim", "-K", "main", "app"]).succeeds();
    let (slim, debug) = (xpost.read(SLIM), xpost.read(DEBUG));
    xpost.run(["slim", "-K", "main", SLIM]).exits(0, &["slim already"]);
    assert!(xpost.read(SLIM) == slim && xpost.read(DEBUG) == debug);
    // Without -K the symbol would leave, and the output is the input.
    xpost.run(["slim", SLIM]).exits(2, &["replace the input"]);
}

#[test]
fn a_stripped_program_is_copied_and_that_is_said() {
    for name in ["c-glibc-static", "go", "rust-auditable"] {
        let xpost = xpost();
        tools::stdout(
            Command::new(tools::path("strip"))
                .args(["-s", "-o"])
                .arg(xpost.path("app"))
                .arg(corpus::path(name)),
        );
        let ran = xpost.run(["slim", "--build-id", "keep", "app"]);
        // GNU strip leaves .debug_gdb_scripts in Go's programs, which is set aside.
        if !ran.stderr.contains("no debug information") {
            let ran = ran.exits(0, &["slim already"]);
            assert!(xpost.read(SLIM) == xpost.read("app"), "{name}: {ran:?}");
            assert!(!xpost.path(DEBUG).exists());
        }
        assert!(xpost.read(SLIM).len() <= xpost.read("app").len(), "{name}");
    }
}

#[test]
fn names_of_companion_files_are_refused() {
    let xpost = with_app();
    for name in ["x.debug", "x.json", "x.dwp", ".hidden"] {
        xpost.put(name, xpost.read("app"));
        xpost.run(["slim", name]).exits(2, &[name, "--name"]);
        xpost.run(["slim", "--name", name, "app"]).exits(2, &[name]);
        assert!(!xpost.path("xpost-out").exists());
    }
    xpost.run(["slim", "--name", "fine", "x.debug"]).succeeds();
    assert!(xpost.path("xpost-out/linux-amd64/fine").exists());
}

#[test]
fn two_inputs_cannot_become_one_output() {
    let xpost = with_app();
    xpost.put("other/app", xpost.read("app"));
    let before = xpost.list();
    xpost.run(["slim", "app", "other/app"]).exits(2, &["twice", "other/app", "--name"]);
    xpost.run(["slim", "app", "app"]).exits(2, &["twice"]);
    xpost.run(["slim", "--name", "x", "app", "other/app"]).exits(2, &["one input"]);
    xpost.run(["slim", "-o", "x", "app", "other/app"]).exits(2, &["one input"]);
    assert_eq!(xpost.list(), before);
}

#[test]
fn one_bad_input_means_no_output_at_all() {
    let xpost = with_app();
    xpost.put("bad", "no program");
    xpost.run(["slim", "app", "bad"]).exits(8, &["cannot slim bad"]);
    xpost.run(["slim", "app", "missing"]).exits(5, &["missing"]);
    xpost.run(["slim", "bad", "app"]).exits(8, &[]);
    assert_eq!(xpost.list(), ["app", "bad"]);
}

#[test]
fn a_symbol_that_is_not_there_is_an_error_with_near_misses() {
    let xpost = with_app();
    xpost.put("goapp", std::fs::read(corpus::path("go")).unwrap());
    xpost.put("stripped", {
        let mut builder = Builder::usual();
        builder.symbols.clear();
        builder.build()
    });
    let before = xpost.list();
    xpost.run(["slim", "-K", "main", "goapp"]).exits(3, &["\"main\"", "did you mean main.main"]);
    xpost.run(["slim", "-K", "mian", "app"]).exits(3, &["\"mian\"", "main"]);
    let ran = xpost.run(["slim", "-K", "nothing_like_it", "app"]).exits(3, &["no symbol"]);
    assert!(!ran.stderr.contains("did you mean"), "{ran:?}");
    xpost.run(["slim", "-K", "main", "-K", "xyzzy", "app"]).exits(3, &["\"xyzzy\""]);
    xpost.run(["slim", "-K", "main", "stripped"]).exits(3, &["no symbol table"]);
    // One program has it, the other does not.
    xpost.run(["slim", "-K", "main", "app", "goapp"]).exits(3, &["cannot slim goapp"]);
    assert_eq!(xpost.list(), before);
}

#[test]
fn kept_symbols_are_all_that_stays() {
    let xpost = with_app();
    let arguments = ["slim", "-K", "main", "--keep-symbol", "exit", "-K", "main", "app"];
    xpost.run(arguments).succeeds();
    let slim = xpost.read(SLIM);
    let kept = law::symbols(&xpost::elf::Elf::parse(&slim).unwrap());
    let mut names: Vec<_> = kept.iter().map(|symbol| symbol.0.as_slice()).collect();
    names.sort();
    assert_eq!(names, [b"exit".as_slice(), b"main"]);
    let seen = tools::stdout(Command::new(tools::path("nm")).arg(xpost.path(SLIM)));
    assert_eq!(seen.lines().count(), 2, "{seen}");
}

#[test]
fn strip_debug_leaves_the_symbols() {
    let xpost = with_app();
    xpost.run(["slim", "-g", "app"]).succeeds();
    let nm = |name| tools::stdout(Command::new(tools::path("nm")).arg(xpost.path(name)));
    assert_eq!(nm(SLIM), nm("app"));
    law::hold(&law::Halves {
        input: xpost.read("app"),
        slim: xpost.read(SLIM),
        debug: Some(xpost.read(DEBUG)),
    });
    xpost.run(["slim", "-g", "-s", "app"]).exits(2, &[]);
}

#[test]
fn a_rebuild_takes_what_was_made_for_the_old_binary_with_it() {
    let xpost = with_app();
    xpost.run(["slim", "app"]).succeeds();
    xpost.run(["sbom"]).succeeds();
    let bundles = ["xpost-out/linux-amd64/app.sigstore.json", "xpost-out/index.sigstore.json"];
    for bundle in bundles {
        xpost.put(bundle, "{}");
    }
    let sbom = "xpost-out/linux-amd64/app.cdx.json";
    let before = xpost.list();
    // The same build again changes nothing.
    let ran = xpost.run(["slim", "app"]).succeeds();
    assert_eq!(xpost.list(), before);
    assert!(!ran.stderr.contains("removed"), "{ran:?}");
    // A dry run says nothing of it and does nothing.
    xpost.run(["slim", "--dry-run", "-K", "main", "app"]).succeeds();
    assert_eq!(xpost.list(), before);
    let gone = [&bundles[..], &[sbom]].concat();
    xpost.run(["slim", "-K", "main", "app"]).exits(0, &gone);
    assert_eq!(xpost.list(), ["app", "xpost-out/", "xpost-out/linux-amd64/", SLIM, DEBUG]);
}

#[test]
fn what_is_left_of_a_binary_that_somebody_deleted_goes_too() {
    let xpost = with_app();
    xpost.run(["slim", "app"]).succeeds();
    xpost.run(["sbom"]).succeeds();
    xpost.put("xpost-out/index.sigstore.json", "{}");
    std::fs::remove_file(xpost.path(SLIM)).unwrap();
    xpost.run(["slim", "-K", "main", "app"]).exits(0, &["app.cdx.json", "index.sigstore.json"]);
    assert_eq!(xpost.list(), ["app", "xpost-out/", "xpost-out/linux-amd64/", SLIM, DEBUG]);
}

#[test]
fn another_binary_takes_nothing_of_the_first_with_it() {
    let xpost = with_app();
    xpost.run(["slim", "app"]).succeeds();
    xpost.run(["sbom"]).succeeds();
    let ran = xpost.run(["slim", "--name", "other", "app"]).succeeds();
    assert!(!ran.stderr.contains("removed"), "{ran:?}");
}

#[test]
fn a_debug_file_is_kept_only_for_the_same_build() {
    let xpost = with_app();
    xpost.run(["slim", "-K", "main", "app"]).succeeds();
    let debug = xpost.read(DEBUG);
    let id = build_id(&debug).unwrap();
    // The slim file itself is slimmed further: what left before stays.
    xpost.put("app", xpost.read(SLIM));
    let ran = xpost.run(["slim", "app"]).succeeds();
    assert!(ran.stdout.contains("kept"), "{ran:?}");
    assert!(xpost.read(DEBUG) == debug);
    let slim = xpost.read(SLIM);
    let link = xpost::slim::DebugLink::of(&xpost::elf::Elf::parse(&slim).unwrap()).unwrap();
    assert_eq!(link.crc, crc32fast::hash(&debug));
    // Another build, stripped before: its debug file is not this one.
    let other = xpost.path("app");
    let glibc = corpus::path("c-glibc-static");
    tools::stdout(Command::new(tools::path("strip")).arg("-s").arg("-o").arg(&other).arg(glibc));
    assert_ne!(build_id(&xpost.read("app")).unwrap(), id);
    xpost.run(["slim", "app"]).exits(0, &["removed", DEBUG]);
    assert!(!xpost.path(DEBUG).exists());
}

#[test]
fn without_a_debug_file_nothing_links_to_one_and_it_is_said() {
    let xpost = with_app();
    xpost.run(["slim", "--no-debug-file", "app"]).exits(0, &["dropped", "--no-debug-file"]);
    assert_eq!(xpost.list(), ["app", "xpost-out/", "xpost-out/linux-amd64/", SLIM]);
    let slim = xpost.read(SLIM);
    assert!(xpost::slim::DebugLink::of(&xpost::elf::Elf::parse(&slim).unwrap()).is_none());
    xpost.run(["slim", "--no-debug-file", "--debug-out", "x", "-o", "y", "app"]).exits(2, &[]);
}

#[test]
fn a_dry_run_writes_nothing_and_says_so() {
    let xpost = with_app();
    let ran = xpost.run(["slim", "--dry-run", "--explain", "--build-id-tree", "tree", "app"]);
    let ran = ran.exits(0, &["nothing was written"]);
    assert!(ran.stdout.contains(".debug_info"), "{ran:?}");
    assert_eq!(xpost.list(), ["app"]);
}

#[test]
fn every_section_is_explained_with_its_rule() {
    let xpost = with_app();
    let ran = xpost.run(["slim", "--explain", "-K", "main", "--json", "app"]).succeeds();
    let input = xpost.read("app");
    let elf = xpost::elf::Elf::parse(&input).unwrap();
    let json = ran.json();
    let rows = json["files"][0]["sections"].as_array().unwrap();
    assert_eq!(rows.len(), elf.sections().len());
    for (row, section) in rows.iter().zip(elf.sections()) {
        assert_eq!(row["name"], section.display_name());
        assert!(["keep", "debug", "both"].contains(&row["fate"].as_str().unwrap()), "{row}");
        assert!(!row["rule"].as_str().unwrap().is_empty());
    }
    let text = xpost.run(["slim", "--explain", "-K", "main", "app"]).succeeds().stdout;
    for section in elf.sections().iter().skip(1) {
        let name = section.display_name();
        assert!(text.lines().any(|line| line.trim_start().starts_with(&name)), "{name}: {text}");
    }
    assert!(text.contains("symbol main"), "{text}");
    // What leaves is what has the fate to leave.
    let file = &json["files"][0];
    let left = rows.iter().filter(|row| row["fate"] == "debug" && row["size"] != 0);
    let size: u64 = left.clone().map(|row| row["size"].as_u64().unwrap()).sum();
    assert_eq!(
        (&file["leaves"]["size"], &file["leaves"]["sections"]),
        (&size.into(), &left.count().into())
    );
    assert!(text.contains("leaves the slim file"), "{text}");
    // Both tables add up to the files.
    for (rows, half) in [("sizes", "slim"), ("debugSizes", "debug")] {
        let rows = file[rows].as_array().unwrap().iter();
        let sum: u64 = rows.map(|row| row["size"].as_u64().unwrap()).sum();
        assert_eq!(file[half]["size"], sum, "{half}");
        assert!(
            text.lines().any(|line| line.contains("in all") && line.ends_with(&sum.to_string()))
        );
    }
}

#[test]
fn quiet_prints_the_result_and_nothing_else() {
    let xpost = with_app();
    let ran = xpost.run(["slim", "--quiet", "--dry-run", "--no-debug-file", "app"]).succeeds();
    assert_eq!(ran.stderr, "");
    assert!(ran.stdout.starts_with("xpost-out/linux-amd64/app"), "{ran:?}");
}

#[test]
fn output_files_are_where_they_were_asked_for() {
    let xpost = with_app();
    xpost.run(["slim", "-o", "out/slim", "app"]).succeeds();
    assert_eq!(xpost.list(), ["app", "out/", "out/slim", "out/slim.debug"]);
    xpost.run(["slim", "-o", "slim", "--debug-out", "debug/d", "app"]).succeeds();
    let slim = xpost.read("slim");
    let link = xpost::slim::DebugLink::of(&xpost::elf::Elf::parse(&slim).unwrap()).unwrap();
    assert_eq!((link.name.as_str(), link.crc), ("d", crc32fast::hash(&xpost.read("debug/d"))));
    xpost.run(["slim", "--debug-out", "d", "app"]).exits(2, &["--output"]);
    assert!(!xpost.path("xpost-out").exists());
}

#[test]
fn a_build_id_tree_has_both_files_and_is_never_in_the_release() {
    let xpost = with_app();
    xpost.run(["slim", "--build-id-tree", "tree", "app"]).succeeds();
    let id = build_id(&xpost.read(SLIM)).unwrap();
    let path = format!("tree/.build-id/{}/{}", &id[..2], &id[2..]);
    assert!(xpost.read(&path) == xpost.read(SLIM));
    assert!(xpost.read(format!("{path}.debug")) == xpost.read(DEBUG));

    std::os::unix::fs::symlink("xpost-out", xpost.path("alias")).unwrap();
    let before = xpost.list();
    let absolute = xpost.path("xpost-out/tree");
    let absolute = absolute.to_str().unwrap();
    for tree in [
        "xpost-out",
        "xpost-out/linux-amd64",
        "./xpost-out/x/y",
        "tree/../xpost-out/x",
        "new/../xpost-out/x",
        "alias/x",
        absolute,
    ] {
        let ran = xpost.run(["slim", "--build-id-tree", tree, "app"]);
        ran.exits(2, &["inside the release directory"]);
        assert_eq!(xpost.list(), before, "{tree}");
    }
    xpost.run(["slim", "--build-id-tree", "xpost-out-tree", "app"]).succeeds();
}

#[test]
fn a_build_id_tree_loses_nothing() {
    let xpost = with_app();
    let app = xpost.read("app");
    xpost.put("twin", &app);
    let before = xpost.list();
    let ran = xpost.run(["slim", "--build-id-tree", "tree", "app", "twin"]);
    ran.exits(2, &["app and twin have one build-id"]);
    assert_eq!(xpost.list(), before);

    let id = build_id(&app).unwrap();
    let input = format!("tree/.build-id/{}/{}", &id[..2], &id[2..]);
    xpost.put(&input, &app);
    let ran = xpost.run(["slim", "--name", "app", "--build-id-tree", "tree", &input]);
    ran.exits(2, &["the output would replace the input"]);
    assert!(xpost.read(&input) == app);
}

#[test]
fn a_program_without_build_id_gets_a_link_and_a_warning() {
    let xpost = xpost();
    xpost.put("app", std::fs::read(corpus::path("c-nobuildid")).unwrap());
    let ran = xpost.run(["slim", "--build-id", "keep", "app"]);
    let ran = ran.exits(0, &["no build-id", "-Wl,--build-id"]);
    assert!(!ran.stdout.contains("build-id"), "{ran:?}");
    let slim = xpost.read(SLIM);
    let link = xpost::slim::DebugLink::of(&xpost::elf::Elf::parse(&slim).unwrap()).unwrap();
    assert_eq!((link.name.as_str(), link.crc), ("app.debug", crc32fast::hash(&xpost.read(DEBUG))));
}

#[test]
fn bytes_of_no_section_are_named() {
    let xpost = xpost();
    let mut builder = Builder::usual();
    builder.payload = b"a payload".to_vec();
    let bytes = builder.build();
    let at = format!("{:#x}", bytes.len() - 9);
    xpost.put("app", bytes);
    xpost.run(["slim", "app"]).exits(0, &["9 B", &at, "they stay"]);
}

#[test]
fn nobody_has_to_read_what_it_says() {
    let xpost = with_app();
    for (closed, json) in [("stdout", false), ("stdout", true), ("stderr", false)] {
        let mut command = xpost.command(["slim", "--explain", "app"]);
        if json {
            command.arg("--json");
        }
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if closed == "stdout" {
            command.stdout(writer)
        } else {
            command.stderr(writer)
        };
        let output = command.output().unwrap();
        Ran::of(&output).succeeds();
    }
    // A result that cannot be written is lost, and that is a failure.
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = xpost.command(["slim", "app"]).stdout(full).output().unwrap();
    Ran::of(&output).exits(1, &["cannot write to stdout"]);
}

#[test]
fn results_and_failures_are_data_where_that_is_asked_for() {
    let xpost = with_app();
    let json = xpost.run(["slim", "--json", "-K", "main", "app"]).succeeds().json();
    assert_eq!((&json["schema"], &json["ok"]), (&"xpost/slim/v1".into(), &Value::Bool(true)));
    let file = &json["files"][0];
    for (key, path) in [("input", "app"), ("slim", SLIM), ("debug", DEBUG)] {
        let bytes = xpost.read(path);
        assert_eq!(file[key]["path"], path);
        assert_eq!(file[key]["size"], bytes.len());
        let digest = xpost::digest::Digest::of(&bytes).to_string();
        assert_eq!(file[key]["digest"], digest, "{key}");
    }
    let rows = file["sizes"].as_array().unwrap();
    let sum: u64 = rows.iter().map(|row| row["size"].as_u64().unwrap()).sum();
    assert_eq!(sum, file["slim"]["size"].as_u64().unwrap());
    assert_eq!(file["platform"], "linux/amd64");
    assert_eq!(file["symbols"]["kept"], 1);

    for (arguments, exit) in [
        (&["slim", "--json", "missing"][..], 5),
        (&["slim", "--json", "-K", "mian", "app"], 3),
        (&["--json", "slim", "-o", "app", "app"], 2),
    ] {
        let ran = xpost.run(arguments);
        assert_eq!(ran.exit, exit, "{ran:?}");
        let json = ran.json();
        assert_eq!((&json["schema"], &json["ok"]), (&"xpost/slim/v1".into(), &Value::Bool(false)));
        assert_eq!(json["error"]["exit"], exit);
        assert!(!json["error"]["message"].as_str().unwrap().is_empty());
    }
    let json = xpost.run(["slim", "--json"]).exits(2, &[]).json();
    assert!(json["error"]["message"].as_str().unwrap().contains("<FILE>"), "{json}");
}

#[test]
fn nothing_foreign_moves_the_cursor_or_commands_a_runner() {
    let hostile = [
        "::add-mask::x",
        "\x1b[31mred",
        "a\rb",
        "line\n::error::two",
        "  ::x::",
        "##[error]x",
        "a ##[group]b",
    ];
    let mut builder = Builder::usual();
    for (index, name) in hostile.iter().enumerate() {
        builder.sections.push(section(name, vec![index as u8; 4]));
        builder.symbols.push(symbol(name, ".text"));
    }
    builder.payload = b"payload".to_vec();
    let xpost = xpost();
    let bytes = builder.build();
    let mut runs = Vec::new();
    for (index, name) in hostile.iter().enumerate() {
        let file = format!("{name}{index}");
        xpost.put(&file, &bytes);
        xpost.put(&format!("bad{file}"), "no program");
        runs.push(vec!["slim".to_owned(), "--explain".into(), file.clone()]);
        let output = format!("{name}/out");
        runs.push(["slim", "--explain", "-g", "-o", &output, &file].map(Into::into).to_vec());
        runs.push(["slim", "--explain", "-K", name, "-o", "out", &file].map(Into::into).to_vec());
        runs.push(["slim", "-K", &format!("{name}z"), "-o", "out", &file].map(Into::into).to_vec());
        runs.push(["slim", &format!("bad{file}")].map(Into::into).to_vec());
        runs.push(["slim", &format!("{name}missing")].map(Into::into).to_vec());
        runs.push(["slim", "--release-dir", name, "--name", "app", &file].map(Into::into).to_vec());
    }
    for arguments in runs {
        let ran = xpost.run(&arguments);
        // What clap says of the command line is the user's own.
        for line in ran.stdout.lines().chain(ran.stderr.lines()) {
            assert!(!line.trim_start().starts_with("::"), "{arguments:?}: {line:?}");
            assert!(!line.contains("##["), "{arguments:?}: {line:?}");
            assert!(!line.chars().any(char::is_control), "{arguments:?}: {line:?}");
        }
    }
}

#[test]
fn a_program_for_no_known_platform_is_slimmed_outside_the_release() {
    let xpost = xpost();
    let builder = Builder::usual_for(true, object::Endianness::Little, elf::Machine(0xfeed));
    xpost.put("app", builder.build());
    xpost.run(["slim", "app"]).exits(8, &["65261", "--output"]);
    assert_eq!(xpost.list(), ["app"]);
    xpost.run(["slim", "-o", "slim", "app"]).succeeds();
}

#[test]
fn a_file_cut_anywhere_is_refused_and_never_a_panic() {
    let mut early_table = Builder::usual();
    early_table.change(".note.gnu.build-id").at = Some(0x700);
    early_table.table_at = Some(0x100);
    let committed = std::fs::read(corpus::committed("amd64")).unwrap();
    for input in [committed, Builder::usual().build(), early_table.build()] {
        for end in 0..input.len() {
            let error = law::try_split(&input[..end], &law::keeping(&["main"]), Default::default());
            let error = error.err().unwrap_or_else(|| panic!("{end:#x} of {:#x}", input.len()));
            assert!(matches!(error, xpost::slim::Error::Elf(_)), "{end:#x}: {error}");
        }
    }
    let xpost = with_app();
    let input = xpost.read("app");
    let last = input.len() - 1;
    for end in [1, 3, 4, 5, 15, 16, 51, 63, 64, 100, 4096, 20_000, last] {
        xpost.put("app", &input[..end]);
        xpost.run(["slim", "app"]).exits(8, &["cannot slim app"]);
        assert_eq!(xpost.list(), ["app"]);
    }
}

#[test]
fn a_flipped_bit_breaks_no_law() {
    let try_one = |bytes: &[u8], what: &dyn Fn() -> String| {
        for options in [xpost::slim::Options::default(), law::keeping(&["main"])] {
            match law::try_split(bytes, &options, Default::default()) {
                Ok(halves) => {
                    let held = std::panic::catch_unwind(|| law::hold(&halves));
                    assert!(held.is_ok(), "{}", what());
                }
                Err(xpost::slim::Error::Broken(error)) => panic!("{}: {error}", what()),
                Err(_) => {}
            }
        }
    };
    let mut builder = Builder::usual();
    let relocations = section(".rela.plt", [0; 24]).kind(elf::SHT_RELA).loaded().align(8);
    builder.insert_after(".data", [relocations.link(".symtab").info(".text")]);
    let mut bytes = builder.build();
    // Every bit of every header, of the symbols and of the names.
    let elf = xpost::elf::Elf::parse(&bytes).unwrap();
    let tables = [".symtab", ".strtab", ".shstrtab", ".note.gnu.build-id"]
        .map(|name| elf.section_named(name.as_bytes()).unwrap().range());
    let ranges = [0..elf.segments_range().end, elf.sections_range()].into_iter().chain(tables);
    for offset in ranges.flatten().map(|offset| offset as usize).collect::<Vec<_>>() {
        for bit in 0..8 {
            bytes[offset] ^= 1 << bit;
            try_one(&bytes, &|| format!("bit {bit} of byte {offset:#x}"));
            bytes[offset] ^= 1 << bit;
        }
    }
}

#[test]
#[cfg(unix)]
fn an_output_file_has_the_mode_of_its_input() {
    use std::os::unix::fs::PermissionsExt;
    let at = xpost();
    let app = at.put("app", std::fs::read(corpus::committed("amd64")).unwrap());
    std::fs::set_permissions(&app, std::fs::Permissions::from_mode(0o700)).unwrap();
    at.run(["slim", "-o", "out", "app"]).succeeds();
    let mode = |name| std::fs::metadata(at.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("out"), 0o700);
    // In a release it is a program, whoever built it.
    at.run(["slim", "app"]).succeeds();
    assert_eq!(mode("xpost-out/linux-amd64/app") & 0o111, 0o111);
}
