//! What the user asked for, and the methods by name.

use std::fmt;
use std::str::FromStr;

use super::page::Page;
use super::{Change, inject, repair};
use crate::build_id::BuildId;

/// What becomes of the build-id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing: it stays as it is, and where.
    Keep,
    /// One that is right stays; else it is put right, by this method where one was named.
    Inject(Option<Method>),
    /// One that is right is demanded.
    Require,
    /// A new one, whatever is there: for programs that were all given the same.
    Rewrite,
}

impl Default for Wish {
    fn default() -> Self {
        Self::Inject(None)
    }
}

/// A wish that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected keep, inject, require, rewrite, or inject=METHOD with one of {}", names())]
pub struct ParseWishError;

fn names() -> String {
    Method::named().map(Method::word).collect::<Vec<_>>().join(", ")
}

impl FromStr for Wish {
    type Err = ParseWishError;

    fn from_str(text: &str) -> Result<Self, ParseWishError> {
        match text {
            "keep" => Ok(Self::Keep),
            "inject" => Ok(Self::Inject(None)),
            "require" => Ok(Self::Require),
            "rewrite" => Ok(Self::Rewrite),
            _ => {
                let name = text.strip_prefix("inject=").ok_or(ParseWishError)?;
                let method = Method::named().find(|method| method.word() == name);
                Ok(Self::Inject(Some(method.ok_or(ParseWishError)?)))
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
    /// A new note directly in front of a PT_NOTE, which then covers it.
    ExtendFront,
    /// A new note directly behind a PT_NOTE, which then covers it.
    ExtendBehind,
    /// A new program header behind the last, and a new note behind that.
    Append,
    /// `.note.ABI-tag` moves to where there is room for a new note behind it, and its PT_NOTE with it.
    RelocNote,
    /// A new note over `.note.ABI-tag`, which is as long, so the id has 16 bytes.
    AbitagOverwrite,
    /// The program headers move to where there is room for one more, and for a new note behind that.
    MovePhdrs,
    /// A new note that is not loaded: only who has the file finds it.
    Unloaded,
    /// Another id in the note that is there.
    Rewrite,
}

use Method::{
    AbitagOverwrite, Append, ExtendBehind, ExtendFront, MovePhdrs, RelocNote, RepairAlign,
    RepairExtend, Rewrite, Unloaded,
};

impl Method {
    /// What puts an id right that is there; the first that can be done is.
    pub(super) const REPAIRS: &[Self] = &[RepairExtend, RepairAlign];
    /// What gives an id to a file that has none; the first that can be done is.
    pub(super) const INJECTIONS: &[Self] = &[ExtendFront, ExtendBehind, Append, RelocNote];
    /// What gives one at a price, and is done only where it is asked for by name.
    pub(super) const BY_NAME: &[Self] = &[AbitagOverwrite, MovePhdrs];

    /// Those that can be asked for by name.
    pub fn named() -> impl Iterator<Item = Self> {
        let all = [Self::REPAIRS, Self::INJECTIONS, Self::BY_NAME, &[Unloaded]];
        all.into_iter().flatten().copied()
    }

    /// Its name, as in `--build-id inject=NAME` and in reports.
    pub fn word(self) -> &'static str {
        match self {
            RepairExtend => "repair-extend",
            RepairAlign => "repair-align",
            ExtendFront => "extend-front",
            ExtendBehind => "extend-behind",
            Append => "append",
            RelocNote => "reloc-note",
            AbitagOverwrite => "abitag-overwrite",
            MovePhdrs => "move-phdrs",
            Unloaded => "unloaded",
            Rewrite => "rewrite",
        }
    }

    /// What it does, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            RepairExtend => "PT_NOTE covers its note now",
            RepairAlign => "the alignment of PT_NOTE is 4 now",
            ExtendFront => "a new note in front of those under PT_NOTE",
            ExtendBehind => "a new note behind those under PT_NOTE",
            Append => "a new note under a new PT_NOTE",
            RelocNote => "a new note behind .note.ABI-tag, which moved to make room",
            AbitagOverwrite => "a new note over .note.ABI-tag, which is lost",
            MovePhdrs => {
                "the program headers moved, with a new note behind them; GNU strip and objcopy would now break the file"
            }
            Unloaded => "a new note that is not loaded",
            Rewrite => "a new id in the note that was there",
        }
    }

    /// For how long an id it has room, in bytes.
    pub(super) fn id_size(self) -> usize {
        match self {
            // The contents of `.note.ABI-tag`: four words.
            AbitagOverwrite => 16,
            // As linkers write it: a SHA-1's.
            _ => 20,
        }
    }

    /// What it changes; `None` where its condition is not met. `id` is the one to be injected.
    pub(super) fn try_on(self, page: &Page<'_, '_>, id: &BuildId) -> Option<Change> {
        match self {
            RepairExtend => repair::extend(page),
            RepairAlign => repair::align(page),
            ExtendFront => inject::extend_front(page, id),
            ExtendBehind => inject::extend_behind(page, id),
            Append => inject::append(page, id),
            RelocNote => inject::relocate(page, id),
            AbitagOverwrite => inject::overwrite(page, id),
            MovePhdrs => inject::move_headers(page, id),
            Unloaded | Rewrite => None,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}
