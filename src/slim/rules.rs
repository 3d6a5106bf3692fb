//! The ordered rules that give each section its fate; the first that applies wins.

use object::elf;

use super::fate::{Decision, Fate};
use super::frames;
use super::symbols::Choice;
use super::wished::{Verdict, Wished};
use crate::elf::{Elf, Error, Section, SectionId, overlaps};

struct Rule {
    name: &'static str,
    applies: fn(&Section<'_>, &Context<'_, '_>) -> bool,
    fate: Fate,
}

/// The first rule that applies wins, so the order is the meaning.
const RULES: &[Rule] = &[
    // Every section header table begins with it.
    Rule { name: "null", applies: |s, _| s.id.0 == 0, fate: Fate::Both },
    // Each file has names of its own.
    Rule { name: "section-names", applies: |s, c| c.is_names(s), fate: Fate::Both },
    // A debug file without the build-id note is not found.
    Rule {
        name: "loaded-note",
        applies: |s, c| is_note(s) && (s.is_loaded() || c.is_under_segment(s)),
        fate: Fate::Both,
    },
    // The flag decides, never the name: .debug_gdb_scripts is loaded in Rust's binaries.
    Rule { name: "loaded", applies: |s, _| s.is_loaded(), fate: Fate::Keep },
    // Bytes under a segment stay, so their header stays with them.
    Rule { name: "under-segment", applies: |s, c| c.is_under_segment(s), fate: Fate::Keep },
    Rule {
        name: "user-remove",
        applies: |s, c| c.wished.says(s.id, Verdict::Removed),
        fate: Fate::Drop,
    },
    // Debug information stays in the slim file and is in the debug file as well: a debugger reads all of it from one
    // file, and half of it from neither.
    Rule { name: "user-keep", applies: |s, c| c.is_kept(s) && s.is_debug(), fate: Fate::Both },
    Rule {
        name: "user-keep",
        applies: |s, c| c.is_kept(s) && !is_note(s) && !c.is_symbols(s),
        fate: Fate::Keep,
    },
    Rule {
        name: "kept-symbols",
        applies: |s, c| c.is_symbols(s) && (c.choice.keeps_any() || c.elf.is_object()),
        fate: Fate::Both,
    },
    Rule { name: "symbols", applies: |s, c| c.is_symbols(s), fate: Fate::Debug },
    // The link of an object file that the compiler optimises goes on with its debug information.
    Rule {
        name: "link-time",
        applies: |s, c| c.elf.is_object() && is_link_time(s),
        fate: Fate::Keep,
    },
    // A backtrace through code that .eh_frame does not describe needs it even without the debug file.
    Rule {
        name: "only-unwind-info",
        applies: |s, c| c.unwinds_alone == Some(s.id),
        fate: Fate::Both,
    },
    // The same, but the debug file has it in the form, and under the name, of today.
    Rule { name: "gnu-compressed", applies: |s, _| s.is_gnu_compressed(), fate: Fate::Debug },
    Rule { name: "debug", applies: |s, _| s.is_debug(), fate: Fate::Debug },
    Rule { name: "relocations", applies: |s, c| c.relocates_leaving(s), fate: Fate::Debug },
    Rule { name: "group", applies: |s, c| c.is_deserted(s), fate: Fate::Debug },
    Rule { name: "note", applies: |s, _| is_note(s), fate: Fate::Both },
    // From an object file the linker takes the warnings, and puts the versions together.
    Rule {
        name: LEFTOVER,
        applies: |s, c| s.is_leftover() && !c.elf.is_object(),
        fate: Fate::Debug,
    },
    // The slim file gets a link to its new debug file.
    Rule {
        name: OLD_LINK,
        applies: |s, c| s.name == b".gnu_debuglink" && !c.elf.is_object(),
        fate: Fate::Debug,
    },
    // .dep-v0, .ARM.attributes, users' own sections: not loaded, and read.
    Rule { name: "other", applies: |_, _| true, fate: Fate::Keep },
];

const LEFTOVER: &str = "toolchain-leftover";
const OLD_LINK: &str = "old-debuglink";
/// What leaves only in company: alone it is not worth a debug file.
const COMPANY: [&str; 2] = [LEFTOVER, OLD_LINK];

fn is_note(section: &Section<'_>) -> bool {
    section.kind == elf::SHT_NOTE
}

/// What the rules look at beside the section.
struct Context<'plan, 'data> {
    elf: &'plan Elf<'data>,
    choice: &'plan Choice<'data>,
    loaded: &'plan [std::ops::Range<u64>],
    unwinds_alone: Option<SectionId>,
    wished: &'plan Wished,
}

impl Context<'_, '_> {
    fn is_names(&self, section: &Section<'_>) -> bool {
        self.elf.header().section_names == Some(section.id)
    }

