//! The release directory: what lies in `xpost-out` and how the parts belong together.
//!
//! It is the only state there is. A person can read it and delete from it; every command that works
//! without file arguments reads it anew. `release.json` holds only what the files cannot say.

mod names;
mod read;
mod stage;
pub mod title;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use names::{INDEX_BUNDLE, STATE, companion, image_bundle, refuse_name};
pub use read::{Error, Problem, read};
pub use stage::Staged;

use crate::build_id::BuildId;
use crate::digest::Digest;
use crate::inspect::Platform;

/// A file of the release, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// The file name, without a directory.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// The SHA-256 of its contents.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// A slim binary and the files that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// The slim file itself.
    pub file: Product,
    /// The id of its note, where it has one.
    pub build_id: Option<BuildId>,
    /// SHA-256 over its segments: equal for the binary before and after slimming.
    pub load_digest: Digest,
    /// `<name>.debug`.
    pub debug: Option<Product>,
    /// `<name>.dwp`: what split DWARF leaves out of the debug file.
    pub dwp: Option<Product>,
    /// `<name>.cdx.json`, `<name>.spdx.json`.
    pub sboms: Vec<Sbom>,
}

/// An SBOM of a binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sbom {
    /// What the file holds.
    pub format: SbomFormat,
    /// The file.
    pub file: Product,
}

/// The formats of SBOMs, in the order of their extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SbomFormat {
    /// CycloneDX JSON, `.cdx.json`.
    CycloneDx,
    /// SPDX JSON, `.spdx.json`.
    Spdx,
}

impl SbomFormat {
    /// The media type in a registry.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::CycloneDx => "application/vnd.cyclonedx+json",
            Self::Spdx => "application/spdx+json",
        }
    }

    /// What the file name ends in.
    pub fn extension(self) -> &'static str {
        match self {
            Self::CycloneDx => ".cdx.json",
            Self::Spdx => ".spdx.json",
        }
    }
}

/// All binaries of one platform, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformRelease {
    /// Read from the binaries themselves.
    pub platform: Platform,
    /// At least one.
    pub binaries: Vec<Binary>,
    /// The signature of this platform's manifest and files; lies beside each binary as `<name>.sigstore.json`.
    pub bundle: Option<Product>,
}

/// Everything that lies in the release directory, sorted by platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// At least one.
    pub platforms: Vec<PlatformRelease>,
    /// The annotations of the index, from `release.json`.
    pub annotations: BTreeMap<String, String>,
    /// The signature of the index and all files, `index.sigstore.json`.
    pub bundle: Option<Product>,
    /// The signatures of the images that are made of it, `image.sigstore.json` and `image-<directory>.sigstore.json`.
    pub image_bundles: Vec<Product>,
    /// What does not belong together; nothing is published before there are none.
    pub problems: Vec<Problem>,
    /// Files in the directory that are no part of a release, and are ignored.
    pub strangers: Vec<PathBuf>,
}

impl Release {
    /// All binaries with their platforms, in order.
    pub fn binaries(&self) -> impl Iterator<Item = (&Platform, &Binary)> {
        self.platforms.iter().flat_map(|of| of.binaries.iter().map(|binary| (&of.platform, binary)))
    }

    /// The signature of the image of a platform, by its directory, or of the images' index.
    pub fn image_bundle(&self, directory: Option<&str>) -> Option<&Product> {
        let name = image_bundle(directory);
        self.image_bundles.iter().find(|bundle| bundle.name == name)
    }

    /// Different programs with one build-id: each with the first that has it.
    pub fn twins(&self) -> Vec<(&Binary, &Binary)> {
        let mut firsts: BTreeMap<&BuildId, &Binary> = BTreeMap::new();
        let mut twins = Vec::new();
        for (_, binary) in self.binaries() {
            let Some(id) = &binary.build_id else { continue };
            let first = *firsts.entry(id).or_insert(binary);
            if first.load_digest != binary.load_digest {
                twins.push((first, binary));
            }
        }
        twins
    }
}
