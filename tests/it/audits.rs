//! `xpost verify --complete` and `--platforms`: is all of it there, and is it what it says?

use std::process::Command;

use crate::support::release::{self, push, refused};
use crate::support::server::{Kind, Server};
use crate::support::xpost::{Xpost, xpost};
use crate::support::{corpus, tools};

fn tool(at: &Xpost, name: &str, arguments: &[&str]) -> String {
    tools::stdout(tools::tool(name, at.home()).current_dir(at.home()).args(arguments))
}

fn blob(at: &Xpost, layout: &str, digest: &str) -> std::path::PathBuf {
    at.path(layout).join("blobs/sha256").join(digest.replace("sha256:", ""))
}

#[test]
fn what_is_missing_is_named() {
    let at = release::small();
    push(&at, "oci:whole:v1");
    let whole = at.run(["verify", "oci:whole:v1", "--complete"]).succeeds();
    assert!(whole.stdout.contains("complete  10 manifests"), "{whole:?}");
    let tree = at.run(["discover", "oci:whole:v1", "--json"]).succeeds().json()["tree"].clone();
    let arm = &tree["manifests"][1];
    let debug = arm["referrers"].as_array().unwrap().iter().find(|entry| entry["kind"] == "debug");
    let debug = debug.unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    for (lost, said) in [
        (text(&arm["digest"]), "the manifest of linux/arm64 is not there"),
        (text(&arm["files"][0]["digest"]), "the blob of app is not there"),
        (text(&debug["digest"]), "a referrer application/vnd.xpost.debuginfo.v1 is not there"),
        (text(&debug["digest"]), "the signed file app.debug is not there"),
    ] {
        at.run(["copy", "oci:whole:v1", "oci:part:v1"]).succeeds();
        std::fs::remove_file(blob(&at, "part", &lost)).unwrap();
        let said = [said, lost.as_str(), "push it again"];
        let ran = at.run(["verify", "oci:part:v1", "--complete", "--json"]);
        let ran = ran.exits(3, &[said[0], said[2]]);
        assert_eq!(ran.json()["complete"], false, "{ran:?}");
        // The same push makes it whole again.
        push(&at, "oci:part:v1");
        at.run(["verify", "oci:part:v1", "--complete"]).succeeds();
    }
    refused(&at, &["verify", "oci:whole:v2", "--complete"], 5, &["has no tag v2"]);
    refused(&at, &["verify", "oci:whole:v1", "--complete", "--key", "release.pub"], 2, &["--key"]);
}

#[test]
fn debug_files_that_are_kept_elsewhere_or_nowhere_are_not_missed() {
    let server = Server::start(Kind::Distribution);
    let reference = |name: &str| format!("{}/{name}", server.localhost());
    let (public, kept, none) = (reference("app:v1"), reference("debug"), reference("none:v1"));
    let (lost, empty) = (reference("lost"), reference("empty"));
    for at in [release::large(), release::unsigned()] {
        let overwrite = ["--overwrite", "--force"];
        let push = ["push", &public, "--debug-to", &kept];
        at.run(push.into_iter().chain(overwrite)).succeeds();
        at.run(["push", &none, "--no-debug"].into_iter().chain(overwrite)).succeeds();
        let is_signed = !release::bundles(&at).is_empty();
        let names = ["app.debug", "tool.debug"]
            .into_iter()
            .filter(|name| is_signed || *name != "tool.debug");
        let names: Vec<_> = names.collect();
        let whole = ["verify", &public, "--complete", "--debug-from", &kept, "--json"];
        let whole = at.run(whole).succeeds().json();
        let found = whole["debugElsewhere"].as_array().unwrap();
        assert!(names.iter().all(|name| found.iter().any(|of| of["name"] == *name)), "{whole}");
        let bare = ["verify", &none, "--complete", "--no-debug"];
        let said = at.run(bare).succeeds().stdout;
        assert_eq!(said.contains("left out  app.debug  sha256:"), is_signed, "{said}");
        // Without a word about them: a signature tells that there are some.
        for reference in [&public, &none] {
            let ran = at.run(["verify", reference, "--complete"]);
            match is_signed {
                true => ran.exits(3, &["the signed file app.debug is not there", "--debug-from"]),
                false => ran.succeeds(),
            };
        }
        // The debug file of one program is not that of another.
        let ran = at.run(["verify", &public, "--complete", "--debug-from", &empty, "--json"]);
        let missing = ran.exits(3, &["app", "is not there"]).json()["missing"].clone();
        assert_eq!(missing.as_array().unwrap().len(), 2 * names.len(), "{missing}");
        let other = release::small();
        other.run(["push", &lost, "--force"]).succeeds();
        if is_signed {
            let said = ["the signed file app.debug is not there", "the signed file tool.debug"];
            at.run(["verify", &public, "--complete", "--debug-from", &lost]).exits(3, &said);
        }
        rebuilt(&at, &public, &kept, &none);
    }
    let signed = ["verify", &public, "--key", "release.pub", "--debug-from", &kept];
    refused(&release::small(), &signed, 2, &["--debug-from"]);
    refused(&release::small(), &["verify", &public, "--debug-from", &kept], 2, &["--complete"]);
    // Nothing says which debug files an image has, so nobody says that they are there.
    let (at, image) = (release::unsigned(), reference("image:v1"));
    at.run(["push", &image, "--image", "--debug-to", &kept, "--force"]).succeeds();
    at.run(["verify", &image, "--complete"]).succeeds();
    let asked = ["verify", &image, "--complete", "--debug-from", &kept];
    refused(&at, &asked, 3, &["any debug file of it in", "is not there"]);
}

