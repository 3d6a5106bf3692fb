//! Where the debug files of a release are kept, and those that are in a store of their own (`push --debug-to`).
//!
//! A release does not say where: it is the same release, with the same digest, wherever its debug files are. So whoever wants
//! them, or wants to know whether they are all there, says so. They are found by the build-ids of the binaries.

use super::Error;
use super::at_once;
use super::graph::{Graph, Missing};
use super::lookup::ByBuildId;
use super::manifest::{Document, Node, media};
use super::published::{self, Content, RemoteFile};
use super::reference::Target;
use super::store::Store;
use crate::build_id::BuildId;
use crate::digest::Digest;

/// Where the debug files of a release are meant to be.
#[derive(Clone, Copy)]
pub enum DebugKept<'a> {
    /// Beside the binaries.
    Here,
    /// In this store, by build-id.
    In(&'a dyn Store),
    /// Nowhere (`push --no-debug`).
    Nowhere,
}

/// A debug file, by name and digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct KeptFile {
    /// Its name, which several may have.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
}

/// What another store has of the debug files of a graph.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files that are there.
    pub(super) files: Vec<KeptFile>,
    /// The debug files of binaries of which there is none, neither there nor in the graph.
    pub(super) none: Vec<Missing>,
}

/// Looks for the debug files of all binaries of a graph.
pub(super) fn debug_files(other: &dyn Store, graph: &Graph<'_>) -> Result<Found, Error> {
    let mut wanted: Vec<(&Node, RemoteFile, BuildId)> = Vec::new();
    for node in &graph.nodes {
        let Ok(Document::Manifest(manifest)) = node.document() else { continue };
        if manifest.kind() != media::BINARY {
            continue;
        }
        for file in published::files_of(&node.descriptor.digest, &manifest)? {
            let id = file.build_id.clone().filter(|_| file.content == Content::Binary);
            wanted.extend(id.map(|id| (node, file, id)));
        }
    }
    let there = at_once::each(&wanted, |(_, _, id)| {
        let mut there = Vec::new();
        for file in of_binary(other, id)? {
            if other.has_blob(&file.descriptor)? {
                there.push(file);
            }
        }
        Ok(there)
    })?;
    let mut found = Found::default();
    for ((node, binary, id), there) in wanted.iter().zip(there) {
        if there.is_empty() && !graph.debug_files.iter().any(|debug| debug.build_id == *id) {
            found.none.push(Missing {
                what: format!("the debug file of {} (build-id {id})", binary.title),
                digest: binary.descriptor.digest,
                of: node.descriptor.digest,
            });
        }
        found.files.extend(
            there.into_iter().map(|of| KeptFile { name: of.title, digest: of.descriptor.digest }),
        );
    }
    found.files.sort();
    found.files.dedup();
    Ok(found)
}

/// The debug file of the program with a build-id, with its `.dwp`; none where there is none.
///
/// # Errors
/// Those of the store, and names that cannot be a file's.
pub(super) fn of_binary(other: &dyn Store, id: &BuildId) -> Result<Vec<RemoteFile>, Error> {
    let manifest = match ByBuildId::find(other, id, &Target::default()) {
        Err(Error::NotFound { .. }) => return Ok(Vec::new()),
        found => found?.debug.descriptor,
    };
    let mut files = published::files(other, &manifest)?;
    files.retain(|file| {
        matches!(file.content, Content::Debug | Content::Dwp) && file.build_id.as_ref() == Some(id)
    });
    Ok(files)
}
