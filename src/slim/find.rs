//! A symbol table + wishes → the symbols that each wish means.
//!
//! What a wish means is settled in this order, and the first that is there wins: a symbol of exactly that name, one that
//! is called so when demangled, a pattern over both; a regular expression is matched with both. So `cmp.Or[go.shape.int]` is what it looks like wherever it exists,
//! and names that exist cost no demangling.

use std::collections::HashMap;

use regex::bytes::Regex;

use super::pattern::glob;
use super::spell::spellings;
use super::{Meant, Wish};
use crate::elf::SymbolTable;

/// A wish, and what it means in one symbol table.
#[derive(Debug)]
pub(super) struct Hits<'wish> {
    pub(super) wish: &'wish Wish,
    pub(super) scope: Scope,
    /// Which symbols, in order; the null symbol does not count.
    pub(super) positions: Vec<usize>,
}

/// How symbols were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// By name: that one cannot stay is an error.
    Itself,
    /// Among others: where its section leaves, it leaves too.
    Among,
}

/// Finds what each wish means, in the order of the wishes. Without a table none means anything.
pub(super) fn find<'wish>(
    table: Option<&SymbolTable<'_>>,
    wishes: impl IntoIterator<Item = &'wish Wish>,
) -> Vec<Hits<'wish>> {
    let hits =
        wishes.into_iter().map(|wish| Hits { wish, scope: Scope::Itself, positions: Vec::new() });
    let mut hits: Vec<_> = hits.collect();
    let Some(table) = table.filter(|_| !hits.is_empty()) else { return hits };
    by_name(table, &mut hits);
    by_need(table, &mut hits);
    // From here a name that exists has its meaning.
    let open =
        |hits: &Hits<'_>| hits.positions.is_empty() && !matches!(hits.wish.meant, Meant::Needed(_));
    if hits.iter().any(open) {
        by_spelling(table, &mut hits);
    }
    hits
}

/// The names that have no meaning yet, and which wishes they belong to.
fn named<'wish>(hits: &[Hits<'wish>]) -> HashMap<&'wish [u8], Vec<usize>> {
    let mut named: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (index, Hits { wish, positions, .. }) in hits.iter().enumerate() {
        // Nameless symbols stand for sections; nobody asks for one of those.
        if let Meant::Exactly(name) | Meant::Like(name) = &wish.meant
            && positions.is_empty()
            && !name.is_empty()
        {
            named.entry(name.as_bytes()).or_default().push(index);
        }
    }
    named
}

fn by_name(table: &SymbolTable<'_>, hits: &mut [Hits<'_>]) {
    let named = named(hits);
    for (position, symbol) in table.iter().enumerate() {
        for &index in named.get(symbol.name).into_iter().flatten() {
            if let Some(hits) = hits.get_mut(index) {
                hits.positions.push(position);
            }
        }
    }
}

fn by_need(table: &SymbolTable<'_>, hits: &mut [Hits<'_>]) {
    for Hits { wish, scope, positions } in hits {
        if let Meant::Needed(preset) = wish.meant {
            let symbols = table.iter().enumerate();
            let chosen = symbols.filter(|(_, symbol)| preset.chooses(symbol));
            (*scope, *positions) = (Scope::Among, chosen.map(|(position, _)| position).collect());
        }
    }
}

/// Settles the wishes without a meaning by demangled names and by patterns, in one pass: demangling is what costs.
fn by_spelling(table: &SymbolTable<'_>, hits: &mut [Hits<'_>]) {
    let named = named(hits);
    let mut patterns: Vec<(usize, Regex, Vec<usize>)> = Vec::new();
    for (index, Hits { wish, positions, .. }) in hits.iter().enumerate() {
        let regex = match &wish.meant {
            Meant::Exactly(_) | Meant::Needed(_) => None,
            Meant::Like(text) => glob(text).filter(|_| positions.is_empty()),
            Meant::Matching(regex) => Some(regex.regex().clone()),
        };
        if let Some(regex) = regex {
            patterns.push((index, regex, Vec::new()));
        }
    }
    for (position, symbol) in table.iter().enumerate().filter(|(_, symbol)| !symbol.name.is_empty())
    {
        let spellings = spellings(symbol.name);
        for &index in spellings.iter().filter_map(|name| named.get(name.as_bytes())).flatten() {
            let hits = hits.get_mut(index);
            if let Some(hits) = hits.filter(|hits| hits.positions.last() != Some(&position)) {
                hits.positions.push(position);
            }
        }
        for (_, regex, positions) in &mut patterns {
            let spelled = || spellings.iter().any(|name| regex.is_match(name.as_bytes()));
            if regex.is_match(symbol.name) || spelled() {
                positions.push(position);
            }
        }
    }
    for (index, _, positions) in patterns {
        if let Some(hits) = hits.get_mut(index).filter(|hits| hits.positions.is_empty()) {
            (hits.scope, hits.positions) = (Scope::Among, positions);
        }
    }
}
