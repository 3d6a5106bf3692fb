//! Behaviour, on real binaries, registries and tools.
#![expect(
    unreachable_pub,
    reason = "a test binary exports nothing, and `pub` says what a module offers to its siblings"
)]
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "the rules of the program, not of its tests"
)]

mod action;
mod archives;
mod audits;
mod build_id;
mod copies;
mod deletions;
mod docs;
mod environment;
mod expectations;
mod faults;
mod foreign;
mod forms;
mod generated;
mod identity;
mod images;
mod killed;
mod laws;
mod layouts;
mod libraries;
mod login;
mod matrix;
mod minidebug;
mod notes;
mod objects;
mod offline;
mod oracle;
mod patched;
mod paths;
mod payload;
mod place;
mod readers;
mod readme;
mod refusals;
mod registries;
mod restore;
mod road;
mod runtimes;
mod sections;
mod slim;
mod split_dwarf;
mod support;
mod symbols;
mod tidy;
mod transfers;
mod verbs;
