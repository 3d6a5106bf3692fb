//! What the user asked for.

use regex::bytes::{Regex, RegexBuilder};

use super::Preset;

/// How to slim. The default is what `strip` does: every symbol goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Which symbols stay in the slim file.
    pub symbols: Symbols,
    /// Which sections stay or are dropped.
    pub sections: Sections,
    /// What to do about a wish that no input has anything for.
    pub absent: Absent,
    /// Where that goes which leaves.
    pub leaving: Leaving,
    /// Whether the slim file names the functions that leave.
    pub minidebug: MiniDebug,
}

/// Which symbols stay in the slim file. One that is wished both to stay and to leave stays, as with objcopy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Symbols {
    /// What happens to a symbol of which no wish speaks.
    pub rest: Rest,
    /// Those that stay.
    pub keep: Vec<Wish>,
    /// Those that leave.
    pub strip: Vec<Wish>,
}

/// Which sections stay or are dropped, whatever else would become of them. One that is asked for both ways stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sections {
    /// Those that stay.
    pub keep: Vec<Wish>,
    /// Those that neither file gets; none of them loaded.
    pub remove: Vec<Wish>,
}

/// What happens to the symbols of which no wish speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rest {
    /// They leave; all stay in an object file, which is linked by them.
    #[default]
    Fitting,
    /// They leave, so an object file is refused.
    Leaves,
    /// They leave, but in an object file those stay that linking needs.
    Unneeded,
    /// They stay, because of this option.
    Stays(&'static str),
}

/// Something that was asked for, and with which option: what `--explain` and errors show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// `-K`
    pub option: String,
    /// `!main.*`, as it was given.
    pub text: String,
    /// What that speaks of.
    pub meant: Meant,
    /// Whether it chooses or spares.
    pub sense: Sense,
}

/// What a wish speaks of, by the name in the file or the demangled one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// Whatever has exactly this name.
    Exactly(String),
    /// Whatever has exactly this name; where nothing has, what a pattern of the shell (`*`, `?`, `[a-z]`) matches.
    Like(String),
    /// Whatever this matches somewhere in its name.
    Matching(NameRegex),
    /// What programs of a kind need.
    Needed(Preset),
}

/// A regular expression over the bytes of names, which need not be UTF-8.
#[derive(Debug, Clone)]
pub struct NameRegex(Regex);

impl NameRegex {
    /// Compiles it: at most a mebibyte, so that no expression takes the memory of a machine.
    pub fn new(text: &str) -> Result<Self, regex::Error> {
        const LARGEST: usize = 1 << 20;
        let mut builder = RegexBuilder::new(text);
        let builder = builder.unicode(false).size_limit(LARGEST).dfa_size_limit(2 * LARGEST);
        Ok(Self(builder.build()?))
    }

    pub(super) fn regex(&self) -> &Regex {
        &self.0
    }
}

impl PartialEq for NameRegex {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for NameRegex {}

/// Whether a wish chooses or spares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sense {
    /// It chooses.
    Chooses,
    /// It spares what other wishes of its kind choose, wherever it stands among them, as with objcopy.
    Spares,
}

impl Wish {
    /// A wish for a name or a pattern: `main`, `app::*`, `=name` to the letter, `!pattern` for all but these.
    pub fn named(option: impl Into<String>, text: impl Into<String>) -> Self {
        let (option, text) = (option.into(), text.into());
        let (sense, rest) = match text.strip_prefix('!') {
            Some(rest) => (Sense::Spares, rest),
            None => (Sense::Chooses, text.as_str()),
        };
        let meant = match rest.strip_prefix('=') {
            Some(name) => Meant::Exactly(name.to_owned()),
            None => Meant::Like(rest.to_owned()),
        };
        Self { option, text, meant, sense }
    }
}

impl Wish {
    /// A wish for whatever a regular expression matches.
    pub fn matching(option: impl Into<String>, regex: NameRegex) -> Self {
        let text = regex.0.as_str().to_owned();
        let (meant, sense) = (Meant::Matching(regex), Sense::Chooses);
        Self { option: option.into(), text, meant, sense }
    }
}

impl Wish {
    /// A wish for what programs of a kind need, called `name` where it was asked for.
    pub fn needed(option: impl Into<String>, name: impl Into<String>, preset: Preset) -> Self {
        let (meant, sense) = (Meant::Needed(preset), Sense::Chooses);
        Self { option: option.into(), text: name.into(), meant, sense }
    }
}

impl std::fmt::Display for Wish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.option, self.text)
    }
}

/// What to do about a wish that an input has nothing for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Absent {
    /// It is an error: who misspells a name learns it now and not from a crash.
    #[default]
    Refused,
    /// It is told.
    Allowed,
}

/// Whether the slim file has the names of the functions whose symbols leave, for debuggers alone (`.gnu_debugdata`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MiniDebug {
    /// It costs a few percent, and names are in the debug file.
    #[default]
    Absent,
    /// It has.
    Functions,
}

/// Where that goes which leaves the slim file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Leaving {
    /// Into a debug file.
    #[default]
    ToDebugFile,
    /// Nowhere: it is lost, because the user said so.
    Dropped,
}
