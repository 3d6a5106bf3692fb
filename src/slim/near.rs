//! What somebody may have meant who asked for a symbol that is not there.

use super::spell::spellings;
use super::{Meant, Wish};
use crate::elf::SymbolTable;

/// Longer names are not shown: nobody types them.
const LONGEST: usize = 200;

/// Up to three names that the user may have meant, the nearest first; demangled where that was nearer.
pub(super) fn near(table: &SymbolTable<'_>, wish: &Wish) -> Vec<String> {
    let (Meant::Exactly(name) | Meant::Like(name)) = &wish.meant else { return Vec::new() };
    // What is special in a pattern is no part of a name.
    let typed = name.replace(['*', '?'], "");
    let mut candidates: Vec<(usize, String)> = Vec::new();
    for symbol in table.iter().filter(|symbol| !symbol.is_undefined() && !symbol.name.is_empty()) {
        let names = [symbol.display_name()].into_iter().chain(spellings(symbol.name));
        let names = names.filter(|name| name.len() < LONGEST);
        candidates.extend(names.filter_map(|name| Some((distance(&typed, &name)?, name))));
    }
    candidates.sort();
    candidates.dedup();
    candidates.into_iter().take(3).map(|(_, candidate)| candidate).collect()
}

/// How far a symbol is from what was typed; `None` where nobody would have meant it.
fn distance(typed: &str, symbol: &str) -> Option<usize> {
    if symbol.eq_ignore_ascii_case(typed) {
        return Some(0);
    }
    // Go's `main.main` for `main`: the last part of a qualified name.
    if symbol.rsplit(['.', ':']).next() == Some(typed) && symbol.starts_with(typed) {
        return Some(1);
    }
    if is_swapped(typed.as_bytes(), symbol.as_bytes()) {
        return Some(2);
    }
    let bound = (typed.len() / 3).clamp(1, 3);
    let edits = edit_distance(typed.as_bytes(), symbol.as_bytes(), bound)?;
    Some(edits + 1)
}

/// Whether two neighbours changed places: `mian` for `main`.
fn is_swapped(left: &[u8], right: &[u8]) -> bool {
    let same = left.iter().zip(right).take_while(|(left, right)| left == right).count();
    match (left.get(same..), right.get(same..)) {
        (Some([a, b, left @ ..]), Some([c, d, right @ ..])) => (a, b, left) == (d, c, right),
        _ => false,
    }
}

/// The Levenshtein distance, where it is at most `bound`.
fn edit_distance(left: &[u8], right: &[u8], bound: usize) -> Option<usize> {
    if left.len().abs_diff(right.len()) > bound {
        return None;
    }
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, &byte) in left.iter().enumerate() {
        let mut diagonal = index;
        let mut before = index + 1;
        for (cell, &other) in row.iter_mut().skip(1).zip(right) {
            let here = (diagonal + usize::from(byte != other)).min(before + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, here);
            before = here;
        }
        if let Some(first) = row.first_mut() {
            *first = index + 1;
        }
    }
    row.last().copied().filter(|&edits| edits <= bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_what_people_meant() {
        assert_eq!(distance("main", "main.main"), Some(1));
        assert_eq!(distance("Main", "main"), Some(0));
        assert_eq!(distance("handler", "handlr"), Some(2));
        assert_eq!(distance("mian", "main"), Some(2));
        assert_eq!(distance("main", "domain.other"), None);
        assert_eq!(distance("main", "printf"), None);
    }
}
