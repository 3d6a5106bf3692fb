//! The release directory → [`Release`], every companion held against its binary.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::names::{Kind, classify, is_image_bundle};
use super::{
    Binary, INDEX_BUNDLE, PlatformRelease, Product, Release, STATE, Sbom, companion, refuse_name,
};
use crate::digest::Hashing;
use crate::elf::{self, Elf};
use crate::fs;
use crate::inspect::{self, Libc, Platform, SplitUnits, UnknownPlatform};
use crate::slim::DebugLink;

/// JSON files of a release are small.
const JSON_LIMIT: u64 = 64 << 20;

/// So much of a file is in memory while it is hashed.
const PART: usize = 1 << 20;

/// Why a release directory cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// There is no binary in it.
    #[error("there is no release in {}", root.display())]
    Empty {
        /// The release directory.
        root: PathBuf,
    },
    /// A binary is damaged.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The binary.
        path: PathBuf,
        /// How.
        #[source]
        source: elf::Error,
    },
    /// A binary's platform has no name.
    #[error("{} cannot be published", path.display())]
    UnknownPlatform {
        /// The binary.
        path: PathBuf,
        /// Why.
        #[source]
        source: UnknownPlatform,
    },
    /// A name that no binary of a release can have.
    #[error("{} cannot be published under its name: {reason}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// `release.json` is damaged.
    #[error("{} is damaged", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// How.
        #[source]
        source: serde_json::Error,
    },
}

/// Something in the release directory that does not belong together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A binary lies in the directory of a platform that it is not for.
    #[error("{} is a {platform} binary: it belongs into {}", path.display(), platform.directory())]
    OtherPlatform {
        /// The binary.
        path: PathBuf,
        /// What it is.
        platform: Platform,
    },
    /// A debug file is another binary's.
    #[error("{} is not the debug file of {binary}: {reason}", path.display())]
    OtherDebugFile {
        /// The debug file.
        path: PathBuf,
        /// The binary's name.
        binary: String,
        /// How that shows.
        reason: String,
    },
    /// A `.dwp` is another binary's.
    #[error("{} is not the .dwp of {binary}: {reason}", path.display())]
    OtherDwp {
        /// The `.dwp`.
        path: PathBuf,
        /// The binary's name.
        binary: String,
        /// How that shows.
        reason: String,
    },
    /// The bundles of a platform differ, or only some of its binaries have one.
    #[error("the signatures in {} are not all there, or not the same", directory.display())]
    Bundles {
        /// The platform's directory.
        directory: PathBuf,
    },
}

impl Problem {
    /// Whether signing anew puts it right.
    pub fn ends_by_signing(&self) -> bool {
        matches!(self, Self::Bundles { .. })
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct State {
    pub(super) annotations: BTreeMap<String, String>,
}

/// Reads the release directory.
///
/// # Errors
/// No binary in it, a damaged file, a binary that no registry has a platform for. What does not belong together
/// is no error here but a [`Problem`] of the release.
pub fn read(root: &Path) -> Result<Release, Error> {
    let mut release = Release {
        platforms: Vec::new(),
        annotations: state(root)?.annotations,
        bundle: None,
        image_bundles: Vec::new(),
        problems: Vec::new(),
        strangers: Vec::new(),
    };
    for name in fs::list(root)? {
        let path = root.join(&name);
        if name == INDEX_BUNDLE {
            release.bundle = Some(product(&path, &name)?);
        } else if is_image_bundle(&name) {
            release.image_bundles.push(product(&path, &name)?);
        } else if name.starts_with('.') || name == STATE {
        } else if fs::is_dir(&path) {
            let found = platform(&path, &mut release)?;
            release.platforms.extend(found);
        } else {
            release.strangers.push(path);
        }
    }
    if release.platforms.is_empty() {
        return Err(Error::Empty { root: root.to_owned() });
    }
    release.platforms.sort_by(|left, right| left.platform.cmp(&right.platform));
    Ok(release)
}

pub(super) fn state(root: &Path) -> Result<State, Error> {
    let path = root.join(STATE);
    match fs::read_small(&path, JSON_LIMIT) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| Error::State { path, source }),
        Err(error) if error.is_not_found() => Ok(State::default()),
        Err(error) => Err(error.into()),
    }
}

fn product(path: &Path, name: &str) -> fs::Result<Product> {
    let (digest, size) = fs::digest(path)?;
    Ok(Product { name: name.to_owned(), path: path.to_owned(), digest, size })
}

fn platform(directory: &Path, release: &mut Release) -> Result<Option<PlatformRelease>, Error> {
    let names = fs::list(directory)?;
    let mut binaries = Vec::new();
    let mut platform: Option<Platform> = None;
    for name in names.iter().filter(|name| classify(name).0 == Kind::Binary) {
        let path = directory.join(name);
        let bytes = fs::Contents::of(&path)?;
        let elf = match Elf::parse(&bytes) {
            Ok(elf) => elf,
            Err(source) if bytes.starts_with(b"\x7fELF") => {
                return Err(Error::Damaged { path, source });
            }
            Err(_) => {
                release.strangers.push(path);
                continue;
            }
        };
        if let Some(reason) = refuse_name(name) {
            return Err(Error::Name { path, reason });
        }
        let is_twin = |other: &Binary| other.file.name.to_lowercase() == name.to_lowercase();
        if binaries.iter().any(is_twin) {
            let reason = "another binary has this name on systems where case does not count";
            return Err(Error::Name { path, reason });
        }
        let of = Platform::of(&elf, inspect::go_build(&elf).as_ref())
            .map_err(|source| Error::UnknownPlatform { path: path.clone(), source })?;
        if directory.file_name() != Some(of.directory().as_ref()) {
            release.problems.push(Problem::OtherPlatform { path, platform: of });
            continue;
        }
        binaries.push(binary(directory, name, &bytes, &elf, &names, release)?);
        platform = Some(match platform {
            // Beside a static program one that needs the system's C library: the manifest as a whole needs it.
            Some(other) if other != of => Platform { libc: Libc::System, ..of },
            _ => of,
        });
    }
    let owners: BTreeSet<&str> = binaries.iter().map(|binary| binary.file.name.as_str()).collect();
    let orphans = names.iter().filter(|name| {
        let (kind, owner) = classify(name);
        !matches!(kind, Kind::Binary | Kind::Hidden) && !owners.contains(owner)
    });
    release.strangers.extend(orphans.map(|name| directory.join(name)));
    let Some(platform) = platform else { return Ok(None) };
    let bundle = bundle(directory, &binaries, &names, release)?;
    Ok(Some(PlatformRelease { platform, binaries, bundle }))
}

