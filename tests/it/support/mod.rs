//! What behaviour tests stand on: real tools, real registries, real binaries, odd files.
#![allow(dead_code, reason = "what stands here is for the tests to come, too")]

pub mod containerd;
pub mod corpus;
pub mod elf;
pub mod faulty;
pub mod law;
pub mod release;
pub mod server;
pub mod tools;
pub mod xpost;
