//! The only way to the network: one client with time limits, size limits and patience.
//!
//! In goes a [`Request`], out comes a [`Response`] that is read like a file. Everything async stays in here:
//! one worker thread moves the bytes while the caller reads, hashes and draws progress, so callers are plain
//! functions. What always holds: an answer is read with a limit, silence ends after the idle time, credentials
//! go to the host they were meant for and to no other, and only what can heal is tried again.

use std::fmt;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, LOCATION};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

pub use reqwest::header;
pub use reqwest::{Method, StatusCode, Url};

mod error;
mod retry;

pub use error::Error;
pub use retry::{Attempts, Patience};

/// Hops that a download may be sent on; registries need one or two.
const MAX_REDIRECTS: usize = 5;

/// What an upload is cut into on its way: few enough wake-ups to keep up with a loopback connection.
const CHUNK: usize = 1 << 17;

/// How long to wait, and how often to try.
#[derive(Debug, Clone)]
pub struct Options {
    /// To reach the host at all.
    pub connect_timeout: Duration,
    /// Without a byte in either direction.
    pub idle_timeout: Duration,
    /// What to do about failures that may heal.
    pub patience: Patience,
    /// Which proxy to use.
    pub proxy: Proxy,
}

/// Whether a proxy stands between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    /// The one that `HTTPS_PROXY` and its friends name.
    Environment,
    /// None: a server on this machine is never reached through another.
    Never,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            patience: Patience::default(),
            proxy: Proxy::Environment,
        }
    }
}

/// A client; connections are kept and used again.
pub struct Http {
    runtime: Runtime,
    client: reqwest::Client,
    options: Options,
}

/// What is asked of a server.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The verb.
    pub method: Method,
    /// Where.
    pub url: Url,
    /// Everything but the length.
    pub headers: HeaderMap,
    /// Sent whole; [`Http::upload`] streams instead.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// A request without headers and body.
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: &[] }
    }
}

