//! `xpost push --image` and `--debug-image`: what a container runtime takes.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::release::{self, BY_COSIGN, cosign, refused};
use crate::support::server::{Kind, Server};
use crate::support::tools;
use crate::support::xpost::Xpost;

fn tool(at: &Xpost, name: &str, arguments: &[&str]) -> String {
    tools::stdout(tools::tool(name, at.home()).current_dir(at.home()).args(arguments))
}

/// Unpacks an image's files with crane and tar.
fn unpack(at: &Xpost, reference: &str, to: &str) {
    tool(at, "crane", &["export", "--platform", "linux/amd64", reference, "image.tar"]);
    std::fs::create_dir(at.path(to)).unwrap();
    tools::stdout(Command::new("tar").current_dir(at.home()).args(["-xf", "image.tar", "-C", to]));
}

#[test]
fn an_image_runs_and_has_what_hangs_on_a_release() {
    let (at, server) = (release::small(), Server::start(Kind::Distribution));
    let reference = format!("{}/org/app:v1-image", server.localhost());
    at.put("authorities.pem", "-----BEGIN CERTIFICATE-----\n");
    let push = ["push", &reference, "--image", "--ca-certificates", "authorities.pem", "--json"];
    let pushed = at.run(push).succeeds().json();
    let config: Value = serde_json::from_str(&tool(
        &at,
        "crane",
        &["config", "--platform", "linux/amd64", &reference],
    ))
    .unwrap();
    assert_eq!(config["config"]["Entrypoint"], json!(["/app"]));
    assert_eq!((&config["architecture"], &config["os"]), (&json!("amd64"), &json!("linux")));
    tool(&at, "crane", &["validate", "--remote", &reference]);
    unpack(&at, &reference, "root");
    assert_eq!(at.read("root/etc/ssl/certs/ca-certificates.crt"), at.read("authorities.pem"));
    assert_eq!(at.read("root/app"), at.read("xpost-out/linux-amd64/app"));
    // As a container starts it: its root is the image, and there is nothing else.
    let entry = config["config"]["Entrypoint"][0].as_str().unwrap();
    let mut chroot = Command::new(tools::path("unshare"));
    chroot.args(["--map-root-user", "--root"]).arg(at.path("root")).arg(entry);
    assert_eq!(tools::stdout(&mut chroot), "3 entries, 859 cents\n");
    // skopeo makes of it what docker loads, and keeps the digest where it can.
    tool(
        &at,
        "skopeo",
        &[
            "copy",
            "-q",
            "-a",
            "--src-tls-verify=false",
            &format!("docker://{reference}"),
            "oci:theirs:v1",
        ],
    );
    let theirs: Value = serde_json::from_slice(&at.read("theirs/index.json")).unwrap();
    assert_eq!(theirs["manifests"][0]["digest"], pushed["digest"]);

    let found = at.run(["discover", &reference]).succeeds().stdout;
    assert_eq!(
        (found.matches("debug  ").count(), found.matches("sbom  ").count()),
        (2, 2),
        "{found}"
    );
    at.run(["verify", &reference, "--platforms"]).succeeds();
    at.run(["verify", &reference, "--complete"]).succeeds();
    // Equal releases are equal images.
    let again = ["push", "oci:lay:v1", "--image", "--ca-certificates", "authorities.pem", "--json"];
    assert_eq!(at.run(again).succeeds().json()["digest"], pushed["digest"]);
}

#[test]
fn an_image_is_not_pulled_as_files_and_its_debug_files_are() {
    let at = release::small();
    let pushed = at.run(["push", "oci:lay:v1-image", "--image", "--json"]).succeeds().json();
    assert_eq!(pushed["receipt"]["build_id_tags"].as_array().unwrap().len(), 2, "{pushed}");
    let here = ["--platform", "linux/amd64"];
    for more in [&here[..], &["--all"]] {
        let pull = [&["pull", "oci:lay:v1-image", "-o", "site"], more].concat();
        refused(&at, &pull, 8, &["it is an image", "pull the release that it was made of"]);
    }
    let pull = ["pull", "oci:lay:v1-image", "--debug", "-o", "site"];
    let pulled = at.run(pull.into_iter().chain(here)).succeeds();
    assert!(pulled.stderr.contains("its program is in a layer"), "{pulled:?}");
    assert!(at.list().iter().any(|name| name.starts_with("site/debug/.build-id/")));
}

