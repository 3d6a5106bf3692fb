//! Releases, made once by the program itself and laid out where a test needs one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::xpost::{Ran, Xpost, xpost};
use super::{corpus, tools};

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

/// Pushes the release; gives its digest.
pub fn push(at: &Xpost, reference: &str) -> String {
    let pushed = at.run(["push", reference, "--json"]).succeeds().json();
    pushed["digest"].as_str().unwrap().to_owned()
}

/// Every file in the directory.
fn files(at: &Xpost) -> BTreeMap<String, Vec<u8>> {
    at.list().into_iter().map(|name| (name.clone(), bytes_of(at, &name))).collect()
}

fn bytes_of(at: &Xpost, name: &str) -> Vec<u8> {
    if name.ends_with('/') { Vec::new() } else { at.read(name) }
}

/// Runs, wants the exit code and the words, and that no file changed.
#[track_caller]
pub fn refused(at: &Xpost, arguments: &[&str], exit: i32, said: &[&str]) -> Ran {
    let before = files(at);
    let ran = at.run(arguments).exits(exit, said);
    let after = files(at);
    for (name, bytes) in &after {
        assert!(before.get(name) == Some(bytes), "{name} changed: {ran:?}");
    }
    assert_eq!(before.len(), after.len(), "{ran:?}");
    ran
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

/// How cosign signs with the key that it made, for a registry on this machine and without a log.
pub const BY_COSIGN: [&str; 6] = [
    "--yes",
    "--key",
    "cosign.key",
    "--tlog-upload=false",
    "--use-signing-config=false",
    "--allow-insecure-registry",
];

/// Runs real cosign, which must succeed. Its keys have no password.
pub fn cosign(at: &Xpost, arguments: &[&str]) {
    let mut cosign = tools::tool("cosign", at.home());
    tools::stdout(cosign.current_dir(at.home()).env("COSIGN_PASSWORD", "").args(arguments));
}
