//! What somebody may have meant who asked for a symbol that is not there.

use crate::elf::SymbolTable;

/// Up to three names that the user may have meant, the nearest first.
pub(super) fn near(table: &SymbolTable<'_>, name: &str) -> Vec<String> {
    let mut candidates: Vec<(usize, String)> = table
        .iter()
        .filter(|symbol| {
            !symbol.is_undefined() && !symbol.name.is_empty() && symbol.name.len() < 200
        })
        .filter_map(|symbol| {
            let candidate = symbol.display_name();
            distance(name, &candidate).map(|distance| (distance, candidate))
        })
        .collect();
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
