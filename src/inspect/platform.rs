//! The platform a binary is for, read from the ELF itself and never from a file name.

use std::fmt;

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
