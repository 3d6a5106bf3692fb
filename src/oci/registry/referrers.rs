//! What belongs to a manifest, with the referrers API and without it (OCI distribution-spec, "Listing Referrers").
//!
//! A registry without the API (ghcr.io, distribution) answers 404, or anything that is no index; then the list is the
//! index under the fallback tag, and whoever pushes keeps it. That is a read, a change and a write with others about: with
//! `If-Match` where there is an ETag, and looked at again until our entries are in.

use std::time::Duration;

use super::{
    Descriptor, Digest, Error, Method, Registry, Request, Response, Store, Tag, Url, media, session,
};
use crate::http::header::{self, HeaderValue};
use crate::oci::fallback;
use crate::oci::manifest::MAX_MANIFEST;

/// A listing of more pages is left there: distribution's default is 100 entries a page.
pub(super) const MAX_PAGES: usize = 100;

/// How often another writer may be quicker.
pub(super) const MAX_ROUNDS: u32 = 8;

impl Registry {
    pub(super) fn list_referrers(
        &self,
        subject: &Digest,
        wanted: Option<&str>,
    ) -> Result<Vec<Descriptor>, Error> {
        let mut found = self.ask_api(subject, wanted)?;
        // What a registry filters down to nothing may be of types that it got wrong: go-containerregistry 0.22 takes
        // the configuration's for the artifact's. So all are asked for, and looked into.
        let nothing = |found: &Vec<Descriptor>| found.is_empty();
        if wanted.is_some() && found.as_ref().is_some_and(nothing) {
            found = self.ask_api(subject, None)?;
        }
        // A registry that has the API and lists nothing may be one that got the API after the push.
        match found {
            Some(found) if !found.is_empty() => Ok(found),
            _ => Ok(fallback_entries(self.tagged(&Tag::fallback(subject))?, subject)),
        }
    }

    /// The listing of the API, of one artifact type where the registry can filter; `None` where there is no API.
    pub(super) fn ask_api(
        &self,
        subject: &Digest,
        wanted: Option<&str>,
    ) -> Result<Option<Vec<Descriptor>>, Error> {
        let step = || format!("list the referrers of {subject} in {}", self.name());
        let mut found = Vec::new();
        let mut first = self.url(&format!("referrers/{subject}"))?;
        if let Some(wanted) = wanted {
            first.query_pairs_mut().append_pair("artifactType", wanted);
        }
        let mut next = Some(first);
        for page in 0..MAX_PAGES {
            let Some(url) = next.take() else { break };
            let mut request = Request::new(Method::GET, url.clone());
            request.headers.insert(header::ACCEPT, HeaderValue::from_static(media::INDEX));
            request.document = Some(MAX_MANIFEST);
            let response = self.session.send(request, &step)?;
            let unknown = matches!(response.status().as_u16(), 400 | 404 | 405 | 406 | 415 | 501);
            let listing = response.status().is_success() && response.media_type() == media::INDEX;
            if page == 0 && (unknown || (response.status().is_success() && !listing)) {
                return Ok(None);
            }
            let response = self.session.expect_success(response, &step)?;
            next = self.next_page(&url, &response);
            let bytes = session::document(response, &step)?;
            found.extend(fallback::entries(&bytes));
        }
        Ok(Some(found))
    }

    /// The URL of `Link: <…>; rel="next"` (RFC 8288), if it stays with this registry.
    pub(super) fn next_page(&self, from: &Url, response: &Response<'_>) -> Option<Url> {
        let next = next_link(response.header(header::LINK)?)?;
        from.join(next).ok().filter(|url| self.session.is_ours(url))
    }

    pub(super) fn ensure_referrers(
        &self,
        subject: &Digest,
        entries: &[Descriptor],
    ) -> Result<Option<Tag>, Error> {
        if let Some(found) = self.ask_api(subject, None)?
            && entries.iter().all(|entry| found.iter().any(|other| other.digest == entry.digest))
        {
            return Ok(None);
        }
        let tag = Tag::fallback(subject);
        let mut written = false;
        for round in 0..MAX_ROUNDS {
            let (there, etag) = self.get_manifest(tag.as_str())?.unzip();
            let Some(node) = fallback::merged(there.as_ref(), subject, entries) else { break };
            match self.put(tag.as_str(), &node, etag.flatten()) {
                Ok(()) => written = true,
                Err(Error::Http { source, .. }) if source.status() == Some(412) => {}
                Err(error) => return Err(error),
            }
            // Whoever read the list before this write may write it without our entries: wait until that would show.
            std::thread::sleep(pause(round));
        }
        Ok(written.then_some(tag))
    }
}

/// Not the same for two processes, nor for two rounds of one: they shall not meet again.
fn pause(round: u32) -> Duration {
    let scattered = std::process::id().wrapping_mul(7919).wrapping_add(round.wrapping_mul(104_729));
    Duration::from_millis(u64::from(30 + scattered % 150))
}

/// The entries of the index under a fallback tag; what stands there and is no list, lists nothing.
fn fallback_entries(node: Option<super::Node>, subject: &Digest) -> Vec<Descriptor> {
    let list = node.filter(|node| node.descriptor.is_index() && node.descriptor.digest != *subject);
    list.map(|node| fallback::entries(&node.bytes)).unwrap_or_default()
}

fn next_link(header: &str) -> Option<&str> {
    header.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = |parameter: &str| matches!(parameter.trim(), r#"rel="next""# | "rel=next");
        parameters.split(';').any(is_next).then_some(target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_the_one_called_next() {
        assert_eq!(next_link(r#"</v2/a?n=1>; rel="next""#), Some("/v2/a?n=1"));
        assert_eq!(next_link(r#"<a>; rel="prev", <b>;rel=next"#), Some("b"));
        for bad in ["", "<a>", r#"a; rel="next""#, r#"<a; rel="next""#] {
            assert_eq!(next_link(bad), None, "{bad}");
        }
    }
}
