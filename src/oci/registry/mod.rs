//! A store in a registry: the OCI distribution API, 1.1.
//!
//! One value speaks for one repository with one set of rights. Every answer is held against what was asked for: digests,
//! sizes and media types; nothing is larger than its limit. What a registry lacks (the referrers API, ranges,
//! ETags) is worked around here, so that nobody above can tell one registry from another.

use super::Error;
use super::credentials::{Credentials, Login};
use super::host::Host;
use super::manifest::{Descriptor, MAX_MANIFEST, Node, media};
use super::reference::{Repository, Tag};
use super::store::{Access, Opener, State, Store, Verified, checked};
use crate::digest::Digest;
use crate::http::header::{self, HeaderName, HeaderValue};
use crate::http::{self, Method, Request, Response, Url};

mod deletion;
mod download;
mod referrers;
mod session;
#[cfg(test)]
mod tests;
mod upload;

pub use session::Plain;
use session::Session;

/// Everything that a manifest may be; ghcr.io answers 404 to those who do not say that they take it.
const ACCEPT: &str = concat!(
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, ",
    "application/vnd.docker.distribution.manifest.list.v2+json, ",
    "application/vnd.docker.distribution.manifest.v2+json"
);

/// `Docker-Content-Digest` (OCI distribution-spec, "Pulling manifests").
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A repository of a registry.
#[derive(Debug)]
pub struct Registry {
    session: Session,
    repository: Repository,
    /// `https://host/v2/name/`
    base: Url,
}

/// Whether a registry accepts these credentials; `false` where it lets everybody in without asking.
///
/// # Errors
/// [`Error::Unauthorized`] where it does not, and no answer.
pub fn check_login(
    host: &Host,
    plain: Plain,
    credentials: Credentials,
    options: http::Options,
) -> Result<bool, Error> {
    Session::open(host, None, plain, Login::of(credentials), options)?.check()
}

impl Registry {
    /// Opens a repository; nothing is sent yet.
    ///
    /// # Errors
    /// When there can be no client.
    pub fn open(
        repository: &Repository,
        access: Access,
        plain: Plain,
        login: Login,
        options: http::Options,
    ) -> Result<Self, Error> {
        let rights = match access {
            Access::Read => "pull",
            Access::Write => "pull,push",
            Access::Delete => "pull,push,delete",
        };
        let of = Some((repository.name(), rights));
        let session = Session::open(repository.host(), of, plain, login, options)?;
        let base = session.api.join(&format!("{}/", repository.name()));
        let base = base.map_err(|_| Error::Malformed {
            what: repository.to_string(),
            reason: "it makes no URL".to_owned(),
        })?;
        Ok(Self { session, repository: repository.clone(), base })
    }

    fn url(&self, path: &str) -> Result<Url, Error> {
        let reason = || format!("{path:?} makes no URL");
        self.base.join(path).map_err(|_| Error::Malformed { what: self.name(), reason: reason() })
    }

    fn manifest_url(&self, name: &str) -> Result<Url, Error> {
        self.url(&format!("manifests/{name}"))
    }

    fn blob_url(&self, digest: &Digest) -> Result<Url, Error> {
        self.url(&format!("blobs/{digest}"))
    }

    /// A manifest by tag or digest, and its ETag.
    fn get_manifest(&self, name: &str) -> Result<Option<(Node, Option<HeaderValue>)>, Error> {
        let step = || format!("get {name} from {}", self.repository);
        let mut request = Request::new(Method::GET, self.manifest_url(name)?);
        request.headers.insert(header::ACCEPT, HeaderValue::from_static(ACCEPT));
        request.document = Some(MAX_MANIFEST);
        let response = self.session.send(request, &step)?;
        if response.status() == 404 {
            return Ok(None);
        }
        let response = self.session.expect_success(response, &step)?;
        let media_type = response.media_type();
        if media_type == http::HTML {
            return Err(web_page(&response));
        }
        let stated = stated_digest(&response);
        let etag = response.headers().get(header::ETAG).cloned();
        let bytes = session::document(response, &step)?;
        // Anything but a type of ours may be a proxy's idea; then the document says it itself.
        let known = Descriptor::new(&media_type, Digest::of(b""), 0).is_manifest();
        let expected = name.parse().ok().or(stated).unwrap_or_else(|| Digest::of(&bytes));
        let node = checked(if known { &media_type } else { "" }, bytes, &expected)?;
        Ok(Some((node, etag)))
    }

    fn put(&self, name: &str, node: &Node, only_if: Option<HeaderValue>) -> Result<(), Error> {
        let step = || format!("put {name} into {}", self.repository);
        let mut request = Request::new(Method::PUT, self.manifest_url(name)?);
        let kind = HeaderValue::from_str(&node.descriptor.media_type)
            .unwrap_or_else(|_| HeaderValue::from_static(media::MANIFEST));
        request.headers.insert(header::CONTENT_TYPE, kind);
        if let Some(etag) = only_if {
            request.headers.insert(header::IF_MATCH, etag);
        }
        request.body = &node.bytes;
        let response = self.session.expect_success(self.session.send(request, &step)?, &step)?;
        self.expect_digest(&response, &node.descriptor.digest).map(|_| ())
    }

