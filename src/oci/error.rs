//! What can go wrong between a release and a store.

use std::io;
use std::path::PathBuf;

use crate::digest::Digest;
use crate::fs;

/// A failed step. [`Error::kind`] says which family it is of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A local file.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A request to a registry.
    #[cfg(feature = "net")]
    #[error("cannot {step}")]
    Http {
        /// What was being done, as a verb and its object.
        step: String,
        /// Which request failed, and how.
        #[source]
        source: crate::http::Error,
    },
    /// A registry sent us on to another host, and that refuses access: our credentials are none of its business.
    #[cfg(feature = "net")]
    #[error("cannot {step}: it is on another host, and that refuses access")]
    Elsewhere {
        /// What was being done, as a verb and its object.
        step: String,
        /// What it said.
        #[source]
        source: Box<crate::http::Error>,
    },
    /// A stream of bytes broke for a reason that is not one of the others.
    #[error("cannot {step}")]
    Stream {
        /// What was being done, as a verb and its object.
        step: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A mirror broke off or gave other bytes, and was left: whoever begins anew gets them from the registry.
    #[error("cannot go on without the mirror")]
    Mirror {
        /// What went wrong with it.
        #[source]
        source: Box<Error>,
    },
    /// The registry wants to know who asks, or does not like the answer.
    #[error("{place} refuses access: {reason}")]
    Unauthorized {
        /// The repository, or the host where it is about none.
        place: String,
        /// Who asked; nobody in particular, where there are no credentials.
        who: Option<String>,
        /// What was tried and what came back.
        reason: String,
    },
    /// The credentials cannot be used as they are stored.
    #[error("cannot use the credentials for {registry}: {reason}")]
    Credentials {
        /// The host.
        registry: String,
        /// What is wrong with them.
        reason: String,
    },
    /// Something is not there.
    #[error("{place} has no {what}")]
    NotFound {
        /// A tag, a digest, a platform.
        what: String,
        /// The store.
        place: String,
    },
    /// The release has nothing for this platform.
    #[error("nothing for {wanted} (there is {})", available.join(", "))]
    NoPlatform {
        /// The platform asked for.
        wanted: String,
        /// The platforms of the release.
        available: Vec<String>,
    },
    /// A release that no image can be made of.
    #[error("no image can be made of {platform}: {reason}")]
    NotRunnable {
        /// Which part of it.
        platform: String,
        /// Why not.
        reason: String,
    },
    /// A part of what should be copied is gone from where it was.
    #[error("{what} of {of} is not there ({count} missing in all)")]
    Incomplete {
        /// What is missing first.
        what: String,
        /// The manifest that points at it.
        of: Digest,
        /// How many are.
        count: usize,
    },
    /// The tag belongs to another release.
    #[error("{place}:{tag} is already {there}, and this release is {ours}")]
    Occupied {
        /// The store.
        place: String,
        /// The tag.
        tag: String,
        /// What it points at.
        there: Digest,
        /// What it would point at.
        ours: Digest,
    },
    /// Something else needs what should go.
    #[error("{place} does not let go of {what}: {reason}")]
    Needed {
        /// The store.
        place: String,
        /// What should go.
        what: String,
        /// What needs it, or what the registry says of that.
        reason: String,
    },
    /// A registry that keeps what it has.
    #[error("{place} does not delete {what}: {reason}")]
    NoDeletion {
        /// The repository.
        place: String,
        /// `manifests`, or `tags` where it deletes no tag without what it names.
        what: &'static str,
        /// What it answered.
        reason: String,
    },
    /// More of something than is looked at.
    #[error("{place} has more than {limit} {what}, and so many are not looked at")]
    Many {
        /// The store.
        place: String,
        /// `tags`.
        what: String,
        /// How many would be.
        limit: usize,
    },
    /// The reference names a digest, and what is to be published has another.
    #[error("the reference says {stated}, and this release is {ours}")]
    OtherDigest {
        /// In the reference.
        stated: Digest,
        /// Of the release.
        ours: Digest,
    },
    /// A directory or a file that is something else than an OCI layout.
    #[error("{place} is no OCI layout: {reason}")]
    NoLayout {
        /// How people call it.
        place: String,
        /// How it shows.
        reason: String,
    },
    /// A directory or a file that holds other things, where a layout was to be made.
    #[error("{} holds other things than an OCI layout: nothing was written there", path.display())]
    OtherContents {
        /// The directory or file.
        path: PathBuf,
    },
    /// An archive that another process has made anew since it was opened.
    #[error("{place} was written by another process meanwhile: what it holds now was kept")]
    Changed {
        /// The archive.
        place: String,
    },
    /// A registry, where no network may be used.
    #[error("{place} is a registry, and {reason}")]
    NoNetwork {
        /// The repository.
        place: String,
        /// Why there is no network.
        reason: &'static str,
    },
    /// A reference that does not say enough.
    #[error("{reference} names neither a tag nor a digest")]
    NoTag {
        /// As given.
        reference: String,
    },
    /// A layout with several releases, and nothing says which.
    #[error("{place} holds several releases ({}): say which", names.join(", "))]
    SeveralReleases {
        /// The layout.
        place: String,
        /// Their tags and digests.
        names: Vec<String>,
    },
    /// Bytes that are not the ones they should be.
    #[error("{what}: the digest should be {expected} and is {found}")]
    WrongDigest {
        /// What was read.
        what: String,
        /// As promised.
        expected: Digest,
        /// As it is.
        found: Digest,
    },
    /// More or fewer bytes than promised.
    #[error("{what}: the size should be {expected} bytes and is {found}")]
    WrongSize {
        /// What was read.
        what: String,
        /// As promised.
        expected: u64,
        /// As far as it was read.
        found: u64,
    },
    /// Larger than is ever needed.
    #[error("{what} has {size} bytes, more than the {limit} that are read")]
    TooLarge {
        /// What was to be read.
        what: String,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A document that is not what it has to be.
    #[error("{what} is malformed: {reason}")]
    Malformed {
        /// The document.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file name from a registry that is not used as one.
    #[error("{manifest}: {title:?} is no file name to write to: {reason}")]
    BadTitle {
        /// Where it stands.
        manifest: Digest,
        /// The name.
        title: String,
        /// Why not.
        reason: String,
    },
    /// The caller's check said no to a downloaded file.
    #[error("{title} is not what the registry says it is: {reason}")]
    Rejected {
        /// The file's name.
        title: String,
        /// What the check said.
        reason: String,
    },
    /// Published, and yet not to be found.
    #[error(
        "{place} does not list {missing} of the {expected} referrers of {subject} after they were pushed"
    )]
    NotListed {
        /// The store.
        place: String,
        /// The manifest they belong to.
        subject: Digest,
        /// How many are missing.
        missing: usize,
        /// How many were pushed.
        expected: usize,
    },
}

