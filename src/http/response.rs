//! What a server answers, read with limits.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{self, HeaderMap};
use reqwest::{Method, StatusCode, Url};

use super::error;
use super::retry;
use super::{Error, Http, Request};

/// Which request it was, for messages: the verb and the URL without query and user, where secrets live.
#[derive(Debug, Clone)]
pub(super) struct Place {
    method: Method,
    url: String,
}

impl Place {
    pub(super) fn of(request: &Request<'_>) -> Self {
        Self { method: request.method.clone(), url: shown(&request.url) }
    }

    pub(super) fn failed(&self, source: reqwest::Error) -> Error {
        Error::failed(self.method.clone(), self.url.clone(), source.without_url())
    }

    pub(super) fn idle(&self, after: Duration) -> Error {
        Error::Idle { method: self.method.clone(), url: self.url.clone(), seconds: after.as_secs() }
    }

    fn slow(&self, bytes: u64, within: Duration) -> Error {
        let (method, url) = (self.method.clone(), self.url.clone());
        Error::Slow { method, url, bytes, seconds: within.as_secs() }
    }

    pub(super) fn redirect(&self, reason: &'static str) -> Error {
        Error::Redirect { url: self.url.clone(), reason }
    }
}

/// What networks with a login page, and servers that are something else, answer.
pub const HTML: &str = "text/html";

/// A URL as messages may show it.
pub fn shown(url: &Url) -> String {
    match url.origin() {
        origin if origin.is_tuple() => format!("{}{}", origin.ascii_serialization(), url.path()),
        _ => format!("{}:{}", url.scheme(), url.path()),
    }
}

/// An answer; its body is read from it.
pub struct Response<'http> {
    http: &'http Http,
    at: Place,
    inner: reqwest::Response,
    rest: Bytes,
    /// How long the network was waited for, and what came: since that was last enough.
    waited: Duration,
    came: u64,
}

impl<'http> Response<'http> {
    pub(super) fn new(http: &'http Http, at: Place, inner: reqwest::Response) -> Self {
        Self { http, at, inner, rest: Bytes::new(), waited: Duration::ZERO, came: 0 }
    }

    pub(super) fn redirect(&self, reason: &'static str) -> Error {
        self.at.redirect(reason)
    }

    /// The status line's number.
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// All headers.
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// One header, where it is there and is text.
    pub fn header(&self, name: header::HeaderName) -> Option<&str> {
        std::str::from_utf8(self.inner.headers().get(name)?.as_bytes()).ok()
    }

    /// The media type without parameters, in lower case; empty where there is none.
    pub fn media_type(&self) -> String {
        let value = self.header(header::CONTENT_TYPE).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// Where the answer came from, after redirects.
    pub fn url(&self) -> &Url {
        self.inner.url()
    }

    /// The whole body, which is expected to be small.
    ///
    /// # Errors
    /// More than `limit` bytes, or a connection that ends early.
    pub fn read_small(mut self, limit: u64) -> Result<Vec<u8>, Error> {
        self.buffer(limit, None)?;
        Ok(self.rest.into())
    }

    /// Reads the whole body, to be given out later.
    pub(super) fn buffer(&mut self, limit: u64, until: Option<Instant>) -> Result<(), Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.next_chunk(until)? {
            if bytes.len() as u64 + chunk.len() as u64 > limit {
                return Err(Error::TooLarge { url: self.at.url.clone(), limit });
            }
            bytes.extend_from_slice(&chunk);
        }
        self.rest = bytes.into();
        Ok(())
    }

    /// The answer as the error it is, with what the server says about it.
    pub fn into_error(self) -> Error {
        let status = self.status().as_u16();
        let retry_after = self.header(header::RETRY_AFTER).and_then(retry::retry_after);
        let Place { method, url } = self.at.clone();
        let (is_plain, kind) = (self.url().scheme() == "http", self.media_type());
        let body = self.read_small(error::MAX_MESSAGE).unwrap_or_default();
        if is_plain && error::wants_tls(status, &body) {
            return Error::WantsTls { method, url };
        }
        let message = match kind.as_str() {
            HTML => " (a web page: is this the server that was meant?)".to_owned(),
            _ => error::message_of(&body),
        };
        Error::Status { method, url, status, message, retry_after }
    }

    /// What [`Read::read`] gives, if it comes in time.
    ///
    /// # Errors
    /// A connection that ends early, and silence.
    pub fn read_by(&mut self, buffer: &mut [u8], until: Option<Instant>) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.next_chunk(until).map_err(io::Error::other)? {
                Some(chunk) => self.rest = chunk,
                None => return Ok(0),
            }
        }
        let count = self.rest.len().min(buffer.len());
        let taken = self.rest.split_to(count);
        buffer.get_mut(..count).unwrap_or_default().copy_from_slice(&taken);
        Ok(count)
    }

    fn next_chunk(&mut self, until: Option<Instant>) -> Result<Option<Bytes>, Error> {
        if !self.rest.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        let idle = self.http.options.idle_timeout;
        let silence = self.http.silence(until);
        let begun = Instant::now();
        match self.http.within(silence, self.inner.chunk()) {
            Some(Ok(chunk)) => {
                self.waited += begun.elapsed();
                self.came += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                if self.waited > idle && chunk.is_some() {
                    // A body of which so little comes would keep us for ever.
                    if self.came < retry::PROGRESS {
                        return Err(self.at.slow(self.came, idle));
                    }
                    (self.waited, self.came) = (Duration::ZERO, 0);
                }
                Ok(chunk)
            }
            Some(Err(source)) => Err(self.at.failed(source)),
            None => Err(self.at.idle(silence)),
        }
    }
}

impl Read for Response<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_by(buffer, None)
    }
}
