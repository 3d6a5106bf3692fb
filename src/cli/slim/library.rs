//! A static library: each of its object files slimmed as one alone would be.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use super::Outcome;
use super::deliver::{Delivery, shown};
use super::input::explain;
use super::job::Job;
use super::place::{Source, To};
use super::report::{Row, rows, shrink};
use crate::archive::{self, Archive, Headers};
use crate::cli::failure::{Exit, Failure};
use crate::cli::ui::{self, Ui};
use crate::digest::Digest;
use crate::elf::Elf;
use crate::fs::Dates;
use crate::identity::Identity;
use crate::release::Staged;
use crate::slim::{self, Fate, Plan};

/// A static library, slimmed.
pub(super) struct Library<'data> {
    source: Source,
    slim_path: Option<PathBuf>,
    before: &'data [u8],
    after: Vec<u8>,
    members: usize,
    objects: usize,
    /// What happened to each of these; empty where nobody asked.
    explained: Vec<Explained>,
    /// The names of what left.
    dropped: BTreeSet<String>,
    warnings: Vec<String>,
}

/// What `--explain` says of an object file in the library.
#[derive(Serialize)]
struct Explained {
    name: String,
    before: u64,
    after: u64,
    sections: Vec<Row>,
}

impl<'data> Library<'data> {
    /// Slims every object file in it; all else stays as it is. Nothing is written.
    pub(super) fn slim(source: Source, bytes: &'data [u8], job: &Job) -> Result<Self, Failure> {
        let doing = || format!("cannot slim {source}");
        let usage = |text: &str| Failure::plain(Exit::Usage, doing()).because(text);
        if matches!(job.place.to, To::Release { .. }) {
            return Err(usage("it is a static library, and a release has what is linked already")
                .hint("slim it elsewhere with --output or --in-place"));
        }
        let (symbols, sections) = (&job.options.symbols, &job.options.sections);
        if [&symbols.keep, &symbols.strip, &sections.keep, &sections.remove]
            .iter()
            .any(|w| !w.is_empty())
        {
            return Err(usage(
                "names of symbols and sections are those of one file, and it holds many",
            )
            .hint("-g and --strip-unneeded go for all of them"));
        }
        let archive = Archive::parse(bytes).map_err(|error| refuse(&error, doing()))?;
        let mut contents = Vec::new();
        let (mut objects, mut dropped, mut explained) = (0, BTreeSet::new(), Vec::new());
        for member in archive.members() {
            let doing = || format!("cannot slim {source}({})", member.name);
            let is_elf = member.data.starts_with(&object::elf::ELFMAG);
            let elf = is_elf.then(|| Elf::parse(member.data)).transpose();
            let elf = elf.map_err(|error| Failure::new(Exit::Damaged, doing(), &error))?;
            let Some(elf) = elf.filter(Elf::is_object) else {
                contents.push(Cow::Borrowed(member.data));
                continue;
            };
            objects += 1;
            // An object file gets no debug file.
            let plan = Plan::new(&elf, &Identity::default(), &job.options)
                .map_err(|error| explain(error, doing()))?;
            let layout =
                slim::layout(&elf, &plan, None).map_err(|error| explain(error, doing()))?;
            let gone = plan.decisions.iter().filter(|decision| decision.fate == Fate::Drop);
            dropped.extend(gone.map(|gone| String::from_utf8_lossy(gone.name).into_owned()));
            let after = match plan.leaves() {
                true => Cow::Owned(layout.to_vec()),
                false => Cow::Borrowed(member.data),
            };
            if job.explain {
                explained.push(Explained {
                    name: member.name.clone().into_owned(),
                    before: elf.len(),
                    after: after.len() as u64,
                    sections: rows(&elf, &plan),
                });
            }
            contents.push(after);
        }
        let headers = match job.place.dates {
            Dates::Made => Headers::Deterministic,
            Dates::Same => Headers::Kept,
        };
        let after = archive.with(&contents, headers).map_err(|error| refuse(&error, doing()))?;
        let slim_path = job.place.slim_path(&source)?;
        let members = contents.len();
        let warnings = Vec::new();
        let before = bytes;
        let mut library = Self {
            source,
            slim_path,
            before,
            after,
            members,
            objects,
            explained,
            dropped,
            warnings,
        };
        let delivery = library.delivery(job);
        delivery.refuse_replacing()?;
        let other_names = delivery.other_names()?;
        let is_slim = (!delivery.changes).then(|| format!("{} is slim already", library.source));
        library.warnings.extend(other_names.into_iter().chain(is_slim));
        Ok(library)
    }

    fn delivery<'a>(&'a self, job: &'a Job) -> Delivery<'a> {
        Delivery {
            source: &self.source,
            place: &job.place,
            slim_path: self.slim_path.as_deref(),
            changes: self.before != self.after,
        }
    }
}

impl Outcome for Library<'_> {
    fn files(&self) -> Vec<PathBuf> {
        self.slim_path.iter().cloned().collect()
    }

    fn stage(&mut self, job: &Job, staged: &mut Staged, ui: Ui) -> Result<(), Failure> {
        let refused = self.delivery(job).deliver(staged, ui, |out| out.write_all(&self.after))?;
        self.warnings.extend(refused);
        Ok(())
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn text(&self, _: &Job) -> String {
        let (before, after) = (self.before.len() as u64, self.after.len() as u64);
        let path = shown(self.slim_path.as_ref());
        let mut text = format!("{}  {}\n", ui::safe(&path), shrink(before, after));
        let _ =
            writeln!(text, "  members   {}, {} of them object files", self.members, self.objects);
        if !self.dropped.is_empty() {
            let names = self.dropped.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let _ = writeln!(text, "  dropped   {}", ui::safe(&names));
        }
        for Explained { name, before, after, sections } in &self.explained {
            let _ = writeln!(text, "  {}  {}", ui::safe(name), shrink(*before, *after));
            for row in sections {
                let _ = writeln!(text, "    {}", row.text());
            }
        }
        text
    }

    fn receipt(&self, job: &Job) -> Value {
        let file = |path: String, bytes: &[u8]| json!({ "path": path, "size": bytes.len(), "digest": Digest::of(bytes) });
        let mut receipt = json!({
            "input": file(self.source.to_string(), self.before),
            "slim": file(shown(self.slim_path.as_ref()), &self.after),
            "members": { "objects": self.objects, "total": self.members },
            "dropped": self.dropped,
            "warnings": self.warnings,
        });
        if job.explain
            && let Some(map) = receipt.as_object_mut()
        {
            map.insert("explained".to_owned(), json!(self.explained));
        }
        receipt
    }
}

fn refuse(error: &archive::Error, doing: String) -> Failure {
    let failure = Failure::new(Exit::Damaged, doing, error);
    match error {
        archive::Error::Thin => failure.hint("slim the object files that it names"),
        _ => failure,
    }
}