impl Http {
    /// A client with these limits.
    ///
    /// # Errors
    /// When the system gives no thread or no TLS roots.
    pub fn new(options: Options) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|source| Error::Start { source: Box::new(source) })?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("xpost/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            // Followed by hand below: where credentials may go is our decision.
            .redirect(reqwest::redirect::Policy::none());
        if options.proxy == Proxy::Never {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|source| Error::Start { source: Box::new(source) })?;
        Ok(Self { runtime, client, options })
    }

    /// A fresh count of attempts, for callers whose retry is more than one request.
    pub fn attempts(&self) -> Attempts {
        Attempts::new(&self.options.patience)
    }

    /// Sends a request, again where a failure may heal, and follows redirects of GET and HEAD.
    ///
    /// Every final answer is `Ok`, a 404 too: what it means is the caller's business.
    ///
    /// # Errors
    /// No connection, silence, a redirect that is not to be followed, or 408, 429, 5xx to the end.
    pub fn send(&self, request: &Request<'_>) -> Result<Response<'_>, Error> {
        let mut attempts = self.attempts();
        loop {
            let error = match self.send_once(request) {
                Ok(response) if !retry::is_transient(response.status()) => return Ok(response),
                Ok(response) => response.into_error(),
                Err(error) => error,
            };
            if !attempts.again(&error) {
                return Err(error);
            }
        }
    }

    /// Streams `length` bytes of `source` as the body, once: what to do about a failure is the caller's business,
    /// because a source has to be opened anew and an upload has to be begun anew.
    ///
    /// # Errors
    /// Those of [`Http::send`], and what `source` says.
    pub fn upload(
        &self,
        request: &Request<'_>,
        source: &mut dyn Read,
        length: u64,
    ) -> Result<Response<'_>, Error> {
        let at = Place::of(request);
        let (feeder, feed) = mpsc::channel(4);
        let built = self
            .client
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone())
            // Said aloud: without it the body goes out chunked, which some registries refuse.
            .header(CONTENT_LENGTH, length)
            .body(reqwest::Body::wrap(Feed { feed, left: length }))
            .build()
            .map_err(|source| at.failed(source))?;
        let client = self.client.clone();
        let mut answer = self.runtime.spawn(async move { client.execute(built).await });

        let mut left = length;
        // An answer before the end of the body is a refusal: nobody needs the rest.
        while left > 0 && !answer.is_finished() {
            let chunk = match chunk_of(source, left) {
                Ok(chunk) => chunk,
                Err(source) => {
                    answer.abort();
                    return Err(Error::Source { source });
                }
            };
            left -= chunk.len() as u64;
            match self.within(self.options.idle_timeout, feeder.send(chunk)) {
                Some(Ok(())) => {}
                // The connection is gone; the answer says why.
                Some(Err(_)) => break,
                None => {
                    answer.abort();
                    return Err(at.idle(self.options.idle_timeout));
                }
            }
        }
        drop(feeder);
        // The server still has to store what it got, which takes longer than a packet.
        let patience = self.options.idle_timeout * 5;
        match self.within(patience, &mut answer) {
            Some(Ok(Ok(inner))) => Ok(Response { http: self, at, inner, rest: Bytes::new() }),
            Some(Ok(Err(source))) => Err(at.failed(source)),
            Some(Err(_)) => Err(at.idle(Duration::ZERO)),
            None => {
                answer.abort();
                Err(at.idle(patience))
            }
        }
    }

    fn send_once(&self, request: &Request<'_>) -> Result<Response<'_>, Error> {
        let mut request = request.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.execute(&request)?;
            let safe = request.method == Method::GET || request.method == Method::HEAD;
            if !(response.status().is_redirection() && safe) {
                return Ok(response);
            }
            let Some(location) = response.header(LOCATION) else { return Ok(response) };
            let target = request
                .url
                .join(location)
                .map_err(|_| response.at.redirect("to something that is no URL"))?;
            let allowed = follow(&request.url, &target);
            allowed.map_err(|reason| response.at.redirect(reason))?;
            if request.url.origin() != target.origin() {
                request.headers.remove(AUTHORIZATION);
            }
            request.url = target;
        }
        Err(Place::of(&request).redirect("in circles"))
    }

    fn execute(&self, request: &Request<'_>) -> Result<Response<'_>, Error> {
        let at = Place::of(request);
        let mut built = self
            .client
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone());
        if !request.body.is_empty() {
            built = built.body(request.body.to_vec());
        } else if request.method == Method::POST || request.method == Method::PUT {
            built = built.header(CONTENT_LENGTH, 0);
        }
        match self.within(self.options.idle_timeout, built.send()) {
            Some(Ok(inner)) => Ok(Response { http: self, at, inner, rest: Bytes::new() }),
            Some(Err(source)) => Err(at.failed(source)),
            None => Err(at.idle(self.options.idle_timeout)),
        }
    }

    /// What the future gives, or nothing after `limit`.
    fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        self.runtime.block_on(async { tokio::time::timeout(limit, future).await }).ok()
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Http").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Whether a download may be sent from one URL to another: never from TLS to none, and never from elsewhere to
/// a server of this machine, which answers things that are not meant for the network.
fn follow(from: &Url, to: &Url) -> Result<(), &'static str> {
    match (from.scheme(), to.scheme()) {
        ("https", "https") | ("http", "http" | "https") => {}
        ("https", "http") => return Err("from https to http"),
        _ => return Err("to another protocol"),
    }
    if is_loopback(to) && !is_loopback(from) {
        return Err("to this machine");
    }
    Ok(())
}

/// Whether the URL names this machine by the names of RFC 6761, 6.3, or by a loopback address.
pub fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn chunk_of(source: &mut dyn Read, left: u64) -> io::Result<Bytes> {
    let wanted = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
    let mut chunk = Vec::with_capacity(wanted);
    source.take(wanted as u64).read_to_end(&mut chunk)?;
    if chunk.len() < wanted {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "shorter than its stated size"));
    }
    Ok(chunk.into())
}

