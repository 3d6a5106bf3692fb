//! xpost turns the static binary that a build produced into a small, signed release whose
//! crashes still open in gdb.
//!
//! The modules stand in pipeline order, and a module uses only the modules above it: bytes become
//! an [`elf::Elf`], a plan is made from it, a layout from the plan, and files from the layout.
//! Nothing flows back. `ARCHITECTURE.md` has the picture.
//!
//! A program that embeds the slimming alone turns the default features off; `sbom`, `sign`, `oci` (with `sign`), `net`
//! (with `oci`) and `cli` (all) add the modules of these names, sockets, and the command line.

pub mod digest;

pub mod parallel;

pub mod fs;

#[cfg(feature = "net")]
pub mod http;

pub mod build_id;

pub mod elf;

pub mod inspect;

pub mod identity;

pub mod slim;

pub mod debug;

pub mod archive;

pub mod tar;

pub mod release;

#[cfg(feature = "sbom")]
pub mod sbom;

#[cfg(feature = "sign")]
pub mod sign;

#[cfg(feature = "oci")]
pub mod oci;

#[cfg(feature = "cli")]
pub mod cli;