/// The release directory comes back from two repositories, as it was.
fn rebuilt(at: &Xpost, public: &str, kept: &str, none: &str) {
    let _ = std::fs::remove_dir_all(at.path("back"));
    let key: &[&str] =
        if release::bundles(at).is_empty() { &[] } else { &["--key", "release.pub"] };
    let pull = ["pull", public, "--all", "-o", "back", "--debug-from", kept];
    let pulled = at.run([&pull[..], key, &["--json"]].concat()).succeeds().json();
    assert_eq!(pulled["missing"], serde_json::json!([]));
    let names = |root: &str| -> Vec<String> {
        let names = at.list().into_iter();
        names.filter_map(|name| Some(name.strip_prefix(root)?.to_owned())).collect()
    };
    assert_eq!(names("back/"), names("xpost-out/"));
    for name in names("back/").iter().filter(|name| !name.is_empty() && !name.ends_with('/')) {
        assert_eq!(at.read(format!("back/{name}")), at.read(format!("xpost-out/{name}")), "{name}");
    }
    let here = ["pull", public, "-o", "site", "--platform", "linux/amd64", "--debug"];
    if !key.is_empty() {
        let said = ["app.debug is signed and not there", "hint: --debug-from"];
        at.run([&here[..], key].concat()).exits(4, &said);
    }
    // What cannot be had is named, and from the wrong place nothing is taken.
    std::fs::remove_dir_all(at.path("back")).unwrap();
    if !key.is_empty() {
        let wrong =
            [&["pull", public, "--all", "-o", "back", "--debug-from", none][..], key].concat();
        at.run(wrong).exits(4, &["app.debug is signed and not there"]);
        assert!(!at.path("back").exists());
        let bare = [&["pull", none, "--all", "-o", "back", "--json"][..], key].concat();
        let bare = at.run(bare).succeeds();
        assert!(bare.stderr.contains("linux/amd64: app.debug is signed and not there"), "{bare:?}");
        assert_eq!(bare.json()["missing"].as_array().unwrap().len(), 4, "{bare:?}");
    }
}

#[test]
fn the_tags_that_a_mirror_lost_are_made_anew() {
    let (at, server) = (release::small(), Server::start(Kind::Distribution));
    let (from, to) =
        (format!("{}/org/app:v1", server.localhost()), format!("{}/mirror:v1", server.localhost()));
    push(&at, &from);
    tool(&at, "oras", &["cp", "-r", "--from-plain-http", "--to-plain-http", &from, &to]);
    let again = format!("xpost copy {to} {to}");
    refused(&at, &["verify", &to, "--complete"], 3, &["the tag buildid-", &again]);
    at.run(["copy", &to, &to]).succeeds();
    at.run(["verify", &to, "--complete"]).succeeds();
    // crane brings nothing but the platforms, and with a signature somewhere nobody would know.
    let bare = format!("{}/bare:v1", server.localhost());
    tool(&at, "crane", &["copy", "--insecure", &from, &bare]);
    at.run(["verify", &bare, "--key", "release.pub"]).exits(4, &["is not signed"]);
}

