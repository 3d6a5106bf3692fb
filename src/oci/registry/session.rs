//! Who we are to one host: requests that carry what it wants to see, and are asked again when it wants something else.
//!
//! Credentials are looked up when the registry asks for some, and not before. A token may run out at any moment, also
//! while several threads use it: whoever is refused first fetches another, and the others take that.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Error;
use crate::http::header::{self, HeaderValue};
use crate::http::{self, Http, Method, Proxy, Request, Response, Url};
use crate::oci::auth::{self, Step, TokenRequest, Unanswered};
use crate::oci::credentials::{Credentials, Login};
use crate::oci::host::Host;
use crate::oci::manifest::MAX_MANIFEST;

/// The largest answer of a token server.
const MAX_TOKEN: u64 = 1 << 20;

/// Registries to which http is never what was meant.
const HAVE_TLS: [&str; 2] = ["ghcr.io", "registry-1.docker.io"];

/// When http without TLS is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// To registries of this machine only.
    Loopback,
    /// Wherever it is: `--plain-http`.
    Always,
    /// Not even to one of this machine: `--plain-http=false`.
    Never,
}

/// A host, and who we are there.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) http: Http,
    /// `https://host/v2/`
    pub(super) api: Url,
    host: Host,
    /// The repository it is about; none where it is about the host as such.
    repository: Option<String>,
    login: Login,
    state: Mutex<State>,
}

/// What is known so far.
#[derive(Debug, Default)]
struct State {
    /// Looked up when they are first asked for.
    credentials: Option<Credentials>,
    /// What the registry accepted last.
    authorization: Option<HeaderValue>,
    /// What tokens have to allow (distribution/docs/spec/auth/scope.md).
    scopes: Vec<String>,
    /// What they could not be made to allow.
    refused: Vec<String>,
}

