//! Object files: what is left of them links as before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::elf;

use crate::support::elf::{Builder, section, symbol};
use crate::support::xpost::{Xpost, xpost};
use crate::support::{corpus, tools};

/// Groups (templates, inline functions, debug types), local symbols that relocations name, weak and undefined ones.
const SOURCE: &str = r#"
#include <cstdio>
#include <string>
#include <vector>
template <class T> T twice(T x) { static T count; return x + x + count++; }
inline int shared(int x) { static int count; return x + ++count; }
static int hidden(int x) { return x * 3; }
static int (*pointer)(int) = hidden;
struct Base { virtual ~Base(); virtual int value() { return 1; } };
Base::~Base() {}
struct Derived : Base { int value() override { return twice(4); } };
extern "C" int other(int) __attribute__((weak));
int main() {
    std::vector<std::string> words{"some", "words"};
    Derived derived;
    Base *base = &derived;
    try { if (words.size() == 2) throw pointer(3); } catch (int caught) {
        std::printf("%d %d %d %d\n", caught, shared(2), base->value(), other ? 1 : 0);
    }
}
"#;

const PRINTS: &str = "9 3 8 0\n";

/// An object file, made by `compiler` from the source above or `source`.
fn compiled(at: &Xpost, compiler: &str, flags: &[&str], source: &str) -> PathBuf {
    at.put("source.cpp", source);
    let object = at.path("input.o");
    let mut command = tools::tool(compiler, at.home());
    command.args(["-g", "-c", "-o"]).arg(&object).args(flags).arg(at.path("source.cpp"));
    tools::stdout(&mut command);
    object
}

fn links_and_runs(at: &Xpost, compiler: &str, object: &Path) -> String {
    let program = at.path("program");
    let mut command = tools::tool(compiler, at.home());
    tools::stdout(command.args(["-static", "-o"]).arg(&program).arg(object));
    let emulator = compiler.starts_with("aarch64").then(|| tools::path("qemu-aarch64-static"));
    tools::stdout(&mut match emulator {
        None => Command::new(&program),
        Some(emulator) => {
            let mut command = Command::new(emulator);
            command.arg(&program);
            command
        }
    })
}

/// How often each symbol is there: binding, type, place by its section's name, value, size and name. Symbols of sections
/// and files aside, which only name what is there anyway.
fn symbols(object: &Path) -> BTreeMap<String, usize> {
    let bytes = std::fs::read(object).unwrap();
    let elf = xpost::elf::Elf::parse(&bytes).unwrap();
    let table = elf.symbols(elf::SHT_SYMTAB).unwrap();
    let mut rows = BTreeMap::new();
    let mut globals = false;
    for symbol in table.iter().flat_map(|table| table.iter()) {
        globals |= !symbol.is_local();
        assert!(!globals || !symbol.is_local(), "local symbols come first: {symbol:?}");
        let place = match symbol.place {
            xpost::elf::Place::Section(id) => elf.section(id).unwrap().display_name(),
            xpost::elf::Place::Reserved(index) => format!("{index:#x}"),
        };
        let kind = elf::SymbolType(symbol.info.0 & 0xf);
        if kind != elf::STT_SECTION && kind != elf::STT_FILE {
            let name = symbol.display_name();
            let row =
                format!("{name} {place} {:?} {:#x}+{:#x}", symbol.info, symbol.value, symbol.size);
            *rows.entry(row).or_default() += 1;
        }
    }
    rows
}

/// The names of sections and how many of each, string tables aside.
fn sections(object: &Path) -> BTreeMap<String, usize> {
    let bytes = std::fs::read(object).unwrap();
    let elf = xpost::elf::Elf::parse(&bytes).unwrap();
    let mut names = BTreeMap::new();
    for section in elf.sections() {
        *names.entry(section.display_name()).or_default() += 1;
    }
    names
}