    /// Where the registry says which digest it computed, it has to be ours. Gives whether it said so.
    fn expect_digest(&self, response: &Response<'_>, expected: &Digest) -> Result<bool, Error> {
        match stated_digest(response) {
            Some(found) if found != *expected => {
                let what = format!("what {} stored", self.repository);
                Err(Error::WrongDigest { what, expected: *expected, found })
            }
            stated => Ok(stated.is_some()),
        }
    }

    /// The registry says that it has a blob: with its digest in the answer to the last request, or when it is asked.
    fn expect_blob(&self, response: &Response<'_>, blob: &Descriptor) -> Result<(), Error> {
        if self.expect_digest(response, &blob.digest)? || self.has_blob(blob)? {
            return Ok(());
        }
        let what = format!("blob {}, which was just sent", blob.digest);
        Err(Error::NotFound { what, place: self.name() })
    }

    /// Whether something is there, with the size it should have where the registry states one.
    fn head(&self, url: Url, size: u64) -> Result<bool, Error> {
        let step = || {
            format!(
                "look for {} in {}",
                url.path().rsplit('/').next().unwrap_or_default(),
                self.repository
            )
        };
        let mut request = Request::new(Method::HEAD, url.clone());
        request.headers.insert(header::ACCEPT, HeaderValue::from_static(ACCEPT));
        let response = self.session.send(request, &step)?;
        if response.status() == 404 {
            return Ok(false);
        }
        let response = self.session.expect_success(response, &step)?;
        let stated =
            response.header(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        Ok(stated.is_none_or(|stated| stated == size))
    }
}

/// The digest of what an answer is about, where it says one of our kind.
fn stated_digest(response: &Response<'_>) -> Option<Digest> {
    response.header(CONTENT_DIGEST)?.parse().ok()
}

/// Where a header of an answer leads, relative or absolute, with or without a query of its own.
fn led(asked: &Url, header: &str, to: &str) -> Result<Url, Error> {
    let reason = |reason: &str| malformed(asked, &format!("its {header} {reason}"));
    let url = asked.join(to).map_err(|_| reason("is no URL"))?;
    http::may_lead(asked, &url).map_err(|to| reason(&format!("leads {to}")))?;
    Ok(url)
}

fn malformed(asked: &Url, reason: &str) -> Error {
    let what = format!("the answer of {}", http::shown(asked));
    Error::Malformed { what, reason: reason.to_owned() }
}

/// What networks with a login page, and hosts that are something else, answer.
fn web_page(response: &Response<'_>) -> Error {
    let reason = "the answer is a web page: is this a registry?".to_owned();
    Error::Malformed { what: http::shown(response.url()), reason }
}

impl Store for Registry {
    fn name(&self) -> String {
        self.repository.to_string()
    }

    fn tagged(&self, tag: &Tag) -> Result<Option<Node>, Error> {
        Ok(self.get_manifest(tag.as_str())?.map(|(node, _)| node))
    }

    fn manifest(&self, digest: &Digest) -> Result<Option<Node>, Error> {
        Ok(self.get_manifest(&digest.to_string())?.map(|(node, _)| node))
    }

    fn has_manifest(&self, node: &Descriptor) -> Result<bool, Error> {
        self.head(self.manifest_url(&node.digest.to_string())?, node.size)
    }

    fn put_manifest(&self, node: &Node) -> Result<(), Error> {
        self.put(&node.descriptor.digest.to_string(), node, None)
    }

    fn put_tag(&self, tag: &Tag, node: &Node) -> Result<(), Error> {
        self.put(tag.as_str(), node, None)
    }

    fn has_blob(&self, blob: &Descriptor) -> Result<bool, Error> {
        self.head(self.blob_url(&blob.digest)?, blob.size)
    }

    fn blob(&self, blob: &Descriptor) -> Result<Verified<'_>, Error> {
        self.download(blob)
    }

    fn put_blob(&self, blob: &Descriptor, open: &Opener<'_>) -> Result<(), Error> {
        self.upload(blob, open, None).map(|_| ())
    }

    fn repository(&self) -> Option<&Repository> {
        Some(&self.repository)
    }

    fn take_blob(
        &self,
        blob: &Descriptor,
        from: &dyn Store,
        open: &Opener<'_>,
    ) -> Result<State, Error> {
        let here = |other: &&Repository| other.host() == self.repository.host();
        self.upload(blob, open, from.repository().filter(here).map(Repository::name))
    }

    fn listed(&self, subject: &Digest, wanted: Option<&str>) -> Result<Vec<Descriptor>, Error> {
        self.list_referrers(subject, wanted)
    }

    fn list(&self, subject: &Digest, entries: &[Descriptor]) -> Result<Option<Tag>, Error> {
        self.ensure_referrers(subject, entries)
    }

    fn tags(&self) -> Result<Vec<Tag>, Error> {
        self.list_tags()
    }

    fn delete_manifest(&self, node: &Descriptor) -> Result<(), Error> {
        self.delete(&node.digest.to_string(), "manifests")
    }

    fn delete_tag(&self, tag: &Tag) -> Result<(), Error> {
        match self.delete(tag.as_str(), "tags") {
            // It may have gone with what it named.
            Err(Error::NoDeletion { .. }) if self.tagged(tag)?.is_none() => Ok(()),
            done => done,
        }
    }

    fn unlist(&self, subject: &Digest, referrer: &Digest) -> Result<(), Error> {
        self.shorten_list(subject, referrer)
    }
}
