//! What the user asked for, and the methods by name.

use std::fmt;
use std::str::FromStr;

use super::page::Page;
use super::{Write, repair};

/// What becomes of the build-id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing: it stays as it is, and where.
    Keep,
    /// One that is right stays; else it is put right, by this method where one was named.
    Inject(Option<Method>),
    /// One that is right is demanded.
    Require,
}

impl Default for Wish {
    fn default() -> Self {
        Self::Inject(None)
    }
}

/// A wish that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected keep, inject, require, or inject=METHOD with one of {}", names())]
pub struct ParseWishError;

fn names() -> String {
    Method::ALL.iter().map(|method| method.word()).collect::<Vec<_>>().join(", ")
}

impl FromStr for Wish {
    type Err = ParseWishError;

    fn from_str(text: &str) -> Result<Self, ParseWishError> {
        match text {
            "keep" => Ok(Self::Keep),
            "inject" => Ok(Self::Inject(None)),
            "require" => Ok(Self::Require),
            _ => {
                let name = text.strip_prefix("inject=").ok_or(ParseWishError)?;
                let method = Method::ALL.iter().find(|method| method.word() == name);
                Ok(Self::Inject(Some(*method.ok_or(ParseWishError)?)))
            }
        }
    }
}

/// How a build-id comes to be where a core shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A PT_NOTE is made longer, to cover the note beside it: Go from 1.24 on has one that no segment covers.
    RepairExtend,
    /// The alignment of a PT_NOTE becomes 4: mold writes 8, and some readers then find nothing in it.
    RepairAlign,
}

impl Method {
    /// All of them; where none is named, the first that can be done is.
    pub const ALL: &[Self] = &[Self::RepairExtend, Self::RepairAlign];

    /// Its name, as in `--build-id inject=NAME` and in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::RepairExtend => "repair-extend",
            Self::RepairAlign => "repair-align",
        }
    }

    /// What it does, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::RepairExtend => "PT_NOTE covers its note now",
            Self::RepairAlign => "the alignment of PT_NOTE is 4 now",
        }
    }

    /// What it writes; `None` where its condition is not met.
    pub(super) fn try_on(self, page: &Page<'_, '_>) -> Option<Vec<Write>> {
        match self {
            Self::RepairExtend => repair::extend(page),
            Self::RepairAlign => repair::align(page),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}
