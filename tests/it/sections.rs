//! `xpost slim`: which sections stay or are dropped by name.

use xpost::elf::Elf;

use crate::support::corpus;
use crate::support::elf::{Builder, section};
use crate::support::law::{Halves, hold_without};
use crate::support::xpost::{Xpost, xpost};

/// Slims `app` with these flags, holds the outcome against the laws; the two files.
#[track_caller]
fn slim(xpost: &Xpost, flags: &[&str], dropped: &[&str]) -> Halves {
    xpost.run([&["slim", "-o", "slim"], flags, &["app"]].concat()).succeeds();
    let debug = Some(xpost.read("slim.debug"));
    let halves = Halves { input: xpost.read("app"), slim: xpost.read("slim"), debug };
    hold_without(&halves, dropped);
    halves
}

fn has(bytes: &[u8], name: &str) -> bool {
    let elf = Elf::parse(bytes).unwrap();
    elf.sections().iter().any(|section| section.name == name.as_bytes() && section.has_contents())
}

fn with_sections() -> Xpost {
    let xpost = xpost();
    let mut builder = Builder::usual();
    for name in [".users", ".users.more", ".odd[x]"] {
        builder.sections.push(section(name, [7; 40]));
    }
    xpost.put("app", builder.build());
    xpost
}

#[test]
fn a_removed_section_is_in_neither_file_and_is_named() {
    let xpost = with_sections();
    let halves = slim(&xpost, &["-R", ".users*", "-R", "!.users.more"], &[".users"]);
    assert!(has(&halves.slim, ".users.more") && has(&halves.slim, ".odd[x]"));
    slim(&xpost, &["-R", ".odd[x]", "-g"], &[".odd[x]"]);
    slim(&xpost, &["-R", ".comment", "-K", "main"], &[".comment"]);
    let flags = ["slim", "--explain", "-o", "slim", "-R", ".users*", "app"];
    let said = xpost.run(flags).succeeds().stdout;
    assert!(said.contains("dropped   .users, .users.more"), "{said}");
    let row = said.lines().find(|line| line.trim_start().starts_with(".users ")).unwrap();
    assert!(row.contains("drop") && row.ends_with("user-remove"), "{row}");
    let json = xpost.run([&["--json"], &flags[..]].concat()).succeeds().json();
    assert_eq!(json["files"][0]["dropped"], serde_json::json!([".users", ".users.more"]));
}

#[test]
fn removing_alone_makes_no_debug_file() {
    let xpost = with_sections();
    slim(&xpost, &[], &[]);
    std::fs::copy(xpost.path("slim"), xpost.path("app")).unwrap();
    xpost.run(["slim", "-o", "again", "-R", ".users", "app"]).succeeds();
    let again = xpost.read("again");
    assert!(
        !has(&again, ".users") && has(&again, ".users.more") && !xpost.path("again.debug").exists()
    );
    let link = |bytes: &[u8]| xpost::slim::DebugLink::of(&Elf::parse(bytes).unwrap()).unwrap();
    assert_eq!(link(&again), link(&xpost.read("slim")), "it still finds its debug file");
}

#[test]
fn what_cannot_be_removed_is_named_with_the_reason() {
    let xpost = with_sections();
    let before = xpost.list();
    let refused = |flags: &[&str], said: &[&str]| {
        xpost.run([&["slim", "-o", "slim"], flags, &["app"]].concat()).exits(3, said);
        assert_eq!(xpost.list(), before, "{flags:?}");
    };
    refused(&["-R", ".text"], &[".text cannot be removed", "is loaded"]);
    refused(&["-R", "*"], &["cannot be removed", "-R '!"]);
    refused(&["-R", ".symtab"], &[".symtab cannot be removed", "-K, -g and -s"]);
    refused(&["-R", ".strtab"], &["belongs to the symbols"]);
    refused(&["-R", ".shstrtab"], &["names of the sections"]);
    refused(&["-R", ".nobody"], &["no section \".nobody\"", "readelf"]);
    refused(&["-R", "=.users*"], &["no section \"=.users*\""]);
    refused(&["--keep-section", ".nobody"], &["no section \".nobody\""]);
    let run = |flags: &[&str]| xpost.run([&["slim", "-o", "slim"], flags, &["app"]].concat());
    run(&["-R", "!.users"]).exits(2, &["-R !.users spares nothing"]);
    run(&["-R", ".nobody", "--allow-missing"]).exits(0, &["no section \".nobody\""]);
}

#[test]
fn a_kept_section_stays_and_debug_information_is_in_both_files() {
    let xpost = with_sections();
    let halves = slim(&xpost, &["--keep-section", ".comment"], &[]);
    assert!(has(&halves.slim, ".comment") && !has(halves.debug.as_ref().unwrap(), ".comment"));
    let halves = slim(&xpost, &["--keep-section", ".debug_*"], &[]);
    assert!(has(&halves.slim, ".debug_info") && has(halves.debug.as_ref().unwrap(), ".debug_info"));
    // What is asked for both ways stays.
    let halves = slim(&xpost, &["-R", ".users*", "--keep-section", ".users"], &[".users.more"]);
    assert!(has(&halves.slim, ".users"));
}

#[test]
fn real_programs_lose_and_keep_sections_within_the_laws() {
    for name in ["c-glibc-static", "go", "rust-auditable", "cxx-arm64"] {
        let xpost = xpost();
        std::fs::copy(corpus::path(name), xpost.path("app")).unwrap();
        slim(&xpost, &["--keep-section", ".debug_line", "-g"], &[]);
        slim(&xpost, &["-R", ".debug_line", "--keep-symtab"], &[".debug_line"]);
        let printed =
            crate::support::tools::stdout(&mut corpus::get(name).command(&xpost.path("slim")));
        assert_eq!(printed, corpus::get(name).prints());
    }
}
