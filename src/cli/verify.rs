//! `xpost verify`: is this release signed, and what is covered? Is all of it there, and is it what it says?

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;

use super::failure::{Exit, Failure};
use super::load_identity;
use super::sign;
use super::store::{self, Reach};
use super::ui::{self, Ui};
use super::{truth, whole};
use crate::digest::Digest;
use crate::oci::names::media;
use crate::oci::published::{self, RemoteFile};
use crate::oci::{self, Access, Reference, Store, Trusted, Untrusted};
use crate::sign::PublicKey;

/// Verify a release: the index and every platform's manifest must be signed with this key
///
/// The reference is resolved once, and everything else goes by digest. Debug files and SBOMs count where the signature
/// covers them; whatever else hangs on the release is listed as not signed. A tag is not signed by itself, so
/// --require-version is what keeps an old release from standing in for a new one.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  xpost verify ghcr.io/org/app:v1 --key release.pub
  xpost verify oci:release:v1 --key release.pub --require-version 1.2.0
  xpost verify ghcr.io/org/app:v1 --complete
  xpost verify ghcr.io/org/app:v1 --complete --debug-from ghcr.io/org/app-debug
  xpost verify docker.io/library/alpine:3 --platforms
  xpost verify --load-identity app.slim app.slim.debug app")]
pub(super) struct Args {
    /// HOST/NAME:TAG, HOST/NAME@DIGEST, oci:DIR[:TAG] or oci-archive:FILE.tar[:TAG]
    #[arg(value_name = "REF", required_unless_present = "load_identity")]
    reference: Option<Reference>,
    /// The public key
    #[arg(long, value_name = "FILE", required_unless_present_any = ["load_identity", "complete", "platforms"])]
    key: Option<PathBuf>,
    /// The signed version must be this one
    #[arg(long, value_name = "VERSION")]
    require_version: Option<String>,
    /// Instead of signatures: is everything there that belongs to it? What cleaners and mirrors took is named. The registry
    /// itself is asked, whatever --mirror and XPOST_MIRRORS say
    #[arg(long, conflicts_with_all = ["key", "platforms"])]
    complete: bool,
    /// With --complete: the debug files are kept in this repository (`push --debug-to`), and have to be there
    #[arg(long, value_name = "REPOSITORY", requires = "complete", conflicts_with_all = ["key", "platforms", "load_identity"])]
    debug_from: Option<Reference>,
    /// With --complete: the debug files were published nowhere (`push --no-debug`)
    #[arg(long, requires = "complete", conflicts_with_all = ["debug_from", "key", "platforms", "load_identity"])]
    no_debug: bool,
    /// Instead of signatures: are the programs in it for the platforms that it states? Any image will do
    #[arg(long, conflicts_with_all = ["key", "require_version"])]
    platforms: bool,
    /// Instead of a release: do these files agree? A slim file, its debug file, and what they were made of
    ///
    /// Program headers, build-id, debuglink, sections; with ORIGINAL also every byte that is loaded, and that the two
    /// halves are the original again.
    #[arg(long, num_args = 2..=3, value_names = ["SLIM", "DEBUG", "ORIGINAL"], conflicts_with_all = ["reference", "key", "require_version", "complete", "platforms"])]
    load_identity: Vec<PathBuf>,
    #[command(flatten)]
    reach: Reach,
}

impl Args {
    /// What its result is called: the two verdicts have nothing in common.
    pub(super) fn name(&self) -> &'static str {
        if self.load_identity.is_empty() { "verify" } else { load_identity::NAME }
    }
}