#[test]
fn an_image_takes_no_program_away_from_its_build_id() {
    let (at, server) = (release::small(), Server::start(Kind::Distribution));
    let repository = format!("{}/org/app", server.localhost());
    let pull = |id: &str, into: &str| {
        let pull = ["pull", &repository, "--build-id", id, "-o", into, "--key", "release.pub"];
        at.run(pull.into_iter().chain(["--json"])).succeeds().json()["files"].clone()
    };
    // Before the release and after it.
    let image = || {
        let image = ["push", &format!("{repository}:v1-image"), "--image", "--json"];
        let pushed = at.run(image).succeeds().json();
        let tag = pushed["receipt"]["build_id_tags"][0].as_str().unwrap();
        tag.strip_prefix("buildid-").unwrap().to_owned()
    };
    let id = image();
    at.run(["push", &format!("{repository}:v1")]).succeeds();
    let both = pull(&id, "before");
    assert_eq!(both.as_array().unwrap().len(), 2, "{both}");
    assert_eq!(image(), id);
    assert_eq!(pull(&id, "after").as_array().unwrap().len(), 2);
    let program = format!("after/debug/.build-id/{}/{}", &id[..2], &id[2..]);
    assert!(at.path(&program).exists() && at.path(format!("{program}.debug")).exists());
}

