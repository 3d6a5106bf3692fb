//! The build-id of one input of `xpost slim`: decided, and put into its bytes before they are split.

use serde_json::{Value, json};

use super::job::Job;
use super::place::Source;
use crate::cli::failure::{Exit, Failure};
use crate::digest::hex;
use crate::elf::Elf;
use crate::fs::Contents;
use crate::identity::{Error, Identity, Method, Wish};

/// An input with its build-id where it belongs.
pub(super) struct Identified<'data> {
    /// As it was read.
    pub(super) original: Elf<'data>,
    /// As it is slimmed, where that is not the same.
    patched: Option<Contents>,
    pub(super) identity: Identity,
}

impl<'data> Identified<'data> {
    /// Reads an input's headers and decides.
    pub(super) fn new(source: &Source, input: &'data Contents, job: &Job) -> Result<Self, Failure> {
        let doing = || format!("cannot slim {source}");
        let original = Elf::parse(input).map_err(|error| {
            let failure = Failure::new(Exit::Damaged, doing(), &error);
            if matches!(error, crate::elf::Error::NotElf { .. }) {
                failure
            } else {
                failure.hint("the file looks truncated or damaged")
            }
        })?;
        let identity =
            Identity::new(&original, job.build_id).map_err(|error| explain(&error, doing()))?;
        let patched = identity.apply(&original, input).map_err(|error| explain(&error, doing()))?;
        Ok(Self { original, patched, identity })
    }

    /// The file that is slimmed.
    pub(super) fn elf(&self) -> Result<Elf<'_>, crate::elf::Error> {
        match &self.patched {
            Some(bytes) => Elf::parse(bytes),
            None => Ok(self.original.clone()),
        }
    }

    /// What to tell the user about it.
    pub(super) fn warning(&self, path: &Source, wish: Wish) -> Option<String> {
        let Identity { id, methods, in_cores, obstacle, .. } = &self.identity;
        let why = obstacle.map(|why| format!(" ({why})")).unwrap_or_default();
        let flags = "-Wl,--build-id (Rust: -C link-arg=-Wl,--build-id, Go before 1.24: -ldflags=-B=gobuildid)";
        if *in_cores {
            None
        } else if id.is_none() {
            Some(format!(
                "{path} has no build-id{why}, so its debug file is found beside it alone; link with {flags}"
            ))
        } else if methods.contains(&Method::Unloaded) {
            Some(format!(
                "{path} has no build-id, and the one that it gets is not loaded{why}, so no core shows it; link with {flags}"
            ))
        } else if wish == Wish::Keep {
            Some(format!(
                "{path} has a build-id that no core shows; --build-id inject puts it right where it can"
            ))
        } else {
            Some(format!("{path} has a build-id that no core shows{why}"))
        }
    }

    /// What was done, for people: nothing where the id stays as it was.
    pub(super) fn methods(&self) -> String {
        let methods = self.identity.methods.iter();
        let said: Vec<_> = methods.map(|m| format!("{m}: {}", m.meaning())).collect();
        if said.is_empty() { String::new() } else { format!("  ({})", said.join("; ")) }
    }

    /// The bytes that changed, a line each, for people.
    pub(super) fn patches(&self) -> impl Iterator<Item = String> + '_ {
        self.identity.patches.iter().map(|patch| {
            format!("{:#x}: {} → {}", patch.offset, hex(&patch.before), hex(&patch.after))
        })
    }

    /// What was done, for programs.
    pub(super) fn receipt(&self) -> Value {
        let patches = self.identity.patches.iter().map(|patch| {
            json!({ "offset": patch.offset, "before": hex(&patch.before), "after": hex(&patch.after) })
        });
        json!({
            "inCores": self.identity.in_cores,
            "methods": self.identity.methods.iter().map(|method| method.word()).collect::<Vec<_>>(),
            "patches": patches.collect::<Vec<_>>(),
        })
    }
}

fn explain(error: &Error, doing: String) -> Failure {
    match error {
        Error::Required { id: Some(_) } => Failure::new(Exit::Refused, doing, error)
            .hint("--build-id inject puts it right where it can"),
        Error::Required { id: None } => Failure::new(Exit::Refused, doing, error)
            .hint("link with -Wl,--build-id, or let --build-id inject give it one"),
        Error::Unfit { .. } => Failure::new(Exit::Refused, doing, error)
            .hint("--build-id inject takes the first method that can be done"),
        _ => Failure::new(Exit::Failed, doing, error).hint("--build-id keep leaves it as it is"),
    }
}
