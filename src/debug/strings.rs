//! The names of symbols, each once: linkers of development builds write a name as often as it is used.
//!
//! No reader takes a compressed `.symtab` or `.strtab`, so in a debug file they weigh up to 40 %. A name that another
//! one ends with is a part of that one, as gABI ("String Table") allows. Only `st_name` changes.

use std::cmp::Ordering;

use crate::elf::{Elf, SymbolTable};
use crate::parallel;

/// A symbol table with a smaller string table.
pub(super) struct Merged {
    /// The contents of the symbol table.
    pub(super) symbols: Vec<u8>,
    /// The contents of its string table.
    pub(super) names: Vec<u8>,
}

/// Where a name stands: so many bytes into the name of this symbol, by position.
#[derive(Clone, Copy)]
struct Place {
    host: u32,
    skipped: u32,
}

/// A table with merged names; `None` where that saves nothing, or where others read the names as well.
pub(super) fn merge(elf: &Elf<'_>, table: &SymbolTable<'_>) -> Option<Merged> {
    let section = elf.section(table.section)?;
    let shared = elf.header().section_names == Some(table.names_section)
        || elf.sections().iter().any(|other| {
            other.id != section.id && other.link == table.names_section.0 && other.has_contents()
        });
    if shared || table.is_empty() {
        return None;
    }
    let names: Vec<&[u8]> = table.iter().map(|symbol| symbol.name).collect();
    let places = places(&names)?;
    let mut merged = vec![0];
    // In the table's order, because that is how readers go through them.
    let mut offsets: Vec<Option<u32>> = vec![None; names.len()];
    let mut symbols = section.data.to_vec();
    let entry = symbols.len() / usize::try_from(table.len()).ok()?;
    let (null, entries) = symbols.split_at_mut_checked(entry)?;
    // gABI, "Symbol Table": the null symbol has no name.
    null.first_chunk_mut::<4>()?.fill(0);
    for ((entry, name), place) in entries.chunks_exact_mut(entry).zip(&names).zip(places) {
        let st_name = if name.is_empty() {
            0
        } else {
            let (offset, host) =
                (offsets.get_mut(place.host as usize)?, names.get(place.host as usize)?);
            let at = match *offset {
                Some(at) => at,
                None => {
                    let at = u32::try_from(merged.len()).ok()?;
                    merged.extend_from_slice(host);
                    merged.push(0);
                    *offset.insert(at)
                }
            };
            at.checked_add(place.skipped)?
        };
        *entry.first_chunk_mut::<4>()? = elf.word(st_name);
    }
    let before = elf.section(table.names_section)?.size;
    ((merged.len() as u64) < before).then_some(Merged { symbols, names: merged })
}

/// For each name the longest one that ends with it.
fn places(names: &[&[u8]]) -> Option<Vec<Place>> {
    let mut order: Vec<(u64, u32)> = Vec::with_capacity(names.len());
    for (index, name) in (0..).zip(names) {
        order.push((tail(name), index));
    }
    let name = |index: u32| names.get(index as usize).copied().unwrap_or_default();
    // From the last byte to the first, downwards: right before a name stands what ends with it, if anything does. Most
    // comparisons are settled by eight bytes.
    let downwards = |(tail, index): &(u64, u32), (other_tail, other): &(u64, u32)| {
        other_tail
            .cmp(tail)
            .then_with(|| from_the_end(name(*other), name(*index)))
            .then(index.cmp(other))
    };
    parallel::sort(&mut order, downwards);
    let mut places = vec![Place { host: 0, skipped: 0 }; names.len()];
    let mut host: Option<u32> = None;
    for (_, index) in order {
        let found = host.filter(|&host| name(host).ends_with(name(index))).unwrap_or(index);
        let skipped = u32::try_from(name(found).len() - name(index).len()).ok()?;
        *places.get_mut(index as usize)? = Place { host: found, skipped };
        host = Some(found);
    }
    Some(places)
}

/// The last eight bytes, the last one first; zeros before the first, which no name holds.
fn tail(name: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(name.iter().rev()).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(bytes)
}

fn from_the_end(left: &[u8], right: &[u8]) -> Ordering {
    left.iter().rev().cmp(right.iter().rev())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_part_of_the_longest_that_ends_with_it() {
        let names: [&[u8]; 8] =
            [b"main", b"", b"a_long_domain", b"domain", b"main", b"mainly", b"n", b"other"];
        let places = places(&names).expect("short names");
        let found: Vec<_> = places.iter().map(|place| (place.host, place.skipped)).collect();
        let text = |(host, skipped): &(u32, u32)| {
            names.get(*host as usize).and_then(|name| name.get(*skipped as usize..))
        };
        for (name, place) in names.iter().zip(&found) {
            assert_eq!(text(place), Some(*name));
        }
        let hosts: Vec<_> = found.iter().map(|(host, _)| *host).collect();
        assert_eq!([hosts.first(), hosts.get(3), hosts.get(6)], [Some(&2), Some(&2), Some(&2)]);
        assert_eq!([hosts.get(5), hosts.get(7)], [Some(&5), Some(&7)]);
    }
}
