//! A store in a registry: the OCI distribution API, 1.1.
//!
//! One value speaks for one repository with one set of rights. Every answer is held against what was asked for: digests,
//! sizes and media types; nothing is larger than its limit. What a registry lacks (the referrers API, ranges,
//! ETags) is worked around here, so that nobody above can tell one registry from another.

use std::io::Read;
use std::sync::{Mutex, PoisonError};

use super::Error;
use super::auth::{self, Credentials, Login, Step, TokenRequest};
use super::manifest::{Descriptor, MAX_MANIFEST, Node, media};
use super::reference::{Repository, Tag};
use super::store::{Access, Opener, Store, checked};
use crate::digest::Digest;
use crate::http::header::{self, HeaderName, HeaderValue};
use crate::http::{self, Http, Method, Proxy, Request, Response, Url};

mod download;
mod referrers;
#[cfg(test)]
mod tests;
mod upload;

/// Everything that a manifest may be; ghcr.io answers 404 to those who do not say that they take it.
const ACCEPT: &str = concat!(
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, ",
    "application/vnd.docker.distribution.manifest.list.v2+json, ",
    "application/vnd.docker.distribution.manifest.v2+json"
);

/// `Docker-Content-Digest` (OCI distribution-spec, "Pulling manifests").
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// The largest answer of a token server.
const MAX_TOKEN: u64 = 1 << 20;

/// When http without TLS is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// To registries of this machine only.
    Loopback,
    /// To every registry: `--plain-http`.
    Always,
}

/// A repository of a registry.
#[derive(Debug)]
pub struct Registry {
    http: Http,
    repository: Repository,
    base: Url,
    access: Access,
    login: Login,
    session: Mutex<Session>,
}

/// What is known about who we are.
#[derive(Debug, Default)]
struct Session {
    /// Looked up when they are first asked for.
    credentials: Option<Credentials>,
    /// What the registry accepted last.
    authorization: Option<HeaderValue>,
}

impl Registry {
    /// Opens a repository; nothing is sent yet.
    ///
    /// Credentials are looked up when the registry asks for some, and not before.
    ///
    /// # Errors
    /// When there can be no client.
    pub fn open(
        repository: &Repository,
        access: Access,
        plain: Plain,
        login: Login,
        mut options: http::Options,
    ) -> Result<Self, Error> {
        let scheme =
            if plain == Plain::Always || repository.is_loopback() { "http" } else { "https" };
        if repository.is_loopback() {
            options.proxy = Proxy::Never;
        }
        let base = format!("{scheme}://{}/v2/{}/", repository.api_host(), repository.name());
        let base = base.parse().map_err(|_| Error::Malformed {
            what: repository.to_string(),
            reason: "it makes no URL".to_owned(),
        })?;
        let http = Http::new(options)
            .map_err(|source| Error::Http { step: format!("open {repository}"), source })?;
        let session = Mutex::default();
        Ok(Self { http, repository: repository.clone(), base, access, login, session })
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

    /// Whether a URL may see our credentials.
    fn is_ours(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Sends a request with what the registry wants to see; asks for that once.
    fn send(
        &self,
        mut request: Request<'_>,
        step: &dyn Fn() -> String,
    ) -> Result<Response<'_>, Error> {
        let failed = |source| Error::Http { step: step(), source };
        self.authorize(&mut request);
        let response = self.http.send(&request).map_err(failed)?;
        // Where a redirect led, somebody else may answer: its challenge would name a token server of its own.
        if response.status() != 401 || !self.is_ours(response.url()) {
            return Ok(response);
        }
        self.log_in(&response)?;
        self.authorize(&mut request);
        let response = self.http.send(&request).map_err(failed)?;
        if response.status() == 401 { Err(self.refused(response)) } else { Ok(response) }
    }

    fn authorize(&self, request: &mut Request<'_>) {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = session.authorization.as_ref().filter(|_| self.is_ours(&request.url)) {
            request.headers.insert(header::AUTHORIZATION, value.clone());
        }
    }

    /// Answers the challenge of a `401`.
    fn log_in(&self, response: &Response<'_>) -> Result<(), Error> {
        let offered = response.headers().get_all(header::WWW_AUTHENTICATE);
        let offered = offered.iter().filter_map(|value| value.to_str().ok());
        let challenges: Vec<_> = offered.flat_map(auth::challenges).collect();
        let credentials = self.credentials()?;
        let scope = format!(
            "repository:{}:{}",
            self.repository.name(),
            if self.access == Access::Write { "pull,push" } else { "pull" }
        );
        let safe = self.base.scheme() == "https";
        let step = auth::answer(&challenges, &credentials, &scope, safe);
        let authorization = match step.map_err(|reason| self.unauthorized(&credentials, reason))? {
            Step::Authorize(value) => value,
            Step::FetchToken(request) => self.fetch_token(&request, &credentials)?,
        };
        let value = HeaderValue::from_str(&authorization).ok().map(|mut value| {
            value.set_sensitive(true);
            value
        });
        let value = value.ok_or_else(|| {
            self.unauthorized(
                &credentials,
                "the password has characters that no header takes".to_owned(),
            )
        })?;
        self.session.lock().unwrap_or_else(PoisonError::into_inner).authorization = Some(value);
        Ok(())
    }

