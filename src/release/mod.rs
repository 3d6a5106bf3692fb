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

pub use names::{Form, INDEX_BUNDLE, STATE, companion, refuse_name};
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
    /// The signatures of the images that are made of it: `image.sigstore.json`, `image-<directory>.sigstore.json`, and
    /// those that begin with `debug-`.
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

    /// The signature of a platform's manifest in this form, or of the index.
    pub fn bundle_of<'a>(
        &'a self,
        form: Form,
        platform: Option<&'a PlatformRelease>,
    ) -> Option<&'a Product> {
        match (form, platform) {
            (Form::Files, Some(platform)) => platform.bundle.as_ref(),
            (Form::Files, None) => self.bundle.as_ref(),
            (form, platform) => {
                let directory = platform.map(|of| of.platform.directory());
                let name = form.bundle(directory.as_deref());
                self.image_bundles.iter().find(|bundle| bundle.name == name)
            }
        }
    }

    /// Whether anything is signed in this form.
    pub fn is_signed(&self, form: Form) -> bool {
        match form {
            Form::Files => {
                self.bundle.is_some() || self.platforms.iter().any(|of| of.bundle.is_some())
            }
            form => self.image_bundles.iter().any(|bundle| form.has_bundle(&bundle.name)),
        }
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
