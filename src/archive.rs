//! Static libraries: `ar` archives (System V with GNU's long names, and BSD's names), read and written again with other
//! contents.
//!
//! Members keep their order and names. The index of symbols keeps its entries, which now lead to where the members went:
//! slimming takes no symbol away that another file can be linked to.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

const MAGIC: &[u8] = b"!<arch>\n";
const THIN_MAGIC: &[u8] = b"!<thin>\n";

/// Why some bytes are no static library that xpost can work on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A thin archive.
    #[error("it is a thin archive: it holds the names of files, not the files")]
    Thin,
    /// A member's header is none.
    #[error("the header of a member at {offset:#x} is not valid: {reason}")]
    Header {
        /// Where it begins.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The index of symbols has another form, or leads nowhere.
    #[error("the index of symbols at {offset:#x} {reason}")]
    Index {
        /// Where its member begins.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// A static library.
#[derive(Debug, Clone)]
pub struct Archive<'data> {
    members: Vec<Member<'data>>,
}

/// One member.
#[derive(Debug, Clone)]
pub struct Member<'data> {
    /// Its name; empty for the index of symbols and the table of long names.
    pub name: Cow<'data, str>,
    /// Its contents.
    pub data: &'data [u8],
    offset: u64,
    header: &'data [u8; Header::SIZE],
    /// A name that stands before the contents (BSD), which `ar_size` counts.
    name_before: &'data [u8],
    index: Option<Index>,
}

/// The forms of the index of symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index {
    /// `/`: big-endian words, the number of entries and an offset for each, then names.
    Words,
    /// `/SYM64/`: the same with 64 bits.
    Long,
    /// `__.SYMDEF`: little-endian words, the size in bytes of pairs of a name and an offset, then the pairs.
    Pairs,
}

/// What becomes of dates, owners and permissions in the members' headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Headers {
    /// Zeros and 644, as by `ar D` and strip: the same members give the same archive.
    Deterministic,
    /// They stay.
    Kept,
}

/// The fields of `ar_hdr`, all of them text (System V, "ar.h").
struct Header;

impl Header {
    const SIZE: usize = 60;
    const NAME: Range<usize> = 0..16;
    const DATE: Range<usize> = 16..28;
    const OWNER: Range<usize> = 28..34;
    const GROUP: Range<usize> = 34..40;
    const MODE: Range<usize> = 40..48;
    const LENGTH: Range<usize> = 48..58;
    const END: Range<usize> = 58..60;
}

/// Whether the bytes are a static library, also one that cannot be worked on.
pub fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) || bytes.starts_with(THIN_MAGIC)
}

impl<'data> Archive<'data> {
    /// Reads and checks an archive. Members lie one behind the other, so they are not more than the file.
    pub fn parse(bytes: &'data [u8]) -> Result<Self, Error> {
        if bytes.starts_with(THIN_MAGIC) {
            return Err(Error::Thin);
        }
        let mut members = Vec::new();
        let mut long_names: &[u8] = &[];
        let mut at = MAGIC.len();
        while at < bytes.len() {
            let member = member(bytes, at, long_names)?;
            at += Header::SIZE + member.name_before.len() + member.data.len();
            at = at.next_multiple_of(2);
            if member.raw_name() == b"//" {
                long_names = member.data;
            }
            members.push(member);
        }
        Ok(Self { members })
    }