    /// Whether the section belongs to the symbol table. A table of which one part cannot move stays whole.
    fn is_symbols(&self, section: &Section<'_>) -> bool {
        self.choice.table.is_some_and(|table| {
            let movable = |id: SectionId| {
                self.elf.section(id).is_some_and(|section| {
                    section.id.0 != 0
                        && (self.is_names(section)
                            || !section.is_loaded() && !self.is_under_segment(section))
                })
            };
            movable(table.section) && movable(table.names_section) && table.holds(section.id)
        })
    }

    fn is_kept(&self, section: &Section<'_>) -> bool {
        self.wished.says(section.id, Verdict::Kept)
    }

    fn is_under_segment(&self, section: &Section<'_>) -> bool {
        section.has_contents() && overlaps(&section.range(), self.loaded) == Some(true)
    }

    fn rule(&self, section: &Section<'_>) -> &'static Rule {
        let rule = RULES.iter().find(|rule| (rule.applies)(section, self));
        rule.expect("the last rule applies to all")
    }

    fn leaves(&self, section: &Section<'_>) -> bool {
        !self.rule(section).fate.is_in_slim()
    }

    /// Relocations go with their section. Those that the linker left in a program (`--emit-relocs`) belong to symbols
    /// as well.
    fn relocates_leaving(&self, section: &Section<'_>) -> bool {
        let target = self.elf.section(SectionId(section.info));
        let symbols = self.elf.section(SectionId(section.link));
        is_relocations(section)
            && (target.is_some_and(|target| !is_relocations(target) && self.leaves(target))
                || symbols.is_some_and(|symbols| self.is_symbols(symbols))
                    && !self.choice.keeps_all()
                    && !self.elf.is_object())
    }

    /// A group goes with the last of its members.
    fn is_deserted(&self, section: &Section<'_>) -> bool {
        let Some((_, members)) = self.elf.group(section) else { return false };
        let mut members = members.iter().filter_map(|id| self.elf.section(*id));
        members.all(|member| member.kind != elf::SHT_GROUP && self.leaves(member))
    }
}

fn is_relocations(section: &Section<'_>) -> bool {
    matches!(section.kind, elf::SHT_REL | elf::SHT_RELA)
}

/// GCC's early debug information: without it the link of `-flto -g` fails.
fn is_link_time(section: &Section<'_>) -> bool {
    section.name.starts_with(b".gnu.debuglto_")
}

/// Gives each section its fate. What leaves only in company stays when nothing else leaves.
pub(super) fn decide<'data>(
    elf: &Elf<'data>,
    choice: &Choice<'data>,
    loaded: &[std::ops::Range<u64>],
    wished: &Wished,
) -> Result<Vec<Decision<'data>>, Error> {
    let unwinds_alone = if elf.is_object() { None } else { frames::unwinds_alone(elf)? };
    let context = Context { elf, choice, loaded, unwinds_alone, wished };
    let mut decisions: Vec<_> = elf
        .sections()
        .iter()
        .map(|section| {
            let rule = context.rule(section);
            Decision { section: section.id, name: section.name, fate: rule.fate, rule: rule.name }
        })
        .collect();
    let company = decisions.iter().any(|decision| {
        let section = elf.section(decision.section);
        let has_contents = section.is_some_and(Section::has_contents);
        let leaves = decision.fate == Fate::Debug && !COMPANY.contains(&decision.rule);
        leaves && has_contents || decision.rule == "kept-symbols" && !choice.keeps_all()
    });
    if !company {
        for decision in decisions.iter_mut().filter(|decision| decision.fate == Fate::Debug) {
            (decision.fate, decision.rule) = (Fate::Keep, "nothing-else-leaves");
        }
    }
    Ok(decisions)
}
