//! `.go.buildinfo` → [`BuildInfo`]: what the Go linker wrote down about a build.
//!
//! Two forms exist. Since Go 1.18 both strings stand in the section itself; before, the section holds pointers to
//! string headers elsewhere in the data, so the caller lends a way to read at an address. The layout is
//! that of `debug/buildinfo` and `runtime/debug.ParseBuildInfo` in Go's library. The section survives `strip -s`;
//! its contents are somebody else's, so every length is checked and bounded before it is used.

use std::collections::BTreeMap;

/// What the section starts with, on a 16 byte boundary.
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Magic, pointer size, flags; then two pointers, or nothing up to here.
const HEADER: usize = 32;
/// Kubernetes, a large program, has 60 KiB.
const MAX_LENGTH: u64 = 8 << 20;
const MAX_MODULES: usize = 1 << 16;

/// Reads the bytes at a virtual address of the file, where the file has them.
pub type ReadAddress<'read, 'data> = dyn Fn(u64, u64) -> Option<&'data [u8]> + 'read;

/// What a Go binary says about its build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildInfo {
    /// As Go prints it: `go1.24.3`, `devel go1.26-abcdef`.
    pub go_version: String,
    /// The package that was built: `example.com/app/cmd/app`.
    pub package: Option<String>,
    /// The module of that package; absent from builds outside of modules.
    pub main: Option<Module>,
    /// The other modules, in Go's order.
    pub dependencies: Vec<Module>,
    /// `GOOS`, `GOARCH`, `GOAMD64`, `CGO_ENABLED`, `vcs.revision`, `-trimpath`, …
    pub settings: BTreeMap<String, String>,
}

/// A module as it was required.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// `golang.org/x/text`
    pub path: String,
    /// `v1.2.3`; absent where Go says `(devel)`, which is no version.
    pub version: Option<String>,
    /// `h1:…`, as in `go.sum`. A replaced module has none.
    pub sum: Option<String>,
    /// What was built in its place.
    pub replacement: Option<Box<Module>>,
}

impl BuildInfo {
    /// The version of Go and its library, `1.24.3`, where it is a released one.
    pub fn release(&self) -> Option<&str> {
        let version = self.go_version.strip_prefix("go")?;
        // Experiments and vendors follow after a space: `go1.24.3 X:boringcrypto`.
        let version = version.split(' ').next()?;
        version.starts_with(|first: char| first.is_ascii_digit()).then_some(version)
    }

    /// A build setting.
    pub fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(String::as_str)
    }
}

/// Why a section is no build information.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It does not start as it should.
    #[error("no Go build information (it does not start with `\\xff Go buildinf:`)")]
    NoMagic,
    /// It ends too early.
    #[error("the Go build information ends within {what}")]
    Truncated {
        /// What was being read.
        what: &'static str,
    },
    /// A length that no Go program has.
    #[error(
        "the Go build information states {length:#x} bytes for {what}, more than {MAX_LENGTH:#x}"
    )]
    TooLong {
        /// What was being read.
        what: &'static str,
        /// The length it states.
        length: u64,
    },
    /// A pointer of a size that no machine has.
    #[error("the Go build information states pointers of {size} bytes")]
    PointerSize {
        /// The size it states.
        size: u8,
    },
    /// A pointer out of the file.
    #[error(
        "the Go build information points for {what} to {address:#x}, where the file has nothing"
    )]
    Nowhere {
        /// What was being read.
        what: &'static str,
        /// The address it states.
        address: u64,
    },
    /// Not UTF-8.
    #[error("the Go build information has {what} that is no text")]
    NotText {
        /// What was being read.
        what: &'static str,
    },
    /// A line that names no module.
    #[error("line {line} of the Go module information is damaged")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// More modules than any program has.
    #[error("more than {MAX_MODULES} Go modules")]
    TooManyModules,
}

const VERSION: &str = "the version of Go";
const MODULES: &str = "the modules";

