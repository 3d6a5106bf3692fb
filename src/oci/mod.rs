//! Files become an [`Artifact`], and an artifact goes into a [`Store`]: a layout directory or a registry.
//!
//! [`Artifact::of`] makes every byte that will be published, without a store and without a clock, so `sign` can sign
//! it first. It is one [`Graph`]; what hangs together in a store is another, so [`push()`] is also how a graph gets from
//! store to store, in an order in which a reader never meets something that is not whole; [`pull`] reads it back and
//! believes nothing. What is stored how is a format that others read: `ARCHITECTURE.md` says it exactly, and tests hold it
//! there.

mod archive;
mod artifact;
mod at_once;
mod audit;
#[cfg(feature = "net")]
pub mod auth;
pub mod brought;
mod complete;
mod cosign;
#[cfg(feature = "net")]
pub mod credentials;
mod delete;
mod directory;
mod error;
mod fallback;
mod files;
pub mod gather;
mod graph;
mod heirs;
#[cfg(feature = "net")]
mod helper;
pub mod host;
mod image;
mod kept;
mod layers;
mod layout;
mod lookup;
pub mod manifest;
mod memory;
#[cfg(feature = "net")]
mod mirror;
pub mod names;
mod pack;
pub mod published;
pub mod pull;
mod push;
pub mod reference;
#[cfg(feature = "net")]
mod registry;
pub mod store;
mod tags;
#[cfg(test)]
mod tests;
mod unpack;
mod verify;
mod walk;

pub use artifact::{Artifact, Blob, DebugFiles, PlatformNode, ReferrerNode, Role, Source};
pub use audit::{Audit, Program, Verdict, audit};
pub use complete::{Completeness, completeness};
pub use delete::{Deletion, Doomed, Moved, Spared, delete};
pub use error::{Error, Kind};
pub use graph::{DebugFile, Edge, Graph, GraphBlob, Missing};
pub use host::Host;
pub use image::ImageOptions;
pub use kept::{DebugKept, KeptFile};
pub use layout::Layout;
pub use lookup::ByBuildId;
pub use manifest::{Descriptor, Document, Index, Manifest, Node};
pub use memory::MemoryStore;
#[cfg(feature = "net")]
pub use mirror::Mirror;
pub use pack::LayerEntry;
pub use push::{Event, Observer, Options, Receipt, TagState, Tagged, Upload, push, survey};
pub use reference::{Location, Reference, Repository, Tag, Target};
#[cfg(feature = "net")]
pub use registry::{Plain, Registry, check_login};
pub use store::{Access, State, Store, resolve};
pub use tags::{BuildIds, Occupied, Withheld};
pub use verify::{Signatures, Trusted, Untrusted, signs};

/// Told what a person should know of a store and no result says, while it is used.
#[cfg(feature = "net")]
pub type Warn = fn(&str);

/// How registries are reached; layouts need none of it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Where http without TLS is spoken, said of single hosts; [`Plain::Loopback`] is for all others, whatever is read with them.
    #[cfg(feature = "net")]
    pub plain: Vec<(Host, Plain)>,
    /// Who asks.
    #[cfg(feature = "net")]
    pub login: credentials::Login,
    /// Who has what registries have; the first that has a repository is read before it.
    #[cfg(feature = "net")]
    pub mirrors: Vec<Mirror>,
    /// Told which mirror failed.
    #[cfg(feature = "net")]
    pub warn: Warn,
    /// Time limits and patience.
    #[cfg(feature = "net")]
    pub http: crate::http::Options,
}

/// The store that a reference is about. A layout that is to be written to is made with the first thing that is put there.
///
/// # Errors
/// [`Error::NotFound`] and [`Error::NoLayout`] where a layout should be read; [`Error::OtherContents`] where one
/// cannot be made; [`Error::NoNetwork`] for a registry where there is none. A registry is not asked yet.
pub fn open(
    location: &Location,
    access: Access,
    connection: &Connection,
) -> Result<Box<dyn Store>, Error> {
    match (location, access) {
        (Location::Layout(directory), Access::Read | Access::Delete) => {
            Ok(Box::new(Layout::open(directory)?))
        }
        (Location::Layout(directory), Access::Write) => Ok(Box::new(Layout::create(directory)?)),
        (Location::Archive(file), Access::Read | Access::Delete) => {
            Ok(Box::new(Layout::open_archive(file)?))
        }
        (Location::Archive(file), Access::Write) => Ok(Box::new(Layout::create_archive(file)?)),
        #[cfg(feature = "net")]
        (Location::Registry(repository), access) => {
            let Connection { login, http, .. } = connection;
            let open = |repository: &Repository, plain: Plain, http: crate::http::Options| {
                Registry::open(repository, access, plain, login.clone(), http)
            };
            let said = connection.plain.iter().find(|(host, _)| host == repository.host());
            let plain = said.map_or(Plain::Loopback, |(_, plain)| *plain);
            let origin = open(repository, plain, http.clone())?;
            let place = |mirror: &Mirror| Some((mirror.place_of(repository)?, mirror.plain()));
            let mirror = connection.mirrors.iter().find_map(place);
            Ok(match mirror.filter(|_| access == Access::Read) {
                Some((mirror, plain)) => {
                    let mirror = open(&mirror, plain, http.clone().hurried())?;
                    Box::new(mirror::Mirrored::new(mirror, origin, connection.warn))
                }
                None => Box::new(origin),
            })
        }
        #[cfg(not(feature = "net"))]
        (Location::Registry(_), _) => {
            let Connection {} = connection;
            Err(Error::NoNetwork {
                place: location.to_string(),
                reason: "this xpost was built without the feature `net`",
            })
        }
    }
}
