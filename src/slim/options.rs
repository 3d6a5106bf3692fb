//! What the user asked for.

/// How to slim. The default is what `strip` does: every symbol goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Which symbols stay in the slim file.
    pub symbols: Symbols,
    /// What to do about a wish that no input has anything for.
    pub absent: Absent,
    /// Where that goes which leaves.
    pub leaving: Leaving,
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

/// What happens to the symbols of which no wish speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rest {
    /// They leave.
    #[default]
    Leaves,
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
}

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

/// Where that goes which leaves the slim file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Leaving {
    /// Into a debug file.
    #[default]
    ToDebugFile,
    /// Nowhere: it is lost, because the user said so.
    Dropped,
}
