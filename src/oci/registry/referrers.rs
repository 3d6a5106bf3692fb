//! What belongs to a manifest, with the referrers API and without it (OCI distribution-spec, "Listing Referrers").
//!
//! A registry without the API (ghcr.io, distribution) answers 404, or anything that is no index; then the list is the
//! index under the fallback tag, and whoever pushes keeps it. That is a read, a change and a write with others about: with
//! `If-Match` where there is an ETag, and looked at again until our entries are in.

use std::time::Duration;

use super::{
    Descriptor, Digest, Error, Method, Registry, Request, Response, Store, Tag, Url, led, media,
    session,
};
use crate::http::header::{self, HeaderValue};
use crate::oci::fallback;
use crate::oci::manifest::MAX_MANIFEST;
use crate::oci::store::MAX_REFERRERS;

/// A listing of more pages is refused: distribution's default is 100 entries a page.
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
            _ => self.fallback_entries(subject),
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
            let Some(url) = next.take() else { return Ok(Some(found)) };
            let mut request = Request::new(Method::GET, url);
            request.headers.insert(header::ACCEPT, HeaderValue::from_static(media::INDEX));
            request.document = Some(MAX_MANIFEST);
            let response = self.session.send(request, &step)?;
            let unknown = matches!(response.status().as_u16(), 400 | 404 | 405 | 406 | 415 | 501);
            let listing = response.status().is_success() && response.media_type() == media::INDEX;
            if page == 0 && (unknown || (response.status().is_success() && !listing)) {
                return Ok(None);
            }
            let response = self.session.expect_success(response, &step)?;
            next = next_page(&response)?;
            let bytes = session::document(response, &step)?;
            found.extend(self.entries(subject, &bytes)?);
            if found.len() > MAX_REFERRERS {
                break;
            }
        }
        // Whoever lists more would hide what comes after them: that is no list.
        if found.len() <= MAX_REFERRERS {
            return Err(self.malformed_list(subject, format!("more than {MAX_PAGES} pages")));
        }
        let what = format!("entries in the list of what refers to {subject}");
        Err(Error::Many { place: self.name(), what, limit: MAX_REFERRERS })
    }

    fn entries(&self, subject: &Digest, list: &[u8]) -> Result<Vec<Descriptor>, Error> {
        fallback::entries(list).map_err(|reason| self.malformed_list(subject, reason))
    }

    fn malformed_list(&self, subject: &Digest, reason: String) -> Error {
        let what = format!("the list of what refers to {subject} in {}", self.name());
        Error::Malformed { what, reason }
    }

    /// The entries of the index under a fallback tag; what stands there and is no list, lists nothing.
    fn fallback_entries(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let list = self.tagged(&Tag::fallback(subject))?;
        let list = list.filter(|list| list.descriptor.is_index());
        match list.filter(|list| list.descriptor.digest != *subject) {
            Some(list) => self.entries(subject, &list.bytes),
            None => Ok(Vec::new()),
        }
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

/// The URL of `Link: <…>; rel="next"` (RFC 8288), where there is another page. It may lead wherever a redirect may, as with oras and
/// go-containerregistry, and only this registry sees our credentials; a list that ended there would hide signatures.
pub(super) fn next_page(response: &Response<'_>) -> Result<Option<Url>, Error> {
    for value in response.headers().get_all(header::LINK) {
        let text = String::from_utf8_lossy(value.as_bytes());
        if let Some(target) = next_link(&text) {
            return led(response.url(), "Link", target).map(Some);
        }
    }
    Ok(None)
}

fn next_link(header: &str) -> Option<&str> {
    let is_next = |parameter: &str| {
        let (name, value) = parameter.split_once('=').unwrap_or_default();
        let mut kinds = value.trim().trim_matches('"').split_ascii_whitespace();
        name.trim().eq_ignore_ascii_case("rel")
            && kinds.any(|kind| kind.eq_ignore_ascii_case("next"))
    };
    // A comma may stand in a URL as well as between two links: what begins one is its '<'.
    let mut links = header.split('<').skip(1).filter_map(|link| link.split_once('>'));
    let next = links.find(|(_, parameters)| parameters.split([';', ',']).any(is_next));
    next.map(|(target, _)| target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_the_one_called_next() {
        assert_eq!(next_link(r#"</v2/a?n=1>; rel="next""#), Some("/v2/a?n=1"));
        assert_eq!(next_link(r#"<a>; rel="prev", <b>;rel=next"#), Some("b"));
        assert_eq!(next_link(r#"<a?x=1,2>; title="x"; Rel="last NEXT""#), Some("a?x=1,2"));
        for bad in ["", "<a>", r#"a; rel="next""#, r#"<a; rel="next""#] {
            assert_eq!(next_link(bad), None, "{bad}");
        }
    }
}
