//! What a repository holds by name, and how it gets rid of that (OCI distribution-spec, "Content Management").
//!
//! A registry need not delete anything: then it answers 405, or 400. Some delete no tag without the manifest (distribution
//! 2.8), some leave the tag of a manifest that is gone (ociserver, go-containerregistry), some take no manifest that has a
//! tag (Google's). Nothing here knows which one it is; `oci::delete` asks in an order that suits all of them.

use serde::Deserialize;

use super::referrers::{MAX_ROUNDS, next_page};
use super::{Digest, Error, MAX_MANIFEST, Method, Registry, Request, Store, Tag, session};
use crate::oci::fallback::{self, Remains};
use crate::oci::manifest::json_problem;

/// A repository with more of them is one of nightly builds; every one may need what should go.
const MAX_TAGS: usize = 10_000;

/// Pages of tags; a registry that gives one at a time is not asked to the end.
const MAX_PAGES: usize = 1000;

impl Registry {
    pub(super) fn list_tags(&self) -> Result<Vec<Tag>, Error> {
        #[derive(Deserialize)]
        struct Listing {
            // Distribution 2.8 says `null` for none.
            tags: Option<Vec<String>>,
        }
        let step = || format!("list the tags of {}", self.name());
        let mut found = Vec::new();
        let mut next = Some(self.url("tags/list")?);
        for _ in 0..MAX_PAGES {
            let Some(url) = next.take() else { return Ok(found) };
            let mut request = Request::new(Method::GET, url);
            request.document = Some(MAX_MANIFEST);
            let response = self.session.send(request, &step)?;
            // Nothing was ever pushed there.
            if response.status() == 404 {
                return Ok(found);
            }
            let response = self.session.expect_success(response, &step)?;
            next = next_page(&response)?;
            let bytes = session::document(response, &step)?;
            let listing = serde_json::from_slice::<Listing>(&bytes).map_err(|error| {
                let what = format!("the list of tags of {}", self.name());
                Error::Malformed { what, reason: json_problem(&error) }
            })?;
            let tags = listing.tags.unwrap_or_default();
            found.extend(tags.iter().filter_map(|tag| Tag::new(tag)));
            if found.len() > MAX_TAGS {
                break;
            }
        }
        let what = "tags".to_owned();
        Err(Error::Many { place: self.name(), what, limit: MAX_TAGS.min(found.len()) })
    }

    /// Takes away what has this digest or tag; `what` says what such things are called.
    pub(super) fn delete(&self, name: &str, what: &'static str) -> Result<(), Error> {
        let step = || format!("delete {name} from {}", self.name());
        let request = Request::new(Method::DELETE, self.manifest_url(name)?);
        let response = self.session.send(request, &step)?;
        match response.status().as_u16() {
            404 => Ok(()),
            status @ (400 | 405 | 409 | 501) => {
                let reason = response.into_error().to_string();
                let place = self.name();
                // Of a manifest it is the one that is meant; of tags it may be any.
                if what == "manifests" && [400, 409].contains(&status) {
                    return Err(Error::Needed { place, what: name.to_owned(), reason });
                }
                Err(Error::NoDeletion { place, what, reason })
            }
            _ => self.session.expect_success(response, &step).map(|_| ()),
        }
    }

    /// Takes an entry out of the list of referrers, where that is a tag. Others may write it at the same time: who
    /// adds something looks again by itself.
    pub(super) fn shorten_list(&self, subject: &Digest, referrer: &Digest) -> Result<(), Error> {
        let tag = Tag::fallback(subject);
        let mut rounds = 0;
        loop {
            let Some((there, etag)) = self.get_manifest(tag.as_str())? else { return Ok(()) };
            let rest = match fallback::without(&there, referrer) {
                Remains::All => return Ok(()),
                Remains::Nothing => {
                    self.delete_manifest(&there.descriptor)?;
                    return self.delete_tag(&tag);
                }
                Remains::Some(rest) => rest,
            };
            match self.put(tag.as_str(), &rest, etag) {
                Ok(()) => return Ok(()),
                // Another writer was quicker.
                Err(Error::Http { source, .. })
                    if source.status() == Some(412) && rounds < MAX_ROUNDS => {}
                Err(error) => return Err(error),
            }
            rounds += 1;
        }
    }
}
