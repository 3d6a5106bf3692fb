//! The GNU build-id: the one name that a binary, its debug file and a core share.
//!
//! It stands in an ELF note and is written in hex. Other people's text becomes a [`BuildId`] at the door,
//! so what is inside is always short enough for a path and a registry tag.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::digest::{hex, unhex};

/// A build-id of 2 to 60 bytes. Linkers write 8, 16 or 20.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildId(Vec<u8>);

/// Bytes or text that are no build-id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a build-id: {text:?} (expected 4 to 120 lowercase hex digits, an even number)")]
pub struct ParseBuildIdError {
    text: String,
}

impl BuildId {
    /// Shorter cannot be split into a directory and a file name.
    const MIN: usize = 2;
    /// Longer does not fit a tag: 128 characters (OCI distribution-spec, "Pulling manifests") less `buildid-`.
    const MAX: usize = 60;

    /// A build-id from the contents of its note; `None` where the length is absurd.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (Self::MIN..=Self::MAX).contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Where debuggers look for the debug file below a debug directory: `.build-id/ab/cdef….debug`.
    pub fn debug_path(&self) -> PathBuf {
        self.executable_path().with_extension("debug")
    }

    /// Where debuggers look for the program itself: `.build-id/ab/cdef…`.
    pub fn executable_path(&self) -> PathBuf {
        let text = self.to_string();
        let (directory, name) = text.split_at(2);
        PathBuf::from(".build-id").join(directory).join(name)
    }

    /// The registry tag under which the debug manifest of this build is found.
    pub fn tag(&self) -> String {
        format!("buildid-{self}")
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for BuildId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for BuildId {
    type Err = ParseBuildIdError;

    fn from_str(text: &str) -> Result<Self, ParseBuildIdError> {
        // The length first: nobody decodes two gigabytes to find that they are too many.
        (text.len() <= Self::MAX * 2)
            .then(|| unhex(text))
            .flatten()
            .and_then(|bytes| Self::from_bytes(&bytes))
            .ok_or_else(|| ParseBuildIdError { text: text.chars().take(130).collect() })
    }
}

impl Serialize for BuildId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_the_convention_of_debuggers() {
        let id: BuildId = "abcdef0123".parse().expect("a build-id");
        assert_eq!(id.debug_path(), PathBuf::from(".build-id/ab/cdef0123.debug"));
        assert_eq!(id.executable_path(), PathBuf::from(".build-id/ab/cdef0123"));
        assert_eq!(id.tag(), "buildid-abcdef0123");
    }

    #[test]
    fn mean_texts_are_refused() {
        let long = "ab".repeat(61);
        for text in ["", "ab", "abc", "ABCD", "+1ab", "..", "../..", "abcdé", "zzzz", &long] {
            assert!(text.parse::<BuildId>().is_err(), "{text}");
        }
    }
}
