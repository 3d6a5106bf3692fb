//! The platform a binary is for, read from the ELF itself and never from a file name.

use std::fmt;

use object::elf::{self, FileHeader32};
use object::{Endian, Endianness};

use super::go::BuildInfo;
use crate::elf::{Elf, SectionId};

/// An OCI platform (image-spec, "Image Index", `platform`) and what tells two builds for it apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// `linux`, `freebsd`, …: the names of OCI, which are Go's.
    pub os: String,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7` of `arm`, or what a Go build states.
    pub variant: Option<String>,
    /// The C library that it needs at run time.
    pub libc: Libc,
}

/// The C library a binary loads at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Libc {
    /// A static binary brings its own.
    Static,
    /// The usual one of the system: glibc on linux.
    System,
    /// musl on a system that may have another.
    Musl,
}

impl Platform {
    /// The directory of this platform in the release directory: `linux-amd64`, `linux-arm-v7`, `linux-amd64-musl`.
    pub fn directory(&self) -> String {
        let mut name = self.to_string().replace('/', "-");
        if self.libc == Libc::Musl {
            name.push_str("-musl");
        }
        name
    }

    /// The Rust-like target triple: `x86_64-unknown-linux-gnu`; without a last part for a static binary.
    pub fn target(&self) -> String {
        let machine = match (self.architecture.as_str(), self.variant.as_deref()) {
            ("amd64", _) => "x86_64",
            ("386", _) => "i686",
            ("arm64", _) => "aarch64",
            ("arm", Some("v7")) => "armv7",
            ("arm", Some("v6")) => "armv6",
            ("arm", Some("v5")) => "armv5te",
            ("riscv64", _) => "riscv64gc",
            ("ppc64le", _) => "powerpc64le",
            ("ppc64", _) => "powerpc64",
            ("mipsle", _) => "mipsel",
            ("mips64le", _) => "mips64el",
            ("loong64", _) => "loongarch64",
            (other, _) => other,
        };
        let libc = match (self.libc, self.os.as_str()) {
            (Libc::System, "linux") => "-gnu",
            (Libc::Musl, _) => "-musl",
            _ => "",
        };
        format!("{machine}-unknown-{}{libc}", self.os)
    }

    /// Whether a registry sees the same platform: os, architecture and variant.
    pub fn same_in_registry(&self, other: &Self) -> bool {
        (&self.os, &self.architecture, &self.variant)
            == (&other.os, &other.architecture, &other.variant)
    }
}

/// `linux/amd64`, `linux/arm/v7`: as Docker and oras write it.
impl fmt::Display for Platform {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(out, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// Why a file has no platform that a registry could name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownPlatform {
    /// OCI has no name for the machine.
    #[error("no platform name is known for ELF machine {machine} ({bits} bits, {order} endian)")]
    Machine {
        /// `e_machine`
        machine: u16,
        /// 32 or 64.
        bits: u8,
        /// `little` or `big`.
        order: &'static str,
    },
    /// OCI has no name for the system.
    #[error("no system name is known for ELF OSABI {os_abi}")]
    System {
        /// `EI_OSABI`
        os_abi: u8,
    },
}

impl Platform {
    /// The platform of a program or shared library. `go` is what a Go build states of itself.
    pub fn of(elf: &Elf<'_>, go: Option<&BuildInfo>) -> Result<Self, UnknownPlatform> {
        let architecture = architecture(elf)?;
        let variant = variant(elf, architecture, go);
        let os = system(elf)?;
        Ok(Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
            libc: libc(elf),
        })
    }
}

/// The machine of a program, without more of it than its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Go's name, where it has one (OCI image-spec, "Image Index").
    pub architecture: Option<&'static str>,
    /// `e_machine`
    number: u16,
}

impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.architecture {
            Some(name) => out.write_str(name),
            None => write!(out, "machine {:#x}", self.number),
        }
    }
}

/// The machine that a file names in its first 20 bytes, if it is a program or a shared library (gABI, "ELF Header").
pub fn machine(start: &[u8]) -> Option<Machine> {
    let rest = start.strip_prefix(b"\x7fELF")?;
    let is_64 = match rest.first()? {
        1 => false,
        2 => true,
        _ => return None,
    };
    let little = match rest.get(1)? {
        1 => true,
        2 => false,
        _ => return None,
    };
    let half = |at: usize| {
        let half = start.get(at..at + 2)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(half) } else { u16::from_be_bytes(half) })
    };
    let (kind, number) = (elf::FileType(half(16)?), half(18)?);
    let is_loaded = [elf::ET_EXEC, elf::ET_DYN].contains(&kind);
    let architecture = name(elf::Machine(number), is_64, little);
    is_loaded.then_some(Machine { architecture, number })
}

fn architecture(elf: &Elf<'_>) -> Result<&'static str, UnknownPlatform> {
    let machine = elf.header().machine;
    let little = elf.header().endian == Endianness::Little;
    name(machine, elf.is_64(), little).ok_or_else(|| UnknownPlatform::Machine {
        machine: machine.0,
        bits: if elf.is_64() { 64 } else { 32 },
        order: if little { "little" } else { "big" },
    })
}

/// Go's name of the machine (OCI image-spec: "values listed in the Go Language document for GOARCH").
fn name(machine: elf::Machine, is_64: bool, little: bool) -> Option<&'static str> {
    Some(match (machine, is_64, little) {
        (elf::EM_X86_64, true, true) => "amd64",
        (elf::EM_386, false, true) => "386",
        (elf::EM_AARCH64, true, true) => "arm64",
        (elf::EM_AARCH64, true, false) => "arm64be",
        (elf::EM_ARM, false, true) => "arm",
        (elf::EM_ARM, false, false) => "armbe",
        (elf::EM_RISCV, true, true) => "riscv64",
        (elf::EM_RISCV, false, true) => "riscv",
        (elf::EM_S390, true, false) => "s390x",
        (elf::EM_PPC64, true, true) => "ppc64le",
        (elf::EM_PPC64, true, false) => "ppc64",
        (elf::EM_PPC, false, false) => "ppc",
        (elf::EM_MIPS, true, true) => "mips64le",
        (elf::EM_MIPS, true, false) => "mips64",
        (elf::EM_MIPS, false, true) => "mipsle",
        (elf::EM_MIPS, false, false) => "mips",
        (elf::EM_LOONGARCH, true, true) => "loong64",
        (elf::EM_SPARCV9, true, false) => "sparc64",
        _ => return None,
    })
}

/// The system: a note says it best, then the OSABI. SYSV or GNU without a foreign note is linux.
fn system(elf: &Elf<'_>) -> Result<&'static str, UnknownPlatform> {
    for note in elf.notes() {
        let word = note.contents.first_chunk::<4>().map(|&word| elf.header().endian.read_u32(word));
        match (note.owner, note.kind, word) {
            // LSB, "NT_GNU_ABI_TAG": the first word is the system.
            (b"GNU", 1, Some(0)) => return Ok("linux"),
            (b"GNU", 1, Some(1)) => return Ok("hurd"),
            (b"GNU", 1, Some(2)) => return Ok("solaris"),
            (b"GNU", 1, Some(3)) | (b"FreeBSD", ..) => return Ok("freebsd"),
            (b"NetBSD", ..) => return Ok("netbsd"),
            (b"OpenBSD", ..) => return Ok("openbsd"),
            (b"DragonFly", ..) => return Ok("dragonfly"),
            (b"Android", ..) => return Ok("android"),
            _ => {}
        }
    }
    match elf.header().os_abi {
        elf::ELFOSABI_SYSV | elf::ELFOSABI_GNU => Ok("linux"),
        elf::ELFOSABI_FREEBSD => Ok("freebsd"),
        elf::ELFOSABI_NETBSD => Ok("netbsd"),
        elf::ELFOSABI_OPENBSD => Ok("openbsd"),
        elf::ELFOSABI_SOLARIS => Ok("solaris"),
        other => Err(UnknownPlatform::System { os_abi: other.0 }),
    }
}

/// A variant for arm, from the attributes that its compilers write, and else only where a Go build states
/// more than the architecture's least.
fn variant(elf: &Elf<'_>, architecture: &str, go: Option<&BuildInfo>) -> Option<&'static str> {
    let stated = |key| go.and_then(|go| go.setting(key));
    match architecture {
        "arm" => {
            let stated = stated("GOARM").and_then(|level| level.chars().next());
            match stated {
                Some('5') => Some("v5"),
                Some('6') => Some("v6"),
                Some('7') => Some("v7"),
                _ => arm_variant(elf),
            }
        }
        "amd64" => match stated("GOAMD64")? {
            "v2" => Some("v2"),
            "v3" => Some("v3"),
            "v4" => Some("v4"),
            _ => None,
        },
        // OCI's arm64 is v8; Go writes v8.0 to v9.5.
        "arm64" => stated("GOARM64")?.starts_with("v9").then_some("v9"),
        _ => None,
    }
}

/// `Tag_CPU_arch` of `.ARM.attributes` (ABI for the Arm Architecture, "Addenda", 3.3.5.2) as OCI's variant.
fn arm_variant(elf: &Elf<'_>) -> Option<&'static str> {
    const TAG_CPU_ARCH: u64 = 6;
    let section = elf.section_named(b".ARM.attributes")?;
    let value = attribute(section.data, elf.header().endian, TAG_CPU_ARCH)?;
    match value {
        // v4, v4T, v5T, v5TE, v5TEJ
        1..=5 => Some("v5"),
        // v6, v6KZ, v6T2, v6K, v6-M, v6S-M
        6..=9 | 11 | 12 => Some("v6"),
        // v7, v7E-M, and v8 and later running 32 bit code
        10 | 13.. => Some("v7"),
        _ => None,
    }
}

/// The value of a numeric file attribute of the vendor `aeabi`.
fn attribute(data: &[u8], endian: Endianness, wanted: u64) -> Option<u64> {
    let section =
        object::read::elf::AttributesSection::<FileHeader32<Endianness>>::new(endian, data).ok()?;
    let mut subsections = section.subsections().ok()?;
    while let Some(subsection) = subsections.next().ok()? {
        if subsection.vendor() != b"aeabi" {
            continue;
        }
        let mut parts = subsection.subsubsections();
        while let Some(part) = parts.next().ok()? {
            let mut reader = part.attributes();
            while let Some(tag) = reader.read_tag().ok()? {
                // Tags 4, 5 and 67 are strings, 32 is a number and a string; the rest below 32 are numbers.
                match tag {
                    tag if tag == wanted => return reader.read_integer().ok(),
                    4 | 5 | 67 => drop(reader.read_string().ok()?),
                    32 => drop((reader.read_integer().ok()?, reader.read_string().ok()?)),
                    tag if tag > 32 && tag % 2 == 1 => drop(reader.read_string().ok()?),
                    _ => drop(reader.read_integer().ok()?),
                }
            }
        }
    }
    None
}

/// A program that names an interpreter, or a library that needs others, uses the C library it finds.
fn libc(elf: &Elf<'_>) -> Libc {
    let interpreter = elf.segments().iter().find(|segment| segment.kind == elf::PT_INTERP);
    let Some(interpreter) = interpreter else {
        let is_library = elf.header().kind == elf::ET_DYN && needs_libraries(elf);
        return if is_library { needed_libc(elf) } else { Libc::Static };
    };
    // /lib/ld-musl-x86_64.so.1
    let path = elf.bytes(interpreter.range());
    if path.windows(8).any(|window| window == b"/ld-musl") { Libc::Musl } else { Libc::System }
}

fn needs_libraries(elf: &Elf<'_>) -> bool {
    needed(elf).next().is_some()
}

fn needed_libc(elf: &Elf<'_>) -> Libc {
    let musl = |name: &[u8]| name.starts_with(b"libc.musl") || name.starts_with(b"libc.so\0");
    if needed(elf).any(musl) { Libc::Musl } else { Libc::System }
}

/// The names in the DT_NEEDED entries of the dynamic section (gABI, "Dynamic Section"), each with its final zero and
/// all that follows: looking for the ends of names that share their bytes could take hours.
fn needed<'data>(elf: &Elf<'data>) -> impl Iterator<Item = &'data [u8]> {
    let dynamic = elf.sections().iter().find(|section| section.kind == elf::SHT_DYNAMIC);
    let names =
        dynamic.and_then(|dynamic| elf.section(SectionId(dynamic.link))).map(|names| names.data);
    let word = if elf.is_64() { 8 } else { 4 };
    let endian = elf.header().endian;
    let number = move |bytes: &[u8]| {
        let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        match endian {
            Endianness::Little => bytes.iter().rev().fold(0, fold),
            Endianness::Big => bytes.iter().fold(0, fold),
        }
    };
    let entries = dynamic.map(|dynamic| dynamic.data).unwrap_or_default().chunks_exact(word * 2);
    entries.filter_map(move |entry| {
        let (tag, value) = entry.split_at(word);
        names?.get(usize::try_from(number(value)).ok()?..).filter(|_| number(tag) == 1)
    })
}
