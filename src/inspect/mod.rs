//! Elf → facts: for which platform it is, how it is linked, what debug information it holds.

pub mod go;
mod platform;

pub use platform::{Libc, Platform};
