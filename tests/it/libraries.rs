//! Static libraries: each object file in them is slimmed, and they link as before.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::tools;
use crate::support::xpost::{Xpost, xpost};

/// C's part of a program, and the parts that it takes out of a library.
const MAIN: &str = "int part_one(int), part_two(int);\n#include <stdio.h>\n\
                    int main(void) { printf(\"%d\\n\", part_one(1) + part_two(2)); return 0; }\n";
const PARTS: [(&str, &str); 3] = [
    (
        "one",
        "static int helper(int x) { return x + 40; }\nint part_one(int x) { return helper(x); }\n",
    ),
    ("two_with_a_name_for_the_table", "int part_two(int x) { return x / 2; }\n"),
    ("never_linked", "int never(void) { return 1; }\n"),
];

/// `libparts.a`, made by the tools of a prefix (`aarch64-linux-gnu-`), with a text file in it.
fn library(at: &Xpost, prefix: &str) -> PathBuf {
    let mut command = Command::new(tools::path(&format!("{prefix}ar")));
    command.current_dir(at.home()).args(["rcsU", "libparts.a"]);
    for (name, text) in PARTS {
        at.put(&format!("{name}.c"), text);
        let mut gcc = tools::tool(&format!("{prefix}gcc"), at.home());
        gcc.current_dir(at.home()).args(["-g", "-O0", "-c", &format!("{name}.c")]);
        tools::stdout(&mut gcc);
        command.arg(format!("{name}.o"));
    }
    at.put("notes.txt", "no object file\n");
    tools::stdout(command.arg("notes.txt"));
    at.path("libparts.a")
}

fn links_and_runs(at: &Xpost, prefix: &str, library: &Path, flags: &[&str]) -> String {
    at.put("main.c", MAIN);
    let program = at.path("program");
    let mut gcc = tools::tool(&format!("{prefix}gcc"), at.home());
    tools::stdout(
        gcc.args(["-static", "-o"]).arg(&program).arg(at.path("main.c")).arg(library).args(flags),
    );
    if prefix.is_empty() {
        return tools::stdout(&mut Command::new(program));
    }
    tools::stdout(Command::new(tools::path("qemu-aarch64-static")).arg(program))
}