    /// The members in order, without the index and the table of names.
    pub fn members(&self) -> impl Iterator<Item = &Member<'data>> {
        self.members.iter().filter(|member| !member.name.is_empty())
    }

    /// The archive with other contents: one for each of [`Archive::members`], in their order.
    pub fn with(&self, contents: &[Cow<'_, [u8]>], headers: Headers) -> Result<Vec<u8>, Error> {
        let mut contents = contents.iter();
        let rows: Vec<(&Member<'_>, &[u8])> = (self.members.iter())
            .map(|member| match member.name.is_empty() {
                true => (member, member.data),
                false => (member, contents.next().map_or(member.data, Cow::as_ref)),
            })
            .collect();
        let mut places = BTreeMap::new();
        let mut at = MAGIC.len();
        for (member, data) in &rows {
            places.insert(member.offset, at as u64);
            at = (at + Header::SIZE + member.name_before.len() + data.len()).next_multiple_of(2);
        }
        // From here every member has its place.
        let mut bytes = Vec::with_capacity(at);
        bytes.extend(MAGIC);
        for (member, data) in rows {
            bytes.extend(member.header_for(data.len(), headers));
            bytes.extend(member.name_before);
            match member.index {
                Some(index) => bytes.extend(member.moved(index, &places)?),
                None => bytes.extend(data),
            }
            if bytes.len() % 2 != 0 {
                bytes.push(b'\n');
            }
        }
        Ok(bytes)
    }
}

fn member<'data>(
    bytes: &'data [u8],
    at: usize,
    long_names: &'data [u8],
) -> Result<Member<'data>, Error> {
    let offset = at as u64;
    let invalid = |reason| Error::Header { offset, reason };
    let rest = bytes.get(at..).unwrap_or_default();
    let header = rest.first_chunk::<{ Header::SIZE }>().ok_or(invalid("the file ends in it"))?;
    let field = |range: Range<usize>| header.get(range).unwrap_or_default().trim_ascii_end();
    if header.get(Header::END) != Some(b"`\n") {
        return Err(invalid("it does not end as one"));
    }
    let number = |text: &[u8]| -> Option<usize> { std::str::from_utf8(text).ok()?.parse().ok() };
    let size = number(field(Header::LENGTH)).ok_or(invalid("its size is no number"))?;
    let rest = rest.get(Header::SIZE..).unwrap_or_default();
    let data = rest.get(..size).ok_or(invalid("its contents lie outside the file"))?;
    let raw = field(Header::NAME);
    let outside = invalid("its name lies outside");
    let (raw, name_before, data) = match raw.strip_prefix(b"#1/").and_then(number) {
        Some(length) => {
            let (name, data) = data.split_at_checked(length).ok_or(outside)?;
            (name.split(|&byte| byte == 0).next().unwrap_or_default(), name, data)
        }
        None => match raw.strip_prefix(b"/").and_then(number) {
            Some(start) => {
                let name = long_names.get(start..).ok_or(outside)?;
                (name.split(|&byte| byte == b'\n').next().unwrap_or_default(), &[][..], data)
            }
            None => (raw, &[][..], data),
        },
    };
    let index = match raw {
        b"/" => Some(Index::Words),
        b"/SYM64/" => Some(Index::Long),
        b"__.SYMDEF" | b"__.SYMDEF SORTED" => Some(Index::Pairs),
        _ if raw.starts_with(b"__.SYMDEF") => {
            return Err(Error::Index { offset, reason: "has a form that xpost does not know" });
        }
        _ => None,
    };
    let name = if index.is_some() || raw == b"//" {
        Cow::Borrowed("")
    } else {
        String::from_utf8_lossy(raw.strip_suffix(b"/").unwrap_or(raw))
    };
    // What has no name of its own is the archive's.
    let name =
        if name.is_empty() && index.is_none() && raw != b"//" { "(no name)".into() } else { name };
    Ok(Member { name, data, offset, header, name_before, index })
}

