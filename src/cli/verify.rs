//! `xpost verify`: is this release signed, and what is covered?

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;

use super::failure::{Exit, Failure};
use super::sign;
use super::store::{self, Reach};
use super::ui::{self, Ui};
use crate::oci::names::media;
use crate::oci::pull::{self, RemoteFile};
use crate::oci::{self, Access, Reference, Store, Trusted, Untrusted};

/// Verify a release: the index and every platform's manifest must be signed with this key
///
/// The reference is resolved once, and everything else goes by digest. Debug files and SBOMs count where the signature
/// covers them; whatever else hangs on the release is listed as not signed. A tag is not signed by itself, so
/// --require-version is what keeps an old release from standing in for a new one.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  xpost verify ghcr.io/org/app:v1 --key release.pub
  xpost verify oci:release:v1 --key release.pub --require-version 1.2.0")]
pub(super) struct Args {
    /// HOST/NAME:TAG, HOST/NAME@DIGEST, or oci:DIR[:TAG]
    #[arg(value_name = "REF")]
    reference: Reference,
    /// The public key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The signed version must be this one
    #[arg(long, value_name = "VERSION")]
    require_version: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: &Args, ui: Ui) -> Result<(), Failure> {
    let store = store::open(&args.reference, Access::Read, args.reach)?;
    let doing = || format!("cannot verify {}", args.reference);
    let trusted =
        trust(&args.reference, store.as_ref(), &args.key, args.require_version.as_deref())?;
    let digest = trusted.published.root.descriptor.digest;
    let reference = format!("{}@{digest}", store.name());
    let version = trusted.version.as_deref().unwrap_or("not stated");
    let mut text = format!(
        "{}\n  signed   by {}\n  version  {}\n",
        ui::safe(&reference),
        args.key.display(),
        ui::safe(version)
    );
    let mut platforms = Vec::new();
    for (entry, verified) in trusted.published.platforms.iter().zip(&trusted.platforms) {
        let files =
            files(store.as_ref(), entry).map_err(|error| store::failure(doing(), &error))?;
        let (covered, uncovered): (Vec<_>, Vec<_>) =
            files.iter().partition(|file| oci::covers(verified, file));
        if let Some(binary) = uncovered.iter().find(|file| file.content == pull::Content::Binary) {
            return Err(Failure::plain(Exit::Unverified, doing()).because(format!(
                "the signature of {entry} does not cover {} {}",
                binary.title, binary.descriptor.digest
            )));
        }
        let _ = writeln!(text, "  {entry}  {}", entry.descriptor.digest);
        for (files, word) in [(&covered, "signed"), (&uncovered, "not signed")] {
            for file in files.iter() {
                let _ = writeln!(
                    text,
                    "    {word:<10}  {}  {}",
                    ui::safe(&file.title),
                    file.descriptor.digest
                );
            }
        }
        let others = other_referrers(store.as_ref(), entry)
            .map_err(|error| store::failure(doing(), &error))?;
        for other in &others {
            let _ = writeln!(text, "    not signed  {}", ui::safe(other));
        }
        let row =
            |file: &&RemoteFile| json!({ "name": file.title, "digest": file.descriptor.digest });
        platforms.push(json!({
            "platform": entry.to_string(), "digest": entry.descriptor.digest,
            "signed": covered.iter().map(row).collect::<Vec<_>>(),
            "notSigned": uncovered.iter().map(row).collect::<Vec<_>>(),
            "otherReferrers": others,
        }));
    }
    let value = json!({ "reference": reference, "digest": digest, "version": trusted.version, "platforms": platforms });
    ui.result("verify", value, &text)
}

/// Resolves a reference once, and demands valid signatures under it.
pub(super) fn trust(
    reference: &Reference,
    store: &dyn Store,
    key: &std::path::Path,
    version: Option<&str>,
) -> Result<Trusted, Failure> {
    let key = sign::read_public_key(key)?;
    let doing = || format!("cannot verify {reference}");
    let root =
        oci::resolve(store, &reference.target).map_err(|error| store::failure(doing(), &error))?;
    Trusted::verify(store, root, &key, version).map_err(|error| match &error {
        Untrusted::Store(error) => store::failure(doing(), error),
        _ => Failure::new(Exit::Unverified, doing(), &error),
    })
}

/// The binaries, debug files and SBOMs of a platform.
fn files(
    store: &dyn Store,
    entry: &pull::PublishedPlatform,
) -> Result<Vec<RemoteFile>, oci::Error> {
    let mut files = pull::files(store, &entry.descriptor)?;
    for kind in [media::DEBUG, media::CYCLONEDX, media::SPDX] {
        files.extend(pull::referred_files(store, &entry.descriptor.digest, kind)?);
    }
    Ok(files)
}

/// Whatever else refers to the manifest of a platform, by its type and digest.
fn other_referrers(
    store: &dyn Store,
    entry: &pull::PublishedPlatform,
) -> Result<Vec<String>, oci::Error> {
    const KNOWN: [&str; 4] = [media::DEBUG, media::CYCLONEDX, media::SPDX, media::BUNDLE];
    let all = oci::store::referrers(store, &entry.descriptor.digest, None)?;
    let kind = |referrer: &oci::store::Referrer| referrer.document.kind().to_owned();
    let others = all.iter().filter(|referrer| !KNOWN.contains(&kind(referrer).as_str()));
    Ok(others
        .map(|referrer| format!("{} {}", kind(referrer), referrer.descriptor.digest))
        .collect())
}
