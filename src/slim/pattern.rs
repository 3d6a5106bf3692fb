//! A pattern of the shell → a matcher whose time is linear in the name, whatever both are.

use std::iter::Peekable;
use std::str::Chars;

use regex::bytes::{Regex, RegexBuilder};

/// The matcher of a pattern: `*` is any bytes, `?` one, `[a-z]` one of these, `[!a-z]` one of the others, `\` takes the
/// next as it is. `None` where nothing in it is special, or where it is too large to be one.
pub(super) fn glob(text: &str) -> Option<Regex> {
    if !text.contains(['*', '?', '[']) {
        return None;
    }
    let mut regex = String::from("\\A(?:");
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => {
                let mut ahead = chars.clone();
                match class(&mut ahead) {
                    Some(class) => {
                        regex.push_str(&class);
                        chars = ahead;
                    }
                    None => regex.push_str("\\["),
                }
            }
            '\\' => literal(&mut regex, chars.next().unwrap_or('\\')),
            char => literal(&mut regex, char),
        }
    }
    regex.push_str(")\\z");
    compile(&regex)
}

/// A regular expression over bytes: names need not be UTF-8.
fn compile(regex: &str) -> Option<Regex> {
    RegexBuilder::new(regex).unicode(false).dot_matches_new_line(true).build().ok()
}

fn literal(regex: &mut String, char: char) {
    regex.push_str(&regex::escape(char.encode_utf8(&mut [0; 4])));
}

/// What follows a `[`, up to its `]`; `None` where there is none, so that the `[` is one. A `]` that comes first is
/// a member, as POSIX has it.
fn class(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let others = chars.next_if(|&char| char == '!' || char == '^').is_some();
    let mut class = String::new();
    let mut members = 0;
    loop {
        let first = match chars.next()? {
            ']' if members > 0 => break,
            '\\' => chars.next()?,
            char => char,
        };
        members += 1;
        let mut ahead = chars.clone();
        let last = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) if last != ']' => {
                *chars = ahead;
                last
            }
            _ => first,
        };
        // One byte stands for one: a name in another script is matched by `*` and `?`.
        if !first.is_ascii() || !last.is_ascii() {
            return None;
        }
        if first <= last {
            class.push_str(&format!("\\x{:02x}-\\x{:02x}", first as u32, last as u32));
        }
    }
    Some(match (class.as_str(), others) {
        // A range that runs backwards has no members.
        ("", false) => "[^\\x00-\\xff]".to_owned(),
        ("", true) => ".".to_owned(),
        (members, false) => format!("[{members}]"),
        (members, true) => format!("[^{members}]"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_it_means_to_a_shell() {
        let matches = |pattern: &str, name: &str| {
            glob(pattern).unwrap_or_else(|| panic!("{pattern}")).is_match(name.as_bytes())
        };
        for (pattern, name) in [
            ("*", ""),
            ("main*", "main.main"),
            ("*short_backtrace*", "std::__rust_begin_short_backtrace::<x>"),
            ("ma?n", "main"),
            ("[a-m]ain", "main"),
            ("[!a-l]ain", "main"),
            ("[]a]x", "]x"),
            ("[a-]x*", "-x"),
            ("a[*", "a[b"),
            ("(\\*T).*", "(*T).M"),
            ("*.+(|)^$*", "x.+(|)^$"),
            ("*", "a\nb"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("main*", "xmain"),
            ("*main", "mainx"),
            ("ma?n", "man"),
            ("[!m]ain", "main"),
            ("[z-a]*", "b"),
            ("*.go", "xgo"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        assert!(glob("main.main").is_none());
        assert!(glob("*").expect("a pattern").is_match(b"\xff\xfe"));
    }

    #[test]
    fn no_pattern_takes_long_over_any_name() {
        let name = vec![b'a'; 4 << 20];
        let pattern = glob(&"*a".repeat(50)).expect("a pattern");
        assert!(pattern.is_match(&name));
        assert!(!glob(&format!("{}b", "*a".repeat(50))).expect("a pattern").is_match(&name));
    }
}
