//! `xpost verify --complete`: is everything there that belongs to a release?

use std::fmt::Write as _;

use serde_json::json;

use super::failure::{Exit, Failure};
use super::store::{self, Reach};
use super::ui::{self, Ui};
use crate::oci::{self, Access, Reference};

pub(super) fn run(reference: &Reference, reach: &Reach, ui: Ui) -> Result<(), Failure> {
    let explain = |error: oci::Error| store::failure(format!("cannot verify {reference}"), &error);
    let store = store::open(reference, Access::Read, reach)?;
    let root = oci::resolve(store.as_ref(), &reference.target).map_err(explain)?;
    let digest = root.descriptor.digest;
    let found = oci::completeness(store.as_ref(), root).map_err(explain)?;
    let by_digest = format!("{}@{digest}", store.name());
    let value = json!({
        "reference": by_digest, "digest": digest, "complete": found.is_complete(),
        "manifests": found.manifests, "blobs": found.blobs,
        "missing": found.missing, "missingTags": found.missing_tags,
    });
    if found.is_complete() {
        let mut text = format!("{}\n", ui::safe(&by_digest));
        let _ = writeln!(text, "  complete  {} manifests, {} blobs", found.manifests, found.blobs);
        return ui.result("verify", value, &text);
    }
    let mut failure = Failure::plain(Exit::Refused, format!("{by_digest} is not complete"));
    for missing in &found.missing {
        failure = failure.because(format!("{} is not there ({})", missing.what, missing.digest));
    }
    for tag in &found.missing_tags {
        failure = failure.because(format!("the tag {tag} is not there"));
    }
    let hint = if found.missing.is_empty() {
        format!("xpost copy {reference} {reference} makes the tags anew")
    } else {
        "push it again, or copy it from where it is whole".to_owned()
    };
    Err(failure.after(value).hint(hint))
}