/// An image of these files, for a platform and with an entry point.
fn image(at: &Xpost, reference: &str, platform: &str, files: &[(&str, &str)], entry: &str) {
    let _ = std::fs::remove_dir_all(at.path("root"));
    for (path, binary) in files {
        let bytes = std::fs::read(corpus::path(binary)).unwrap();
        at.put(&format!("root/{path}"), bytes);
    }
    let mut tar = Command::new("tar");
    tools::stdout(tar.current_dir(at.home()).args(["-C", "root", "-cf", "layer.tar", "."]));
    tool(at, "crane", &["append", "-f", "layer.tar", "-t", reference]);
    let mutate = ["mutate", reference, "--set-platform", platform, "--entrypoint", entry];
    tool(at, "crane", &[&mutate[..], &["-t", reference]].concat());
}

#[test]
fn a_program_of_another_machine_is_found_in_any_image() {
    let (at, server) = (xpost(), Server::start(Kind::Ggcr));
    let reference = |name: &str| format!("{}/{name}", server.localhost());
    let (amd64, wrong, right) = (reference("a:amd64"), reference("a:wrong"), reference("a:right"));
    image(
        &at,
        &amd64,
        "linux/amd64",
        &[("usr/bin/app", "c-glibc-static"), ("opt/foreign", "c-arm64-static")],
        "app",
    );
    image(&at, &wrong, "linux/arm64", &[("usr/bin/app", "c-glibc-static")], "/usr/bin/app");
    image(&at, &right, "linux/arm64", &[("usr/bin/app", "c-arm64-static")], "/usr/bin/app");
    let (lie, truth) = (reference("a:lie"), reference("a:truth"));
    tool(&at, "crane", &["index", "append", "-m", &amd64, "-m", &wrong, "-t", &lie]);
    tool(&at, "crane", &["index", "append", "-m", &amd64, "-m", &right, "-t", &truth]);

    let audited = at.run(["verify", &truth, "--platforms"]).succeeds().stdout;
    // What is in it and not started may be for another machine.
    assert!(
        audited.contains(
            "linux/amd64  as stated  starts usr/bin/app (amd64)  1 program for it, 1 for others"
        ),
        "{audited}"
    );
    assert!(audited.contains("linux/arm64  as stated  starts usr/bin/app (arm64)"), "{audited}");
    let said = ["linux/arm64: usr/bin/app, which it starts, is for amd64", "GOARCH"];
    refused(&at, &["verify", &lie, "--platforms"], 3, &said);
    let json = at.run(["verify", &lie, "--platforms", "--json"]).exits(3, &[]).json();
    assert_eq!(json["platforms"][0]["verdict"], "as-stated", "{json}");
    assert_eq!(json["platforms"][1]["verdict"], "other", "{json}");
    assert_eq!(json["platforms"][1]["starts"]["machine"], "amd64", "{json}");
    let shown = at.run(["verify", &lie, "--platforms"]).exits(3, &["is not what it states"]);
    assert!(
        shown.stderr.contains("linux/arm64  is amd64  starts usr/bin/app (amd64)"),
        "{shown:?}"
    );
    // Copied into a file it is audited just as well, and so is a single manifest.
    at.run(["copy", &lie, "oci-archive:lie.tar:v1"]).succeeds();
    refused(&at, &["verify", "oci-archive:lie.tar:v1", "--platforms"], 3, &said);
    at.run(["verify", &right, "--platforms"]).succeeds();
}

#[test]
fn where_a_program_starts_and_under_which_system_counts_and_so_do_indexes_in_indexes() {
    let (at, server) = (xpost(), Server::start(Kind::Ggcr));
    let reference = |name: &str| format!("{}/{name}", server.localhost());
    let (here, windows) = (reference("w:here"), reference("w:windows"));
    let files = [("opt/app", "c-arm64-static"), ("bin/other", "c-glibc-static")];
    image(&at, &here, "linux/amd64", &files, "./app");
    tool(&at, "crane", &["mutate", &here, "--workdir", "/opt", "-t", &here]);
    let said = ["linux/amd64: opt/app, which it starts, is for arm64"];
    refused(&at, &["verify", &here, "--platforms"], 3, &said);
    image(&at, &windows, "windows/amd64", &[("app", "c-glibc-static")], "/app");
    refused(&at, &["verify", &windows, "--platforms"], 3, &["windows/amd64: app, which it starts"]);
    // An index of one index of that image.
    let (inner, outer) = (reference("w:inner"), reference("w:outer"));
    tool(&at, "crane", &["index", "append", "-m", &here, "-t", &inner]);
    let document = tool(&at, "crane", &["manifest", &inner]);
    let digest = tool(&at, "crane", &["digest", &inner]);
    let index = "application/vnd.oci.image.index.v1+json";
    let outer_document = format!(
        r#"{{"schemaVersion":2,"mediaType":"{index}","manifests":[{{"mediaType":"{index}","digest":"{}","size":{}}}]}}"#,
        digest.trim(),
        document.len()
    );
    at.put("outer.json", outer_document);
    tool(
        &at,
        "oras",
        &["manifest", "push", "--plain-http", "--media-type", index, &outer, "outer.json"],
    );
    refused(&at, &["verify", &outer, "--platforms"], 3, &said);
}

