//! Whether the parts of a release belong together, before it is signed or published.

use std::fmt::Display;

use super::failure::{Exit, Failure};
use super::ui::Ui;
use crate::build_id::BuildId;
use crate::fs;
use crate::oci::{Artifact, Node};
use crate::release::{Form, PlatformRelease, Product, Release};
use crate::sbom;
use crate::sign::{self, Statement, Subject};

/// The largest bundle that is read.
const BUNDLE_LIMIT: u64 = sign::MAX_BUNDLE_LENGTH as u64;

/// Refuses companions that are not their binary's. `signing` passes over what a new signature puts right.
pub(super) fn check(release: &Release, signing: bool) -> Result<(), Failure> {
    let doing = if signing { "cannot sign this release" } else { "cannot publish this release" };
    let mut failure = Failure::plain(Exit::Refused, doing);
    for problem in release.problems.iter().filter(|problem| !(signing && problem.ends_by_signing()))
    {
        failure = failure.because(problem);
    }
    for (_, binary) in release.binaries() {
        for sbom in &binary.sboms {
            let path = sbom.file.path.display();
            match sbom::subject_hash(&fs::read_small(&sbom.file.path, sbom::MAX_LENGTH as u64)?) {
                Some(hash) if hash == binary.file.digest => {}
                Some(_) => {
                    failure =
                        failure.because(format!("{path} describes another {}", binary.file.name))
                }
                None => {
                    failure = failure
                        .because(format!("{path} does not state the hash of {}", binary.file.name))
                }
            }
        }
    }
    if failure.reasons.is_empty() {
        return Ok(());
    }
    Err(failure.hint("make the parts anew: xpost slim, then xpost sbom, then xpost sign"))
}

/// Warns of programs that debuggers take for each other.
pub(super) fn warn_of_twins(release: &Release, ui: Ui) {
    for (one, other) in release.twins() {
        if let Some(id) = &one.build_id {
            ui.warn(&twins(&one.file.path.display(), &other.file.path.display(), id));
        }
    }
}

/// That two programs have one build-id, as all have that Bazel links (`-buildid=redacted`).
pub(super) fn twins(one: &dyn Display, other: &dyn Display, id: &BuildId) -> String {
    format!(
        "{one} and {other} are two programs with one build-id ({id}), so a debugger takes the debug file of one for the \
         other's; --build-id rewrite gives each its own"
    )
}

/// A manifest that can be signed, what a signature of it says, and the bundle that lies there.
pub(super) struct Signable<'release> {
    /// The platform whose manifest it is; the index is none's.
    pub(super) platform: Option<&'release PlatformRelease>,
    pub(super) statement: Statement,
    pub(super) bundle: Option<&'release Product>,
}

/// The manifests of a form of a release with their statements: the platforms, then the index.
pub(super) fn signables<'release>(
    release: &'release Release,
    artifact: &Artifact,
    form: Form,
) -> Vec<Signable<'release>> {
    let digest = |node: &Node| node.descriptor.digest;
    let platforms = artifact.platforms.iter().filter_map(|node| {
        let of = release.platforms.iter().find(|of| of.platform == node.platform)?;
        let statement = Statement::for_platform(form, digest(&node.node), of);
        let bundle = release.bundle_of(form, Some(of));
        Some(Signable { platform: Some(of), statement, bundle })
    });
    let statement = Statement::for_index(form, digest(&artifact.index), release);
    let bundle = release.bundle_of(form, None);
    platforms.chain([Signable { platform: None, statement, bundle }]).collect()
}

/// Refuses signatures that do not cover what they would be published with, and those of files that the release has not
/// any more: whoever verifies it would miss them. `public` is the part of it that is published.
pub(super) fn check_signatures(
    release: &Release,
    public: &Release,
    artifact: &Artifact,
    form: Form,
) -> Result<(), Failure> {
    if !release.is_signed(form) {
        return Ok(());
    }
    let mut failure = Failure::plain(
        Exit::Refused,
        "cannot publish this release: its signatures are not about it as it is",
    );
    let whole = signables(release, artifact, form);
    for (Signable { statement, bundle, .. }, whole) in
        signables(public, artifact, form).into_iter().zip(whole)
    {
        let name = statement.manifest().name.clone();
        let Some(bundle) = bundle else {
            failure = failure
                .because(format!("{name} has no signature, though other manifests have one"));
            continue;
        };
        match sign::coverage(&read_bundle(bundle)?) {
            Ok(coverage) => {
                for gap in coverage.gaps(&statement) {
                    failure = failure.because(format!(
                        "{} does not cover {} {}",
                        bundle.path.display(),
                        gap.name,
                        gap.digest
                    ));
                }
                let gone = |file: &&Subject| whole.statement.file(&file.name).is_none();
                for file in coverage.files().iter().filter(gone) {
                    failure = failure.because(format!(
                        "{} covers {}, which is not there any more",
                        bundle.path.display(),
                        file.name
                    ));
                }
            }
            Err(reason) => {
                failure = failure.because(format!("{}: {reason}", bundle.path.display()))
            }
        }
    }
    if failure.reasons.is_empty() {
        return Ok(());
    }
    Err(failure.hint(match form {
        Form::Files => "something changed after it was signed: run xpost sign again",
        Form::Image => {
            "something changed after it was signed: run xpost sign --image again, with the options of the push"
        }
        Form::DebugImage => "something changed after it was signed: run xpost sign --debug-image again",
    }))
}

/// The bytes of a bundle.
pub(super) fn read_bundle(bundle: &Product) -> Result<Vec<u8>, Failure> {
    Ok(fs::read_small(&bundle.path, BUNDLE_LIMIT)?)
}