/// The receiving end of an upload, as hyper wants it.
struct Feed {
    feed: mpsc::Receiver<Bytes>,
    left: u64,
}

impl HttpBody for Feed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.feed.poll_recv(context).map(|chunk| match chunk {
            Some(chunk) => {
                self.left = self.left.saturating_sub(chunk.len() as u64);
                Some(Ok(Frame::data(chunk)))
            }
            None if self.left > 0 => Some(Err(io::ErrorKind::UnexpectedEof.into())),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Which request it was, for messages: the verb and the URL without query and user, where secrets live.
#[derive(Debug, Clone)]
struct Place {
    method: Method,
    url: String,
}

impl Place {
    fn of(request: &Request<'_>) -> Self {
        Self { method: request.method.clone(), url: shown(&request.url) }
    }

    fn failed(&self, source: reqwest::Error) -> Error {
        Error::failed(self.method.clone(), self.url.clone(), source.without_url())
    }

    fn idle(&self, after: Duration) -> Error {
        Error::Idle { method: self.method.clone(), url: self.url.clone(), seconds: after.as_secs() }
    }

    fn redirect(&self, reason: &'static str) -> Error {
        Error::Redirect { url: self.url.clone(), reason }
    }
}

/// A URL as messages may show it.
pub fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// An answer; its body is read from it.
pub struct Response<'http> {
    http: &'http Http,
    at: Place,
    inner: reqwest::Response,
    rest: Bytes,
}

impl Response<'_> {
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
        self.inner.headers().get(name)?.to_str().ok()
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
        let mut bytes = Vec::new();
        while let Some(chunk) = self.next_chunk()? {
            if bytes.len() as u64 + chunk.len() as u64 > limit {
                return Err(Error::TooLarge { url: self.at.url.clone(), limit });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The answer as the error it is, with what the server says about it.
    pub fn into_error(self) -> Error {
        let status = self.status().as_u16();
        let retry_after = self.header(header::RETRY_AFTER).and_then(retry::retry_after);
        let Place { method, url } = self.at.clone();
        let message = error::message_of(&self.read_small(error::MAX_MESSAGE).unwrap_or_default());
        Error::Status { method, url, status, message, retry_after }
    }

    fn next_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        if !self.rest.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        let idle = self.http.options.idle_timeout;
        match self.http.within(idle, self.inner.chunk()) {
            Some(Ok(chunk)) => Ok(chunk),
            Some(Err(source)) => Err(self.at.failed(source)),
            None => Err(self.at.idle(idle)),
        }
    }
}

impl Read for Response<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.next_chunk().map_err(io::Error::other)? {
                Some(chunk) => self.rest = chunk,
                None => return Ok(0),
            }
        }
        let count = self.rest.len().min(buffer.len());
        let taken = self.rest.split_to(count);
        buffer.get_mut(..count).unwrap_or_default().copy_from_slice(&taken);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(from: &str, to: &str) -> bool {
        follow(&from.parse().expect("a URL"), &to.parse().expect("a URL")).is_ok()
    }

    #[test]
    fn redirects_never_weaken_and_never_point_inwards() {
        assert!(allowed("https://ghcr.io/v2/", "https://cdn.example/x"));
        assert!(allowed("http://127.0.0.1:5000/", "http://localhost:5001/x"));
        assert!(!allowed("https://ghcr.io/v2/", "http://ghcr.io/x"));
        assert!(!allowed("https://ghcr.io/v2/", "https://127.0.0.1/x"));
        assert!(!allowed("https://ghcr.io/v2/", "https://[::1]/x"));
        assert!(!allowed("https://ghcr.io/v2/", "file:///etc/passwd"));
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        let url: Url =
            "https://user:word@h.example:8443/v2/x?_state=secret".parse().expect("a URL");
        assert_eq!(shown(&url), "https://h.example:8443/v2/x");
    }
}