pub(super) fn run(args: &Args, ui: Ui) -> Result<(), Failure> {
    let Some(reference) = &args.reference else {
        return load_identity::run(&args.load_identity, ui);
    };
    let Some(key_path) = &args.key else {
        return if args.complete {
            let kept = match (&args.debug_from, args.no_debug) {
                (Some(from), _) => whole::Kept::In(from),
                (None, true) => whole::Kept::Nowhere,
                (None, false) => whole::Kept::Here,
            };
            whole::run(reference, kept, &args.reach, ui)
        } else {
            truth::run(reference, &args.reach, ui)
        };
    };
    let key = sign::read_public_key(key_path)?;
    let store = store::open(reference, Access::Read, &args.reach, ui)?;
    let doing = || format!("cannot verify {reference}");
    let explain = |error| store::failure(doing(), &error);
    let trusted = trust(reference, store.as_ref(), &key, args.require_version.as_deref())?;
    let root = trusted.published.root.descriptor.digest;
    let reference = format!("{}@{root}", store.name());
    let mut text = format!(
        "{}\n  signed   by {}\n  version  {}\n",
        ui::safe(&reference),
        key_path.display(),
        ui::safe(trusted.version.as_deref().unwrap_or("not stated"))
    );
    let mut on_index = Vec::new();
    if trusted.published.is_index() {
        let signs = |bundle: &[u8]| oci::signs(bundle, &key, None, root);
        let around = Around::of(store.as_ref(), &root, &signs).map_err(explain)?;
        // The signature of the index speaks of no file that hangs on the index itself.
        on_index = around.files.iter().map(Row::of).chain(around.others).collect();
        list(&mut text, "  ", "not signed", &on_index);
    }
    let mut platforms = Vec::new();
    for (entry, signatures) in trusted.published.platforms.iter().zip(&trusted.platforms) {
        let digest = entry.descriptor.digest;
        let binaries = published::files(store.as_ref(), &entry.descriptor).map_err(explain)?;
        if let Some(binary) = binaries.iter().find(|file| !signatures.cover(file)) {
            return Err(Failure::plain(Exit::Unverified, doing()).because(format!(
                "the signature of {entry} does not cover {} {}",
                binary.title, binary.descriptor.digest
            )));
        }
        let signs = |bundle: &[u8]| oci::signs(bundle, &key, Some(entry), digest);
        let around = Around::of(store.as_ref(), &digest, &signs).map_err(explain)?;
        let files = binaries.iter().chain(&around.files);
        let (covered, uncovered): (Vec<_>, Vec<_>) = files.partition(|file| signatures.cover(file));
        let rows = |files: Vec<&RemoteFile>| files.into_iter().map(Row::of).collect::<Vec<_>>();
        let (covered, uncovered) = (rows(covered), rows(uncovered));
        let _ = writeln!(text, "  {entry}  {digest}");
        list(&mut text, "    ", "signed", &covered);
        list(&mut text, "    ", "not signed", &uncovered);
        list(&mut text, "    ", "not signed", &around.others);
        let is_there = |name: &&str| covered.iter().any(|row| row.name == **name);
        let missing: BTreeSet<_> = signatures.names().filter(|name| !is_there(name)).collect();
        for name in &missing {
            let _ = writeln!(text, "    signed, and not there  {}", ui::safe(name));
        }
        platforms.push(json!({
            "platform": entry.to_string(), "digest": digest, "signed": covered, "notSigned": uncovered,
            "otherReferrers": around.others, "missing": missing,
        }));
    }
    let value = json!({
        "reference": reference, "digest": root, "version": trusted.version, "platforms": platforms,
        "otherReferrers": on_index,
    });
    ui.result("verify", value, &text)
}

/// A line of the listing.
#[derive(Serialize)]
struct Row {
    name: String,
    digest: Digest,
}

impl Row {
    fn of(file: &RemoteFile) -> Self {
        Self { name: file.title.clone(), digest: file.descriptor.digest }
    }
}

fn list(text: &mut String, indent: &str, word: &str, rows: &[Row]) {
    for row in rows {
        let _ = writeln!(text, "{indent}{word:<10}  {}  {}", ui::safe(&row.name), row.digest);
    }
}

/// Resolves a reference once, and demands valid signatures under it.
pub(super) fn trust(
    reference: &Reference,
    store: &dyn Store,
    key: &PublicKey,
    version: Option<&str>,
) -> Result<Trusted, Failure> {
    let doing = || format!("cannot verify {reference}");
    let root =
        oci::resolve(store, &reference.target).map_err(|error| store::failure(doing(), &error))?;
    Trusted::verify(store, root, key, version).map_err(|error| match &error {
        Untrusted::Store(error) => store::failure(doing(), error),
        _ => Failure::new(Exit::Unverified, doing(), &error),
    })
}

/// What hangs on a manifest.
struct Around {
    /// Debug files and SBOMs.
    files: Vec<RemoteFile>,
    /// Everything else but signatures that count, by type and digest. What others attached may look like ours and
    /// have no file name that can be used: it is listed, and is no reason to stop.
    others: Vec<Row>,
}

impl Around {
    fn of(
        store: &dyn Store,
        manifest: &Digest,
        signs: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Self, oci::Error> {
        const FILES: [&str; 3] = [media::DEBUG, media::CYCLONEDX, media::SPDX];
        let mut around = Self { files: Vec::new(), others: Vec::new() };
        for referrer in oci::store::referrers(store, manifest, None)? {
            let kind = referrer.document.kind();
            let files = match FILES.contains(&kind) {
                true => published::files_in(&referrer).unwrap_or_default(),
                false => Vec::new(),
            };
            let counts =
                published::bundle_in(store, &referrer)?.is_some_and(|bundle| signs(&bundle));
            if files.is_empty() && !counts {
                around
                    .others
                    .push(Row { name: kind.to_owned(), digest: referrer.descriptor.digest });
            }
            around.files.extend(files);
        }
        Ok(around)
    }
}