impl Member<'_> {
    fn raw_name(&self) -> &[u8] {
        self.header.get(Header::NAME).unwrap_or_default().trim_ascii_end()
    }

    fn header_for(&self, data: usize, headers: Headers) -> [u8; Header::SIZE] {
        let mut header = *self.header;
        let mut put = |range: Range<usize>, text: &str| {
            if let Some(field) = header.get_mut(range) {
                let text = text.bytes().chain(std::iter::repeat(b' '));
                field.iter_mut().zip(text).for_each(|(place, byte)| *place = byte);
            }
        };
        put(Header::LENGTH, &(self.name_before.len() + data).to_string());
        if headers == Headers::Deterministic && !self.name.is_empty() {
            put(Header::DATE, "0");
            put(Header::OWNER, "0");
            put(Header::GROUP, "0");
            put(Header::MODE, "644");
        }
        header
    }

    /// The index with the new places of the members. Its size stays.
    fn moved(&self, index: Index, places: &BTreeMap<u64, u64>) -> Result<Vec<u8>, Error> {
        let invalid = |reason| Error::Index { offset: self.offset, reason };
        let truncated = || invalid("is truncated");
        let mut bytes = self.data.to_vec();
        let width = if index == Index::Long { 8 } else { 4 };
        let number = |field: &[u8]| {
            let digits = field.iter().map(|&byte| u64::from(byte));
            let join = |number: u64, digit: u64| number << 8 | digit;
            if index == Index::Pairs { digits.rev().fold(0, join) } else { digits.fold(0, join) }
        };
        let first = number(bytes.get(..width).ok_or_else(truncated)?);
        let (count, step, skipped) = match index {
            Index::Pairs => (first / 8, 8, 4),
            Index::Words | Index::Long => (first, width, 0),
        };
        let count = usize::try_from(count).map_err(|_| truncated())?;
        let size = count.checked_mul(step).ok_or_else(truncated)?;
        let entries = bytes.get_mut(width..).and_then(|rest| rest.get_mut(..size));
        for entry in entries.ok_or_else(truncated)?.chunks_exact_mut(step) {
            let field = entry.get_mut(skipped..).ok_or_else(truncated)?;
            let new = places.get(&number(field)).ok_or(invalid("leads to no member"))?;
            // What shrinks still fits.
            let digits = new.to_be_bytes();
            let digits = digits.iter().rev();
            if index == Index::Pairs {
                field.iter_mut().zip(digits).for_each(|(place, digit)| *place = *digit);
            } else {
                field.iter_mut().rev().zip(digits).for_each(|(place, digit)| *place = *digit);
            }
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, data: &[u8]) -> Vec<u8> {
        let header =
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 77, 1, 2, 100_755, data.len());
        let mut bytes = [header.as_bytes(), data].concat();
        if bytes.len() % 2 != 0 {
            bytes.push(b'\n');
        }
        bytes
    }

    fn archive(members: &[Vec<u8>]) -> Vec<u8> {
        [MAGIC.to_vec(), members.concat()].concat()
    }

    #[test]
    fn every_form_of_index_follows_its_members() {
        type Form<'a> = (&'a str, &'a dyn Fn(u64) -> Vec<u8>);
        let forms: [Form<'_>; 3] = [
            ("/", &|at| [&1u32.to_be_bytes()[..], &(at as u32).to_be_bytes(), b"f\0"].concat()),
            ("/SYM64/", &|at| [&1u64.to_be_bytes()[..], &at.to_be_bytes(), b"f\0"].concat()),
            ("__.SYMDEF", &|at| {
                let pair =
                    [&8u32.to_le_bytes()[..], &0u32.to_le_bytes(), &(at as u32).to_le_bytes()];
                [&pair.concat()[..], &2u32.to_le_bytes(), b"f\0"].concat()
            }),
        ];
        for (name, index) in forms {
            let second = (MAGIC.len() + 2 * Header::SIZE + index(0).len() + 4) as u64;
            let bytes =
                archive(&[file(name, &index(second)), file("a.o/", b"1234"), file("b.o/", b"b")]);
            let parsed = Archive::parse(&bytes).expect("it is one");
            let names: Vec<_> = parsed.members().map(|member| member.name.as_ref()).collect();
            assert_eq!(names, ["a.o", "b.o"]);
            let contents = [Cow::Borrowed(&b"1"[..]), Cow::Borrowed(&b"b"[..])];
            let new = parsed.with(&contents, Headers::Kept).expect("written");
            // One byte and its padding instead of four.
            let moved =
                archive(&[file(name, &index(second - 2)), file("a.o/", b"1"), file("b.o/", b"b")]);
            assert!(new == moved, "{name}");
            let stray = archive(&[file(name, &index(3)), file("a.o/", b"1")]);
            let stray = Archive::parse(&stray).expect("it is one").with(&contents, Headers::Kept);
            assert!(
                matches!(stray, Err(Error::Index { reason: "leads to no member", .. })),
                "{stray:?}"
            );
            let short = archive(&[file(name, &[0xff, 0xff, 0xff])]);
            assert!(Archive::parse(&short).expect("it is one").with(&[], Headers::Kept).is_err());
        }
    }

    #[test]
    fn long_names_of_both_kinds_are_read_and_stay() {
        let bsd = file("#1/20", b"a_rather_long_name\0\0contents");
        let gnu = [file("//", b"another_rather_long_name.o/\n"), file("/0", b"contents")].concat();
        for (member, name) in [(bsd, "a_rather_long_name"), (gnu, "another_rather_long_name.o")] {
            let bytes = archive(&[member]);
            let parsed = Archive::parse(&bytes).expect("it is one");
            let members: Vec<_> = parsed.members().collect();
            assert_eq!((members[0].name.as_ref(), members[0].data), (name, &b"contents"[..]));
            assert!(
                parsed.with(&[Cow::Borrowed(b"contents")], Headers::Kept).expect("written")
                    == bytes
            );
        }
    }

    #[test]
    fn dates_and_owners_go_unless_they_are_kept() {
        let bytes = archive(&[file("a.o/", b"12")]);
        let parsed = Archive::parse(&bytes).expect("it is one");
        let new = parsed.with(&[Cow::Borrowed(b"12")], Headers::Deterministic).expect("written");
        let header = "a.o/            0           0     0     644     2         `\n";
        assert_eq!(String::from_utf8_lossy(&new[8..68]), header);
    }

    #[test]
    fn what_lies_outside_is_an_error_and_cut_anywhere_it_is_no_panic() {
        let long = [file("//", b"name.o/\n"), file("/9", b"x")].concat();
        let sized = |size: &str| archive(&[format!("{:<48}{size:<10}`\n", "a.o/").into_bytes()]);
        for bad in [
            archive(&[long]),
            archive(&[file("#1/9", b"x")]),
            sized("1"),
            sized("-1"),
            sized("9999999999"),
        ] {
            assert!(matches!(Archive::parse(&bad), Err(Error::Header { .. })), "{bad:?}");
        }
        let whole =
            archive(&[file("/", &[0, 0, 0, 1, 0, 0, 0, 80, b'f', 0]), file("a.o/", b"1234")]);
        for end in 8..whole.len() {
            if let Ok(parsed) = Archive::parse(&whole[..end]) {
                let _ = parsed.with(&[], Headers::Deterministic);
            }
        }
        assert_eq!(Archive::parse(THIN_MAGIC).expect_err("thin"), Error::Thin);
    }
}