/// What a tool says of a library, its own name aside.
fn said(program: &str, flags: &[&str], library: &Path) -> String {
    let output = tools::output(Command::new(tools::path(program)).args(flags).arg(library));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| !line.contains(".a:")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_static_library_links_and_runs_as_before() {
    for (prefix, strip) in [("", "strip"), ("aarch64-linux-gnu-", "aarch64-linux-gnu-strip")] {
        for option in ["-g", "--strip-unneeded"] {
            let at = xpost();
            let input = library(&at, prefix);
            let printed = links_and_runs(&at, prefix, &input, &[]);
            assert_eq!(printed, "42\n");
            let ran = at.run(["slim", option, "-o", "slim.a", "libparts.a"]).succeeds();
            assert!(ran.stdout.contains("4, 3 of them object files"), "{ran:?}");
            assert!(ran.stdout.contains(".debug_info"), "{ran:?}");
            let slim = at.path("slim.a");
            assert!(at.read("slim.a").len() * 2 < at.read("libparts.a").len());
            assert_eq!(links_and_runs(&at, prefix, &slim, &[]), printed);

            let theirs = at.path("theirs.a");
            // GNU strip stops at what is no object file: it gets the library without.
            std::fs::copy(&input, at.path("objects.a")).unwrap();
            let ar = tools::path(&format!("{prefix}ar"));
            tools::stdout(Command::new(&ar).arg("dU").arg(at.path("objects.a")).arg("notes.txt"));
            let mut command = Command::new(tools::path(strip));
            tools::stdout(
                command.args([option, "-D", "-o"]).arg(&theirs).arg(at.path("objects.a")),
            );
            at.run(["slim", option, "-o", "ours.a", "objects.a"]).succeeds();
            let ours = at.path("ours.a");
            let members = |library: &Path| {
                let listed = said("ar", &["tv"], library);
                let fields = |line: &str| {
                    let words: Vec<_> = line.split_whitespace().collect();
                    // Permissions and owner, then dates and the name, without the size.
                    [&words[..2], &words[3..]].concat().join(" ")
                };
                listed.lines().map(fields).collect::<Vec<_>>()
            };
            assert_eq!(members(&ours), members(&theirs));
            let index = |library: &Path| {
                let shown = said("readelf", &["-c", "-W"], library);
                // Where a member lies is its own.
                shown
                    .lines()
                    .map(|line| line.split(" at offset").next().unwrap_or_default().to_owned())
                    .filter(|line| !line.contains("Contents of"))
                    .map(|line| line.trim().to_owned())
                    .filter(|line| !line.is_empty())
                    .collect::<Vec<_>>()
            };
            assert_eq!(index(&ours), index(&theirs));
            assert!(index(&ours).iter().any(|line| line == "part_two"), "{:?}", index(&ours));
            at.run(["slim", option, "-o", "again.a", "slim.a"]).exits(0, &["slim already"]);
            assert!(at.read("again.a") == at.read("slim.a"));
        }
    }
}

#[test]
fn a_static_library_of_rustc_links_and_runs_as_before() {
    let at = xpost();
    let source = "#[unsafe(no_mangle)]\npub extern \"C\" fn part_one(x: i32) -> i32 { \
                  format!(\"{}\", x + 40).parse().unwrap() }\n\
                  #[unsafe(no_mangle)]\npub extern \"C\" fn part_two(x: i32) -> i32 { \
                  std::panic::catch_unwind(|| if x > 1 { panic!() } else { 0 }).map_or(1, |n| n) }\n";
    at.put("parts.rs", source);
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    rustc.current_dir(at.home()).args(["-g", "--edition", "2024", "--crate-type", "staticlib"]);
    tools::stdout(rustc.args(["-o", "libparts.a", "parts.rs"]));
    let flags = ["-lpthread", "-ldl", "-lm"];
    let printed = links_and_runs(&at, "", &at.path("libparts.a"), &flags);
    assert_eq!(printed, "42\n");
    for option in ["-g", "--strip-unneeded"] {
        at.run(["slim", option, "-o", "slim.a", "libparts.a"]).succeeds();
        assert!(at.read("slim.a").len() * 4 < at.read("libparts.a").len() * 3);
        assert_eq!(links_and_runs(&at, "", &at.path("slim.a"), &flags), printed, "{option}");
    }
}

#[test]
fn members_lose_dates_and_owners_unless_they_are_to_be_preserved() {
    let at = xpost();
    let input = library(&at, "");
    tools::stdout(Command::new("touch").args(["-d", "@1000000000"]).arg(at.path("one.o")));
    let mut ar = Command::new(tools::path("ar"));
    tools::stdout(ar.current_dir(at.home()).args(["rU", "libparts.a", "one.o"]));
    let listed = |library: &Path| said("ar", &["tv"], library);
    let year = |library: &Path| listed(library).lines().next().unwrap().contains(" 2001 ");
    assert!(year(&input), "{}", listed(&input));
    at.run(["slim", "-p", "-o", "kept.a", "libparts.a"]).succeeds();
    assert!(year(&at.path("kept.a")));
    at.run(["slim", "--in-place", "libparts.a"]).succeeds();
    assert!(listed(&input).lines().all(|line| line.contains(" 1970 ") && line.contains("0/0")));
    assert_eq!(links_and_runs(&at, "", &input, &[]), "42\n");
}

#[test]
fn every_section_of_every_object_file_is_explained() {
    let at = xpost();
    library(&at, "");
    let ran = at.run(["slim", "--explain", "-o", "slim.a", "libparts.a"]).succeeds();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<_> = ran.stdout.lines().map(words).collect();
    assert!(lines.iter().any(|words| words.starts_with(&["one.o".to_owned()])), "{lines:?}");
    let debug =
        |words: &&Vec<String>| words.starts_with(&[".debug_info", "drop"].map(str::to_owned));
    assert_eq!(lines.iter().filter(debug).count(), 3, "{lines:?}");
    let said =
        at.run(["slim", "--explain", "--json", "-o", "slim.a", "libparts.a"]).succeeds().json();
    let explained = said["files"][0]["explained"].as_array().unwrap();
    assert_eq!(explained.len(), 3, "{said}");
    let before: u64 = explained.iter().map(|object| object["before"].as_u64().unwrap()).sum();
    assert!(before < at.read("libparts.a").len() as u64);
    assert_eq!(explained[0]["sections"][0]["fate"], "keep");
}

#[test]
fn what_cannot_be_done_to_a_static_library_is_refused() {
    let at = xpost();
    let input = library(&at, "");
    let before = at.read("libparts.a");
    let slim = |arguments: &[&str]| at.run([&["slim"], arguments].concat());
    slim(&["libparts.a"]).exits(2, &["static library", "--in-place"]);
    slim(&["-s", "--in-place", "libparts.a"]).exits(3, &["libparts.a(one.o)", "cannot be linked"]);
    slim(&["-g", "-N", "part_one", "--in-place", "libparts.a"]).exits(2, &["it holds many"]);
    slim(&["-R", ".comment", "--in-place", "libparts.a"]).exits(2, &["it holds many"]);
    let mut thin = Command::new(tools::path("ar"));
    tools::stdout(thin.current_dir(at.home()).args(["rcsT", "thin.a", "one.o"]));
    slim(&["--in-place", "thin.a"]).exits(8, &["thin archive", "slim the object files"]);
    // Cut and changed anywhere: an error or a library, never a panic.
    assert!(input.exists() && at.read("libparts.a") == before);
    for at_byte in (0..before.len()).step_by(before.len() / 40) {
        at.put("cut.a", &before[..at_byte]);
        let ran = slim(&["-o", "out.a", "cut.a"]);
        assert!([0, 8].contains(&ran.exit), "{at_byte}: {ran:?}");
        let mut flipped = before.clone();
        flipped[at_byte] ^= 0x10;
        at.put("flipped.a", flipped);
        let ran = slim(&["-o", "out.a", "flipped.a"]);
        assert!([0, 3, 8].contains(&ran.exit), "{at_byte}: {ran:?}");
    }
    at.put("empty.a", "!<arch>\n");
    slim(&["--in-place", "empty.a"]).exits(0, &["slim already"]);
}
