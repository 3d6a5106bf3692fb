//! What `push`, `attach`, `discover` and `pull` can be told.

use serde_json::{Value, json};

use crate::support::release::{self, push, refused};
use crate::support::server::{ALL, Kind, Server};
use crate::support::tools;
use crate::support::xpost::{Xpost, xpost};

const REPORT: &str = "application/vnd.example.report.v1+json";

fn tool(at: &Xpost, name: &str, arguments: &[&str]) -> String {
    tools::stdout(tools::tool(name, at.home()).current_dir(at.home()).args(arguments))
}

#[test]
fn what_is_attached_is_discovered_and_stays_when_the_release_is_copied() {
    for kind in ALL {
        let (at, server) = (release::small(), Server::start(kind));
        let reference = format!("{}/org/app:v1", server.localhost());
        let digest = push(&at, &reference);
        at.put("k6.json", r#"{"p95":12}"#);
        let attach = ["attach", &reference, "k6.json", "--artifact-type", REPORT];
        let with = ["--annotation", "tool=k6", "--json"];
        let attached = at.run(attach.into_iter().chain(with)).succeeds().json();
        at.run(attach.into_iter().chain(["--platform", "linux/arm64"])).succeeds();
        let arguments = ["discover", "--plain-http", "--format", "json", &reference];
        let theirs: Value = serde_json::from_str(&tool(&at, "oras", &arguments)).unwrap();
        let theirs = theirs["referrers"].as_array().unwrap();
        let theirs = theirs.iter().find(|entry| entry["digest"] == attached["digest"]).unwrap();
        if kind != Kind::Ggcr {
            assert_eq!(theirs["artifactType"], REPORT, "{kind:?}");
            assert_eq!(theirs["annotations"]["tool"], "k6", "{kind:?}");
        }
        at.run(["copy", &reference, "oci:lay:v1"]).succeeds();
        for reference in [reference.as_str(), "oci:lay:v1"] {
            let found = at.run(["discover", reference, "--kind", REPORT, "--json"]).succeeds();
            let found = found.json();
            assert_eq!(found["digest"], json!(digest));
            assert_eq!(found["tree"]["referrers"][0]["digest"], attached["digest"], "{found}");
            let platforms = found["tree"]["manifests"].as_array().unwrap();
            assert_eq!(platforms.len(), 1, "{found}");
            assert_eq!(platforms[0]["platform"], "linux/arm64");
        }
        at.run(["verify", "oci:lay:v1", "--key", "release.pub"]).succeeds();
    }
}

#[test]
fn discover_shows_a_tree() {
    let at = release::small();
    push(&at, "oci:lay:v1");
    let found = at.run(["discover", "oci:lay:v1"]).succeeds().stdout;
    let words: Vec<&str> = found.lines().map(|line| line.split("  ").next().unwrap()).collect();
    let platform = ["│ ├ sbom", "│ ├ signature", "│ └ debug"];
    assert_eq!(words[1], "├ linux/amd64", "{found}");
    assert_eq!(words[2..5], platform, "{found}");
    assert_eq!(words[5], "├ linux/arm64", "{found}");
    assert_eq!(words[9..], ["└ signature"], "{found}");
    assert!(found.contains("x86_64-unknown-linux  app (29.7 KiB)"), "{found}");
    let tree = at.run(["discover", "oci:lay:v1", "--json"]).succeeds().json();
    let id = tree["tree"]["manifests"][0]["files"][0]["buildId"].as_str().unwrap().to_owned();
    let of_id = at.run(["discover", "oci:lay:v1", "--build-id", &id]).succeeds().stdout;
    assert!(of_id.contains("└ debug") && !of_id.contains("arm64"), "{of_id}");
    refused(&at, &["discover", "oci:lay:v1", "--build-id", "00ff00ff"], 5, &["nothing of what"]);
    refused(&at, &["discover", "oci:lay:v1", "--kind", "a/b"], 5, &["nothing of what"]);
}

#[test]
fn a_release_gets_several_tags_and_a_receipt() {
    let (at, server) = (release::small(), Server::start(Kind::Distribution));
    let reference = format!("{}/org/app:v1.2.0", server.localhost());
    let push =
        ["push", &reference, "--tag", "v1.2", "--tag", "latest", "--receipt", "out/receipt.json"];
    let pushed = at.run(push.into_iter().chain(["--json"])).succeeds();
    assert_eq!(pushed.stdout.as_bytes(), at.read("out/receipt.json"));
    let receipt = pushed.json();
    assert_eq!(receipt["tags"], json!(["v1.2.0", "v1.2", "latest"]));
    assert_eq!(receipt["repository"], json!(format!("{}/org/app", server.localhost())));
    for tag in ["v1.2.0", "v1.2", "latest"] {
        let reference = format!("{}/org/app:{tag}", server.localhost());
        assert_eq!(json!(tool(&at, "crane", &["digest", &reference]).trim()), receipt["digest"]);
    }
    // What cannot be told in the receipt is told all the same.
    let blind = at.run(["push", &reference, "--receipt", "out", "--json"]);
    let blind = blind.exits(1, &["is published, and its receipt is not written"]).json();
    assert_eq!(blind["digest"], receipt["digest"]);
    // One tag that is another release's, and none moves.
    let at = release::unsigned();
    let second = format!("{}/org/app:v2", server.localhost());
    let taken = ["push", &second, "--tag", "latest", "--annotation", "a=b"];
    refused(&at, &taken, 3, &["latest is already"]);
    refused(&at, &["pull", taken[1], "-o", "site"], 5, &["has no tag v2"]);
}

#[test]
fn a_dry_run_prints_the_very_manifests() {
    let at = release::small();
    let dry = at.run(["push", "oci:lay:v1", "--dry-run", "--json"]).succeeds().json();
    assert!(!at.path("lay").exists());
    let text = at.run(["push", "oci:lay:v1", "--dry-run"]).succeeds().stdout;
    push(&at, "oci:lay:v1");
    let manifests = dry["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), 10);
    for manifest in manifests {
        let digest = manifest["digest"].as_str().unwrap();
        let there = at.read(format!("lay/blobs/sha256/{}", digest.replace("sha256:", "")));
        assert_eq!(serde_json::from_slice::<Value>(&there).unwrap(), manifest["manifest"]);
        assert!(text.contains(&format!("{digest}\n{}\n", String::from_utf8(there).unwrap())));
    }
}

#[test]
fn a_part_of_an_unsigned_release_can_be_pushed() {
    let at = release::unsigned();
    let part = ["push", "oci:lay:v1", "--only-platform", "linux/arm64", "--no-debug"];
    at.run(part).succeeds();
    let found = at.run(["discover", "oci:lay:v1"]).succeeds().stdout;
    assert!(found.contains("linux/arm64") && !found.contains("amd64") && !found.contains("debug"));
    let none = ["push", "oci:lay:v2", "--only-platform", "linux/s390x"];
    refused(&at, &none, 5, &["nothing for linux/s390x", "linux/amd64, linux/arm64"]);
    let said = ["the signature of the index is about all platforms"];
    refused(&release::small(), &part, 3, &said);
    let target = ["pull", "oci:lay:v1", "-o", "site", "--target", "sparc-unknown-linux"];
    refused(&at, &target, 5, &["nothing for sparc-unknown-linux", "choose one with --target"]);
    let bare = ["pull", "oci:lay:v1", "-o", "site", "--platform", "linux/arm64", "--debug"];
    let bare = at.run(bare.into_iter().chain(["--json"])).succeeds();
    assert!(bare.stderr.contains("has no debug files"), "{bare:?}");
    assert_eq!(bare.json()["debugFiles"], 0, "{bare:?}");
    let signed = release::small();
    let images = ["sign", "--key", "release.key", "--debug-image"];
    let text = signed.run(images).succeeds().stdout;
    assert!(text.contains("the manifest alone") && !text.contains("0 files"), "{text}");
    // What is signed is signed without its debug files as well.
    let at = release::small();
    at.run(["push", "oci:lay:v1", "--no-debug"]).succeeds();
    let verified = at.run(["verify", "oci:lay:v1", "--key", "release.pub"]).succeeds();
    assert!(verified.stdout.contains("signed, and not there  app.debug"), "{verified:?}");
}

#[test]
fn debug_files_can_be_kept_from_those_who_may_have_the_binaries() {
    let (at, server) = (release::small(), Server::start(Kind::Distribution));
    let public = format!("{}/org/app:v1", server.localhost());
    let private = format!("{}/org/app-debug", server.localhost());
    let pushed = at.run(["push", &public, "--debug-to", &private, "--json"]).succeeds().json();
    let tag = pushed["debugReceipt"]["build_id_tags"][0].as_str().unwrap().to_owned();
    assert_eq!(pushed["receipt"]["build_id_tags"], json!([]));
    let manifest = tool(&at, "crane", &["manifest", &format!("{private}:{tag}")]);
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["subject"], Value::Null);
    let index = at.run(["discover", &public, "--json"]).succeeds().json();
    assert_eq!(
        manifest["annotations"]["dev.xpost.binary"],
        index["tree"]["manifests"][0]["digest"]
    );
    assert!(!at.run(["discover", &public]).succeeds().stdout.contains("debug"));
    // The digest is that of the release with its debug files beside it.
    assert_eq!(push(&at, "oci:lay:v1"), pushed["digest"].as_str().unwrap());

    let pull = ["pull", &public, "-o", "site", "--key", "release.pub", "--debug-from", &private];
    at.run(pull).succeeds();
    let id = tag.strip_prefix("buildid-").unwrap();
    let debug = format!("debug/.build-id/{}/{}.debug", &id[..2], &id[2..]);
    assert_eq!(at.read(format!("site/{debug}")), at.read("xpost-out/linux-amd64/app.debug"));
    at.run(["pull", &private, "--build-id", id, "-o", "core"]).succeeds();
    assert_eq!(at.read(format!("core/{debug}")), at.read("xpost-out/linux-amd64/app.debug"));
    // Whether or not anybody is trusted: what is said to be there and is not is named.
    for key in [&["--key", "release.pub"][..], &[]] {
        let all = [&["pull", &public, "--all", "-o", "all", "--json"], key].concat();
        let pulled = at.run(&all).succeeds();
        assert_eq!(pulled.json()["missing"].as_array().unwrap().len(), 2, "{pulled:?}");
        assert!(pulled.stderr.contains("app.debug is signed and not there"), "{pulled:?}");
        std::fs::remove_dir_all(at.path("all")).unwrap();
        let from = [&all[..], &["--debug-from", &private]].concat();
        assert_eq!(at.run(&from).succeeds().json()["missing"], json!([]));
        std::fs::remove_dir_all(at.path("all")).unwrap();
    }
    let nowhere = format!("{}/org/nothere", server.localhost());
    let nowhere = ["pull", &public, "--all", "-o", "all", "--debug-from", &nowhere];
    refused(&at, &nowhere, 5, &["there is no debug file of it in"]);
    let tagged = format!("{private}:v1");
    refused(&at, &["push", &public, "--debug-to", &tagged], 2, &["without a tag"]);
    let same = public.rsplit_once(':').unwrap().0;
    refused(&at, &["push", &public, "--debug-to", same], 2, &["the release goes there"]);
}

#[test]
fn a_core_needs_nothing_but_a_repository_and_its_build_id() {
    let (at, server) = (release::small(), Server::start(Kind::Cuelabs));
    let repository = format!("{}/org/app", server.localhost());
    let reference = format!("{repository}:v1");
    push(&at, &reference);
    let tree = at.run(["discover", &reference, "--json"]).succeeds().json();
    let id = tree["tree"]["manifests"][1]["files"][0]["buildId"].as_str().unwrap().to_owned();
    let pull = ["pull", &repository, "--build-id", &id, "-o", "core", "--key", "release.pub"];
    at.run(pull).succeeds();
    let tree = format!("core/debug/.build-id/{}/{}", &id[..2], &id[2..]);
    assert_eq!(at.read(&tree), at.read("xpost-out/linux-arm64/app"));
    assert_eq!(at.read(format!("{tree}.debug")), at.read("xpost-out/linux-arm64/app.debug"));
    // Mirrors lose the tag: then it is looked for around what has one.
    let mirror = format!("{}/mirror/app:v1", server.localhost());
    let cp = ["cp", "-r", "--from-plain-http", "--to-plain-http", &reference, &mirror];
    tool(&at, "oras", &cp);
    let bare = format!("{}/mirror/app", server.localhost());
    let around = ["pull", &bare, "--build-id", &id, "-o", "around", "--key", "release.pub"];
    let found = at.run(around).succeeds();
    assert!(found.stderr.contains(&format!("it was found around {mirror}")), "{found:?}");
    at.run(["pull", &mirror, "--build-id", &id, "-o", "named"]).succeeds();
    let expected = at.read("xpost-out/linux-arm64/app.debug");
    for place in ["around", "named"] {
        let tree = format!("{place}/debug/.build-id/{}/{}.debug", &id[..2], &id[2..]);
        assert_eq!(at.read(tree), expected);
    }
    let unknown = ["pull", &bare, "--build-id", "00ff00ff", "-o", "no"];
    refused(&at, &unknown, 5, &["no debug file for the build-id 00ff00ff", "name the release"]);
    // An image alone is enough, and a layout is looked through in the same way.
    at.run(["push", "oci:lay:v1-image", "--image"]).succeeds();
    at.run(["delete", "oci:lay:v1-image", "--tag-only"]).succeeds();
    at.run(["delete", &format!("oci:lay:buildid-{id}"), "--tag-only"]).succeeds();
    let found = at.run(["pull", "oci:lay", "--build-id", &id, "-o", "image"]).succeeds();
    assert!(found.stderr.contains("it was found around oci:lay@sha256:"), "{found:?}");
    let other = at.run(["sign", "--generate-key", "other.key"]).succeeds();
    drop(other);
    let foreign = ["pull", &repository, "--build-id", &id, "-o", "x", "--key", "other.pub"];
    refused(&at, &foreign, 4, &["signature"]);
}

#[test]
fn a_whole_release_comes_back_as_the_directory_it_was() {
    let at = release::large();
    let digest = push(&at, "oci:lay:v1");
    let pull = ["pull", "oci:lay:v1", "--all", "-o", "back", "--key", "release.pub"];
    at.run(pull).succeeds();
    let names = |root: &str| {
        let names =
            at.list().into_iter().filter_map(|name| Some(name.strip_prefix(root)?.to_owned()));
        names.filter(|name| !name.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(names("back/"), names("xpost-out/"));
    for name in names("back/").iter().filter(|name| !name.ends_with('/')) {
        assert_eq!(at.read(format!("back/{name}")), at.read(format!("xpost-out/{name}")), "{name}");
    }
    let again = at.run(["push", "oci:other:v1", "--release-dir", "back", "--json"]).succeeds();
    assert_eq!(again.json()["digest"], json!(digest));
    refused(&at, &pull, 3, &["back is not empty"]);
}

#[test]
fn files_are_pushed_as_they_are_and_programs_are_not() {
    for kind in ALL {
        let (at, server) = (xpost(), Server::start(kind));
        let reference = format!("{}/org/rules:v1", server.localhost());
        at.put("rules.json", r#"{"allow":true}"#);
        at.put("dir/notes.txt", "note\n");
        let push = ["push", &reference, "rules.json:application/json", "dir/notes.txt"];
        let with = ["--artifact-type", "application/vnd.example.rules", "--annotation", "a=b"];
        at.run(push.into_iter().chain(with)).succeeds();
        tool(&at, "oras", &["pull", "--plain-http", "-o", "theirs", &reference]);
        for (name, from) in [("rules.json", "rules.json"), ("notes.txt", "dir/notes.txt")] {
            assert_eq!(at.read(format!("theirs/{name}")), at.read(from));
        }
        let manifest = tool(&at, "crane", &["manifest", &reference]);
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(manifest["artifactType"], "application/vnd.example.rules");
        assert_eq!(manifest["layers"][0]["mediaType"], "application/json");
        // And what oras pushed is pulled.
        let theirs = format!("{}/org/theirs:v1", server.localhost());
        let push =
            ["push", "--plain-http", "--disable-path-validation", &theirs, "rules.json:text/plain"];
        tool(&at, "oras", &push);
        at.run(["pull", &theirs, "-o", "ours"]).succeeds();
        assert_eq!(at.read("ours/rules.json"), at.read("rules.json"));
    }
    let at = release::small();
    let app = "xpost-out/linux-amd64/app";
    let said = ["it is a program", "xpost slim xpost-out/linux-amd64/app"];
    refused(&at, &["push", "oci:lay:v1", app], 3, &said);
    at.run(["push", "oci:lay:v1", &format!("{app}:application/octet-stream")]).succeeds();
    refused(&at, &["push", "oci:lay:v2", "nowhere.txt"], 5, &["nowhere.txt"]);
    let typo = ["push", "oci:lay:v2", "release.pub:text"];
    refused(&at, &typo, 2, &["\"text\" is no media type", "release.pub:application/octet-stream"]);
    let both = ["push", "oci:lay:v2", "release.pub", "--annotation", "a=1", "--annotation", "a=2"];
    refused(&at, &both, 2, &["--annotation a is given twice"]);
    let dry = ["push", "oci:lay:v2", "release.pub", "--dry-run", "--receipt", "r.json"];
    refused(&at, &dry, 2, &["a dry run has no receipt", "--dry-run --json"]);
    let one = at.run(["push", "oci:plain:v1", "release.pub"]).succeeds();
    assert!(one.stdout.contains(" sent, 1 manifest\n"), "{one:?}");
    let pulled = at.run(["pull", "oci:plain:v1", "-o", "plain"]).succeeds();
    assert_eq!(pulled.stdout.matches("sha256:").count(), 1, "{pulled:?}");
    refused(
        &at,
        &["pull", "oci:plain:v1", "--all", "-o", "dir"],
        8,
        &["no release", "without --all"],
    );
    let twice = ["push", "oci:lay:v2", "release.pub", "./release.pub"];
    refused(&at, &twice, 2, &["its name is release.pub: two files have it"]);
}