#[test]
fn a_signed_image_is_one_that_cosign_and_xpost_verify() {
    for kind in [Kind::Distribution, Kind::Cuelabs] {
        let (at, server) = (release::small(), Server::start(kind));
        at.put("authorities.pem", "-----BEGIN CERTIFICATE-----\n");
        let reference = format!("{}/org/app:v1-image", server.localhost());
        let image = ["--image", "--ca-certificates", "authorities.pem"];
        let push = [&["push", &reference], &image[..]].concat();
        let verify = ["verify", &reference, "--key", "release.pub"];
        let unsigned = at.run(&push).succeeds();
        assert!(unsigned.stderr.contains("the image is not signed"), "{unsigned:?}");
        refused(&at, &verify, 4, &["is not signed"]);

        at.run([&["sign", "--key", "release.key"], &image[..]].concat()).succeeds();
        let pushed = at.run([&push[..], &["--json"]].concat()).succeeds();
        assert!(!pushed.stderr.contains("not signed"), "{pushed:?}");
        let verified = at.run(verify).succeeds().stdout;
        assert!(verified.contains("signed      app.debug"), "{verified}");
        assert!(!verified.contains("not there"), "{verified}");
        let by_cosign = ["--insecure-ignore-tlog", "--allow-insecure-registry"];
        let with = |key: &'static str| [&["--key", key], &by_cosign[..]].concat();
        let found = at.run(["discover", &reference, "--json"]).succeeds().json();
        let child = found["tree"]["manifests"][0]["digest"].as_str().unwrap().to_owned();
        let child = format!("{}/org/app@{child}", server.localhost());
        for manifest in [&reference, &child] {
            cosign(&at, &[&["verify"], &with("release.pub")[..], &[manifest]].concat());
        }
        // What others attest of it stands beside.
        cosign(&at, &["generate-key-pair"]);
        at.put("claim.json", r#"{"checked":true}"#);
        let by_digest =
            format!("{}/org/app@{}", server.localhost(), pushed.json()["digest"].as_str().unwrap());
        let claim = ["--predicate", "claim.json", "--type", "custom", &by_digest];
        cosign(&at, &[&["attest"], &BY_COSIGN[..], &claim].concat());
        let attested = ["verify-attestation", "--type", "custom"];
        cosign(&at, &[&attested, &with("cosign.pub")[..], &[&reference]].concat());
        at.run(verify).succeeds();
        at.run(["verify", &reference, "--complete"]).succeeds();
    }
}

#[test]
fn the_signature_of_another_image_is_not_published() {
    let at = release::small();
    at.run(["sign", "--key", "release.key", "--image"]).succeeds();
    let again = at.run(["sign", "--key", "release.key", "--image"]).succeeds().stdout;
    assert_eq!(again.matches("signed already").count(), 6, "{again}");
    at.run(["push", "oci:lay:v1-image", "--image"]).succeeds();
    at.put("authorities.pem", "-----BEGIN CERTIFICATE-----\n");
    let push = ["push", "oci:lay:v2-image", "--image", "--ca-certificates", "authorities.pem"];
    refused(&at, &push, 3, &["image.sigstore.json does not cover oci:index", "sign --image again"]);
    // Of an image no file is pulled, whatever is asked for.
    let pull = ["pull", "oci:lay:v1-image", "--all", "--key", "release.pub", "-o", "site"];
    refused(&at, &pull, 8, &["it is an image for container runtimes"]);
    let key = ["push", "oci:lay:v3-image", "--image", "--ca-certificates", "release.key"];
    refused(&at, &key, 2, &["release.key", "no PEM file of certificates alone"]);
    // What is made anew is no longer signed, and neither is its image.
    let file = crate::support::corpus::path("c-musl");
    at.run(["slim", "--name", "app", "-g", file.to_str().unwrap()]).succeeds();
    assert!(!at.list().iter().any(|name| name.starts_with("xpost-out/image")), "{:?}", at.list());
    refused(&at, &["sign", "--key", "release.key", "--entrypoint", "app"], 2, &["--image"]);
}

#[test]
fn debug_files_are_mounted_where_debuggers_look() {
    let (at, server) = (release::small(), Server::start(Kind::Cuelabs));
    let reference = format!("{}/org/app:v1", server.localhost());
    let pushed = at.run(["push", &reference, "--debug-image"]).succeeds();
    for said in ["mountPath: /usr/lib/debug", "tag v1 created"] {
        assert!(pushed.stdout.contains(said), "{pushed:?}");
    }
    assert!(pushed.stderr.contains("the image of the debug files is not signed"), "{pushed:?}");
    unpack(&at, &format!("{reference}-debug"), "debug");
    let names: Vec<_> = at
        .list()
        .into_iter()
        .filter(|name| name.starts_with("debug/.build-id/") && name.ends_with(".debug"))
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(at.read(&names[0]), at.read("xpost-out/linux-amd64/app.debug"));
    at.run(["sign", "--key", "release.key", "--debug-image"]).succeeds();
    let pushed = at.run(["push", &reference, "--debug-image"]).succeeds();
    assert!(!pushed.stderr.contains("not signed"), "{pushed:?}");
    let image = format!("{reference}-debug");
    let verified = at.run(["verify", &image, "--key", "release.pub"]).succeeds().stdout;
    assert!(!verified.contains("not there"), "{verified}");
    let by_cosign = ["--insecure-ignore-tlog", "--allow-insecure-registry", &image];
    cosign(&at, &[&["verify", "--key", "release.pub"], &by_cosign[..]].concat());
    // Private debug files stay private.
    let (public, private) =
        (format!("{}/a:v1", server.localhost()), format!("{}/b", server.localhost()));
    at.run(["push", &public, "--debug-image", "--debug-to", &private]).succeeds();
    tool(&at, "crane", &["digest", &format!("{private}:v1-debug")]);
    tools::failure(tools::tool("crane", at.home()).args(["digest", &format!("{public}-debug")]));
    let bare = format!("{}/org/app", server.localhost());
    refused(&at, &["push", &bare, "--debug-image"], 2, &["give the reference a tag"]);
}

#[test]
fn what_cannot_run_alone_is_no_image() {
    let at = release::large();
    let said = ["it has several programs: app, tool"];
    refused(&at, &["push", "oci:lay:v1", "--image"], 3, &said);
    at.run(["push", "oci:lay:v1", "--image", "--entrypoint", "tool"]).succeeds();
    refused(&at, &["push", "oci:lay:v2", "--image", "--entrypoint", "no"], 3, &["it has no no"]);
    let file = crate::support::corpus::path("c-dynamic");
    let at = crate::support::xpost::xpost();
    at.run(["slim", "--name", "app", file.to_str().unwrap()]).succeeds();
    refused(&at, &["push", "oci:lay:v1", "--image"], 3, &["not static"]);
}
