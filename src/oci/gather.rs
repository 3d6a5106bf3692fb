//! Plans of more than one platform's binaries: a whole release, laid out as the directory that it was published from.

use std::collections::BTreeSet;
use std::path::Path;

use super::Error;
use super::kept;
use super::manifest::{Descriptor, Document, PlatformEntry, media};
use super::published::{self, Content, PublishedPlatform, RemoteFile};
use super::pull::{Item, Place, Plan};
use super::store::{self, Referrer, Store};
use crate::digest::Digest;
use crate::release::{INDEX_BUNDLE, companion, title};
use crate::sign;

/// The name of a platform's directory in a release directory.
///
/// # Errors
/// [`Error::BadTitle`] for a platform whose words lead elsewhere.
pub fn directory(platform: &PublishedPlatform) -> Result<String, Error> {
    let entry = platform.platform.as_ref();
    let mut name = entry.map(PlatformEntry::to_string).unwrap_or_default().replace('/', "-");
    if platform.target.as_deref().is_some_and(|target| target.ends_with("-musl")) {
        name.push_str("-musl");
    }
    match title::problem(&name) {
        Some(reason) => Err(Error::BadTitle {
            manifest: platform.descriptor.digest,
            title: name,
            reason: reason.to_owned(),
        }),
        None => Ok(name),
    }
}

/// Everything of one platform: binaries, debug files, SBOMs, and beside each binary the signature that `counts`.
///
/// # Errors
/// Those of the store, and names that cannot be a file's.
pub fn of_platform(
    store: &dyn Store,
    manifest: &Descriptor,
    into: &Path,
    counts: &dyn Fn(&[u8]) -> bool,
) -> Result<Plan, Error> {
    let binaries = published::files(store, manifest)?;
    let mut files = binaries.clone();
    for kind in [media::DEBUG, media::CYCLONEDX, media::SPDX] {
        files.extend(published::referred_files(store, &manifest.digest, kind)?);
    }
    // Only what a release directory has beside a binary; whoever may push may hang anything there.
    files.retain(|file| {
        let is_companion = |binary: &RemoteFile| {
            let rest = file.title.strip_prefix(&binary.title);
            rest.is_some_and(|rest| {
                ["", ".debug", ".dwp", ".cdx.json", ".spdx.json"].contains(&rest)
            })
        };
        binaries.iter().any(is_companion)
    });
    if let Some(bundle) = bundle(store, &manifest.digest, counts)? {
        files.extend(binaries.iter().map(|binary| RemoteFile {
            title: companion::bundle(&binary.title),
            ..bundle.clone()
        }));
    }
    published::refuse_clashes(&manifest.digest, &files)?;
    let beside = |file: RemoteFile| Item { place: Place::Path(file.below(into)), file };
    Ok(Plan { items: files.into_iter().map(beside).collect() })
}

/// The debug files that a plan of a platform lacks, from the store that they are kept in, to where they belong.
///
/// # Errors
/// Those of the store, and names that cannot be a file's.
pub fn of_debug_files(kept_in: &dyn Store, of: &Plan, into: &Path) -> Result<Plan, Error> {
    let mut items = Vec::new();
    for binary in of.items.iter().filter(|item| item.file.content == Content::Binary) {
        let Some(id) = &binary.file.build_id else { continue };
        let names = [companion::debug, companion::dwp].map(|name| name(&binary.file.title));
        if of.items.iter().any(|item| names.contains(&item.file.title)) {
            continue;
        }
        let files = kept::of_binary(kept_in, id)?.into_iter();
        let files = files.filter(|file| names.contains(&file.title));
        items.extend(files.map(|file| Item { place: Place::Path(into.join(&file.title)), file }));
    }
    Ok(Plan { items })
}

/// The debug files that a plan of a platform lacks, by name: of those that any signature speaks of. Where none does nobody says which
/// binaries have one, and it is all that have a build-id.
///
/// # Errors
/// Those of the store.
pub fn lacking(store: &dyn Store, manifest: &Digest, of: &[&Item]) -> Result<Lacking, Error> {
    let bundles = published::signatures(store, manifest)?;
    let said: Vec<_> = bundles.iter().filter_map(|bundle| sign::coverage(bundle).ok()).collect();
    let is_said = |name: &str| said.iter().any(|of| of.files().iter().any(|of| of.name == name));
    let is_planned = |name: &str| of.iter().any(|item| item.file.title == name);
    let binaries = of.iter().filter(|item| item.file.content == Content::Binary);
    let mut lacking = Lacking::default();
    for RemoteFile { title, build_id, .. } in binaries.map(|item| &item.file) {
        let names = [companion::debug(title), companion::dwp(title)];
        let [debug, _] = &names;
        if said.is_empty() && build_id.is_some() && !is_planned(debug) {
            lacking.possible.insert(debug.clone());
        }
        lacking.said.extend(names.into_iter().filter(|name| is_said(name) && !is_planned(name)));
    }
    Ok(lacking)
}

/// Debug files that are not there.
#[derive(Debug, Default)]
pub struct Lacking {
    /// Those that a signature speaks of.
    pub said: BTreeSet<String>,
    /// Those that there may be.
    pub possible: BTreeSet<String>,
}

/// The signature of the index that `counts`.
///
/// # Errors
/// Those of the store.
pub fn of_index(
    store: &dyn Store,
    index: &Digest,
    into: &Path,
    counts: &dyn Fn(&[u8]) -> bool,
) -> Result<Plan, Error> {
    let bundle = bundle(store, index, counts)?;
    let items = bundle.map(|file| Item { place: Place::Path(into.join(INDEX_BUNDLE)), file });
    Ok(Plan { items: items.into_iter().collect() })
}

fn bundle(
    store: &dyn Store,
    manifest: &Digest,
    counts: &dyn Fn(&[u8]) -> bool,
) -> Result<Option<RemoteFile>, Error> {
    for referrer in store::referrers(store, manifest, Some(media::BUNDLE))? {
        let counted = published::bundle_in(store, &referrer)?.is_some_and(|bundle| counts(&bundle));
        if let (true, Some(layer)) = (counted, only_layer(&referrer)) {
            return Ok(Some(RemoteFile {
                title: INDEX_BUNDLE.to_owned(),
                descriptor: layer.plain(),
                content: Content::Other,
                build_id: None,
                load_digest: None,
            }));
        }
    }
    Ok(None)
}

fn only_layer(referrer: &Referrer) -> Option<&Descriptor> {
    match &referrer.document {
        Document::Manifest(manifest) => manifest.layers.first(),
        Document::Index(_) => None,
    }
}