fn binary(
    directory: &Path,
    name: &str,
    bytes: &fs::Contents,
    elf: &Elf<'_>,
    names: &[String],
    release: &mut Release,
) -> Result<Binary, Error> {
    let mut binary = Binary {
        build_id: inspect::build_id(elf),
        load_digest: inspect::load_digest(elf),
        file: looked_at(directory.join(name), name, bytes)?,
        debug: None,
        dwp: None,
        sboms: Vec::new(),
    };
    let mut units = SplitUnits::default();
    for other in names {
        let path = directory.join(other);
        match classify(other) {
            (Kind::Debug, owner) if owner == name => {
                let bytes = fs::Contents::of(&path)?;
                if let Err(reason) = belongs(elf, &binary, other, &bytes) {
                    let binary = name.to_owned();
                    release.problems.push(Problem::OtherDebugFile {
                        path: path.clone(),
                        binary,
                        reason,
                    });
                }
                let debug = Elf::parse(&bytes).ok();
                units = debug.and_then(|elf| SplitUnits::of(&elf).ok()).unwrap_or_default();
                binary.debug = Some(looked_at(path, other, &bytes)?);
            }
            (Kind::Sbom(format), owner) if owner == name => {
                binary.sboms.push(Sbom { format, file: product(&path, other)? });
            }
            _ => {}
        }
    }
    binary.sboms.sort_by_key(|sbom| sbom.format);
    let dwp = companion::dwp(name);
    if names.contains(&dwp) {
        let path = directory.join(&dwp);
        let bytes = fs::Contents::of(&path)?;
        if let Err(reason) = completes(&units, &bytes) {
            let (path, binary) = (path.clone(), name.to_owned());
            release.problems.push(Problem::OtherDwp { path, binary, reason });
        }
        binary.dwp = Some(looked_at(path, &dwp, &bytes)?);
    }
    Ok(binary)
}

/// Of the bytes that were looked at: another process may write the file meanwhile.
fn looked_at(path: PathBuf, name: &str, bytes: &fs::Contents) -> Result<Product, Error> {
    let mut hashing = Hashing::new(io::sink());
    for part in bytes.chunks(PART) {
        hashing.write_all(part).map_err(fs::at("read", &path))?;
        fs::release(part);
    }
    bytes.unchanged()?;
    let (digest, size) = hashing.finish();
    Ok(Product { name: name.to_owned(), path, digest, size })
}

/// Whether a `.dwp` is that of a debug file: it has units that were split from it.
fn completes(units: &SplitUnits, bytes: &[u8]) -> Result<(), String> {
    let dwp = Elf::parse(bytes).map_err(|error| error.to_string())?;
    match units.missing_from(&dwp).map_err(|error| error.to_string())? {
        missing if missing < units.len() => Ok(()),
        _ if units.is_empty() => Err("there is no debug file with split DWARF".to_owned()),
        _ => Err(format!("it has none of the {} units of its debug file", units.len())),
    }
}

/// Whether a debug file is that of a binary: by the build-id in its own note, and by the link's checksum.
fn belongs(elf: &Elf<'_>, binary: &Binary, name: &str, bytes: &[u8]) -> Result<(), String> {
    let debug = Elf::parse(bytes).map_err(|error| error.to_string())?;
    let (ours, theirs) = (&binary.build_id, inspect::build_id(&debug));
    if *ours != theirs {
        let text = |id: Option<&crate::build_id::BuildId>| {
            id.map_or("none".to_owned(), ToString::to_string)
        };
        return Err(format!(
            "its build-id is {}, not {}",
            text(theirs.as_ref()),
            text(ours.as_ref())
        ));
    }
    let crc = crate::debug::checksum(bytes);
    match DebugLink::of(elf) {
        Some(link) if link.name == name && link.crc != crc => {
            Err(format!("its CRC-32 is {crc:08x}, the binary's debuglink says {:08x}", link.crc))
        }
        Some(link) if link.crc == crc => Ok(()),
        _ if ours.is_some() => Ok(()),
        _ => Err("the binary has no build-id, and no debuglink to such a file".to_owned()),
    }
}

/// The bundle of a platform lies beside each of its binaries; all must be the same.
fn bundle(
    directory: &Path,
    binaries: &[Binary],
    names: &[String],
    release: &mut Release,
) -> Result<Option<Product>, Error> {
    let mut bundles = Vec::new();
    for name in binaries.iter().map(|binary| companion::bundle(&binary.file.name)) {
        if names.contains(&name) {
            bundles.push(product(&directory.join(&name), &name)?);
        }
    }
    let digests: BTreeSet<_> = bundles.iter().map(|bundle| bundle.digest).collect();
    if digests.len() > 1 || !bundles.is_empty() && bundles.len() < binaries.len() {
        release.problems.push(Problem::Bundles { directory: directory.to_owned() });
    }
    Ok(bundles.into_iter().next())
}
