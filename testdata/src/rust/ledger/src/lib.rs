//! Entries and their sum.

use std::io::Write;

use money::Money;

/// How the program was asked to run.
#[derive(Clone, Copy, PartialEq)]
pub enum Mode {
    Print,
    Crash,
    Wait,
}

/// One line of the ledger.
pub struct Entry {
    name: String,
    price: Money,
}

impl Entry {
    /// An entry with a name and a price in cents.
    pub fn new(name: &str, cents: u32) -> Self {
        Self { name: name.to_owned(), price: Money::of(cents) }
    }
}

/// The sum of all entries.
#[inline(never)]
pub fn tally_all(entries: &[Entry], mode: Mode) -> Money {
    let mut sum = Money::of(0);
    for (index, entry) in entries.iter().enumerate() {
        sum = tally_entry(entry, sum, if index == 1 { mode } else { Mode::Print });
    }
    sum
}

#[inline(never)]
fn tally_entry(entry: &Entry, sum: Money, mode: Mode) -> Money {
    let price = if mode == Mode::Crash { None } else { Some(entry.price) };
    add(&entry.name, price, sum, mode)
}

#[inline(never)]
fn add(name: &str, price: Option<Money>, sum: Money, mode: Mode) -> Money {
    let price = price.unwrap_or_else(|| panic!("{name} has no price"));
    let next = sum.plus(price);
    // stop here: the next line
    if mode == Mode::Wait {
        println!("ready");
        std::io::stdout().flush().expect("standard output is open");
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
    next
}
