//! Whether the parts of a release belong together, before it is signed or published.

use std::fmt::Display;

use super::failure::{Exit, Failure};
use super::ui::Ui;
use crate::build_id::BuildId;
use crate::fs;
use crate::oci::{Artifact, Node};
use crate::release::{Product, Release};
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

/// What is signed and published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The files themselves.
    Release,
    /// Runnable images of them.
    Image,
}

/// A manifest that can be signed, what a signature of it says, and the bundle that lies there.
pub(super) struct Signable<'release> {
    pub(super) statement: Statement,
    pub(super) bundle: Option<&'release Product>,
}

/// The manifests of a release or of its images with their statements: the platforms, then the index.
pub(super) fn signables<'release>(
    release: &'release Release,
    artifact: &Artifact,
    form: Form,
) -> Vec<Signable<'release>> {
    let digest = |node: &Node| node.descriptor.digest;
    let platforms = release.platforms.iter().zip(&artifact.platforms).map(|(of, node)| Signable {
        statement: Statement::for_platform(digest(&node.node), of),
        bundle: match form {
            Form::Release => of.bundle.as_ref(),
            Form::Image => release.image_bundle(Some(&of.platform.directory())),
        },
    });
    let index = Signable {
        statement: Statement::for_index(digest(&artifact.index), release),
        bundle: match form {
            Form::Release => release.bundle.as_ref(),
            Form::Image => release.image_bundle(None),
        },
    };
    platforms.chain([index]).collect()
}

/// Whether anything of it is signed.
pub(super) fn is_signed(release: &Release, form: Form) -> bool {
    let mut platforms = release.platforms.iter();
    match form {
        Form::Release => release.bundle.is_some() || platforms.any(|of| of.bundle.is_some()),
        Form::Image => !release.image_bundles.is_empty(),
    }
}

/// Refuses signatures that do not cover what they would be published with, and those of files that the release has not
/// any more: whoever verifies it would miss them. `public` is the part of it that is published.
pub(super) fn check_signatures(
    release: &Release,
    public: &Release,
    artifact: &Artifact,
    form: Form,
) -> Result<(), Failure> {
    if !is_signed(release, form) {
        return Ok(());
    }
    let mut failure = Failure::plain(
        Exit::Refused,
        "cannot publish this release: its signatures are not about it as it is",
    );
    let whole = signables(release, artifact, form);
    for (Signable { statement, bundle }, whole) in
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
        Form::Release => "something changed after it was signed: run xpost sign again",
        Form::Image => "something changed after it was signed: run xpost sign --image again, with the options of the push",
    }))
}

/// The bytes of a bundle.
pub(super) fn read_bundle(bundle: &Product) -> Result<Vec<u8>, Failure> {
    Ok(fs::read_small(&bundle.path, BUNDLE_LIMIT)?)
}
