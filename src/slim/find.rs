//! A symbol table + wishes → the symbols that each wish means.

use std::collections::HashMap;

use super::Wish;
use crate::elf::SymbolTable;

/// A wish, and what it means in one symbol table.
#[derive(Debug)]
pub(super) struct Hits<'wish> {
    pub(super) wish: &'wish Wish,
    /// Which symbols, in order; the null symbol does not count.
    pub(super) positions: Vec<usize>,
}

/// Finds what each wish means, in the order of the wishes. Without a table none means anything.
pub(super) fn find<'wish>(
    table: Option<&SymbolTable<'_>>,
    wishes: impl IntoIterator<Item = &'wish Wish>,
) -> Vec<Hits<'wish>> {
    let hits = wishes.into_iter().map(|wish| Hits { wish, positions: Vec::new() });
    let mut hits: Vec<_> = hits.collect();
    let Some(table) = table.filter(|_| !hits.is_empty()) else { return hits };
    let mut named: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (index, Hits { wish, .. }) in hits.iter().enumerate() {
        // Nameless symbols stand for sections; nobody asks for one of those.
        if !wish.name.is_empty() {
            named.entry(wish.name.as_bytes()).or_default().push(index);
        }
    }
    for (position, symbol) in table.iter().enumerate() {
        for &index in named.get(symbol.name).into_iter().flatten() {
            if let Some(hits) = hits.get_mut(index) {
                hits.positions.push(position);
            }
        }
    }
    hits
}
