//! Releases, made once by the program itself and laid out where a test needs one.

use std::path::PathBuf;
use std::sync::OnceLock;

use super::corpus;
use super::xpost::{Xpost, xpost};

/// The version that the releases state.
pub const VERSION: &str = "1.2.0";

type Files = Vec<(String, Vec<u8>)>;

/// A signed release for amd64 and arm64, of `app` in C and `tool` in Go; with `release.key` and `release.pub` beside it.
pub fn large() -> Xpost {
    static MADE: OnceLock<Files> = OnceLock::new();
    laid_out(MADE.get_or_init(|| {
        make(&[
            ("app", "main", "c-glibc-static"),
            ("app", "main", "c-arm64-static"),
            ("tool", "main.main", "go"),
            ("tool", "main.main", "go-arm64"),
        ])
    }))
}

/// The same with `app` alone, on musl for amd64.
pub fn small() -> Xpost {
    static MADE: OnceLock<Files> = OnceLock::new();
    laid_out(
        MADE.get_or_init(|| make(&[("app", "main", "c-musl"), ("app", "main", "c-arm64-static")])),
    )
}

/// The small one without signatures.
pub fn unsigned() -> Xpost {
    let at = small();
    for bundle in bundles(&at) {
        std::fs::remove_file(bundle).unwrap();
    }
    at
}

/// The bundles of a release.
pub fn bundles(at: &Xpost) -> Vec<PathBuf> {
    let names = at.list().into_iter().filter(|name| name.ends_with(".sigstore.json"));
    names.map(|name| at.path(name)).collect()
}

fn make(binaries: &[(&str, &str, &str)]) -> Files {
    let at = xpost();
    for (name, symbol, binary) in binaries {
        let file = corpus::path(binary);
        let slim = ["slim", "--keep-symbol", symbol, "--name", name];
        at.run(slim.map(PathBuf::from).into_iter().chain([file])).succeeds();
    }
    at.run(["sbom"]).succeeds();
    at.run(["sign", "--generate-key", "release.key"]).succeeds();
    let version = format!("org.opencontainers.image.version={VERSION}");
    at.run(["sign", "--key", "release.key", "--annotation", &version]).succeeds();
    let files = at.list().into_iter().filter(|name| !name.ends_with('/'));
    files.map(|name| (name.clone(), at.read(&name))).collect()
}

fn laid_out(files: &Files) -> Xpost {
    let at = xpost();
    for (name, bytes) in files {
        at.put(name, bytes);
    }
    at
}
