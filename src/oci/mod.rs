//! Files become an [`Artifact`], and an artifact goes into a [`Store`]: a layout directory or a registry.
//!
//! [`Artifact::of`] makes every byte that will be published, without a store and without a clock, so `sign` can sign
//! it first. [`push()`] walks the graph into any store in an order in which a reader never meets something that is not
//! whole; [`pull`] reads it back and believes nothing; [`copy()`] carries it from store to store. What is stored how is
//! a format that others read: `design.md`'s section 4 in `ARCHITECTURE.md` is exact, and tests hold it there.

mod artifact;
#[cfg(feature = "net")]
pub mod auth;
mod copy;
mod dir;
mod error;
mod fallback;
pub mod manifest;
pub mod pull;
mod push;
pub mod reference;
#[cfg(feature = "net")]
mod registry;
pub mod store;
#[cfg(test)]
mod tests;
mod title;
mod verify;

pub use artifact::{Artifact, Blob, PlatformNode, ReferrerNode, Role, Source};
pub use copy::{Copied, copy};
pub use dir::Layout;
pub use error::{Error, Kind};
pub use manifest::{Descriptor, Document, Index, Manifest, Node};
pub use push::{
    BuildIds, Event, Observer, Occupied, Options, Receipt, State, TagState, Upload, Withheld, push,
};
pub use reference::{Location, Reference, Repository, Tag, Target};
#[cfg(feature = "net")]
pub use registry::{Access, Plain, Registry};
pub use store::{MemoryStore, Store, resolve};
pub use verify::{Trusted, Untrusted, covers, signs};
