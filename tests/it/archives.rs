//! `oci-archive:`: a release in one file, for sites that no network reaches.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::release::{self, VERSION, push, refused};
use crate::support::tools;
use crate::support::xpost::Xpost;

const ARCHIVE: &str = "oci-archive:release.tar:v1";

fn tool(at: &Xpost, name: &str, arguments: &[&str]) -> String {
    tools::stdout(tools::tool(name, at.home()).current_dir(at.home()).args(arguments))
}

#[test]
fn a_release_travels_in_one_file() {
    let at = release::small();
    let digest = push(&at, ARCHIVE);
    let verify = ["verify", "oci-archive:release.tar", "--key", "release.pub"];
    let verified = at.run(verify.into_iter().chain(["--require-version", VERSION])).succeeds();
    assert!(verified.stdout.contains(&digest) && !verified.stdout.contains("not signed"));
    let pull = ["pull", ARCHIVE, "-o", "site", "--debug", "--key", "release.pub"];
    at.run(pull).succeeds();
    assert_eq!(at.read("site/app"), at.read("xpost-out/linux-amd64/app"));
    assert!(
        at.list().iter().any(|name| name.starts_with("site/debug/") && name.ends_with(".debug"))
    );
    // Nothing but the archive is left.
    assert!(!at.list().iter().any(|name| name.starts_with(".xpost")), "{:?}", at.list());
}

#[test]
fn equal_releases_are_equal_archives() {
    let at = release::small();
    push(&at, ARCHIVE);
    let first = at.read("release.tar");
    at.run(["push", ARCHIVE]).succeeds();
    assert_eq!(at.read("release.tar"), first, "a second push changes nothing");
    at.run(["push", "oci-archive:other.tar:v1"]).succeeds();
    assert_eq!(at.read("other.tar"), first);
    let listed =
        tools::stdout(Command::new("tar").current_dir(at.home()).args(["tvf", "release.tar"]));
    let names: Vec<&str> = listed.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert!(names.is_sorted() && names.contains(&"index.json"), "{listed}");
    assert!(
        listed
            .lines()
            .all(|line| line.starts_with("-rw-r--r-- 0/0 ") && line.contains("1970-01-01")),
        "{listed}"
    );
}

#[test]
fn another_release_goes_beside_the_one_that_is_there() {
    let at = release::unsigned();
    let first = push(&at, ARCHIVE);
    let other = ["push", ARCHIVE, "--annotation", "org.opencontainers.image.version=2"];
    refused(&at, &other, 3, &["v1 is already", "--overwrite"]);
    at.run(["push", "oci-archive:release.tar:v2", other[2], other[3]]).succeeds();
    for (tag, same) in [("v1", true), ("v2", false)] {
        let pull = ["pull", &format!("oci-archive:release.tar:{tag}"), "-o", "site", "--json"];
        assert_eq!(at.run(pull).succeeds().json()["digest"] == json!(first), same);
    }
}

#[test]
fn others_read_an_archive() {
    let at = release::small();
    let digest = push(&at, ARCHIVE);
    let fetch = ["manifest", "fetch", "--oci-layout", "release.tar:v1", "--descriptor"];
    let descriptor: Value = serde_json::from_str(&tool(&at, "oras", &fetch)).unwrap();
    assert_eq!(descriptor["digest"], json!(digest));
    tool(
        &at,
        "oras",
        &["pull", "--oci-layout", "--platform", "linux/amd64", "-o", "theirs", "release.tar:v1"],
    );
    assert_eq!(at.read("theirs/app"), at.read("xpost-out/linux-amd64/app"));
    tool(
        &at,
        "oras",
        &["cp", "-r", "--from-oci-layout", "--to-oci-layout", "release.tar:v1", "by-oras:v1"],
    );
    at.run(["verify", "oci:by-oras:v1", "--key", "release.pub"]).succeeds();
    tool(&at, "skopeo", &["copy", "-q", "-a", ARCHIVE, "oci:by-skopeo:v1"]);
    let mirror: Value = serde_json::from_slice(&at.read("by-skopeo/index.json")).unwrap();
    assert_eq!(mirror["manifests"][0]["digest"], json!(digest));
}

#[test]
fn what_skopeo_and_tar_wrote_is_read() {
    let at = release::small();
    push(&at, "oci:lay:v1");
    tool(&at, "skopeo", &["copy", "-q", "-a", "oci:lay:v1", "oci-archive:theirs.tar:v1"]);
    at.run(["pull", "oci-archive:theirs.tar:v1", "-o", "site"]).succeeds();
    assert_eq!(at.read("site/app"), at.read("xpost-out/linux-amd64/app"));
    // With directories, dots, owners and times.
    tools::stdout(Command::new("tar").current_dir(at.home()).args([
        "-C",
        "lay",
        "-cf",
        "by-tar.tar",
        ".",
    ]));
    at.run(["verify", "oci-archive:by-tar.tar:v1", "--key", "release.pub"]).succeeds();
}

#[test]
fn what_is_no_archive_is_refused_and_never_written_to() {
    let at = release::small();
    at.put("text.tar", "this is no tar file ".repeat(100));
    at.put("lay/oci-layout", "{}");
    at.put("lay/etc/passwd", "x");
    let tar = |arguments: &[&str]| {
        tools::stdout(Command::new("tar").current_dir(at.home()).args(arguments));
    };
    tar(&["-cf", "other.tar", "release.pub"]);
    tar(&["-C", "lay", "-cf", "old.tar", "oci-layout"]);
    push(&at, "oci-archive:good.tar:v1");
    std::fs::copy(at.path("good.tar"), at.path("more.tar")).unwrap();
    tar(&["-rf", "more.tar", "release.pub"]);
    std::fs::copy(at.path("good.tar"), at.path("twice.tar")).unwrap();
    at.put("index.json", r#"{"schemaVersion":2,"manifests":[]}"#);
    tar(&["-rf", "twice.tar", "index.json"]);
    let whole = at.read("good.tar");
    at.put("cut.tar", &whole[..whole.len() / 2]);
    let mut rotten = whole.clone();
    let app = at.read("xpost-out/linux-amd64/app");
    let position = whole.windows(app.len()).position(|window| window == app).unwrap();
    rotten[position + app.len() / 2] ^= 1;
    at.put("rotten.tar", rotten);
    for (name, said) in [
        ("text.tar", "no OCI layout"),
        ("other.tar", "no file oci-layout"),
        ("old.tar", "states no version 1"),
        ("twice.tar", "index.json is in it twice"),
        ("cut.tar", "no OCI layout"),
        ("rotten.tar", "the digest should be"),
    ] {
        let reference = format!("oci-archive:{name}:v1");
        refused(&at, &["pull", &reference, "-o", "site", "--debug"], 8, &[said]);
    }
    refused(&at, &["pull", "oci-archive:nowhere.tar:v1"], 5, &["nowhere.tar"]);
    for name in ["other.tar", "more.tar"] {
        let said = ["holds other things than an OCI layout", "empty or new"];
        refused(&at, &["push", &format!("oci-archive:{name}:v2")], 3, &said);
    }
    // Others may have put more into it: it can be read all the same.
    at.run(["pull", "oci-archive:more.tar:v1", "-o", "site"]).succeeds();
}
