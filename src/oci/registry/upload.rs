//! A blob goes up: one POST for a place, one streamed PUT to it (OCI distribution-spec, "POST then PUT").
//!
//! One PUT without `Content-Range`, because ghcr.io refuses ranged requests of more than 4 MiB. Where a connection
//! breaks, the registry is asked how much it has, and gets the rest in chunks ("Pushing a blob in chunks"); so does
//! one that refuses a body as a whole. A blob of another repository of the same registry is mounted, and sent
//! where that is not to be ("Mounting a blob from another repository").

use std::io::{self, Read};
use std::time::Instant;

use super::{
    Descriptor, Error, Method, Opener, Registry, Request, Response, State, Store, Url, http, led,
    malformed,
};
use crate::http::Attempts;
use crate::http::header::{self, HeaderName, HeaderValue};

/// The largest ranged request that ghcr.io takes.
const CHUNK: u64 = 4 << 20;

/// `OCI-Chunk-Min-Length` (OCI distribution-spec, "Pushing a blob in chunks").
const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// How often registry and client may disagree about what has arrived.
const MAX_DISPUTES: u32 = 3;

/// Where the bytes go.
struct Place {
    url: Url,
    /// How many go in one request, where they do not go in one.
    chunk: u64,
}

impl Registry {
    /// Sends a blob, or has it mounted from another repository of this registry.
    pub(super) fn upload(
        &self,
        blob: &Descriptor,
        open: &Opener<'_>,
        from: Option<&str>,
    ) -> Result<State, Error> {
        let attempts = self.session.http.attempts();
        let place = match from {
            Some(from) => self.mount(blob, from, attempts.end())?,
            None => Some(self.begin(blob, attempts.end())?),
        };
        let Some(place) = place else { return Ok(State::Mounted) };
        let begun =
            Upload { registry: self, blob, open, attempts, disputes: 0, renewed: false, offset: 0 };
        begun.run(place).map(|()| State::Uploaded)
    }

    /// Where the bytes are to be sent.
    fn begin(&self, blob: &Descriptor, until: Instant) -> Result<Place, Error> {
        let step = || format!("begin the upload of {} to {}", blob.digest, self.name());
        let mut request = Request::new(Method::POST, self.url("blobs/uploads/")?);
        request.until = Some(until);
        let asked = request.url.clone();
        let response = self.session.expect_success(self.session.send(request, &step)?, &step)?;
        self.place(&asked, &response)
    }

    /// Where the bytes are to be sent, if the registry does not have them from `from`; `None` where it has.
    fn mount(&self, blob: &Descriptor, from: &str, until: Instant) -> Result<Option<Place>, Error> {
        let step = || format!("mount {} from {from} into {}", blob.digest, self.name());
        if !self.session.also_read(from) {
            return self.begin(blob, until).map(Some);
        }
        let mut asked = self.url("blobs/uploads/")?;
        asked
            .query_pairs_mut()
            .append_pair("mount", &blob.digest.to_string())
            .append_pair("from", from);
        let mut request = Request::new(Method::POST, asked.clone());
        request.until = Some(until);
        match self.session.send(request, &step) {
            Ok(response) if response.status() == 201 => {
                self.expect_blob(&response, blob).map(|()| None)
            }
            // "Go on": the usual answer of registries that do not mount.
            Ok(response) if response.status() == 202 => self.place(&asked, &response).map(Some),
            // Neither a registry that cannot, nor one that does not let us, is a reason not to send the bytes.
            Ok(_) | Err(Error::Unauthorized { .. }) => {
                self.session.cannot_read(from);
                self.begin(blob, until).map(Some)
            }
            Err(error) => Err(error),
        }
    }

    /// The place that an answer to `asked` names.
    fn place(&self, asked: &Url, response: &Response<'_>) -> Result<Place, Error> {
        let location = response
            .header(header::LOCATION)
            .ok_or_else(|| malformed(asked, "it says no Location for the upload"))?;
        let least = response.header(CHUNK_MIN_LENGTH).and_then(|least| least.parse().ok());
        let chunk = least.map_or(CHUNK, |least: u64| least.max(CHUNK));
        Ok(Place { url: led(asked, "Location", location)?, chunk })
    }

    /// How many bytes have arrived, and where the rest goes; `None` where the registry does not say.
    fn arrived(&self, place: &Place, until: Instant) -> Result<Option<(Place, u64)>, Error> {
        let step = || format!("ask {} how much has arrived", self.name());
        let mut request = Request::new(Method::GET, place.url.clone());
        request.until = Some(until);
        let response = self.session.send(request, &step)?;
        let arrived = ranged(&response).filter(|_| response.status().is_success());
        let Some(arrived) = arrived else { return Ok(None) };
        let url = match response.header(header::LOCATION) {
            Some(location) => led(&place.url, "Location", location)?,
            None => place.url.clone(),
        };
        Ok(Some((Place { url, chunk: place.chunk }, arrived)))
    }
}

/// The bytes that `Range: 0-<end>` speaks of. `0-0` is what registries say who have nothing.
fn ranged(response: &Response<'_>) -> Option<u64> {
    let range = response.header(header::RANGE)?;
    let end: u64 = range.trim_start_matches("bytes=").strip_prefix("0-")?.parse().ok()?;
    if end == 0 { Some(0) } else { end.checked_add(1) }
}

