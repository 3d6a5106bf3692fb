//! What happened to an input, for people and for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use super::deliver::shown;
use super::input::{Input, digest_of};
use super::job::Job;
use crate::cli::ui;
use crate::debug::LoadIdentity;
use crate::digest::Digest;
use crate::elf::{Elf, Section, Symbol};
use crate::inspect::{self, Platform};
use crate::slim::{Decision, Fate, Holds, Layout, Plan};

/// The name that a file has for a section of the input.
type Naming<'data> = fn(&Section<'data>) -> String;

impl<'data> Input<'data> {
    /// What happened, for people.
    pub(super) fn text_of(&self, job: &Job) -> String {
        let mut text = String::new();
        let platform =
            self.platform.as_ref().map(|platform| format!("  {platform}")).unwrap_or_default();
        let line = shrink(self.elf.len(), self.split.slim.len());
        let _ = writeln!(text, "{}  {line}{platform}", ui::safe(&shown(self.slim_path.as_ref())));
        let debug_path = self.debug_path.display().to_string();
        let debug_path = ui::safe(&debug_path);
        if let Some(debug) = self.new_debug() {
            let _ = writeln!(text, "  debug     {debug_path}  {}", ui::size(debug.len()));
        } else if self.kept_debug {
            let _ = writeln!(text, "  debug     {debug_path}  (kept: it is this build's)");
        }
        if let Some(dwp) = &self.dwp {
            let path = dwp.path.display().to_string();
            let size = ui::size(dwp.bytes.len() as u64);
            let _ = writeln!(text, "  dwp       {}  {size}", ui::safe(&path));
        }
        if let Some(build_id) = &self.build_id {
            let methods = self.identified.methods();
            let _ = writeln!(text, "  build-id  {build_id}{methods}");
        }
        if let Some(payload) = &self.split.plan.payload {
            let size = ui::size(payload.range.end - payload.range.start);
            let _ = writeln!(text, "  payload   {}, {size}, stays at the end", payload.kind.name());
        }
        let sizes = self.split.slim.sizes();
        if let Some((_, size)) = sizes.iter().find(|(holds, _)| *holds == Holds::Hole) {
            let size = ui::size(*size);
            let _ = writeln!(text, "  hole      {size} of zeros: a segment lies behind what left");
        }
        let choice = &self.split.plan.symbols;
        if choice.keeps_any() {
            let _ = writeln!(text, "  symbols   {} of {} kept", choice.kept.len(), choice.total);
        }
        if let Some((functions, size)) = self.minidebug() {
            let _ = writeln!(text, "  minidebug {functions} functions in {}", ui::size(size));
        }
        let dropped: Vec<_> =
            self.dropped_by_name().map(|name| ui::safe(&name).into_owned()).collect();
        if !dropped.is_empty() {
            let _ = writeln!(text, "  dropped   {}", dropped.join(", "));
        }
        if job.explain {
            self.explain(&mut text);
        }
        text
    }

    /// How many functions `.gnu_debugdata` names, and its size, where it was made.
    fn minidebug(&self) -> Option<(usize, u64)> {
        let sizes = self.split.slim.sizes();
        let (_, size) = sizes.into_iter().find(|(holds, _)| *holds == Holds::MiniDebug)?;
        Some((self.split.plan.functions.len(), size))
    }

