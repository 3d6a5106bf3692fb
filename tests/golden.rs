//! Runs `testdata/cases/*` and compares what comes of each with the texts beside it.
//!
//! A case says in `case.toml` why it exists, which file of `testdata/bin` goes in, and with which options of `xpost slim`.
//! `BLESS=1 cargo test --test golden` writes the texts anew: review that difference as code.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the rules of the program, not of its tests"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use xpost::elf::{Elf, Section, SectionId};

#[test]
fn every_case_comes_out_as_it_is_written_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let bless = std::env::var_os("BLESS").is_some();
    let mut cases: Vec<_> =
        fs::read_dir(root.join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 4, "{cases:?}");
    let mut wrong = String::new();
    for case in cases {
        let texts = run(&root, &Case::read(&case));
        for name in ["plan.txt", "slim.txt", "debug.txt", "error.txt"] {
            let path = case.join(name);
            let found = texts.get(name);
            if bless {
                match found {
                    Some(text) => fs::write(&path, text).unwrap(),
                    None => drop(fs::remove_file(&path)),
                }
            }
            let wanted = fs::read_to_string(&path).ok();
            if found != wanted.as_ref() {
                let difference = difference(wanted.as_deref(), found.map(String::as_str));
                let _ = writeln!(wrong, "{}\n{difference}", path.display());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}\nif this is right: BLESS=1 cargo test --test golden");
}

struct Case {
    input: String,
    options: Vec<String>,
}

impl Case {
    /// Reads the little TOML that a case needs: `key = "value"`, one a line.
    fn read(directory: &Path) -> Self {
        let path = directory.join("case.toml");
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let rows = text.lines().map(|line| {
            let row = line
                .split_once(" = ")
                .and_then(|(key, value)| Some((key, value.strip_prefix('"')?.strip_suffix('"')?)));
            row.unwrap_or_else(|| panic!("{}: {line:?} is not key = \"value\"", path.display()))
        });
        let rows: BTreeMap<_, _> = rows.collect();
        let keys: Vec<_> = rows.keys().copied().collect();
        assert_eq!(keys, ["input", "options", "why"], "{}", path.display());
        assert!(rows["why"].ends_with('.'), "{}: `why` is a sentence", path.display());
        Self {
            input: rows["input"].to_owned(),
            options: rows["options"].split_whitespace().map(str::to_owned).collect(),
        }
    }
}

/// What comes of a case, as texts by file name.
fn run(root: &Path, case: &Case) -> BTreeMap<&'static str, String> {
    let home = tempfile::tempdir().unwrap();
    let input = root.join("bin").join(&case.input);
    fs::copy(&input, home.path().join("tally"))
        .unwrap_or_else(|error| panic!("{}: {error}", input.display()));
    let output = Command::new(env!("CARGO_BIN_EXE_xpost"))
        .current_dir(home.path())
        .args(["slim", "--json", "--explain", "-o", "slim"])
        .args(&case.options)
        .arg("tally")
        .output()
        .unwrap();
    if !output.status.success() {
        let said = String::from_utf8(output.stderr).unwrap();
        let exit = output.status.code().unwrap();
        return BTreeMap::from([("error.txt", format!("exit {exit}\n{said}"))]);
    }
    let receipt: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut texts = BTreeMap::from([("plan.txt", plan(&receipt["files"][0]))]);
    for (file, name) in [("slim", "slim.txt"), ("slim.debug", "debug.txt")] {
        if let Ok(bytes) = fs::read(home.path().join(file)) {
            texts.insert(name, sections(&bytes));
        }
    }
    texts
}

/// Each section's fate and rule, and how many symbols stay.
fn plan(receipt: &Value) -> String {
    let mut text = String::new();
    for row in receipt["sections"].as_array().unwrap() {
        let word = |key: &str| row[key].as_str().unwrap().to_owned();
        let name = Some(word("name")).filter(|name| !name.is_empty()).unwrap_or("-".to_owned());
        let _ = writeln!(text, "{name:<20} {:<6} {}", word("fate"), word("rule"));
    }
    let symbols = &receipt["symbols"];
    let _ = writeln!(text, "symbols: {} of {} stay", symbols["kept"], symbols["total"]);
    text
}

/// The sections of a file: what each is, where it points to, what became of its contents.
fn sections(bytes: &[u8]) -> String {
    let elf = Elf::parse(bytes).unwrap();
    let name = |index: u32| {
        let found = elf.section(SectionId(index)).filter(|_| index != 0);
        found.map_or("-".to_owned(), Section::display_name)
    };
    let mut text = String::new();
    for section in elf.sections().iter().skip(1) {
        let contents = match elf.compressed(section).unwrap() {
            _ if !section.has_contents() => "no contents",
            Some(header) if header.kind == object::elf::ELFCOMPRESS_ZLIB => "zlib",
            Some(_) => "zstd",
            None => "plain",
        };
        let loaded = if section.is_loaded() { "loaded" } else { "" };
        let info = if section.info_is_section() { name(section.info) } else { "-".to_owned() };
        let (own, link) = (section.display_name(), name(section.link));
        let row = format!("{own:<20} {loaded:<6}  link {link:<10} info {info:<10} {contents}");
        let _ = writeln!(text, "{}", row.trim_end());
    }
    for table in elf.symbols(object::elf::SHT_SYMTAB).unwrap().iter() {
        let names: Vec<_> = table.iter().map(|symbol| symbol.display_name()).collect();
        let _ = match names.as_slice() {
            few if few.len() < 8 => writeln!(text, "symbols: {}", few.join(", ")),
            many => writeln!(text, "symbols: {}", many.len()),
        };
    }
    let id = xpost::inspect::build_id(&elf);
    let _ = writeln!(text, "build-id: {}", if id.is_some() { "yes" } else { "no" });
    text
}

/// The lines that only one of two texts has.
fn difference(wanted: Option<&str>, found: Option<&str>) -> String {
    let (Some(wanted), Some(found)) = (wanted, found) else {
        let word = |text: Option<&str>| if text.is_some() { "a text" } else { "none" };
        return format!("  written down: {}, came out: {}", word(wanted), word(found));
    };
    let gone = wanted.lines().filter(|line| !found.lines().any(|other| other == *line));
    let new = found.lines().filter(|line| !wanted.lines().any(|other| other == *line));
    let gone = gone.map(|line| format!("  - {line}\n"));
    gone.chain(new.map(|line| format!("  + {line}\n"))).collect()
}
