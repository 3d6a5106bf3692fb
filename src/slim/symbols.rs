//! Which symbols stay, and what to say about a name that is not there.

use std::collections::HashSet;

use object::elf;

use super::{Decision, Error, Missing, Symbols};
use crate::elf::{Elf, Place, Symbol, SymbolTable};

/// The symbols of an input, and those of them that stay in the slim file.
#[derive(Debug, Clone)]
pub struct Choice<'data> {
    /// The input's symbol table, if any.
    pub table: Option<SymbolTable<'data>>,
    /// The symbols that stay, in the table's order.
    pub kept: Vec<Symbol<'data>>,
    /// How many symbols the input has, the null symbol aside.
    pub total: u64,
}

impl<'data> Choice<'data> {
    /// Finds the symbols that were asked for. A name that is not there is an error that lists near misses.
    pub(super) fn new(elf: &Elf<'data>, symbols: &Symbols) -> Result<Self, Error> {
        let table = elf.symbols(elf::SHT_SYMTAB)?;
        let all = || table.iter().flat_map(|table| table.iter());
        let kept: Vec<_> = match symbols {
            Symbols::All => all().collect(),
            Symbols::Named(names) => {
                // Nameless symbols stand for sections; nobody asks for one of those.
                let wanted: HashSet<&[u8]> =
                    names.iter().map(String::as_bytes).filter(|name| !name.is_empty()).collect();
                let kept: Vec<_> = all().filter(|symbol| wanted.contains(symbol.name)).collect();
                missing(elf, names, &kept, table.as_ref())?;
                kept
            }
        };
        let total = table.map_or(0, |table| table.len().saturating_sub(1));
        Ok(Self { table, kept, total })
    }

    /// Lets the symbols go that are defined in sections that leave, as the nameless symbols of debug sections
    /// are. Says whether there were any.
    pub(super) fn leave_with(&mut self, decisions: &[Decision<'_>]) -> bool {
        let before = self.kept.len();
        self.kept.retain(|symbol| match symbol.place {
            Place::Section(id) => {
                decisions.get(id.index()).is_some_and(|decision| decision.fate.is_in_slim())
            }
            Place::Reserved(_) => true,
        });
        self.kept.len() != before
    }

    /// Whether any symbol stays.
    pub fn keeps_any(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Whether every symbol stays.
    pub fn keeps_all(&self) -> bool {
        self.kept.len() as u64 == self.total
    }
}

fn missing(
    elf: &Elf<'_>,
    names: &[String],
    kept: &[Symbol<'_>],
    table: Option<&SymbolTable<'_>>,
) -> Result<(), Error> {
    let found: HashSet<&[u8]> = kept.iter().map(|symbol| symbol.name).collect();
    let absent = |name: &&String| !found.contains(name.as_bytes());
    if !names.iter().any(|name| absent(&name)) {
        return Ok(());
    }
    // What is in .dynsym is loaded and stays in any case.
    let dynamic = elf.symbols(elf::SHT_DYNSYM)?;
    let loaded: HashSet<&[u8]> =
        dynamic.iter().flat_map(|table| table.iter()).map(|symbol| symbol.name).collect();
    let missing: Vec<_> = names
        .iter()
        .filter(absent)
        .filter(|name| !loaded.contains(name.as_bytes()))
        .map(|name| Missing {
            name: name.clone(),
            near: table.map(|table| near(table, name)).unwrap_or_default(),
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::SymbolsMissing { missing, has_table: table.is_some_and(|table| !table.is_empty()) })
}

/// Up to three names that the user may have meant, the nearest first.
fn near(table: &SymbolTable<'_>, name: &str) -> Vec<String> {
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
