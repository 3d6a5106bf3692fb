//! The ledger in Rust.
//!
//!     tally          prints the sum and exits 0
//!     tally crash    panics four calls deep
//!     tally wait     prints "ready" four calls deep, then sleeps for a minute

use ledger::{Entry, Mode, tally_all};

fn main() {
    let mode = match std::env::args().nth(1).as_deref() {
        Some("crash") => Mode::Crash,
        Some("wait") => Mode::Wait,
        _ => Mode::Print,
    };
    let entries = [Entry::new("bread", 250), Entry::new("milk", 129), Entry::new("tea", 480)];
    let sum = tally_all(&entries, mode);
    println!("{} entries, {} cents", itoa::Buffer::new().format(entries.len()), sum.cents());
}
