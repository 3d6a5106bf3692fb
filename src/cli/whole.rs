//! `xpost verify --complete`: is everything there that belongs to a release?

use std::fmt::Write as _;

use serde_json::json;

use super::failure::{Exit, Failure};
use super::store::{self, Reach};
use super::ui::{self, Ui};
use crate::oci::{self, Access, Completeness, Connection, DebugKept, Reference};
use crate::release::companion;

/// Where the debug files are said to be.
pub(super) enum Kept<'a> {
    Here,
    In(&'a Reference),
    Nowhere,
}

pub(super) fn run(
    reference: &Reference,
    kept: Kept<'_>,
    reach: &Reach,
    ui: Ui,
) -> Result<(), Failure> {
    let explain = |error: oci::Error| store::failure(format!("cannot verify {reference}"), &error);
    // A registry that lost something is not whole because another has it.
    let connection = Connection { mirrors: Vec::new(), ..reach.connection(reference, ui)? };
    let store = store::open_with(reference, Access::Read, &connection)?;
    let other = match kept {
        Kept::In(from) => Some(store::open_with(from, Access::Read, &connection)?),
        Kept::Here | Kept::Nowhere => None,
    };
    let debug = match (&other, &kept) {
        (Some(other), _) => DebugKept::In(other.as_ref()),
        (None, Kept::Nowhere) => DebugKept::Nowhere,
        (None, _) => DebugKept::Here,
    };
    let root = oci::resolve(store.as_ref(), &reference.target).map_err(explain)?;
    let digest = root.descriptor.digest;
    let by_digest = format!("{}@{digest}", store.name());
    let found = oci::completeness(store.as_ref(), root, debug).map_err(explain)?;
    let debug_from = other.map(|other| other.name());
    let value = json!({
        "reference": by_digest, "digest": digest, "complete": found.is_complete(),
        "manifests": found.manifests, "blobs": found.blobs,
        "debugFrom": debug_from, "debugElsewhere": found.debug_elsewhere, "debugNowhere": found.debug_nowhere,
        "missing": found.missing, "missingTags": found.missing_tags,
    });
    if found.is_complete() {
        let mut text = format!("{}\n", ui::safe(&by_digest));
        let manifests = ui::count(found.manifests, "manifest");
        let _ = writeln!(text, "  complete  {manifests}, {}", ui::count(found.blobs, "blob"));
        let from = format!("kept in {}", ui::safe(debug_from.as_deref().unwrap_or_default()));
        for (what, files) in
            [(from.as_str(), &found.debug_elsewhere), ("left out", &found.debug_nowhere)]
        {
            for file in files {
                let _ = writeln!(text, "  {what}  {}  {}", ui::safe(&file.name), file.digest);
            }
        }
        return ui.result("verify", value, &text);
    }
    let mut failure = Failure::plain(Exit::Refused, format!("{by_digest} is not complete"));
    for missing in &found.missing {
        failure = failure.because(format!("{} is not there ({})", missing.what, missing.digest));
    }
    for tag in &found.missing_tags {
        failure = failure.because(format!("the tag {tag} is not there"));
    }
    Err(failure.after(value).hint(hint(&found, reference, &kept)))
}

/// What to do about what is missing.
fn hint(found: &Completeness, reference: &Reference, kept: &Kept<'_>) -> String {
    let is_debug = |what: &str| companion::is_of_debugger(what);
    match kept {
        _ if found.missing.is_empty() => {
            format!("xpost copy {reference} {reference} makes the tags anew")
        }
        Kept::Here if found.missing.iter().all(|missing| is_debug(&missing.what)) => {
            "where debug files are kept elsewhere, say so: --debug-from REPOSITORY (push --debug-to), or --no-debug".to_owned()
        }
        _ => "push it again as it was pushed, or copy it from where it is whole".to_owned(),
    }
}
