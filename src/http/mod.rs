//! The only way to the network: one client with time limits, size limits and patience.
//!
//! In goes a [`Request`], out comes a [`Response`] that is read like a file. Everything async stays in here:
//! one worker thread moves the bytes while the caller reads, hashes and draws progress, so callers are plain
//! functions. What always holds: an answer is read with a limit, silence ends after the idle time, what stands still
//! ends with all its attempts after [`Patience::total`], credentials go to the host they were meant for and to no other,
//! and only what can heal is tried again.

use std::fmt;
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, LOCATION};
use tokio::runtime::Runtime;

pub use reqwest::header;
pub use reqwest::{Method, StatusCode, Url};

mod error;
mod lead;
mod response;
mod retry;
mod tls;
mod upload;

pub use error::Error;
pub use lead::{is_loopback, may_lead};
pub use response::{HTML, Response, shown};
pub use retry::{Attempts, Patience};

use response::Place;

/// Hops that a download may be sent on; registries need one or two.
const MAX_REDIRECTS: usize = 5;

/// How long to wait, and how often to try.
#[derive(Debug, Clone)]
pub struct Options {
    /// To reach the host at all.
    pub connect_timeout: Duration,
    /// Without a byte in either direction.
    pub idle_timeout: Duration,
    /// What to do about failures that may heal.
    pub patience: Patience,
    /// Whether there may be any request at all.
    pub network: Network,
    /// Which proxy to use.
    pub proxy: Proxy,
    /// Certificates, as PEM, that are trusted beside those of the system.
    pub authorities: Option<Vec<u8>>,
}

/// Whether there is a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// There is.
    #[default]
    Any,
    /// There shall be none: no client is made, and nothing else in this program can open a socket.
    Off,
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
            network: Network::Any,
            proxy: Proxy::Environment,
            authorities: None,
        }
    }
}

impl Options {
    /// For a server that another stands in for: it is tried once more at most, and silent once. What it has to fetch
    /// itself takes as long as with any other.
    #[must_use]
    pub fn hurried(self) -> Self {
        let patience = Patience {
            attempts: self.patience.attempts.min(2),
            total: self.patience.total.min(self.idle_timeout),
            ..self.patience
        };
        let connect_timeout = self.connect_timeout.min(Duration::from_secs(5));
        Self { connect_timeout, patience, ..self }
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
    /// The answer is a document of at most so many bytes: all of it has to arrive before the try is one that succeeded.
    pub document: Option<u64>,
    /// The last attempt ends then, where this is a part of something that began before.
    pub until: Option<Instant>,
}

impl Request<'_> {
    /// A request without headers and body.
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: &[], document: None, until: None }
    }
}

impl Http {
    /// A client with these limits.
    ///
    /// # Errors
    /// When the system gives no thread or no TLS roots.
    pub fn new(options: Options) -> Result<Self, Error> {
        if options.network == Network::Off {
            return Err(Error::Offline);
        }
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
        if let Some(pem) = &options.authorities {
            builder = builder.tls_backend_preconfigured(tls::config(pem)?);
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
        if let Some(until) = request.until {
            attempts = attempts.until(until);
        }
        let until = attempts.end();
        loop {
            let answer = self.send_once(request, until);
            let error = match answer.and_then(|response| whole(request, response, until)) {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if !attempts.again(&error) {
                return Err(error);
            }
        }
    }

    fn send_once(&self, request: &Request<'_>, until: Instant) -> Result<Response<'_>, Error> {
        let mut request = request.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.execute(&request, until)?;
            let safe = request.method == Method::GET || request.method == Method::HEAD;
            if !(response.status().is_redirection() && safe) {
                return Ok(response);
            }
            let Some(location) = response.header(LOCATION) else { return Ok(response) };
            let target = request
                .url
                .join(location)
                .map_err(|_| response.redirect("to something that is no URL"))?;
            let allowed = may_lead(&request.url, &target);
            allowed.map_err(|reason| response.redirect(reason))?;
            if request.url.origin() != target.origin() {
                request.headers.remove(AUTHORIZATION);
            }
            request.url = target;
        }
        Err(Place::of(&request).redirect("in circles"))
    }

    fn execute(&self, request: &Request<'_>, until: Instant) -> Result<Response<'_>, Error> {
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
        let silence = self.silence(Some(until));
        match self.within(silence, built.send()) {
            Some(Ok(inner)) => Ok(Response::new(self, at, inner)),
            Some(Err(source)) => Err(at.failed(source)),
            None => Err(at.idle(silence)),
        }
    }

    /// How long nothing may come from now on, if all has to end at some time.
    fn silence(&self, until: Option<Instant>) -> Duration {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        left.unwrap_or(Duration::MAX).min(self.options.idle_timeout)
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

/// An answer that is one: no failure that may pass, and a document to its end.
fn whole<'http>(
    request: &Request<'_>,
    mut response: Response<'http>,
    until: Instant,
) -> Result<Response<'http>, Error> {
    if retry::is_transient(response.status().as_u16()) {
        return Err(response.into_error());
    }
    if let Some(limit) = request.document.filter(|_| response.status().is_success()) {
        response.buffer(limit, Some(until))?;
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        let url: Url =
            "https://user:word@h.example:8443/v2/x?_state=secret".parse().expect("a URL");
        assert_eq!(shown(&url), "https://h.example:8443/v2/x");
        let file: Url = "file:///etc/passwd".parse().expect("a URL");
        assert_eq!(shown(&file), "file:/etc/passwd");
    }
}
