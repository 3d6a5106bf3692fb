//! A blob goes up: one POST for a place, one streamed PUT to it (OCI distribution-spec, "POST then PUT").
//!
//! One PUT without `Content-Range`, because ghcr.io refuses ranged requests of more than 4 MiB; and begun anew after a
//! failure, because hardly any registry can continue one.

use super::{Descriptor, Error, Method, Opener, Registry, Request, Store, Url, http};
use crate::http::header::{self, HeaderValue};
use crate::oci::store::Verified;

impl Registry {
    pub(super) fn upload(&self, blob: &Descriptor, open: &Opener<'_>) -> Result<(), Error> {
        let mut attempts = self.session.http.attempts();
        let mut logged_in = false;
        loop {
            let place = self.begin(blob)?;
            let error = match self.send_blob(place, blob, open) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match &error {
                Error::Http { source, .. } if attempts.again(source) => {}
                // A token may have run out while the blob before was on its way; the next POST fetches another.
                Error::Unauthorized { .. } if !logged_in => logged_in = true,
                _ => return Err(error),
            }
        }
    }

    /// Where the bytes are to be sent.
    fn begin(&self, blob: &Descriptor) -> Result<Url, Error> {
        let step = || format!("begin the upload of {} to {}", blob.digest, self.name());
        let request = Request::new(Method::POST, self.url("blobs/uploads/")?);
        let asked = request.url.clone();
        let response = self.session.expect_success(self.session.send(request, &step)?, &step)?;
        let malformed = |reason: &str| Error::Malformed {
            what: format!("the answer of {}", http::shown(&asked)),
            reason: reason.to_owned(),
        };
        let location = response
            .header(header::LOCATION)
            .ok_or_else(|| malformed("it says no Location for the upload"))?;
        // Relative or absolute, with or without a query of its own (OCI distribution-spec, "POST then PUT").
        let mut place = asked.join(location).map_err(|_| malformed("its Location is no URL"))?;
        match (asked.scheme(), place.scheme()) {
            (_, "https") | ("http", "http") => {}
            _ => return Err(malformed("its Location leads away from https")),
        }
        place.query_pairs_mut().append_pair("digest", &blob.digest.to_string());
        Ok(place)
    }

    fn send_blob(&self, place: Url, blob: &Descriptor, open: &Opener<'_>) -> Result<(), Error> {
        let step = || format!("upload {} to {}", blob.digest, self.name());
        let mut request = Request::new(Method::PUT, place);
        let kind = HeaderValue::from_static("application/octet-stream");
        request.headers.insert(header::CONTENT_TYPE, kind);
        self.session.authorize(&mut request);
        // Checked on the way out as well: a file that changes under our hands is not worth sending to its end.
        let mut source = Verified::new(open()?, blob);
        let response = self.session.http.upload(&request, &mut source, blob.size).map_err(
            |error| match error {
                http::Error::Source { source } => Error::of_stream(source, step),
                source => Error::Http { step: step(), source },
            },
        )?;
        let response = self.session.expect_success(response, &step)?;
        self.expect_digest(&response, &blob.digest)
    }
}