#[test]
fn what_states_no_platform_is_a_finding_and_what_is_no_image_is_none() {
    let (at, server) = (xpost(), Server::start(Kind::Ggcr));
    let reference = |name: &str| format!("{}/{name}", server.localhost());
    let (image, files) = (reference("image:v1"), reference("files:v1"));
    at.put("root/bin/app", std::fs::read(corpus::path("c-glibc-static")).unwrap());
    let mut tar = Command::new("tar");
    tools::stdout(tar.current_dir(at.home()).args(["-C", "root", "-cf", "layer.tar", "."]));
    tool(&at, "crane", &["append", "-f", "layer.tar", "-t", &image]);
    let said = ["does not state for which platform", "states no platform  bin/app (amd64)"];
    refused(&at, &["verify", &image, "--platforms"], 3, &said);
    let json = at.run(["verify", &image, "--platforms", "--json"]).exits(3, &[]).json();
    assert_eq!(json["platforms"][0]["verdict"], "unstated", "{json}");
    assert_eq!(json["platforms"][0]["programs"][0]["machine"], "amd64", "{json}");
    at.put("rules.json", "{}");
    let app = corpus::path("c-arm64-static").display().to_string();
    at.run(["push", &files, "rules.json", &format!("{app}:application/octet-stream")]).succeeds();
    let audited = at.run(["verify", &files, "--platforms"]).succeeds().stdout;
    assert!(audited.contains("no image") && audited.contains(" (arm64)"), "{audited}");
}

#[test]
fn damaged_layers_are_damage() {
    let (at, server) = (xpost(), Server::start(Kind::Ggcr));
    let reference = format!("{}/image:v1", server.localhost());
    image(&at, &reference, "linux/amd64", &[("app", "c-glibc-static")], "/app");
    at.run(["copy", &reference, "oci:lay:v1"]).succeeds();
    let shown = at.run(["discover", "oci:lay:v1", "--json"]).succeeds().json();
    let manifest = std::fs::read(blob(&at, "lay", shown["digest"].as_str().unwrap())).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let layer = blob(&at, "lay", manifest["layers"][0]["digest"].as_str().unwrap());
    let whole = std::fs::read(&layer).unwrap();
    let mut other = whole.clone();
    let middle = other.len() / 2;
    other[middle..].iter_mut().for_each(|byte| *byte ^= 0x55);
    for (bytes, said) in
        [(whole[..whole.len() / 2].to_vec(), "the size should be"), (other, "the digest should be")]
    {
        std::fs::write(&layer, bytes).unwrap();
        refused(&at, &["verify", "oci:lay:v1", "--platforms"], 8, &[said]);
    }
    // Published as it is, and no gzip to its end.
    std::fs::write(at.path("torn.tar.gz"), &whole[..whole.len() / 2]).unwrap();
    at.put("config.json", r#"{"os":"linux","architecture":"amd64"}"#);
    let config = "config.json:application/vnd.oci.image.config.v1+json";
    let layer = "torn.tar.gz:application/vnd.oci.image.layer.v1.tar+gzip";
    tool(&at, "oras", &["push", "--oci-layout", "--config", config, "torn:v1", layer]);
    refused(&at, &["verify", "oci:torn:v1", "--platforms"], 8, &["it does not unpack"]);
}

#[test]
fn a_release_is_what_its_index_says_and_damage_is_no_lie() {
    let at = release::large();
    push(&at, "oci:lay:v1");
    let audited = at.run(["verify", "oci:lay:v1", "--platforms"]).succeeds().stdout;
    assert!(
        audited.contains("linux/amd64  as stated  2 programs for it, 0 for others"),
        "{audited}"
    );
    let hex = xpost::digest::Digest::of(&at.read("xpost-out/linux-amd64/app")).hex();
    let path = format!("lay/blobs/sha256/{hex}");
    let mut bytes = at.read(&path);
    bytes.truncate(5000);
    at.put(&path, bytes);
    refused(&at, &["verify", "oci:lay:v1", "--platforms"], 8, &["the size should be"]);
}
