//! Whether a name may become a file name on any system: the name of a binary that is published, and the title of a layer
//! that is fetched. One rule for both, or something would be published that nobody can fetch.

use std::collections::{BTreeMap, BTreeSet};

/// The longest name that common file systems take, in bytes.
const MAX: usize = 255;

/// Names that Windows gives to devices, with whatever extension.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// Why `title` is no plain file name; nothing where it is one.
///
/// A title that passes stays in its directory on every system, is the same file for everyone and shows on a terminal
/// what it is.
pub fn problem(title: &str) -> Option<&'static str> {
    let stem = title.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = ["com", "lpt"].iter().any(|device| {
        let number = stem.strip_prefix(device).map(|rest| rest.chars().collect::<Vec<_>>());
        matches!(number.as_deref(), Some(['0'..='9' | '¹' | '²' | '³']))
    });
    if title.is_empty() {
        Some("it is empty")
    } else if title.len() > MAX {
        Some("it is longer than 255 bytes")
    } else if title == "." || title == ".." {
        Some("it is a directory")
    } else if title.contains(['/', '\\']) {
        Some("it leads to another directory")
    } else if title.contains(is_unprintable) {
        Some("it has control characters")
    } else if title.contains(['<', '>', ':', '"', '|', '?', '*']) {
        Some("it has characters that Windows does not take")
    } else if title.ends_with(['.', ' ']) || title.starts_with(' ') {
        Some("it ends in a dot or begins or ends with a space")
    } else if DEVICES.contains(&stem.as_str()) || numbered {
        Some("it is a device of Windows")
    } else {
        None
    }
}

/// The longest path, in bytes, and the number of names in it.
const MAX_PATH: usize = 1024;
const MAX_DEPTH: usize = 32;

/// Why `title` is no path of plain file names below a directory, with `/` between them; nothing where it is one.
pub fn path_problem(title: &str) -> Option<&'static str> {
    if title.starts_with('/') || title.split('/').any(|name| name == "..") {
        Some("it leads to another directory")
    } else if title.len() > MAX_PATH || title.split('/').count() > MAX_DEPTH {
        Some("it is longer than 1024 bytes or 32 names")
    } else {
        title.split('/').find_map(problem)
    }
}

/// Paths that lie together, each to be one file on every system: also where `App` is `app`.
#[derive(Debug, Default)]
pub struct Paths {
    files: BTreeMap<String, String>,
    directories: BTreeSet<String>,
}

impl Paths {
    /// Takes a path for a file.
    ///
    /// # Errors
    /// What stands in its way.
    pub fn file(&mut self, path: &str) -> Result<(), String> {
        let key = path.to_lowercase();
        if self.directories.contains(&key) {
            return Err("there are files in a directory of that name".to_owned());
        }
        if let Some(other) = self.files.get(&key) {
            return Err(match other == path {
                true => "two files have it".to_owned(),
                false => format!("it is {other:?} on systems where case does not count"),
            });
        }
        self.above(&key)?;
        self.files.insert(key, path.to_owned());
        Ok(())
    }

    /// Takes a path for a directory.
    ///
    /// # Errors
    /// What stands in its way.
    pub fn directory(&mut self, path: &str) -> Result<(), String> {
        self.above(&format!("{}/", path.to_lowercase()))
    }

    fn above(&mut self, key: &str) -> Result<(), String> {
        for (end, _) in key.match_indices('/') {
            let directory = key.get(..end).unwrap_or_default();
            if let Some(file) = self.files.get(directory) {
                return Err(format!("{file:?} is a file"));
            }
            self.directories.insert(directory.to_owned());
        }
        Ok(())
    }
}

/// Control characters, and those that turn the direction of text (Unicode TR 36, 2.1).
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_plain() {
        for title in [
            "app",
            "app.debug",
            ".hidden",
            "a b",
            "über",
            "common",
            "com",
            "com10",
            "nullable",
            "-x",
        ] {
            assert_eq!(problem(title), None, "{title}");
        }
    }

    #[test]
    fn a_path_is_made_of_plain_names() {
        for title in ["app", "sub/file.txt", "a/b/c/d"] {
            assert_eq!(path_problem(title), None, "{title}");
        }
        let deep = ["a"; 33].join("/");
        let long = ["a".repeat(200).as_str(); 6].join("/");
        for title in [
            "/a",
            "a//b",
            "a/",
            "./a",
            "a/../b",
            "..",
            "a/nul.txt",
            "a/b:c",
            r"a/b\c",
            "a/b ",
            &deep,
            &long,
        ] {
            assert!(path_problem(title).is_some(), "{title:?}");
        }
    }

    #[test]
    fn no_path_stands_in_another_s_way_on_any_system() {
        let taken = |paths: &[&str]| {
            let mut all = Paths::default();
            paths.iter().try_for_each(|path| match path.strip_suffix('/') {
                Some(path) => all.directory(path),
                None => all.file(path),
            })
        };
        taken(&["a", "b/c", "b/d", "B/e", "b/", "g/h/"]).expect("all have room");
        for (paths, said) in [
            (["App", "app"], "it is \"App\" on systems"),
            (["a/b", "a/b"], "two files"),
            (["a/b", "A"], "in a directory of that name"),
            (["a", "a/b"], "\"a\" is a file"),
            (["É", "é/x/"], "\"É\" is a file"),
            (["a/", "a"], "in a directory"),
        ] {
            let reason = taken(&paths).expect_err("no room");
            assert!(reason.contains(said), "{reason}");
        }
    }

    #[test]
    fn mean_names_are_refused() {
        let long = "a".repeat(256);
        for title in [
            "",
            ".",
            "..",
            "/etc/passwd",
            "../x",
            "a/b",
            r"a\b",
            r"C:\x",
            "C:x",
            "a\0b",
            "a\nb",
            "a\u{1b}[2J",
            "a\u{202e}b",
            "NUL",
            "nul.txt",
            "Con",
            "com1",
            "COM9.log",
            "lpt¹",
            "aux .x",
            "a.",
            "a ",
            "a?",
            &long,
        ] {
            assert!(problem(title).is_some(), "{title:?}");
        }
    }
}
