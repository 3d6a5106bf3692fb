//! Whether a name may become a file name on any system: the name of a binary that is published, and the title of a layer
//! that is fetched. One rule for both, or something would be published that nobody can fetch.

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