/// The families of errors, one exit code each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request makes no sense as it stands.
    Usage,
    /// A check said no; nothing is broken.
    Refused,
    /// It is not there.
    NotFound,
    /// Who asks is not allowed to.
    Authentication,
    /// It may work a little later.
    Network,
    /// Bytes are not what they should be.
    Damaged,
    /// Everything else.
    Other,
}

impl Error {
    /// Which family the error is of.
    pub fn kind(&self) -> Kind {
        match self {
            Self::File(error) if error.is_not_found() => Kind::NotFound,
            #[cfg(feature = "net")]
            Self::Http { source, .. } => match source.status() {
                Some(401 | 403) => Kind::Authentication,
                Some(404) => Kind::NotFound,
                _ if matches!(source, crate::http::Error::Offline) => Kind::Usage,
                _ if source.is_transient() => Kind::Network,
                _ if matches!(source, crate::http::Error::TooLarge { .. }) => Kind::Damaged,
                _ => Kind::Other,
            },
            Self::Mirror { source } => source.kind(),
            #[cfg(feature = "net")]
            Self::Elsewhere { .. } => Kind::Authentication,
            Self::File(_) | Self::Stream { .. } | Self::NotListed { .. } => Kind::Other,
            Self::Unauthorized { .. } | Self::Credentials { .. } => Kind::Authentication,
            Self::NotFound { .. } | Self::NoPlatform { .. } | Self::Incomplete { .. } => {
                Kind::NotFound
            }
            Self::Occupied { .. }
            | Self::NotRunnable { .. }
            | Self::OtherDigest { .. }
            | Self::Needed { .. }
            | Self::NoDeletion { .. }
            | Self::Many { .. }
            | Self::OtherContents { .. }
            | Self::Changed { .. } => Kind::Refused,
            Self::NoTag { .. } | Self::SeveralReleases { .. } | Self::NoNetwork { .. } => {
                Kind::Usage
            }
            Self::NoLayout { .. }
            | Self::WrongDigest { .. }
            | Self::WrongSize { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::BadTitle { .. }
            | Self::Rejected { .. } => Kind::Damaged,
        }
    }

    /// The error that a failed stream carries, or the stream's own; `step` is what was being done.
    ///
    /// Readers of this module hand on their own errors inside an [`io::Error`]; this takes them out again.
    pub(super) fn of_stream(error: io::Error, step: impl FnOnce() -> String) -> Self {
        if !error.get_ref().is_some_and(is_ours) {
            return Self::Stream { step: step(), source: error };
        }
        let boxed = error.into_inner().unwrap_or_else(|| "lost".into());
        let boxed = match boxed.downcast::<Self>() {
            Ok(ours) => return *ours,
            Err(other) => other,
        };
        let boxed = match boxed.downcast::<fs::Error>() {
            Ok(file) => return Self::File(*file),
            Err(other) => other,
        };
        #[cfg(feature = "net")]
        let boxed = match boxed.downcast::<crate::http::Error>() {
            Ok(source) => return Self::Http { step: step(), source: *source },
            Err(other) => other,
        };
        Self::Stream { step: step(), source: io::Error::other(boxed) }
    }

    /// The same for what was unpacked on its way. What does not unpack, no system speaks of.
    pub(super) fn of_unpacked(error: io::Error, what: impl FnOnce() -> String) -> Self {
        match Self::of_stream(error, String::new) {
            Self::Stream { source, .. } if source.raw_os_error().is_none() => {
                Self::Malformed { what: what(), reason: format!("it does not unpack: {source}") }
            }
            Self::Stream { source, .. } => {
                Self::Stream { step: format!("unpack {}", what()), source }
            }
            other => other,
        }
    }
}

fn is_ours(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    #[cfg(feature = "net")]
    if error.is::<crate::http::Error>() {
        return true;
    }
    error.is::<Error>() || error.is::<fs::Error>()
}
