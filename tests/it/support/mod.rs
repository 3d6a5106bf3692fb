//! What behaviour tests stand on: real tools, real registries, real binaries.
#![allow(dead_code, reason = "what stands here is for the tests to come, too")]

pub mod corpus;
pub mod release;
pub mod server;
pub mod tools;
pub mod xpost;
