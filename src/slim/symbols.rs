//! Which symbols stay.

use std::collections::BTreeMap;

use object::elf;

use super::find::{self, Hits, Scope};
use super::near::near;
use super::{Absent, Decision, Error, Meant, Missing, Options, Rest, Sense, Symbols, Wish};
use crate::elf::{Elf, Place, Section, SectionId, Symbol, SymbolTable};

/// A name that nobody has is likely a slip of the finger, thousands are the wrong file: near misses cost a look at
/// every symbol.
const NEAR_MISSES: usize = 8;

const UNNEEDED: &str = "--strip-unneeded";

/// The symbols of an input, and those of them that stay in the slim file.
#[derive(Debug, Clone)]
pub struct Choice<'data> {
    /// The input's symbol table, if any.
    pub table: Option<SymbolTable<'data>>,
    /// The symbols that stay, in the table's order.
    pub kept: Vec<Kept<'data>>,
    /// How many symbols the input has, the null symbol aside.
    pub total: u64,
    /// What was asked for and is not there, where that is allowed.
    pub missing: Vec<Missing>,
    /// The presets that found nothing, as they were asked for.
    pub idle: Vec<String>,
    /// Why symbols leave, by their indices, where it is not that nothing keeps them.
    left: BTreeMap<u64, usize>,
    /// What is behind the fates of symbols; [`Kept`] and `left` point here, for there may be a million.
    rules: Vec<String>,
    /// What is behind the others: nothing keeps them.
    unkept: &'static str,
}

/// A symbol that stays.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'data> {
    /// The symbol.
    pub symbol: Symbol<'data>,
    rule: usize,
    scope: Scope,
}

