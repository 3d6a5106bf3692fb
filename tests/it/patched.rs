//! Programs that another tool changed after the linker had made them.

use std::process::Command;

use xpost::elf::Elf;

use crate::support::corpus;
use crate::support::law::{Halves, hold};
use crate::support::tools;
use crate::support::xpost::xpost;

#[test]
fn what_left_from_before_a_segment_of_patchelf_becomes_a_hole_and_the_report_says_so() {
    let binary = corpus::get("c-dynamic");
    let xpost = xpost();
    std::fs::copy(binary.path(), xpost.path("app")).unwrap();
    // Too long for its place, so patchelf adds a segment at the end of the file, behind the debug information.
    let path = "/opt/app/lib:".repeat(40);
    let mut patchelf = tools::tool("patchelf", xpost.home());
    tools::stdout(patchelf.args(["--set-rpath", &path, "app"]).current_dir(xpost.home()));
    let ran = xpost.run(["slim", "-o", "slim", "app"]).succeeds();
    assert!(ran.stdout.contains(" of zeros: a segment lies behind what left"), "{ran:?}");
    let halves = Halves {
        input: xpost.read("app"),
        slim: xpost.read("slim"),
        debug: Some(xpost.read("slim.debug")),
    };
    hold(&halves);
    let input = Elf::parse(&halves.input).unwrap();
    // What a slim file has behind what is loaded fits into the hole.
    assert!(halves.slim.len() <= halves.input.len(), "{} bytes", halves.slim.len());
    let left = input.section_named(b".debug_info").unwrap().range();
    let hole = &halves.slim[left.start as usize..left.end as usize];
    assert!(hole.iter().filter(|&&byte| byte == 0).count() > hole.len() / 2);
    assert_eq!(tools::stdout(&mut Command::new(xpost.path("slim"))), binary.prints());
    let said =
        tools::stdout(tools::tool("readelf", xpost.home()).arg("-dW").arg(xpost.path("slim")));
    assert!(said.contains("/opt/app/lib:/opt/app/lib"), "{said}");
    // What comes after finds a program like any other.
    let mut patchelf = tools::tool("patchelf", xpost.home());
    tools::stdout(patchelf.args(["--set-rpath", "/opt", "slim"]).current_dir(xpost.home()));
    assert_eq!(tools::stdout(&mut Command::new(xpost.path("slim"))), binary.prints());
    let json = xpost.run(["slim", "--json", "-o", "slim", "app"]).succeeds().json();
    let sizes = json["files"][0]["sizes"].as_array().unwrap().clone();
    let hole = sizes.iter().find(|row| row["holds"] == "zeros before a segment").unwrap();
    assert!(hole["size"].as_u64().unwrap() > left.end - left.start, "{sizes:?}");
    // The other half has what left.
    xpost.run(["slim", "--no-merge-strings", "-o", "slim", "app"]).succeeds();
    xpost.run(["restore", "slim", "slim.debug", "-o", "again"]).succeeds();
    assert!(xpost.read("again") == xpost.read("app"));
}

#[test]
fn a_program_that_bolt_wrote_anew_runs_as_before() {
    let binary = corpus::get("c-glibc-static");
    let xpost = xpost();
    let mut compile = tools::tool("gcc", xpost.home());
    compile.args(["-g", "-O2", "-static", "-Wl,--emit-relocs", "-o", "linked"]);
    compile.arg(binary.source_directory().join("tally.c"));
    tools::stdout(compile.current_dir(xpost.home()));
    let mut bolt = tools::tool("llvm-bolt-16", xpost.home());
    bolt.args(["linked", "-o", "app", "--update-debug-sections"]);
    tools::stdout(bolt.current_dir(xpost.home()));
    // BOLT puts the program headers and all code that it moved behind everything else, the debug information too.
    let app = xpost.read("app");
    assert!(Elf::parse(&app).unwrap().segments_range().start > 4096);
    let ran = xpost.run(["slim", "--no-merge-strings", "-o", "slim", "app"]).succeeds();
    assert!(ran.stderr.contains("its program headers are not in the first page"), "{ran:?}");
    let halves =
        Halves { input: app, slim: xpost.read("slim"), debug: Some(xpost.read("slim.debug")) };
    hold(&halves);
    assert!(halves.slim.len() < halves.input.len());
    assert_eq!(tools::stdout(&mut Command::new(xpost.path("slim"))), binary.prints());
    xpost.run(["restore", "slim", "slim.debug", "-o", "again"]).succeeds();
    assert!(xpost.read("again") == halves.input);
}
