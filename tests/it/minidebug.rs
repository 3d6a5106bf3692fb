//! `--minidebug`: names of functions for whoever has the slim file alone.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::support::corpus::{self, Binary, get};
use crate::support::tools;
use crate::support::xpost::{Xpost, xpost};

fn slimmed(name: &str, flags: &[&str]) -> Xpost {
    let xpost = xpost();
    fs::copy(corpus::path(name), xpost.path("app")).unwrap();
    xpost.run([&["slim", "-o", "slim", "--minidebug"], flags, &["app"]].concat()).succeeds();
    xpost
}

fn tool(xpost: &Xpost, name: &str, arguments: &[&str]) -> String {
    tools::stdout(tools::tool(name, xpost.home()).current_dir(xpost.home()).args(arguments))
}

/// The symbols that elfutils reads in `.gnu_debugdata`.
fn names_in(xpost: &Xpost) -> BTreeSet<String> {
    let said = tool(xpost, "eu-readelf", &["--elf-section", "-s", "slim"]);
    let row = |line: &str| {
        let mut rest = line;
        for _ in 0..7 {
            rest = rest.trim_start().split_once(' ')?.1;
        }
        Some(rest.trim_start().to_owned()).filter(|name| !name.is_empty())
    };
    said.lines().skip_while(|line| !line.contains("Num:")).skip(1).filter_map(row).collect()
}

/// The defined symbols of the input that nm gives one of these letters.
fn nm(xpost: &Xpost, flags: &[&str], letters: &str) -> BTreeSet<String> {
    let said = tool(xpost, "nm", &[&["--defined-only"], flags, &["app"]].concat());
    // The name follows an address and a letter, and may hold blanks.
    let rows = said.lines().filter_map(|line| {
        let (_, rest) = line.split_once(' ')?;
        let (letter, name) = rest.split_once(' ')?;
        letters.contains(letter).then(|| name.to_owned())
    });
    rows.collect()
}

#[test]
fn it_names_what_the_recipe_of_the_gdb_manual_names_and_weak_functions() {
    for name in
        ["c-glibc-static", "c-static-pie", "c-dynamic", "c-musl", "cxx-static", "go", "rust-musl"]
    {
        let xpost = slimmed(name, &[]);
        let dynamic = nm(&xpost, &["-D"], "TtWwVvDdBbRriu");
        let recipe: BTreeSet<_> = &nm(&xpost, &[], "Tt") - &dynamic;
        let wider: BTreeSet<_> = &nm(&xpost, &[], "TtWwi") - &dynamic;
        let named = names_in(&xpost);
        assert!(recipe.len() > 5, "{name}: {recipe:?}");
        let lost: Vec<_> = recipe.difference(&named).collect();
        assert!(lost.is_empty(), "{name}: {lost:?}");
        let more: Vec<_> = named.difference(&wider).collect();
        assert!(more.is_empty(), "{name}: {more:?}");
    }
}

/// What gdb and the slim file alone say where every local is set.
fn backtrace(xpost: &Xpost, binary: Binary, function: &str) -> String {
    // Without its debug file.
    fs::create_dir(xpost.path("alone")).unwrap();
    fs::rename(xpost.path("slim"), xpost.path("alone/app")).unwrap();
    let stop = format!("break {function}");
    let mut gdb = tools::tool("gdb", xpost.home());
    gdb.current_dir(xpost.home()).args(["-nx", "-batch", "-iex", "set debuginfod enabled off"]);
    gdb.args(["-ex", &stop, "-ex", "run", "-ex", "bt", "alone/app"]);
    let said = tools::stdout(&mut gdb);
    assert!(!said.contains("tally.c"), "{}: no lines without the debug file: {said}", binary.name);
    said
}

#[test]
fn gdb_names_every_frame_without_the_debug_file() {
    for (name, function, frames) in [
        ("c-glibc-static", "add", &["add ()", "tally_entry ()", "tally_all ()", "main ()"][..]),
        ("c-static-pie", "add", &["add ()", "tally_entry ()", "tally_all ()", "main ()"]),
        ("c-musl", "add", &["add ()", "tally_entry ()", "tally_all ()", "main ()"]),
        ("c-dynamic", "add", &["add ()", "tally_entry ()", "tally_all ()", "main ()"]),
        // gdb takes such names for those of the language D.
        ("go", "main.add", &["main[add] ()", "main[tallyAll] ()", "main.main ()"]),
    ] {
        let said = backtrace(&slimmed(name, &[]), get(name), function);
        let found = frames.iter().all(|frame| said.contains(&format!("in {frame}")));
        assert!(found, "{name}: {said}");
    }
}