impl<'data> Choice<'data> {
    /// Finds the symbols that were asked for. A wish for what is not there is an error that lists near misses.
    pub(super) fn new(elf: &Elf<'data>, options: &Options) -> Result<Self, Error> {
        let table = elf.symbols(elf::SHT_SYMTAB)?;
        let Symbols { rest, keep, strip } = &options.symbols;
        let (stays, unneeded) = match (rest, elf.is_object()) {
            (Rest::Stays(option), _) => (Some(*option), false),
            (Rest::Fitting, true) => (Some("-g, as always of an object file"), false),
            (Rest::Leaves, true) => return Err(Error::ObjectSymbols),
            (Rest::Unneeded, true) => (None, true),
            (Rest::Fitting | Rest::Leaves | Rest::Unneeded, false) => (None, false),
        };
        let to_keep = find::find(table.as_ref(), keep);
        let to_strip = find::find(table.as_ref(), strip);
        let missing = missing(elf, table.as_ref(), to_keep.iter().chain(&to_strip))?;
        if !missing.is_empty() && options.absent == Absent::Refused {
            let has_table = table.is_some_and(|table| !table.is_empty());
            return Err(Error::SymbolsMissing { missing, has_table });
        }
        let total = table.map_or(0, |table| table.len().saturating_sub(1));
        let is_idle = |hits: &&Hits<'_>| {
            hits.positions.is_empty() && matches!(hits.wish.meant, Meant::Needed(_))
        };
        let idle = to_keep.iter().filter(is_idle).map(|hits| hits.wish.to_string()).collect();
        let mut rules = Vec::new();
        let rest = (0, Scope::Among);
        let needed = |symbol: Symbol<'_>| symbol.is_linked_to() || symbol.is_mapping();
        let mut verdicts: Vec<Option<(usize, Scope)>> = match &table {
            Some(table) if unneeded => {
                table.iter().map(|symbol| needed(symbol).then_some(rest)).collect()
            }
            // A name costs a look at it, and there may be a million.
            _ => vec![stays.map(|_| rest); total as usize],
        };
        rules.extend(stays.or(unneeded.then_some(UNNEEDED)).map(str::to_owned));
        let mut left = BTreeMap::new();
        let mut judge = |position: usize, verdict| {
            if let Some(old) = verdicts.get_mut(position) {
                *old = verdict;
            }
        };
        for (position, hits) in chosen(&to_strip) {
            judge(position, None);
            // The null symbol is in front of the first.
            left.insert(position as u64 + 1, rules.len() + to_keep.len() + hits);
        }
        for (position, hits) in chosen(&to_keep) {
            let rule = rules.len() + hits;
            judge(position, to_keep.get(hits).map(|hits| (rule, hits.scope)));
        }
        rules.extend(to_keep.iter().chain(&to_strip).map(|hits| hits.wish.to_string()));
        // From here each symbol stays or leaves.
        let kept = (1..).zip(verdicts).filter_map(|(index, verdict)| {
            let ((rule, scope), symbol) = verdict.zip(table?.get(index))?;
            Some(Kept { symbol, rule, scope })
        });
        let unkept = if unneeded { UNNEEDED } else { "symbols" };
        Ok(Self { kept: kept.collect(), table, total, missing, idle, left, rules, unkept })
    }

    /// Lets the symbols go that are defined in sections that leave, as the nameless symbols of debug sections
    /// are, unless they were asked for by name. Says whether there were any.
    pub(super) fn leave_with(&mut self, decisions: &[Decision<'_>]) -> bool {
        let rule = self.rules.len();
        let left = &mut self.left;
        let before = self.kept.len();
        self.kept.retain(|kept| match kept.symbol.place {
            Place::Section(id) if kept.scope == Scope::Among => {
                let decision = decisions.get(id.index());
                let stays = decision.is_some_and(|decision| decision.fate.is_in_slim());
                if !stays {
                    left.insert(kept.symbol.index, rule);
                }
                stays
            }
            _ => true,
        });
        self.rules.push("its section leaves".to_owned());
        self.kept.len() != before
    }

    /// Lets the symbols of an object file stay that what stays names, each with the section that does. Says whether
    /// there were any. One that was to leave by its name is an error.
    pub(super) fn need(
        &mut self,
        elf: &Elf<'_>,
        rest: Rest,
        needed: &[Option<SectionId>],
    ) -> Result<bool, Error> {
        let rule = self.rules.len();
        self.rules.push(format!("{UNNEEDED}: relocations or groups name it"));
        let mut kept = std::mem::take(&mut self.kept).into_iter().peekable();
        let mut added = false;
        let mut all = Vec::new();
        for symbol in self.table.iter().flat_map(|table| table.iter()) {
            if let Some(one) = kept.next_if(|kept| kept.symbol.index == symbol.index) {
                all.push(one);
            } else if let Some(user) = needed.get(symbol.index as usize).copied().flatten() {
                if rest != Rest::Unneeded {
                    let user = elf.section(user).map(Section::display_name).unwrap_or_default();
                    return Err(Error::SymbolNeeded { symbol: symbol.display_name(), user });
                }
                all.push(Kept { symbol, rule, scope: Scope::Itself });
                added = true;
            }
        }
        self.kept = all;
        Ok(added)
    }

    /// The symbols that stay, in the table's order.
    pub fn symbols(&self) -> impl Iterator<Item = &Symbol<'data>> + '_ {
        self.kept.iter().map(|kept| &kept.symbol)
    }

    /// Why a symbol stays: the option, and what it was given.
    pub fn rule(&self, kept: &Kept<'_>) -> &str {
        self.rules.get(kept.rule).map_or("", String::as_str)
    }

    /// The symbols that leave, in the table's order, each with the reason.
    pub fn leaving(&self) -> impl Iterator<Item = (Symbol<'data>, &str)> + '_ {
        let mut kept = self.kept.iter().peekable();
        let all = self.table.iter().flat_map(|table| table.iter());
        let leaving = all
            .filter(move |symbol| kept.next_if(|kept| kept.symbol.index == symbol.index).is_none());
        leaving.map(|symbol| {
            let rule = self.left.get(&symbol.index).and_then(|&rule| self.rules.get(rule));
            (symbol, rule.map_or(self.unkept, String::as_str))
        })
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

/// The symbols that wishes choose and none spares, each with the first wish that chose it.
fn chosen(hits: &[Hits<'_>]) -> BTreeMap<usize, usize> {
    let of = |sense| {
        let hits = hits.iter().enumerate().filter(move |(_, hits)| hits.wish.sense == sense);
        hits.flat_map(|(index, hits)| hits.positions.iter().map(move |&position| (position, index)))
    };
    let mut chosen = BTreeMap::new();
    for (position, index) in of(Sense::Chooses) {
        chosen.entry(position).or_insert(index);
    }
    for (position, _) in of(Sense::Spares) {
        chosen.remove(&position);
    }
    chosen
}

/// The wishes that nothing was found for.
fn missing<'wish>(
    elf: &Elf<'_>,
    table: Option<&SymbolTable<'_>>,
    hits: impl Iterator<Item = &'wish Hits<'wish>>,
) -> Result<Vec<Missing>, Error> {
    let absent = hits.filter(|hits| hits.positions.is_empty()).map(|hits| hits.wish);
    let absent: Vec<&Wish> = absent.collect();
    if absent.is_empty() {
        return Ok(Vec::new());
    }
    // What is in .dynsym is loaded and stays in any case.
    let loaded = find::find(elf.symbols(elf::SHT_DYNSYM)?.as_ref(), absent);
    let absent = loaded.iter().filter(|hits| hits.positions.is_empty()).map(|hits| hits.wish);
    // Which symbols a preset finds depends on toolchains and their versions: that is told, and no error.
    let absent = absent.filter(|wish| !matches!(wish.meant, Meant::Needed(_)));
    let missing = absent.enumerate().map(|(index, wish)| Missing {
        name: wish.text.clone(),
        near: match table.filter(|_| index < NEAR_MISSES) {
            Some(table) => near(table, wish),
            None => Vec::new(),
        },
    });
    Ok(missing.collect())
}
