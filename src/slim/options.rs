//! What the user asked for.

/// How to slim. The default is what `strip` does: every symbol goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Which symbols stay in the slim file.
    pub symbols: Symbols,
    /// Where that goes which leaves.
    pub leaving: Leaving,
}

/// Which symbols stay in the slim file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Symbols {
    /// Those of exactly these names; a name that an input does not have is an error.
    Named(Vec<String>),
    /// All of them, as with `strip -g`.
    All,
}

impl Default for Symbols {
    fn default() -> Self {
        Self::Named(Vec::new())
    }
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