/// A blob on its way.
struct Upload<'a, 'b> {
    registry: &'a Registry,
    blob: &'a Descriptor,
    open: &'a Opener<'b>,
    attempts: Attempts,
    disputes: u32,
    /// A token may run out while bytes are on their way; another is fetched once between two that arrive.
    renewed: bool,
    /// So many bytes have arrived.
    offset: u64,
}

/// What to do about a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Ask what has arrived, and send the rest.
    GoOn,
    /// Begin anew.
    Anew,
    /// Begin anew, in chunks.
    InChunks,
}

impl<'a> Upload<'a, '_> {
    fn run(mut self, mut place: Place) -> Result<(), Error> {
        let mut chunked = false;
        loop {
            let sent = if chunked || self.offset > 0 {
                self.send_chunks(&mut place)
            } else {
                self.send_whole(&place)
            };
            let Err(error) = sent else { return Ok(()) };
            let next = self.next(error, chunked)?;
            let until = self.attempts.end();
            chunked |= next == Next::InChunks;
            let arrived = match next {
                Next::GoOn => self.registry.arrived(&place, until)?.filter(|(_, had)| *had > 0),
                Next::Anew | Next::InChunks => None,
            };
            let before = self.offset;
            (place, self.offset) = match arrived {
                Some((place, arrived)) if arrived <= self.blob.size => (place, arrived),
                // All may have arrived, and the answer been lost.
                None if next == Next::GoOn && self.registry.has_blob(self.blob)? => return Ok(()),
                _ => (self.registry.begin(self.blob, until)?, 0),
            };
            self.attempts.progressed(self.offset.saturating_sub(before));
        }
    }

    fn next(&mut self, error: Error, chunked: bool) -> Result<Next, Error> {
        let status = match &error {
            Error::Http { source, .. } if self.attempts.again(source) => return Ok(Next::GoOn),
            Error::Unauthorized { .. } if !self.renewed => {
                self.renewed = true;
                return Ok(Next::GoOn);
            }
            Error::Http { source, .. } => source.status(),
            _ => None,
        };
        let in_parts = chunked || self.offset > 0;
        match status {
            Some(405 | 411 | 413 | 416 | 501) if !in_parts => Ok(Next::InChunks),
            // What has arrived is not what was sent, or is there no more.
            Some(400 | 404 | 416) if in_parts && self.disputes < MAX_DISPUTES => {
                self.disputes += 1;
                Ok(if status == Some(416) { Next::GoOn } else { Next::Anew })
            }
            _ => Err(error),
        }
    }

    fn step(&self) -> String {
        format!("upload {} to {}", self.blob.digest, self.registry.name())
    }

    fn send_whole(&mut self, place: &Place) -> Result<(), Error> {
        let mut source = (self.open)()?;
        let request = Request::new(Method::PUT, self.finished(place));
        let response = self.send(request, &mut source, self.blob.size)?;
        self.registry.expect_blob(&response, self.blob)
    }

    fn send_chunks(&mut self, place: &mut Place) -> Result<(), Error> {
        let mut source = (self.open)()?;
        let passed = io::copy(&mut (&mut source).take(self.offset), &mut io::sink());
        passed.map_err(|error| Error::of_stream(error, || self.step()))?;
        while self.offset < self.blob.size {
            let length = place.chunk.min(self.blob.size - self.offset);
            let mut request = Request::new(Method::PATCH, place.url.clone());
            let range = format!("{}-{}", self.offset, self.offset + length - 1);
            let range = HeaderValue::from_str(&range);
            request.headers.extend(range.map(|range| (header::CONTENT_RANGE, range)));
            let response = self.send(request, &mut (&mut source).take(length), length)?;
            let asked = place.url.clone();
            if let Some(location) = response.header(header::LOCATION) {
                place.url = led(&asked, "Location", location)?;
            }
            self.offset += length;
            if let Some(arrived) = ranged(&response).filter(|arrived| *arrived != self.offset) {
                self.disputes += 1;
                if self.disputes > MAX_DISPUTES || arrived > self.offset {
                    return Err(malformed(&asked, "it took other bytes than it was sent"));
                }
                self.offset = arrived;
                return self.send_chunks(place);
            }
            self.attempts.progressed(length);
            self.renewed = false;
        }
        // A source checks itself at its end.
        let end = source.read(&mut [0]).map_err(|error| Error::of_stream(error, || self.step()))?;
        debug_assert_eq!(end, 0, "Verified gives no more than was promised");
        let session = &self.registry.session;
        let request = Request::new(Method::PUT, self.finished(place));
        let response = session.send(request, &|| self.step())?;
        let response = session.expect_success(response, &|| self.step())?;
        self.registry.expect_blob(&response, self.blob)
    }

    /// The URL that ends the upload.
    fn finished(&self, place: &Place) -> Url {
        let mut url = place.url.clone();
        url.query_pairs_mut().append_pair("digest", &self.blob.digest.to_string());
        url
    }

    fn send(
        &mut self,
        mut request: Request<'_>,
        source: &mut dyn Read,
        length: u64,
    ) -> Result<Response<'a>, Error> {
        let session = &self.registry.session;
        let kind = HeaderValue::from_static("application/octet-stream");
        request.headers.insert(header::CONTENT_TYPE, kind);
        session.authorize(&mut request);
        let response = session.http.upload(&request, source, length, &mut self.attempts);
        let step = || self.step();
        let response = response.map_err(|error| match error {
            http::Error::Source { source } => Error::of_stream(source, step),
            source => Error::Http { step: step(), source },
        })?;
        session.expect_success(response, &step)
    }
}