/// Reads the section `.go.buildinfo`, or a data segment that holds it.
pub fn parse(section: &[u8], read: &ReadAddress<'_, '_>) -> Result<BuildInfo, Error> {
    let section = find(section).ok_or(Error::NoMagic)?;
    let (header, rest) =
        section.split_at_checked(HEADER).ok_or(Error::Truncated { what: "its header" })?;
    let &[.., size, flags] = header.get(..16).unwrap_or_default() else {
        return Err(Error::Truncated { what: "its header" });
    };
    let (version, modules) = if flags & 2 != 0 {
        let (version, rest) = inline(rest, VERSION)?;
        (version, inline(rest, MODULES)?.0)
    } else {
        let pointers = Pointers { size, big_endian: flags & 1 != 0, read };
        let at = |index: usize| header.get(16 + index * usize::from(size)..).unwrap_or_default();
        (pointers.string(at(0), VERSION)?, pointers.string(at(1), MODULES)?)
    };
    let text = |bytes, what| std::str::from_utf8(bytes).map_err(|_| Error::NotText { what });
    let info = BuildInfo { go_version: text(version, VERSION)?.to_owned(), ..BuildInfo::default() };
    // From here the text is in memory and bounded.
    lines(info, text(unframed(modules), MODULES)?)
}

fn find(section: &[u8]) -> Option<&[u8]> {
    (0..section.len())
        .step_by(16)
        .filter_map(|start| section.get(start..))
        .find(|rest| rest.starts_with(MAGIC))
}

/// A length as a varint, and that many bytes.
fn inline<'data>(
    bytes: &'data [u8],
    what: &'static str,
) -> Result<(&'data [u8], &'data [u8]), Error> {
    let mut length = 0u64;
    for (index, &byte) in bytes.iter().take(5).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let rest = bytes.get(index + 1..).unwrap_or_default();
            let length = bounded(length, what)?;
            return rest.split_at_checked(length).ok_or(Error::Truncated { what });
        }
    }
    match bytes.len() {
        0..5 => Err(Error::Truncated { what }),
        _ => Err(Error::TooLong { what, length: u64::MAX }),
    }
}

fn bounded(length: u64, what: &'static str) -> Result<usize, Error> {
    usize::try_from(length)
        .ok()
        .filter(|_| length <= MAX_LENGTH)
        .ok_or(Error::TooLong { what, length })
}

/// The form of Go before 1.18: pointers to string headers, which are a pointer and a length.
struct Pointers<'read, 'data> {
    size: u8,
    big_endian: bool,
    read: &'read ReadAddress<'read, 'data>,
}

impl<'data> Pointers<'_, 'data> {
    fn string(&self, pointer: &[u8], what: &'static str) -> Result<&'data [u8], Error> {
        let size = u64::from(self.size);
        let header = self.number(pointer)?;
        let header = self.bytes(header, size * 2, what)?;
        let (address, length) =
            header.split_at_checked(usize::from(self.size)).ok_or(Error::Truncated { what })?;
        let length = self.number(length)?;
        bounded(length, what)?;
        if length == 0 { Ok(&[]) } else { self.bytes(self.number(address)?, length, what) }
    }

    fn bytes(&self, address: u64, length: u64, what: &'static str) -> Result<&'data [u8], Error> {
        (self.read)(address, length)
            .filter(|bytes| bytes.len() as u64 == length)
            .ok_or(Error::Nowhere { what, address })
    }

    fn number(&self, bytes: &[u8]) -> Result<u64, Error> {
        let number = match (self.size, self.big_endian) {
            (4, false) => bytes.first_chunk().map(|bytes| u64::from(u32::from_le_bytes(*bytes))),
            (4, true) => bytes.first_chunk().map(|bytes| u64::from(u32::from_be_bytes(*bytes))),
            (8, false) => bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)),
            (8, true) => bytes.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)),
            (size, _) => return Err(Error::PointerSize { size }),
        };
        number.ok_or(Error::Truncated { what: "a pointer" })
    }
}

/// The text between the two marks of 16 bytes that Go puts around it; empty where there is none.
fn unframed(modules: &[u8]) -> &[u8] {
    let text = modules.len().checked_sub(16).and_then(|end| modules.get(16..end));
    text.filter(|text| text.ends_with(b"\n")).unwrap_or_default()
}

fn lines(mut info: BuildInfo, text: &str) -> Result<BuildInfo, Error> {
    for (index, line) in text.lines().enumerate() {
        let damaged = Error::Line { line: index + 1 };
        let (word, rest) = line.split_once('\t').unwrap_or((line, ""));
        match word {
            "path" => info.package = Some(rest.to_owned()).filter(|path| !path.is_empty()),
            "mod" => info.main = Some(module(rest).ok_or(damaged)?),
            "dep" if info.dependencies.len() == MAX_MODULES => return Err(Error::TooManyModules),
            "dep" => info.dependencies.push(module(rest).ok_or(damaged)?),
            "=>" => {
                let replaced = info.dependencies.last_mut().or(info.main.as_mut());
                let (replaced, replacement) = replaced.zip(module(rest)).ok_or(damaged)?;
                replaced.replacement = Some(Box::new(replacement));
            }
            "build" => {
                let (key, value) = setting(rest).ok_or(damaged)?;
                info.settings.insert(key, value);
            }
            // What a later Go may add.
            _ => {}
        }
    }
    Ok(info)
}