/// Groups with the names of their members, and relocations by section, as readelf shows them without indices.
fn references(object: &Path) -> (Vec<String>, Vec<String>) {
    let read = |flag: &str| {
        tools::stdout(Command::new(tools::path("readelf")).args([flag, "-W"]).arg(object))
    };
    let without_index = |line: &str| {
        let line = line.trim();
        let rest = line.split_once("] ").map_or(line, |(_, rest)| rest);
        rest.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let groups = read("-g").lines().map(without_index).collect();
    let relocations = read("-r");
    // Offset, type, symbol's value, name and addend: r_info has the index.
    let rows = relocations.lines().filter(|line| !line.starts_with("Relocation section"));
    let rows = rows.map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        [&words[..1.min(words.len())], &words[2.min(words.len())..]].concat().join(" ")
    });
    (groups, rows.collect())
}

#[test]
fn an_object_file_links_and_runs_without_its_debug_information() {
    for compiler in ["g++", "aarch64-linux-gnu-g++"] {
        for flags in [&["-O1"][..], &["-O0", "-ffunction-sections", "-fdebug-types-section", "-g3"]]
        {
            for option in ["-g", "--strip-unneeded"] {
                let at = xpost();
                let input = compiled(&at, compiler, flags, SOURCE);
                assert_eq!(links_and_runs(&at, compiler, &input), PRINTS);
                let ran = at.run(["slim", option, "-o", "slim.o", "input.o"]).succeeds();
                let slim = at.path("slim.o");
                let (before, after) = (at.read("input.o").len(), at.read("slim.o").len());
                assert!(after * 2 < before, "{before} → {after}: {ran:?}");
                assert!(ran.stdout.contains(".debug_info"), "what is dropped is named: {ran:?}");
                assert!(!at.list().iter().any(|name| name.ends_with(".debug")), "{:?}", at.list());
                assert_eq!(
                    links_and_runs(&at, compiler, &slim),
                    PRINTS,
                    "{compiler} {flags:?} {option}"
                );
                // As GNU strip leaves it.
                let strip = if compiler == "g++" { "strip" } else { "aarch64-linux-gnu-strip" };
                let theirs = at.path("theirs.o");
                let mut command = Command::new(tools::path(strip));
                tools::stdout(command.args([option, "-o"]).arg(&theirs).arg(&input));
                let about = format!("{compiler} {flags:?} {option}");
                assert_eq!(symbols(&slim), symbols(&theirs), "{about}");
                assert_eq!(sections(&slim), sections(&theirs), "{about}");
                assert_eq!(references(&slim), references(&theirs), "{about}");
                // With -g all symbols of sections stay; GNU takes those that nothing names.
                let most = at.read("theirs.o").len() * 110 / 100;
                assert!(after <= most, "{about}: {after} and {most}");
                // What is slim stays as it is.
                at.run(["slim", option, "-o", "again.o", "slim.o"]).succeeds();
                assert!(at.read("again.o") == at.read("slim.o"), "{about}");
            }
        }
    }
}

#[test]
fn an_object_file_keeps_all_symbols_unless_something_else_was_said() {
    let at = xpost();
    let input = compiled(&at, "g++", &[], SOURCE);
    at.run(["slim", "-g", "-o", "g.o", "input.o"]).succeeds();
    at.run(["slim", "-o", "default.o", "input.o"]).succeeds();
    assert!(at.read("default.o") == at.read("g.o"));
    at.run(["slim", "-s", "-o", "s.o", "input.o"])
        .exits(3, &["cannot be linked", "--strip-unneeded"]);
    at.run(["slim", "input.o"]).exits(2, &["object file", "link it first", "--in-place"]);
    at.run(["slim", "-g", "-N", "main", "-o", "n.o", "input.o"]).succeeds();
    let needed = ["slim", "-g", "-N", "printf", "-o", "n.o", "input.o"];
    at.run(needed).exits(3, &["printf", "cannot leave", ".rela"]);
    let keep = ["slim", "--strip-unneeded", "-K", "_ZL7pointer", "-o", "k.o", "input.o"];
    at.run(keep).succeeds();
    assert!(symbols(&at.path("k.o")).keys().any(|row| row.starts_with("_ZL7pointer ")));
    assert!(input.exists() && !at.path("xpost-out").exists());
    at.run(["slim", "--in-place", "input.o"]).succeeds();
    assert!(at.read("input.o") == at.read("g.o"));
    assert!(!at.path("input.o.debug").exists());
}

