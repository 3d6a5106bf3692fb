//! Elf → facts: for which platform it is, how it is linked, what debug information it holds.

mod platform;

pub use platform::{Libc, Platform};