#[test]
fn elfutils_names_an_address_of_the_slim_file_alone() {
    let xpost = slimmed("c-glibc-static", &[]);
    fs::remove_file(xpost.path("slim.debug")).unwrap();
    let symbols = tool(&xpost, "nm", &["app"]);
    let row = symbols.lines().find(|line| line.ends_with(" t tally_entry"));
    let row = row.or(symbols.lines().find(|line| line.ends_with(" T tally_entry"))).unwrap();
    let address = format!("0x{}", row.split(' ').next().unwrap());
    let said = tool(&xpost, "eu-addr2line", &["-S", "-e", "slim", &address]);
    assert!(said.starts_with("tally_entry"), "{said}");
}

#[test]
fn both_halves_are_still_the_input_and_the_same_each_time() {
    for name in ["c-glibc-static", "c-shared", "c-s390x", "c-i386", "c-sections", "go-mips"] {
        let xpost = slimmed(name, &["--no-merge-strings"]);
        let verify = ["verify", "--load-identity", "slim", "slim.debug", "app"];
        xpost.run(verify).succeeds();
        let restored = xpost.run(["restore", "slim", "slim.debug", "-o", "again"]).succeeds();
        assert!(restored.stdout.contains("bit for bit"), "{name}: {restored:?}");
        assert!(xpost.read("again") == xpost.read("app"), "{name}");
        let first = xpost.read("slim");
        let again = ["slim", "--minidebug", "--no-merge-strings", "-o", "slim", "app"];
        xpost.run(again).succeeds();
        assert!(xpost.read("slim") == first, "{name}");
        // It costs what the table says, and nothing more than a header and a name.
        let json = ["slim", "--minidebug", "--no-merge-strings", "-o", "slim", "--json", "app"];
        let json = xpost.run(json).succeeds().json();
        let size = json["files"][0]["minidebug"]["size"].as_u64().unwrap();
        xpost.run(["slim", "--no-merge-strings", "-o", "plain", "app"]).succeeds();
        let grown = first.len() as u64 - xpost.read("plain").len() as u64;
        assert!(grown <= size + 64 + 16 + 8, "{name}: {grown} for {size}");
    }
}

#[test]
fn the_program_runs_and_the_debug_file_still_says_more() {
    let xpost = slimmed("c-glibc-static", &[]);
    let binary = get("c-glibc-static");
    let printed = tools::stdout(&mut Command::new(xpost.path("slim")));
    assert_eq!(printed, binary.prints());
    let stop = format!("break {}", binary.stop());
    let mut gdb = tools::tool("gdb", xpost.home());
    gdb.current_dir(xpost.home()).args(["-nx", "-batch", "-iex", "set debuginfod enabled off"]);
    gdb.args(["-ex", &stop, "-ex", "run", "-ex", "bt", "-ex", "info locals", "slim"]);
    let said = tools::stdout(&mut gdb);
    assert!(said.contains("cents = 250") && said.contains("tally.c:42"), "{said}");
}

#[test]
fn where_it_has_nothing_to_add_it_says_so() {
    let nothing = "--minidebug adds nothing";
    let xpost = slimmed("c-glibc-static", &[]);
    // It is there already, and stays.
    let ran = xpost.run(["slim", "--minidebug", "-o", "again", "slim"]);
    ran.exits(0, &[nothing]);
    assert!(xpost.read("again") == xpost.read("slim"));
    xpost.run(["slim", "--minidebug", "-g", "-o", "again", "app"]).exits(0, &[nothing]);
    // A function that stays by name is not named twice.
    xpost.run(["slim", "--minidebug", "-K", "tally_*", "-o", "slim", "app"]).succeeds();
    let named = names_in(&xpost);
    assert!(named.contains("main") && !named.contains("tally_entry"), "{named:?}");
}
