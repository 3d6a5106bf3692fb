//! Where a build-id's note may be put, in layouts that are written down here, and with headers that lie.

use std::collections::BTreeMap;

use object::{Endianness, elf};
use xpost::elf::Elf;
use xpost::identity::{Identity, Method, Wish};
use xpost::inspect;

use crate::generated::Chance;
use crate::support::corpus;
use crate::support::elf::{Builder, Cover, note, section};
use crate::support::law::{hold, try_identify};

/// What a machine's program is.
type Machine = (bool, Endianness, elf::Machine);

const MACHINES: [Machine; 3] = [
    (true, Endianness::Little, elf::EM_X86_64),
    (false, Endianness::Little, elf::EM_386),
    (false, Endianness::Big, elf::EM_MIPS),
];

/// A program that has only the note of its toolchain, with so many zeros in front of it and behind it.
fn with_room((is_64, endian, machine): Machine, front: u64, behind: u64) -> Builder {
    let mut builder = Builder::usual_for(is_64, endian, machine);
    let tag = note(endian, "GNU", elf::NT_GNU_ABI_TAG.0, &[0; 16]);
    let headers = if is_64 { 64 + 3 * 56 } else { 52 + 3 * 32 };
    // Not zero, so free for nothing.
    let rodata = section(".rodata", [1; 8]).loaded().at(headers);
    let at = headers + 8 + front;
    let tag = section(".note.ABI-tag", tag).kind(elf::SHT_NOTE).loaded().align(4).at(at);
    builder.change(".text").at = Some(at + 32 + behind);
    builder.change(".text").align = 4;
    builder.sections.splice(0..1, [rodata, tag]);
    builder.segments[1].1 = Cover::Section(".note.ABI-tag");
    builder
}

/// Every wish that there is.
fn wishes() -> impl Iterator<Item = Wish> {
    let named = Method::named().map(|method| Wish::Inject(Some(method)));
    [Wish::Keep, Wish::Inject(None), Wish::Rewrite].into_iter().chain(named)
}

/// By which method a file gets an id that a core shows; none where it gets one that no core shows.
fn method(input: &[u8], wish: Wish) -> Option<Method> {
    let identity = Identity::new(&Elf::parse(input).unwrap(), wish).ok()?;
    let halves = try_identify(input, wish).unwrap();
    hold(&halves);
    let slim = Elf::parse(&halves.slim).unwrap();
    assert_eq!(inspect::build_id(&slim), identity.id, "{wish:?}");
    assert_eq!(xpost::identity::in_core(&slim).is_some(), identity.in_cores, "{wish:?}");
    identity.methods.first().copied().filter(|_| identity.in_cores)
}

#[test]
fn a_note_goes_to_the_first_place_where_it_fits() {
    for machine in MACHINES {
        let by_default =
            |front, behind| method(&with_room(machine, front, behind).build(), Wish::Inject(None));
        assert_eq!(by_default(36, 0), Some(Method::ExtendFront));
        assert_eq!(by_default(35, 0), None);
        assert_eq!(by_default(0, 36), Some(Method::ExtendBehind));
        assert_eq!(by_default(36, 36), Some(Method::ExtendFront));
        assert_eq!(by_default(0, 35), None);
        // Behind, there is room for what is in front as well, but not beside the tag.
        let mut apart = with_room(machine, 0, 4 + 32 + 36);
        let padding = section(".tiny", [1; 4]).loaded().align(4);
        apart.insert_after(".note.ABI-tag", [padding]);
        assert_eq!(method(&apart.build(), Wish::Inject(None)), Some(Method::RelocNote));
    }
}

#[test]
fn what_is_asked_for_by_name_needs_its_room_and_no_more() {
    for machine in MACHINES {
        let entry = if machine.0 { 56 } else { 32 };
        let room = 4 * entry + 36;
        let named = |front, behind, name| {
            method(&with_room(machine, front, behind).build(), Wish::Inject(Some(name)))
        };
        assert_eq!(named(0, 0, Method::AbitagOverwrite), Some(Method::AbitagOverwrite));
        // Up to seven bytes before an address that a program header may have.
        assert_eq!(named(0, room + 8, Method::MovePhdrs), Some(Method::MovePhdrs));
        assert_eq!(named(0, room - 4, Method::MovePhdrs), None);
    }
}

#[test]
fn no_lie_in_the_headers_breaks_a_law_by_way_of_the_build_id() {
    let mut inputs: Vec<(String, Vec<u8>)> = ["c-musl-nobuildid", "c-musl"]
        .into_iter()
        .map(|name| (name.to_owned(), std::fs::read(corpus::path(name)).unwrap()))
        .collect();
    for (number, machine) in MACHINES.into_iter().enumerate() {
        inputs.push((format!("roomy {number}"), with_room(machine, 40, 400).build()));
        let mut usual = Builder::usual_for(machine.0, machine.1, machine.2);
        usual.segments.insert(0, (elf::PT_PHDR, Cover::Bytes(64, 64 + 4 * 56)));
        inputs.push((format!("usual {number}"), usual.build()));
    }
    let mut made: BTreeMap<String, u32> = BTreeMap::new();
    for (name, mut bytes) in inputs {
        let parsed = Elf::parse(&bytes).unwrap();
        let mut places: Vec<_> = vec![0..parsed.segments_range().end, parsed.sections_range()];
        let notes = parsed.sections().iter().filter(|section| section.kind == elf::SHT_NOTE);
        places.extend(notes.map(|section| section.range()));
        let mut chance = Chance(7 + bytes.len() as u64);
        for _ in 0..60 {
            let place = &places[chance.below(places.len() as u64) as usize];
            let at = (place.start + chance.below(place.end - place.start)) as usize;
            let old = bytes[at];
            // A flipped bit, or a number that is at a limit.
            bytes[at] = match chance.below(4) {
                0 => 0xff,
                1 => 0,
                _ => old ^ 1 << chance.below(8),
            };
            for wish in wishes() {
                let what = || format!("{name}: {old:02x} at {at:#x} became {:02x}", bytes[at]);
                let tried = std::panic::catch_unwind(|| {
                    let halves = try_identify(&bytes, wish)?;
                    hold(&halves);
                    Some(halves.slim.len())
                });
                let tried = tried.unwrap_or_else(|_| panic!("{}: {wish:?}", what()));
                *made.entry(format!("{wish:?}")).or_default() += u32::from(tried.is_some());
            }
            bytes[at] = old;
        }
    }
    // Most lies are found out by parsing; what is left must still reach the methods.
    for method in [Method::ExtendFront, Method::AbitagOverwrite, Method::MovePhdrs, Method::Append]
    {
        let count = made[&format!("{:?}", Wish::Inject(Some(method)))];
        assert!(count > 20, "{method}: {count} of {made:?}");
    }
}