#[test]
fn an_object_file_for_link_time_optimisation_still_links() {
    let source = "int next(int x) { return x + 1; }\nint main() { return next(-1); }\n";
    let at = xpost();
    compiled(&at, "g++", &["-flto"], source);
    at.run(["slim", "-o", "slim.o", "input.o"]).succeeds();
    let link = |object: &str| {
        let mut command = tools::tool("g++", at.home());
        tools::output(
            command.args(["-g", "-flto", "-o"]).arg(at.path("program")).arg(at.path(object)),
        )
    };
    assert!(link("slim.o").status.success());
    // GNU strip 2.40 takes what the link goes on with; should it stop to, this says so.
    let theirs = at.path("theirs.o");
    tools::stdout(Command::new("strip").args(["-g", "-o"]).arg(&theirs).arg(at.path("input.o")));
    assert!(!link("theirs.o").status.success());
}

#[test]
fn a_program_loses_all_symbols_to_strip_unneeded_as_it_does_to_strip() {
    let at = xpost();
    at.put("app", std::fs::read(corpus::path("c-dynamic")).unwrap());
    at.run(["slim", "--strip-unneeded", "-o", "unneeded", "app"]).succeeds();
    at.run(["slim", "-s", "-o", "all", "app"]).succeeds();
    let without_link = |name: &str| {
        let bytes = at.read(name);
        let elf = xpost::elf::Elf::parse(&bytes).unwrap();
        elf.sections().iter().map(|section| section.display_name()).collect::<Vec<_>>()
    };
    assert_eq!(without_link("unneeded"), without_link("all"));
}

#[test]
fn object_files_that_lie_are_refused() {
    let object = || {
        let mut builder = Builder::usual();
        builder.kind = elf::ET_REL;
        builder.segments.clear();
        builder
    };
    let relocations = |symbol: u32| {
        let mut entry = vec![0; 24];
        entry[12..16].copy_from_slice(&symbol.to_le_bytes());
        section(".rela.text", entry).kind(elf::SHT_RELA).link(".symtab").info(".text").align(8)
    };
    let group = |member: u32| {
        let words = [1, member].map(u32::to_le_bytes).concat();
        section(".group", words).kind(elf::SHT_GROUP).link(".symtab").align(4)
    };
    let at = xpost();
    let run = |builder: &Builder, exit: i32, said: &[&str]| {
        at.put("x.o", builder.build());
        at.run(["slim", "--strip-unneeded", "-o", "slim.o", "x.o"]).exits(exit, said);
    };
    let with = |added: &crate::support::elf::Section| {
        let mut builder = object();
        builder.sections.push(added.clone());
        builder
    };
    run(&object(), 0, &[]);
    run(&with(&relocations(1)), 0, &[]);
    run(&with(&relocations(99)), 8, &["names a symbol that there is not"]);
    let mut half = relocations(1);
    half.bytes.push(0);
    run(&with(&half), 8, &["whole relocations"]);
    let mut of_itself = relocations(1);
    of_itself.info = Some(".rela.text");
    run(&with(&of_itself), 0, &[]);
    let mut elsewhere = relocations(1);
    elsewhere.link = Some(".strtab");
    run(&with(&elsewhere), 8, &["another symbol table"]);
    run(&with(&relocations(1).kind(elf::SHT_CREL)), 8, &["SHT_CREL"]);
    // Groups: of nothing there is, of itself.
    run(&with(&group(99)), 0, &[]);
    run(&with(&group(8)), 0, &[]);
    let mut debug = object();
    debug.symbols.push(symbol("in_debug", ".debug_info"));
    debug.sections.push(relocations(3));
    run(&debug, 3, &["in_debug", "does not stay"]);
}
