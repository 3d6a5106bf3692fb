//! The binaries of `testdata/build.sh`: real toolchains' output, by name. A missing one is a panic with the command that
//! builds it.

use std::path::PathBuf;
use std::process::Command;

use super::tools;

/// One binary of the corpus; `testdata/README.md` says what each is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binary {
    /// The file's name below `target/corpus`.
    pub name: &'static str,
    /// OCI's name for the machine.
    pub architecture: &'static str,
    /// What it was written in, which decides where a debugger stops.
    pub language: Language,
}

/// What a corpus binary was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    C,
    /// A shared library in C: nothing to run.
    CLibrary,
    Cxx,
    Go,
    Rust,
}

use Language::{C, CLibrary, Cxx, Go, Rust};

/// Every binary of the corpus.
pub const ALL: &[Binary] = &[
    binary("c-glibc-static", "amd64", C),
    binary("c-static-pie", "amd64", C),
    binary("c-dynamic", "amd64", C),
    binary("c-shared", "amd64", CLibrary),
    binary("c-compressed", "amd64", C),
    binary("c-nobuildid", "amd64", C),
    binary("c-musl", "amd64", C),
    binary("c-musl-nobuildid", "amd64", C),
    binary("c-musl-dynamic", "amd64", C),
    binary("c-noseparate", "amd64", C),
    binary("c-lto", "amd64", C),
    binary("c-zdebug", "amd64", C),
    binary("c-splitdwarf", "amd64", C),
    binary("c-gold", "amd64", C),
    binary("c-lld", "amd64", C),
    binary("c-mold", "amd64", C),
    binary("c-zig-nobuildid", "amd64", C),
    binary("c-sections", "amd64", C),
    binary("c-arm64-static", "arm64", C),
    binary("c-arm64-zig-nobuildid", "arm64", C),
    binary("c-i386", "386", C),
    binary("c-ppc64le", "ppc64le", C),
    binary("c-riscv64", "riscv64", C),
    binary("c-s390x", "s390x", C),
    binary("cxx-static", "amd64", Cxx),
    binary("cxx-arm64", "arm64", Cxx),
    binary("go", "amd64", Go),
    binary("go-old-nobuildid", "amd64", Go),
    binary("go-pie", "amd64", Go),
    binary("go-arm64", "arm64", Go),
    binary("go-arm", "arm", Go),
    binary("go-mips", "mips", Go),
    binary("go-s390x", "s390x", Go),
    binary("rust-gnu-static", "amd64", Rust),
    binary("rust-auditable", "amd64", Rust),
    binary("rust-musl", "amd64", Rust),
];

const fn binary(name: &'static str, architecture: &'static str, language: Language) -> Binary {
    Binary { name, architecture, language }
}

/// The binary of that name.
pub fn get(name: &str) -> Binary {
    *ALL.iter().find(|binary| binary.name == name).unwrap_or_else(|| {
        panic!("no corpus binary is called {name}; see ALL in tests/it/support/corpus.rs")
    })
}

/// The path of the binary of that name.
pub fn path(name: &str) -> PathBuf {
    get(name).path()
}

/// A program for a profiler: it spends its time in `hot_leaf`.
pub fn busy(name: &str) -> PathBuf {
    built(name)
}

fn built(name: &str) -> PathBuf {
    let path = tools::root().join("target/corpus").join(name);
    assert!(
        path.exists(),
        "{} does not exist; run: bash tests/check.sh setup corpus",
        path.display()
    );
    path
}

/// A program that is committed, `amd64` or `arm64`: the README's example.
pub fn committed(architecture: &str) -> PathBuf {
    let path = tools::root().join("testdata/bin").join(architecture).join("tally");
    assert!(path.exists(), "{} does not exist; run: bash testdata/build.sh --bin", path.display());
    path
}

impl Binary {
    /// Where the file is.
    pub fn path(self) -> PathBuf {
        built(self.name)
    }

    /// The package of its split DWARF, which a debugger looks for beside the program.
    pub fn dwp(self) -> Option<PathBuf> {
        let path = self.path();
        let package = path.with_file_name(format!("{}.dwp", self.name));
        package.exists().then_some(package)
    }

    /// A command that runs this binary's code from `file`, which is the binary itself or what was made from it; under
    /// qemu where the machine is another.
    pub fn command(self, file: &std::path::Path) -> Command {
        match self.emulator() {
            None => Command::new(file),
            Some(emulator) => {
                let mut command = Command::new(tools::path(emulator));
                command.arg(file);
                command
            }
        }
    }

    /// The program that runs it here; none if the machine does.
    pub fn emulator(self) -> Option<&'static str> {
        let native = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        match self.architecture {
            same if same == native => None,
            "386" if native == "amd64" => None,
            "386" => Some("qemu-i386-static"),
            "amd64" => Some("qemu-x86_64-static"),
            "arm64" => Some("qemu-aarch64-static"),
            "arm" => Some("qemu-arm-static"),
            "mips" => Some("qemu-mips-static"),
            "ppc64le" => Some("qemu-ppc64le-static"),
            "riscv64" => Some("qemu-riscv64-static"),
            "s390x" => Some("qemu-s390x-static"),
            other => panic!("no emulator is known for {other}"),
        }
    }

    /// Whether there is something to run.
    pub fn runs(self) -> bool {
        self.language != CLibrary
    }

    /// The directory that a debugger needs to show source lines (`gdb -d`).
    pub fn source_directory(self) -> PathBuf {
        tools::root().join("testdata/src").join(match self.language {
            C | CLibrary => "c",
            Cxx => "cxx",
            Go => "go",
            Rust => "rust",
        })
    }

    /// A place for a breakpoint, `FILE:LINE`, four calls deep and with every local set.
    pub fn stop(self) -> String {
        let file = match self.language {
            C => "tally.c",
            Cxx => "tally.cpp",
            Go => "main.go",
            Rust => "ledger/src/lib.rs",
            CLibrary => panic!("{} is a library: there is nothing to run", self.name),
        };
        let source = self.source_directory().join(file);
        let text = std::fs::read_to_string(&source)
            .unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        let above = text.lines().position(|line| line.contains("stop here: the next line"));
        let above = above
            .unwrap_or_else(|| panic!("{} has no line marked \"stop here\"", source.display()));
        // Lines count from 1, and the marked one is the next.
        format!("{file}:{}", above + 2)
    }

    /// What it prints when it runs to its end.
    pub fn prints(self) -> &'static str {
        match self.language {
            Cxx => "caught: bad entry: refund\n3 entries, 859 cents, -1 refused\n",
            _ => "3 entries, 859 cents\n",
        }
    }
}
