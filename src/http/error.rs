//! What can go wrong between here and a server, and whether trying again can help.

use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;

use super::retry;

/// How much of an error answer is looked at.
pub(super) const MAX_MESSAGE: u64 = 64 << 10;

/// A request that did not get its answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There shall be no network.
    #[error("that would open a socket, and --offline forbids it")]
    Offline,
    /// No thread, or no TLS.
    #[error("cannot start the network client")]
    Start {
        /// What the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing in it is a certificate.
    #[error("the file of certificate authorities holds no PEM certificate")]
    Authorities,
    /// The server was not reached, or the connection broke.
    #[error("{method} {url}")]
    Connection {
        /// The verb.
        method: Method,
        /// Without its query.
        url: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// The server is there, and its certificate or its TLS is not acceptable.
    #[error(
        "{method} {url}: no trusted TLS connection (--plain-http for a registry without TLS, --ca-file FILE for one whose certificate signed itself, or has an authority of its own: that goes into FILE)"
    )]
    Tls {
        /// The verb.
        method: Method,
        /// Without its query.
        url: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// The server is there, and speaks TLS, which it was not asked in.
    #[error("{method} {url}: this is a server for https (--plain-http=false says so)")]
    WantsTls {
        /// The verb.
        method: Method,
        /// Without its query.
        url: String,
    },
    /// Nothing moved for too long.
    #[error("{method} {url}: no answer within {seconds} s")]
    Idle {
        /// The verb.
        method: Method,
        /// Without its query.
        url: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Something moved, and too little.
    #[error("{method} {url}: {bytes} bytes within {seconds} s")]
    Slow {
        /// The verb.
        method: Method,
        /// Without its query.
        url: String,
        /// How many there were.
        bytes: u64,
        /// How long they were waited for.
        seconds: u64,
    },
    /// An answer that is a refusal.
    #[error("{method} {url}: the answer was {status}{message}")]
    Status {
        /// The verb.
        method: Method,
        /// Without its query.
        url: String,
        /// The number of the status line.
        status: u16,
        /// ` (CODE: message)` from the body, or nothing.
        message: String,
        /// When to come back, where the server says it.
        retry_after: Option<Duration>,
    },
    /// A redirect that is not followed.
    #[error("{url}: redirects {reason}")]
    Redirect {
        /// Without its query.
        url: String,
        /// Where to, in words.
        reason: &'static str,
    },
    /// More than anybody needs.
    #[error("{url}: the answer is larger than {limit} bytes")]
    TooLarge {
        /// Without its query.
        url: String,
        /// In bytes.
        limit: u64,
    },
    /// The local side of an upload failed.
    #[error("cannot read what is to be sent")]
    Source {
        /// What the source said.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    pub(super) fn failed(method: Method, url: String, source: reqwest::Error) -> Self {
        if is_tls(&source) {
            Self::Tls { method, url, source }
        } else {
            Self::Connection { method, url, source }
        }
    }

    /// Whether the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection { source, .. } => !source.is_builder(),
            Self::Idle { .. } | Self::Slow { .. } => true,
            Self::Status { status, .. } => retry::is_transient(*status),
            _ => false,
        }
    }

    /// The status of the answer, where there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// tokio-rustls hands on what rustls refuses (certificates, garbage instead of TLS) as `InvalidData`;
/// a connection that only broke has another kind.
fn is_tls(error: &reqwest::Error) -> bool {
    if !error.is_connect() {
        return false;
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|error| error.kind() == std::io::ErrorKind::InvalidData) {
            return true;
        }
        // An I/O error made of another error hides it from `source`.
        cause = match io.and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

/// Whether it is what servers for https answer to http: Go's (`Client sent an HTTP request to an HTTPS server.`), nginx's (`The
/// plain HTTP request was sent to HTTPS port`), Apache's (`You're speaking plain HTTP to an SSL-enabled server port.`).
pub(super) fn wants_tls(status: u16, body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    status == 400
        && [
            "http request to an https server",
            "request was sent to https port",
            "plain http to an ssl",
        ]
        .iter()
        .any(|said| text.contains(said))
}

/// The first error of a registry's answer (OCI distribution-spec, "Error Codes") as ` (CODE: message)`.
pub(super) fn message_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let Ok(Answer { errors }) = serde_json::from_slice(body) else { return String::new() };
    let Some(Entry { code, message }) = errors.into_iter().next() else { return String::new() };
    let text = if message.is_empty() { code } else { format!("{code}: {message}") };
    // It ends up on a terminal: what a server sends is neither long nor able to move the cursor there.
    let text: String = text.chars().filter(|character| !character.is_control()).take(200).collect();
    format!(" ({text})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_for_https_is_known_by_what_it_says() {
        assert!(wants_tls(400, b"Client sent an HTTP request to an HTTPS server.\n"));
        assert!(wants_tls(400, b"<center>The plain HTTP request was sent to HTTPS port</center>"));
        assert!(!wants_tls(400, b"{}") && !wants_tls(500, b"HTTP request to an HTTPS server"));
    }

    #[test]
    fn what_a_registry_says_is_shown_without_control_characters() {
        let body = br#"{"errors":[{"code":"DENIED","message":"no\u001b[31m way","detail":null}]}"#;
        assert_eq!(message_of(body), " (DENIED: no[31m way)");
        assert_eq!(message_of(b"<html>"), "");
        assert_eq!(message_of(br#"{"errors":[]}"#), "");
    }
}