    fn credentials(&self) -> Result<Credentials, Error> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if session.credentials.is_none() {
            session.credentials = Some(self.login.credentials(&self.repository)?);
        }
        Ok(session.credentials.clone().unwrap_or(Credentials::Anonymous))
    }

    fn fetch_token(
        &self,
        wanted: &TokenRequest,
        credentials: &Credentials,
    ) -> Result<String, Error> {
        let form = wanted.form.clone().unwrap_or_default();
        let method = if wanted.form.is_some() { Method::POST } else { Method::GET };
        let mut request = Request::new(method, wanted.url.clone());
        if wanted.form.is_some() {
            let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers.insert(header::CONTENT_TYPE, form_type);
        }
        if let Some(value) =
            wanted.authorization.as_deref().and_then(|value| HeaderValue::from_str(value).ok())
        {
            request.headers.insert(header::AUTHORIZATION, value);
        }
        request.body = form.as_bytes();
        let step = || format!("get a token for {}", self.repository);
        let failed = |source| Error::Http { step: step(), source };
        let response = self.http.send(&request).map_err(failed)?;
        if matches!(response.status().as_u16(), 400 | 401 | 403) {
            let reason = response.into_error().to_string();
            return Err(self.unauthorized(credentials, reason));
        }
        let bytes = self.expect_success(response, &step)?.read_small(MAX_TOKEN).map_err(failed)?;
        auth::authorization_of(&bytes).ok_or_else(|| {
            self.unauthorized(credentials, "its token server answered without a token".to_owned())
        })
    }

    fn unauthorized(&self, credentials: &Credentials, reason: String) -> Error {
        let who = match credentials {
            Credentials::Anonymous => "without credentials".to_owned(),
            Credentials::Basic { username, .. } => format!("as {username}"),
            Credentials::IdentityToken(_) => "with an identity token".to_owned(),
        };
        Error::Unauthorized {
            registry: self.repository.host().to_owned(),
            repository: self.repository.name().to_owned(),
            reason: format!("{who}: {reason}"),
        }
    }

    /// A 401 or 403 after we said who we are.
    fn refused(&self, response: Response<'_>) -> Error {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let credentials = session.credentials.clone().unwrap_or(Credentials::Anonymous);
        self.unauthorized(&credentials, response.into_error().to_string())
    }

    /// An answer that is a success, or the error it is.
    fn expect_success<'http>(
        &self,
        response: Response<'http>,
        step: &dyn Fn() -> String,
    ) -> Result<Response<'http>, Error> {
        match response.status().as_u16() {
            200..=299 => Ok(response),
            401 | 403 => Err(self.refused(response)),
            _ => Err(Error::Http { step: step(), source: response.into_error() }),
        }
    }

    /// A manifest by tag or digest, and its ETag.
    fn get_manifest(&self, name: &str) -> Result<Option<(Node, Option<HeaderValue>)>, Error> {
        let step = || format!("get {name} from {}", self.repository);
        let mut request = Request::new(Method::GET, self.manifest_url(name)?);
        request.headers.insert(header::ACCEPT, HeaderValue::from_static(ACCEPT));
        let response = self.send(request, &step)?;
        if response.status() == 404 {
            return Ok(None);
        }
        let response = self.expect_success(response, &step)?;
        let media_type = response.media_type();
        let at = http::shown(response.url());
        if media_type == "text/html" {
            let reason = "the answer is a web page: is this a registry?".to_owned();
            return Err(Error::Malformed { what: at, reason });
        }
        let stated = response.header(CONTENT_DIGEST).and_then(|digest| digest.parse().ok());
        let etag = response.headers().get(header::ETAG).cloned();
        let bytes = response
            .read_small(MAX_MANIFEST)
            .map_err(|source| Error::Http { step: step(), source })?;
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
        let response = self.expect_success(self.send(request, &step)?, &step)?;
        self.expect_digest(&response, &node.descriptor.digest)
    }

    /// Where the registry says which digest it computed, it has to be ours.
    fn expect_digest(&self, response: &Response<'_>, expected: &Digest) -> Result<(), Error> {
        let stated =
            response.header(CONTENT_DIGEST).and_then(|digest| digest.parse::<Digest>().ok());
        match stated {
            Some(found) if found != *expected => {
                let what = format!("what {} stored", self.repository);
                Err(Error::WrongDigest { what, expected: *expected, found })
            }
            _ => Ok(()),
        }
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
        let response = self.send(request, &step)?;
        if response.status() == 404 {
            return Ok(false);
        }
        let response = self.expect_success(response, &step)?;
        let stated =
            response.header(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        Ok(stated.is_none_or(|stated| stated == size))
    }
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

    fn blob(&self, blob: &Descriptor) -> Result<Box<dyn Read + '_>, Error> {
        self.download(blob)
    }

    fn put_blob(&self, blob: &Descriptor, open: &Opener<'_>) -> Result<(), Error> {
        self.upload(blob, open)
    }

    fn listed(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        self.list_referrers(subject)
    }

    fn list(&self, subject: &Digest, entries: &[Descriptor]) -> Result<Option<Tag>, Error> {
        self.ensure_referrers(subject, entries)
    }
}
