//! A failed command: what was being done, why it failed, which exit code says so.

use std::error::Error;
use std::fmt;
use std::path::Path;

/// The exit codes, each with one meaning. The README lists them; they do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// Failed: input or output, or a bug.
    Failed = 1,
    /// The command line does not say what to do.
    Usage = 2,
    /// A check said no.
    Refused = 3,
    /// A signature is bad, missing or foreign.
    Unverified = 4,
    /// A reference, platform, tag or file is not there.
    NotFound = 5,
    /// Credentials are missing or wrong.
    Authentication = 6,
    /// The network failed; trying again may help.
    Network = 7,
    /// The input is damaged or of a kind that is not supported.
    Damaged = 8,
}

/// Why a command failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// `cannot slim ./app`
    pub(super) doing: String,
    /// The reasons, the outermost first.
    pub(super) reasons: Vec<String>,
    /// What to do about it.
    pub(super) hint: Option<String>,
    /// The exit code.
    pub(super) exit: Exit,
    /// What was done all the same, for JSON: there is one document, also where the exit code says no.
    pub(super) receipt: Option<serde_json::Value>,
}

impl Failure {
    /// A failure with its cause.
    pub(super) fn new(exit: Exit, doing: impl Into<String>, cause: &dyn Error) -> Self {
        let mut reasons = vec![cause.to_string()];
        let mut inner = cause.source();
        while let Some(error) = inner {
            reasons.push(error.to_string());
            inner = error.source();
        }
        Self { doing: doing.into(), reasons, hint: None, exit, receipt: None }
    }

    /// A failure that needs no cause.
    pub(super) fn plain(exit: Exit, doing: impl Into<String>) -> Self {
        Self { doing: doing.into(), reasons: Vec::new(), hint: None, exit, receipt: None }
    }

    /// Adds a reason.
    pub(super) fn because(mut self, reason: impl fmt::Display) -> Self {
        self.reasons.push(reason.to_string());
        self
    }

    /// Adds what was done all the same.
    pub(super) fn after(mut self, receipt: serde_json::Value) -> Self {
        self.receipt = Some(receipt);
        self
    }

    /// Adds what to do about it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A file operation that failed.
impl From<crate::fs::Error> for Failure {
    fn from(error: crate::fs::Error) -> Self {
        let exit = if error.is_not_found() { Exit::NotFound } else { Exit::Failed };
        let reasons = vec![error.source.to_string()];
        Self { doing: error.to_string(), reasons, hint: None, exit, receipt: None }
    }
}

/// A release directory that cannot be read.
pub(super) fn release(error: crate::release::Error, root: &Path) -> Failure {
    use crate::release::Error::{Damaged, Empty, File, Name, State, UnknownPlatform};
    match error {
        File(error) => error.into(),
        Empty { .. } => Failure::plain(Exit::NotFound, error.to_string())
            .hint("make one: xpost slim --keep-symbol main FILE"),
        Damaged { .. } | State { .. } | UnknownPlatform { .. } => Failure::new(
            Exit::Damaged,
            format!("cannot use the release in {}", root.display()),
            &error,
        ),
        Name { .. } => Failure::new(
            Exit::Refused,
            format!("cannot use the release in {}", root.display()),
            &error,
        ),
    }
}
