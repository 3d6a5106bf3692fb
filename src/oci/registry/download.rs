//! A blob comes down: checked while it streams, and continued where a connection broke.

use std::io::{self, Read};
use std::time::Instant;

use super::{Descriptor, Error, Method, Registry, Request, Response, Store, Verified};
use crate::http::Attempts;
use crate::http::header::{self, HeaderValue};

impl Registry {
    pub(super) fn download(&self, blob: &Descriptor) -> Result<Verified<'_>, Error> {
        let download = Download {
            registry: self,
            blob: blob.plain(),
            response: self.get_blob(blob, 0, self.session.http.attempts().end())?,
            passed: 0,
            attempts: self.session.http.attempts(),
        };
        Ok(Verified::new(download, blob))
    }

    /// The blob, from `offset` on where the registry can do that.
    fn get_blob(
        &self,
        blob: &Descriptor,
        offset: u64,
        until: Instant,
    ) -> Result<Response<'_>, Error> {
        let step = || format!("get {} from {}", blob.digest, self.name());
        let mut request = Request::new(Method::GET, self.blob_url(&blob.digest)?);
        request.until = Some(until);
        if offset > 0 {
            let range = HeaderValue::from_str(&format!("bytes={offset}-"));
            request.headers.extend(range.map(|range| (header::RANGE, range)));
        }
        let response = self.session.send(request, &step)?;
        if response.status() == 404 {
            return Err(Error::NotFound { what: blob.digest.to_string(), place: self.name() });
        }
        self.session.expect_success(response, &step)
    }
}

struct Download<'a> {
    registry: &'a Registry,
    blob: Descriptor,
    response: Response<'a>,
    passed: u64,
    attempts: Attempts,
}

impl Download<'_> {
    /// Asks again, for what is missing.
    fn resume(&mut self) -> Result<(), Error> {
        self.response = self.registry.get_blob(&self.blob, self.passed, self.attempts.end())?;
        let from = format!("bytes {}-", self.passed);
        let range = self.response.header(header::CONTENT_RANGE);
        if self.response.status() != 206 || !range.is_none_or(|range| range.starts_with(&from)) {
            // All of it again; what was read before is passed over, and the digest tells whether it was the same.
            let mut again = (&mut self.response).take(self.passed);
            let step = || format!("get {} from {}", self.blob.digest, self.registry.name());
            io::copy(&mut again, &mut io::sink()).map_err(|error| Error::of_stream(error, step))?;
        }
        Ok(())
    }
}

impl Read for Download<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut error = match self.response.read_by(buffer, Some(self.attempts.end())) {
                Ok(count) => {
                    self.passed += count as u64;
                    self.attempts.progressed(count as u64);
                    return Ok(count);
                }
                Err(error) => Error::of_stream(error, || {
                    format!("get {} from {}", self.blob.digest, self.registry.name())
                }),
            };
            loop {
                let again =
                    matches!(&error, Error::Http { source, .. } if self.attempts.again(source));
                if !again {
                    return Err(io::Error::other(error));
                }
                match self.resume() {
                    Ok(()) => break,
                    Err(other) => error = other,
                }
            }
        }
    }
}
