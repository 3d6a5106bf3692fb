//! A symbol's name in the object file → the names that people know it by.
//!
//! Rust (v0 and legacy, with and without its hash) and C++ (Itanium, with and without its parameters). Names come from
//! a file that anybody may have made, and a few bytes of back references unfold to megabytes: what is too long, mangled
//! or not, has no other names.

use std::fmt::Write;

use cpp_demangle::{DemangleOptions, ParseOptions, Symbol};

/// A mangled name longer than this is not demangled; of a million names in large C++ and Rust programs none is.
const LONGEST_MANGLED: usize = 16 << 10;
/// How deep the parts of a C++ name may be nested, which is how deep the stack gets.
const NESTED: u32 = 96;
/// A demangled name is not longer than this.
const LONGEST: usize = 64 << 10;

/// The other names of a symbol.
pub(super) fn spellings(name: &[u8]) -> Vec<String> {
    let mangled = name.starts_with(b"_Z") || name.starts_with(b"_R");
    let text = str::from_utf8(name).ok().filter(|_| mangled && name.len() <= LONGEST_MANGLED);
    let Some(text) = text else { return Vec::new() };
    let mut found = rust(text);
    if found.len() < 2 && !text.starts_with("_R") {
        // Without a hash it is C++, whose mangling the legacy one of Rust borrows.
        found.extend(cxx(text));
    }
    found
}

fn rust(name: &str) -> Vec<String> {
    let Ok(symbol) = rustc_demangle::try_demangle(name) else { return Vec::new() };
    let whole = bounded(|out| write!(out, "{symbol}").is_ok());
    let without_hash = bounded(|out| write!(out, "{symbol:#}").is_ok())
        .filter(|name| Some(name) != whole.as_ref());
    whole.into_iter().chain(without_hash).collect()
}

fn cxx(name: &str) -> Vec<String> {
    let limit = ParseOptions::default().recursion_limit(NESTED);
    let Ok(symbol) = Symbol::new_with_options(name, &limit) else { return Vec::new() };
    let whole = DemangleOptions::new().recursion_limit(NESTED);
    let without_parameters = whole.no_params().no_return_type();
    let spelled = [whole, without_parameters]
        .map(|options| bounded(|out| symbol.structured_demangle(out, &options).is_ok()));
    spelled.into_iter().flatten().collect()
}

/// What is written, unless that is too long.
fn bounded(write: impl FnOnce(&mut Bounded) -> bool) -> Option<String> {
    let mut out = Bounded(String::new());
    write(&mut out).then_some(out.0)
}

/// A text of at most [`LONGEST`] bytes.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() + text.len() > LONGEST {
            return Err(std::fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mangled_name_has_the_names_that_people_use() {
        let of = |name: &str| spellings(name.as_bytes());
        let legacy = ["tally::main::he015558a66784cf7", "tally::main"];
        assert_eq!(of("_ZN5tally4main17he015558a66784cf7E"), legacy);
        let v0 = ["core[6cdcc5c448ae7c26]::slice::sort", "core::slice::sort"];
        assert_eq!(of("_RNvNtCs9ltgdHTiPiY_4core5slice4sort"), v0);
        let cxx = ["space::foo(int, bool, char)", "space::foo"];
        assert_eq!(of("_ZN5space3fooEibc"), cxx);
        for plain in ["main", "main.main", "cmp.Or[go.shape.int]", "_Zhang", "_Rust", ""] {
            assert_eq!(of(plain), [""; 0], "{plain}");
        }
        assert!(spellings(b"_ZN3\xff\xffE").is_empty());
    }

    #[test]
    fn what_unfolds_without_end_has_no_other_name() {
        // Each argument is a pair of the one before, twice.
        let mut name = String::from("_Z1fSt4pairIiiE");
        for index in 0..40 {
            let back = match index {
                0 => "S0_".to_owned(),
                index => {
                    format!("S{}_", ["1", "2", "3", "4", "5", "6", "7", "8", "9"][(index - 1) % 9])
                }
            };
            name.push_str(&format!("St4pairI{back}{back}E"));
        }
        assert!(spellings(name.as_bytes()).iter().all(|name| name.len() <= LONGEST));
        let deep = format!("_Z1f{}i", "P".repeat(10_000));
        assert!(spellings(deep.as_bytes()).iter().all(|name| name.len() <= LONGEST));
        assert!(spellings(format!("_Z9{}", "x".repeat(1 << 20)).as_bytes()).is_empty());
    }
}
