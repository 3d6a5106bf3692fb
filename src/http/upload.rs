//! A body that is streamed from a reader, in constant memory and with an end to silence.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use reqwest::header::CONTENT_LENGTH;
use tokio::sync::mpsc;

use super::response::Place;
use super::{Attempts, Error, Http, Request, Response};

/// What an upload is cut into on its way: few enough wake-ups to keep up with a loopback connection.
const CHUNK: usize = 1 << 17;

/// So many times the usual silence a server may need that has all of a body: some copy a large blob once more.
const STORING: u32 = 5;

impl Http {
    /// Streams `length` bytes of `source` as the body, once: what to do about a failure is the caller's business,
    /// because a source has to be opened anew and an upload has to be begun anew. `attempts` learns that it moves.
    ///
    /// # Errors
    /// Those of [`Http::send`], and what `source` says.
    pub fn upload(
        &self,
        request: &Request<'_>,
        source: &mut dyn Read,
        length: u64,
        attempts: &mut Attempts,
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
                Some(Ok(())) => attempts.moved(),
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
        let patience = self.options.idle_timeout * STORING;
        match self.within(patience, &mut answer) {
            Some(Ok(Ok(inner))) => Ok(Response::new(self, at, inner)),
            Some(Ok(Err(source))) => Err(at.failed(source)),
            Some(Err(_)) => Err(at.idle(Duration::ZERO)),
            None => {
                answer.abort();
                Err(at.idle(patience))
            }
        }
    }
}

fn chunk_of(source: &mut dyn Read, left: u64) -> io::Result<Bytes> {
    let wanted = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
    let mut chunk = Vec::with_capacity(wanted);
    source.take(wanted as u64).read_to_end(&mut chunk)?;
    if chunk.len() < wanted {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "shorter than its stated size"));
    }
    // A source that checks itself does so at its end, so the last chunk waits for that.
    if wanted as u64 == left && source.read(&mut [0])? != 0 {
        return Err(io::Error::other("longer than its stated size"));
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