impl Session {
    /// Nothing is sent yet.
    pub(super) fn open(
        host: &Host,
        repository: Option<(&str, &str)>,
        plain: Plain,
        login: Login,
        mut options: http::Options,
    ) -> Result<Self, Error> {
        let url = |scheme: &str| {
            format!("{scheme}://{}/v2/", host.api()).parse::<Url>().map_err(|_| Error::Malformed {
                what: host.to_string(),
                reason: "it makes no URL".to_owned(),
            })
        };
        let mut api = url("https")?;
        let here = http::is_loopback(&api);
        if here {
            options.proxy = Proxy::Never;
        }
        if plain == Plain::Always && HAVE_TLS.iter().any(|name| api.host_str() == Some(name)) {
            let reason = "one with TLS: http would show its credentials to everybody on the way";
            return Err(Error::NoNetwork { place: host.to_string(), reason });
        }
        if plain == Plain::Always || here && plain == Plain::Loopback {
            api = url("http")?;
        }
        let http = Http::new(options)
            .map_err(|source| Error::Http { step: format!("open {host}"), source })?;
        let scopes = repository.map(|(name, rights)| scope(name, rights)).into_iter().collect();
        let state = Mutex::new(State { scopes, ..State::default() });
        let repository = repository.map(|(name, _)| name.to_owned());
        Ok(Self { http, api, host: host.clone(), repository, login, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a URL may see our credentials.
    pub(super) fn is_ours(&self, url: &Url) -> bool {
        url.origin() == self.api.origin()
    }

    /// From here on tokens also allow to read another repository of this host; `false` where that was refused before.
    pub(super) fn also_read(&self, name: &str) -> bool {
        let scope = scope(name, "pull");
        let mut state = self.state();
        if state.refused.contains(&scope) {
            return false;
        }
        if !state.scopes.contains(&scope) {
            state.scopes.push(scope);
            // A token that was made without it is of no use; a password is.
            let token = |value: &HeaderValue| value.as_bytes().starts_with(b"Bearer ");
            state.authorization.take_if(|value| token(value));
        }
        true
    }

    /// Tokens are no longer asked to allow that: a server may refuse the whole token for it.
    pub(super) fn cannot_read(&self, name: &str) {
        let scope = scope(name, "pull");
        let mut state = self.state();
        state.scopes.retain(|other| *other != scope);
        state.refused.push(scope);
    }

    /// Whether the registry accepts the credentials; `false` where it never asked for any.
    pub(super) fn check(&self) -> Result<bool, Error> {
        let step = || format!("log in to {}", self.host);
        let request = Request::new(Method::GET, self.api.clone());
        let response = self.send(request, &step)?;
        let asked = self.state().authorization.is_some();
        match response.status().as_u16() {
            // Behind a login page, for one, there is no registry (distribution-spec, "Determining Support").
            200..=299 if response.media_type() == http::HTML => Err(super::web_page(&response)),
            _ => self.expect_success(response, &step).map(|_| asked),
        }
    }

    /// Sends a request with what the registry wants to see; asks for that once.
    pub(super) fn send<'http>(
        &'http self,
        mut request: Request<'_>,
        step: &dyn Fn() -> String,
    ) -> Result<Response<'http>, Error> {
        let failed = |source| Error::Http { step: step(), source };
        // What is asked before the answer comes is a part of the request.
        let until = *request.until.get_or_insert(self.http.attempts().end());
        self.authorize(&mut request);
        let response = self.http.send(&request).map_err(failed)?;
        // Where a redirect led, somebody else may answer: its challenge would name a token server of its own.
        if response.status() != 401 || !self.is_ours(response.url()) {
            return Ok(response);
        }
        request.until =
            Some(self.log_in(&response, request.headers.get(header::AUTHORIZATION), until)?);
        self.authorize(&mut request);
        let response = self.http.send(&request).map_err(failed)?;
        let refused = response.status() == 401 && self.is_ours(response.url());
        if refused { Err(self.refused(response)) } else { Ok(response) }
    }

    /// Adds what the registry accepted last, where the request goes there.
    pub(super) fn authorize(&self, request: &mut Request<'_>) {
        let state = self.state();
        request.headers.remove(header::AUTHORIZATION);
        if let Some(value) = state.authorization.as_ref().filter(|_| self.is_ours(&request.url)) {
            request.headers.insert(header::AUTHORIZATION, value.clone());
        }
    }

    /// Answers the challenge of a `401` to a request that carried `used`. Gives when that request ends: a helper may have
    /// asked a person, and that is no silence of the registry.
    fn log_in(
        &self,
        response: &Response<'_>,
        used: Option<&HeaderValue>,
        mut until: Instant,
    ) -> Result<Instant, Error> {
        // Locked to the end: the other threads need the new token as well, and none of their own.
        let mut state = self.state();
        if state.authorization.is_some() && state.authorization.as_ref() != used {
            return Ok(until);
        }
        let offered = response.headers().get_all(header::WWW_AUTHENTICATE);
        // A realm is for people, and in their language.
        let offered = offered.iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let challenges: Vec<_> = offered.flat_map(|value| auth::challenges(&value)).collect();
        if challenges.is_empty() && response.media_type() == http::HTML {
            return Err(super::web_page(response));
        }
        let credentials = match state.credentials.take() {
            Some(credentials) => credentials,
            None => {
                let begun = Instant::now();
                let found = self.login.credentials(&self.host, self.repository.as_deref())?;
                until += begun.elapsed();
                found
            }
        };
        let step = auth::answer(&challenges, &credentials, &state.scopes, &self.api);
        state.credentials = Some(credentials.clone());
        let step = step.map_err(|unanswered| match unanswered {
            Unanswered::Credentials(reason) => self.unauthorized(&credentials, reason.to_owned()),
            Unanswered::Challenge(reason) => super::malformed(response.url(), &reason),
        })?;
        let authorization = match step {
            Step::Authorize(value) => value,
            Step::FetchToken(request) => self.fetch_token(&request, &credentials, until)?,
        };
        let value = HeaderValue::from_str(&authorization).ok().map(|mut value| {
            value.set_sensitive(true);
            value
        });
        let odd = || "the password has characters that no header takes".to_owned();
        state.authorization = Some(value.ok_or_else(|| self.unauthorized(&credentials, odd()))?);
        Ok(until)
    }

    fn fetch_token(
        &self,
        wanted: &TokenRequest,
        credentials: &Credentials,
        until: Instant,
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
        request.document = Some(MAX_TOKEN);
        request.until = Some(until);
        let step = || format!("get a token for {}", self.place());
        let failed = |source| Error::Http { step: step(), source };
        let response = self.http.send(&request).map_err(failed)?;
        match response.status().as_u16() {
            200..=299 if response.media_type() == http::HTML => {
                return Err(super::web_page(&response));
            }
            200..=299 => {}
            400 | 401 | 403 => {
                return Err(self.unauthorized(credentials, response.into_error().to_string()));
            }
            _ => return Err(failed(response.into_error())),
        }
        let bytes = response.read_small(MAX_TOKEN).map_err(failed)?;
        auth::authorization_of(&bytes).ok_or_else(|| {
            self.unauthorized(credentials, "its token server answered without a token".to_owned())
        })
    }

    fn place(&self) -> String {
        match &self.repository {
            Some(name) => format!("{}/{name}", self.host),
            None => self.host.to_string(),
        }
    }

    fn unauthorized(&self, credentials: &Credentials, reason: String) -> Error {
        let (who, reason) = match credentials {
            Credentials::Anonymous => (None, format!("without credentials: {reason}")),
            Credentials::Basic { username, .. } => {
                (Some(username.clone()), format!("as {username}: {reason}"))
            }
            Credentials::IdentityToken(_) => {
                let who = "an identity token".to_owned();
                (Some(who), format!("with an identity token: {reason}"))
            }
        };
        Error::Unauthorized { place: self.place(), who, reason }
    }

    /// A 401 or 403 after we said who we are.
    fn refused(&self, response: Response<'_>) -> Error {
        let credentials = self.state().credentials.clone().unwrap_or(Credentials::Anonymous);
        self.unauthorized(&credentials, response.into_error().to_string())
    }

    /// An answer that is a success, or the error it is.
    pub(super) fn expect_success<'http>(
        &self,
        response: Response<'http>,
        step: &dyn Fn() -> String,
    ) -> Result<Response<'http>, Error> {
        match response.status().as_u16() {
            200..=299 => Ok(response),
            401 | 403 if self.is_ours(response.url()) => Err(self.refused(response)),
            401 | 403 => {
                let source = Box::new(response.into_error());
                Err(Error::Elsewhere { step: step(), source })
            }
            _ => Err(Error::Http { step: step(), source: response.into_error() }),
        }
    }
}

/// The body of an answer that is a document.
pub(super) fn document(
    response: Response<'_>,
    step: &dyn Fn() -> String,
) -> Result<Vec<u8>, Error> {
    response.read_small(MAX_MANIFEST).map_err(|source| Error::Http { step: step(), source })
}

fn scope(name: &str, rights: &str) -> String {
    format!("repository:{name}:{rights}")
}
