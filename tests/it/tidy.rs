//! The house is in order: modules use only those above them, files are short, bytes enter and leave at the edges.

use std::path::{Path, PathBuf};

use crate::support::tools;

/// Every source of the crate, with its text above its unit tests.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("tests") {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("tests.rs")
            {
                found.push(path);
            }
        }
    }
    let root = tools::root().join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code = lines.collect::<Vec<_>>().join("\n");
        (path.strip_prefix(&root).unwrap().to_owned(), code)
    };
    let sources: Vec<_> = paths.into_iter().map(read).collect();
    assert!(sources.len() > 30, "these are not all: {}", sources.len());
    sources
}

/// The top-level module of a file.
fn module(path: &Path) -> String {
    let first = path.iter().next().unwrap().to_str().unwrap();
    first.strip_suffix(".rs").unwrap_or(first).to_owned()
}

/// The modules in the order of `src/lib.rs`.
fn order() -> Vec<String> {
    let text = std::fs::read_to_string(tools::root().join("src/lib.rs")).unwrap();
    let modules = text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    modules.map(str::to_owned).collect()
}

/// The modules that some code names as `crate::module`, in paths and in `use crate::{…}`.
fn used(code: &str) -> Vec<String> {
    let word = |text: &str| {
        let end = text.find(|char: char| !char.is_alphanumeric() && char != '_');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        // `pub(in crate::…)` and `$crate::` are none; a word that ends so is another.
        if code[..at].ends_with(|char: char| char.is_alphanumeric() || char == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => found.push(word(rest)),
            Some(list) => {
                let mut depth = 0;
                let mut start = 0;
                for (index, char) in list.char_indices() {
                    match char {
                        '{' => depth += 1,
                        ',' | '}' if depth == 0 => {
                            found.push(word(list[start..index].trim_start()));
                            start = index + 1;
                            if char == '}' {
                                break;
                            }
                        }
                        '}' => depth -= 1,
                        _ => {}
                    }
                }
            }
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn a_module_uses_only_the_modules_above_it() {
    let order = order();
    assert!(order.len() > 8 && order.first().is_some_and(|first| first == "digest"), "{order:?}");
    for (path, code) in sources() {
        let own = module(&path);
        if own == "lib" || own == "main" {
            continue;
        }
        let at = order.iter().position(|name| *name == own);
        let at = at.unwrap_or_else(|| panic!("{own} is not in src/lib.rs"));
        for name in used(&code) {
            let other = order.iter().position(|module| *module == name);
            let other = other.unwrap_or_else(|| panic!("{}: crate::{name}?", path.display()));
            assert!(other <= at, "{} uses {name}, which stands below {own}", path.display());
        }
    }
}

#[test]
fn uses_are_found_in_every_form() {
    let code = "use crate::elf::{Elf, Note};\nuse crate::{fs, slim::{self, Plan}};\nlet a = crate::digest::hex(x);";
    assert_eq!(used(code), ["elf", "fs", "slim", "digest"]);
}

#[test]
fn no_file_is_longer_than_800_lines() {
    let tests = tools::root().join("tests");
    let of_tests = std::fs::read_dir(tests.join("it")).unwrap().map(|entry| entry.unwrap().path());
    let of_source = sources().into_iter().map(|(path, _)| tools::root().join("src").join(path));
    for path in of_source.chain(of_tests).filter(|path| path.is_file()) {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 800, "{} has {lines} lines", path.display());
    }
}

#[test]
fn files_the_environment_and_the_network_are_touched_in_their_modules_alone() {
    let edges: [(&[&str], &[&str]); 6] = [
        (&["std::fs", "OpenOptions"], &["fs"]),
        (&["env::var", "env::current_dir"], &["cli/environment.rs"]),
        (
            &["TcpStream", "TcpListener", "reqwest::"],
            &["http", "debuginfod/server.rs", "debuginfod/client.rs"],
        ),
        (&["println!", "print!(", "dbg!("], &["cli/ui.rs"]),
        // What a server says about a time is held against the clock.
        (&["SystemTime::now"], &["cli/environment.rs", "http"]),
        (&["process::exit"], &[]),
    ];
    for (path, code) in sources() {
        for (words, homes) in edges {
            if homes.iter().any(|home| path.starts_with(home)) {
                continue;
            }
            for word in words {
                assert!(!code.contains(word), "{} has {word}", path.display());
            }
        }
    }
}