    /// The sections that neither file has: those of -R, and all that leave an object file. Of one name there may be
    /// thousands.
    fn dropped_by_name(&self) -> impl Iterator<Item = String> + '_ {
        let dropped = |decision: &&Decision<'_>| {
            decision.rule == "user-remove" || self.elf.is_object() && decision.fate == Fate::Drop
        };
        let dropped = self.split.plan.decisions.iter().filter(dropped);
        let names: BTreeSet<_> = dropped.map(|decision| decision.name).collect();
        names.into_iter().map(|name| String::from_utf8_lossy(name).into_owned())
    }

    fn explain(&self, text: &mut String) {
        for patch in self.identified.patches() {
            let _ = writeln!(text, "  patched   {patch}");
        }
        let _ = writeln!(text, "  {:<28} {:<6} {:>12}  rule", "section", "fate", "bytes");
        for row in rows(&self.elf, &self.split.plan) {
            let _ = writeln!(text, "  {}", row.text());
        }
        let choice = &self.split.plan.symbols;
        let [stays, leaves] = self.symbol_fates().map(Fate::word);
        for kept in &choice.kept {
            let name = kept.symbol.display_name();
            let (name, size, rule) = (ui::safe(&name), kept.symbol.size, choice.rule(kept));
            let _ = writeln!(text, "  symbol {name:<21} {stays:<6} {size:>12}  {}", ui::safe(rule));
        }
        let mut leaving: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (symbol, rule) in choice.leaving() {
            let (count, size) = leaving.entry(rule).or_default();
            *count += 1;
            *size = size.saturating_add(symbol.size);
        }
        for (rule, (count, size)) in leaving {
            let name = format!("{count} symbols");
            let _ = writeln!(text, "  {name:<28} {leaves:<6} {size:>12}  {}", ui::safe(rule));
        }
        let _ = writeln!(
            text,
            "  {:<35} {:>12}  in {} sections, and {} of {} symbols",
            "leaves the slim file",
            self.leaving().map(|section| section.size).sum::<u64>(),
            self.leaving().count(),
            choice.total - choice.kept.len() as u64,
            choice.total
        );
        self.table(text, "the slim file holds", &self.split.slim, Section::display_name);
        if let Some(debug) = self.new_debug() {
            self.table(text, "the debug file holds", debug, Section::display_debug_name);
        }
    }

    /// The fates of a symbol that stays and of one that leaves: the debug file has all of them, or none.
    fn symbol_fates(&self) -> [Fate; 2] {
        let plan = &self.split.plan;
        let table = plan.symbols.table.map(|table| plan.fate(table.section));
        if table.is_some_and(Fate::is_in_debug) {
            [Fate::Both, Fate::Debug]
        } else {
            [Fate::Keep, Fate::Drop]
        }
    }

    /// The sections with contents that the slim file has not.
    fn leaving(&self) -> impl Iterator<Item = &Section<'_>> + '_ {
        let left = |decision: &&Decision<'_>| !decision.fate.is_in_slim();
        let left = self.split.plan.decisions.iter().filter(left);
        let left = left.filter_map(|decision| self.elf.section(decision.section));
        left.filter(|section| section.has_contents())
    }

    /// Where the bytes of a file come from, up to its length.
    fn table(&self, text: &mut String, title: &str, layout: &Layout<'_>, name: Naming<'data>) {
        let _ = writeln!(text, "  {title:<35} {:>12}", "bytes");
        for (holds, size) in layout.sizes() {
            let _ = writeln!(text, "  {:<35} {size:>12}", ui::safe(&self.held(holds, name)));
        }
        let _ = writeln!(text, "  {:<35} {:>12}", "in all", layout.len());
    }

    fn sizes(&self, layout: &Layout<'_>, name: Naming<'data>) -> Value {
        let rows = layout.sizes().into_iter();
        rows.map(|(holds, size)| json!({ "holds": self.held(holds, name), "size": size })).collect()
    }

    fn held(&self, holds: Holds, name: Naming<'data>) -> String {
        match holds {
            Holds::Headers => "headers".to_owned(),
            Holds::Loaded => "loaded bytes, where they were".to_owned(),
            Holds::Section(id) => self.elf.section(id).map(name).unwrap_or_default(),
            Holds::BuildId => ".note.gnu.build-id".to_owned(),
            Holds::DebugLink => ".gnu_debuglink".to_owned(),
            Holds::MiniDebug => ".gnu_debugdata".to_owned(),
            Holds::SectionHeaders => "section headers".to_owned(),
            Holds::Origin => "how to restore the input".to_owned(),
            Holds::Unowned => "bytes of no section".to_owned(),
            Holds::Payload => "payload behind the image".to_owned(),
            Holds::Hole => "zeros before a segment".to_owned(),
            Holds::Alignment => "alignment".to_owned(),
            Holds::Everything => "the input, unchanged".to_owned(),
        }
    }

    /// What happened, for programs.
    pub(super) fn receipt_of(&self, job: &Job) -> Value {
        let choice = &self.split.plan.symbols;
        let named = |path: String, layout: &Layout<'_>| json!({ "path": path, "size": layout.len(), "digest": digest_of(layout) });
        let mut receipt = json!({
            "input": {
                "path": self.source.to_string(),
                "size": self.identified.original.len(),
                "digest": Digest::of(self.identified.original.data()),
            },
            "slim": named(shown(self.slim_path.as_ref()), &self.split.slim),
            "debug": self.new_debug().map(|debug| named(self.debug_path.display().to_string(), debug)),
            "dwp": self.dwp.as_ref().map(|dwp| json!({
                "path": dwp.path.display().to_string(),
                "size": dwp.bytes.len(),
                "digest": Digest::of(&dwp.bytes),
            })),
            "minidebug": self.minidebug().map(|(functions, size)| json!({ "functions": functions, "size": size })),
            "platform": self.platform.as_ref().map(ToString::to_string),
            "target": self.platform.as_ref().map(Platform::target),
            "buildId": self.build_id,
            "identity": self.identified.receipt(),
            "loadDigest": inspect::load_digest(&self.elf),
            "loadIdentity": LoadIdentity::new(&self.elf, self.split.slim.header()),
            "payload": self.split.plan.payload.as_ref().map(|payload| json!({
                "kind": payload.kind.name(),
                "size": payload.range.end - payload.range.start,
            })),
            "dropped": self.dropped_by_name().collect::<Vec<_>>(),
            "symbols": { "kept": choice.kept.len(), "total": choice.total },
            "leaves": {
                "size": self.leaving().map(|section| section.size).sum::<u64>(),
                "sections": self.leaving().count(),
                "symbols": choice.total - choice.kept.len() as u64,
            },
            "sizes": self.sizes(&self.split.slim, Section::display_name),
            "debugSizes": self.new_debug().map(|debug| self.sizes(debug, Section::display_debug_name)),
            "warnings": self.warnings,
        });
        if job.explain
            && let Some(map) = receipt.as_object_mut()
        {
            let sections = rows(&self.elf, &self.split.plan);
            map.insert("sections".to_owned(), json!(sections));
            let [stays, leaves] = self.symbol_fates().map(Fate::word);
            let row = |symbol: &Symbol<'_>, fate: &str, rule: &str| json!({ "name": symbol.display_name(), "fate": fate, "size": symbol.size, "rule": rule });
            let kept = choice.kept.iter().map(|kept| row(&kept.symbol, stays, choice.rule(kept)));
            let leaving = choice.leaving().map(|(symbol, rule)| row(&symbol, leaves, rule));
            map.insert("symbolFates".to_owned(), kept.chain(leaving).collect());
        }
        receipt
    }
}

/// What `--explain` says of a section.
#[derive(Serialize)]
pub(super) struct Row {
    name: String,
    fate: &'static str,
    size: u64,
    rule: &'static str,
}

/// A row for each section of a file.
pub(super) fn rows(elf: &Elf<'_>, plan: &Plan<'_>) -> Vec<Row> {
    let row = |decision: &Decision<'_>| Row {
        name: String::from_utf8_lossy(decision.name).into_owned(),
        fate: decision.fate.word(),
        size: elf.section(decision.section).map_or(0, Section::file_size),
        rule: decision.rule,
    };
    plan.decisions.iter().map(row).collect()
}

impl Row {
    /// One line of a table.
    pub(super) fn text(&self) -> String {
        let Self { name, fate, size, rule } = self;
        format!("{:<28} {fate:<6} {size:>12}  {rule}", ui::safe(name))
    }
}

/// `2.63 MiB → 467 KiB (-82.6 %)`
pub(super) fn shrink(before: u64, after: u64) -> String {
    let change = (after as f64 - before as f64) / before.max(1) as f64 * 100.0;
    format!("{} → {} ({change:+.1} %)", ui::size(before), ui::size(after))
}