fn module(line: &str) -> Option<Module> {
    let mut fields = line.split('\t');
    let path = fields.next().filter(|path| !path.is_empty())?.to_owned();
    let version = fields.next().filter(|version| !matches!(*version, "" | "(devel)"));
    let sum = fields.next().filter(|sum| !sum.is_empty());
    (!line.contains(|character: char| character.is_control() && character != '\t')).then(|| {
        Module {
            path,
            version: version.map(str::to_owned),
            sum: sum.map(str::to_owned),
            replacement: None,
        }
    })
}

/// `key=value`, either of them quoted where it holds more than plain words.
fn setting(line: &str) -> Option<(String, String)> {
    let (key, rest) = unquoted(line, |character| character == '=')?;
    let (value, _) = unquoted(rest.strip_prefix('=')?, |_| false)?;
    Some((key, value))
}

/// A plain or quoted word (`strconv.Quote`) at the front, and what follows.
fn unquoted(text: &str, ends: impl Fn(char) -> bool) -> Option<(String, &str)> {
    if let Some(raw) = text.strip_prefix('`') {
        return raw.split_once('`').map(|(word, rest)| (word.to_owned(), rest));
    }
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = text.split_at(text.find(ends).unwrap_or(text.len()));
        return Some((word.to_owned(), rest));
    };
    let mut word = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return Some((word, characters.as_str())),
            '\\' => match characters.next()? {
                'n' => word.push('\n'),
                't' => word.push('\t'),
                'r' => word.push('\r'),
                plain @ ('"' | '\\' | '\'') => word.push(plain),
                // A code point by number: nobody reads such a setting, and it stays recognisable.
                other => word.extend(['\\', other]),
            },
            plain => word.push(plain),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const TEXT: &str = "path\texample.com/app/cmd/app\n\
        mod\texample.com/app\t(devel)\t\n\
        dep\tgithub.com/BurntSushi/toml\tv1.4.0\th1:kuoIxZQy2WRRk1pttg9asf+WVv6tWQuBNVmK8+nqPr0=\n\
        dep\texample.com/lib\tv1.0.0\n\
        =>\t../lib\t(devel)\t\n\
        build\t-ldflags=\"-X 'main.v=a \\\"b\\\"'\"\n\
        build\tCGO_ENABLED=0\n\
        build\tGOARCH=amd64\n\
        build\t\"odd=key\"=`v`\n\
        news\tof a later Go\n";

    fn nothing(_: u64, _: u64) -> Option<&'static [u8]> {
        None
    }

    fn framed(text: &str) -> Vec<u8> {
        [&[1; 16], text.as_bytes(), &[2; 16]].concat()
    }

    fn varint(mut number: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
            number >>= 7;
        }
        bytes.push(u8::try_from(number).expect("seven bits"));
        bytes
    }

    pub(crate) fn section(version: &str, text: &str) -> Vec<u8> {
        let modules = framed(text);
        let mut bytes = [MAGIC, &[8, 2], &[0; 16]].concat();
        for part in [version.as_bytes(), &modules] {
            bytes.extend(varint(part.len()));
            bytes.extend(part);
        }
        bytes
    }

    fn check(info: &BuildInfo) {
        assert_eq!(info.release(), Some("1.24.3"));
        assert_eq!(info.package.as_deref(), Some("example.com/app/cmd/app"));
        let main = info.main.as_ref().expect("a main module");
        assert_eq!((main.path.as_str(), main.version.as_deref()), ("example.com/app", None));
        let [toml, lib] = info.dependencies.as_slice() else { panic!("two dependencies") };
        assert_eq!(toml.version.as_deref(), Some("v1.4.0"));
        assert!(toml.sum.as_deref().is_some_and(|sum| sum.starts_with("h1:kuoI")));
        let replacement = lib.replacement.as_ref().expect("replaced");
        assert_eq!((replacement.path.as_str(), &replacement.version), ("../lib", &None));
        assert_eq!(info.setting("-ldflags"), Some("-X 'main.v=a \"b\"'"));
        assert_eq!(info.setting("GOARCH"), Some("amd64"));
        assert_eq!(info.setting("odd=key"), Some("v"));
    }

    #[test]
    fn the_inline_form_is_read() {
        let bytes = section("go1.24.3 X:boringcrypto", TEXT);
        check(&parse(&bytes, &nothing).expect("build information"));
        let segment = [vec![0; 48], bytes].concat();
        check(&parse(&segment, &nothing).expect("within a data segment"));
    }

    #[test]
    fn the_pointer_form_is_read_for_every_machine() {
        let modules = framed(TEXT);
        for (size, big) in [(4u8, false), (4, true), (8, false), (8, true)] {
            let number = |value: u64| match (size, big) {
                (4, false) => u32::try_from(value).expect("small").to_le_bytes().to_vec(),
                (4, true) => u32::try_from(value).expect("small").to_be_bytes().to_vec(),
                (_, false) => value.to_le_bytes().to_vec(),
                (_, true) => value.to_be_bytes().to_vec(),
            };
            // Memory from 0x1000: two string headers, then the strings.
            let mut memory = Vec::new();
            let strings = 0x1000 + 4 * u64::from(size);
            for (address, length) in [(strings, 8), (strings + 8, modules.len() as u64)] {
                memory.extend(number(address));
                memory.extend(number(length));
            }
            memory.extend(b"go1.24.3");
            memory.extend(&modules);
            let read = |address: u64, length: u64| {
                let start = usize::try_from(address.checked_sub(0x1000)?).ok()?;
                memory.get(start..start.checked_add(usize::try_from(length).ok()?)?)
            };
            let mut bytes = [MAGIC, &[size, u8::from(big)]].concat();
            bytes.extend(number(0x1000));
            bytes.extend(number(0x1000 + 2 * u64::from(size)));
            bytes.resize(HEADER, 0);
            check(&parse(&bytes, &read).expect("build information"));
            let nowhere = parse(&bytes, &nothing);
            assert_eq!(nowhere, Err(Error::Nowhere { what: VERSION, address: 0x1000 }));
        }
    }

    #[test]
    fn a_section_cut_anywhere_is_refused() {
        let bytes = section("go1.24.3", TEXT);
        for length in 0..bytes.len() {
            assert!(parse(bytes.get(..length).expect("shorter"), &nothing).is_err(), "{length}");
        }
    }

    #[test]
    fn mean_sections_are_refused() {
        let header = |size: u8, flags: u8, rest: &[u8]| {
            parse(&[MAGIC, &[size, flags], &[0; 16], rest].concat(), &nothing)
        };
        assert_eq!(parse(b"", &nothing), Err(Error::NoMagic));
        assert_eq!(header(3, 0, &[]), Err(Error::PointerSize { size: 3 }));
        assert!(matches!(header(255, 0, &[]), Err(Error::PointerSize { .. })));
        assert!(matches!(header(8, 2, &[0xff; 20]), Err(Error::TooLong { .. })));
        let huge = [0xff, 0xff, 0xff, 0x7f];
        assert!(matches!(header(8, 2, &huge), Err(Error::TooLong { length: 0xfff_ffff, .. })));
        assert_eq!(header(8, 2, &[2, 0xff, 0xff, 0]), Err(Error::NotText { what: VERSION }));
        for text in ["dep\t\tv1\n", "mod\n", "=>\tx\tv1\n", "build\tno\n", "dep\ta\u{7}b\tv1\n"] {
            assert!(
                matches!(parse(&section("go1", text), &nothing), Err(Error::Line { .. })),
                "{text}"
            );
        }
        let many = "dep\ta\tv1\n".repeat(MAX_MODULES + 1);
        assert_eq!(parse(&section("go1", &many), &nothing), Err(Error::TooManyModules));
    }

    #[test]
    fn a_build_without_modules_has_a_version_alone() {
        let mut bytes = section("devel go1.26-abcdef", "");
        let info = parse(&bytes, &nothing).expect("build information");
        assert_eq!((info.release(), &info.main), (None, &None));
        // No frame at all, as GOPATH builds have it.
        bytes.truncate(HEADER + 1 + 19);
        bytes.push(0);
        assert!(parse(&bytes, &nothing).is_ok_and(|info| info.dependencies.is_empty()));
    }
}
