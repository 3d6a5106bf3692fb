//! `xpost verify --complete`: is everything there that belongs to a release?

use std::fmt::Write as _;

use serde_json::json;

use super::failure::{Exit, Failure};
use super::store::{self, Named, Reach};
use super::ui::{self, Ui};
use crate::oci::{self, Access, Reference};

pub(super) fn run(reference: &Reference, reach: &Reach, ui: Ui) -> Result<(), Failure> {
    let explain = |error: oci::Error| store::failure(format!("cannot verify {reference}"), &error);
    let named = Named::find(reference, Access::Read, reach, "verify")?;
    let (by_digest, digest) = (named.by_digest(), named.root.descriptor.digest);
    let found = oci::completeness(named.store.as_ref(), named.root).map_err(explain)?;
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
        "push it again as it was pushed, or copy it from where it is whole; debug files that were kept elsewhere (--debug-to, \
         --no-debug) are not meant to be here"
            .to_owned()
    };
    Err(failure.after(value).hint(hint))
}
