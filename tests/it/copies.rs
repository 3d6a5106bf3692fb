//! `xpost copy`: everything that belongs to a release comes along, in every direction, whoever made it.

use serde_json::{Value, json};

use crate::support::release::{self, BY_COSIGN, cosign, push, refused};
use crate::support::server::{Kind, Server};
use crate::support::tools;
use crate::support::xpost::Xpost;

/// A release that another person signed and attested with real cosign: as cosign 3 does it, and as cosign 2 did.
fn signed_by_cosign(server: &Server) -> (Xpost, String, String) {
    let at = release::small();
    let reference = format!("{}/org/app:v1", server.localhost());
    let digest = push(&at, &reference);
    let by_digest = format!("{}/org/app@{digest}", server.localhost());
    cosign(&at, &["generate-key-pair"]);
    at.put("claim.json", r#"{"checked":true}"#);
    let run = |first: &[&str], last: &[&str]| {
        cosign(&at, &[first, &BY_COSIGN[..], last, &[by_digest.as_str()]].concat());
    };
    run(&["sign"], &[]);
    run(&["attest"], &["--predicate", "claim.json", "--type", "custom"]);
    run(&["sign"], &["--new-bundle-format=false"]);
    (at, reference, digest)
}

/// What both of them signed is still signed.
fn holds(at: &Xpost, reference: &str, digest: &str) {
    let verified = at.run(["verify", reference, "--key", "release.pub"]).succeeds();
    assert!(verified.stdout.contains(digest), "{verified:?}");
    if reference.starts_with("oci") {
        return;
    }
    let verify = ["--key", "cosign.pub", "--insecure-ignore-tlog", "--allow-insecure-registry"];
    cosign(at, &[&["verify"], &verify[..], &[reference]].concat());
    cosign(at, &[&["verify-attestation", "--type", "custom"], &verify[..], &[reference]].concat());
    cosign(at, &[&["verify", "--new-bundle-format=false"], &verify[..], &[reference]].concat());
    cosign(at, &[&["verify", "--key", "release.pub"], &verify[2..], &[reference]].concat());
}

#[test]
fn a_copy_keeps_what_cosign_signed_from_and_to_any_kind_of_registry() {
    let fallback = Server::start(Kind::Distribution);
    let api = Server::start(Kind::Cuelabs);
    let strict = Server::start(Kind::DockerRegistry);
    let (at, source, digest) = signed_by_cosign(&fallback);
    let to_api = format!("{}/mirror/app:v1", api.localhost());
    let back = format!("{}/back/app:v1", strict.localhost());
    for (from, to) in [
        (source.as_str(), to_api.as_str()),
        (&to_api, "oci-archive:carried.tar:v1"),
        ("oci-archive:carried.tar:v1", &back),
        (&back, "oci:lay:v1"),
    ] {
        let copied = at.run(["copy", from, to, "--json"]).succeeds().json();
        assert_eq!((&copied["digest"], &copied["tags"]), (&json!(digest), &json!(["v1"])));
        assert_eq!(copied["receipt"]["build_id_tags"].as_array().unwrap().len(), 2, "{copied}");
        holds(&at, to, &digest);
        // A second time there is nothing to do, and a rehearsal says so.
        let dry = at.run(["copy", from, to, "--dry-run"]).succeeds();
        assert!(
            dry.stdout.contains("would send 0 of ") && dry.stdout.contains("and 0 of "),
            "{dry:?}"
        );
        let again = at.run(["copy", from, to]).succeeds();
        assert!(again.stdout.contains("  0 B sent, "), "{again:?}");
        assert!(again.stdout.contains("tag v1 was there already"), "{again:?}");
    }
    // An archive from a registry is the archive from the layout.
    at.run(["copy", "oci:lay:v1", "oci-archive:again.tar:v1"]).succeeds();
    assert!(at.read("again.tar") == at.read("carried.tar"), "equal contents, equal bytes");
}

#[test]
fn signatures_of_cosign_2_that_both_sides_have_stand_together() {
    for kind in [Kind::Distribution, Kind::Cuelabs] {
        let (at, server) = (release::small(), Server::start(kind));
        let source = format!("{}/org/app:v1", server.localhost());
        let mirror = format!("{}/mirror/app:v1", server.localhost());
        let digest = push(&at, &source);
        let sign = |key: &str, reference: &str| {
            cosign(&at, &["generate-key-pair", "--output-key-prefix", key]);
            let file = format!("{key}.key");
            let options =
                BY_COSIGN.map(|word| if word == "cosign.key" { file.as_str() } else { word });
            let by_digest = reference.replace(":v1", &format!("@{digest}"));
            // As if both were the same place: then two keys sign the same bytes.
            let same = format!("{}/org/app", server.localhost());
            let same = ["--new-bundle-format=false", "--sign-container-identity", &same];
            cosign(&at, &[&["sign"], &options[..], &same, &[&by_digest]].concat());
            let claim = ["--predicate", "claim.json", "--type", "custom", same[0], &by_digest];
            cosign(&at, &[&["attest"], &options[..], &claim].concat());
        };
        let holds = |keys: &[&str], reference: &str| {
            for key in keys {
                let key = format!("{key}.pub");
                let verify = ["verify", "--new-bundle-format=false", "--insecure-ignore-tlog"];
                let with = ["--allow-insecure-registry", "--key", &key, reference];
                cosign(&at, &[&verify[..], &with].concat());
                let attested = ["verify-attestation", "--type", "custom"];
                cosign(&at, &[&attested[..], &verify[1..], &with].concat());
            }
        };
        at.put("claim.json", r#"{"checked":true}"#);
        sign("first", &source);
        at.run(["copy", &source, &mirror]).succeeds();
        holds(&["first"], &mirror);
        sign("there", &mirror);
        sign("later", &source);
        let copied = at.run(["copy", &source, &mirror, "--json"]).succeeds().json();
        let tag = format!("{}.sig", digest.replace(':', "-"));
        let attested = tag.replace(".sig", ".att");
        assert_eq!(copied["receipt"]["joined"], json!([tag, attested]), "{copied}");
        holds(&["first", "there", "later"], &mirror);
        // Again there is nothing to do, and back again it is all of them.
        let again = at.run(["copy", &source, &mirror, "--json"]).succeeds().json();
        assert_eq!(again["receipt"]["joined"], json!([]), "{again}");
        at.run(["copy", &mirror, &source]).succeeds();
        holds(&["first", "there", "later"], &source);
        // What can not be joined stays, and the other takes its place where that was asked for.
        at.put("note.txt", "else\n");
        let other = format!("{}/mirror/app:{tag}", server.localhost());
        tools::stdout(tools::tool("oras", at.home()).current_dir(at.home()).args([
            "push",
            "--plain-http",
            &other,
            "note.txt:text/plain",
        ]));
        let said = [
            "some of it without its tag",
            "has something else, which would be lost",
            "--overwrite",
        ];
        at.run(["copy", &source, &mirror]).exits(3, &said);
        at.run(["copy", &source, &mirror, "--overwrite"]).succeeds();
        holds(&["first", "there", "later"], &mirror);
    }
}

#[test]
fn others_read_a_copy_and_what_others_made_is_copied() {
    let (from, to) = (Server::start(Kind::Ggcr), Server::start(Kind::Distribution));
    let at = release::small();
    let (image, copy) =
        (format!("{}/image:v1", from.localhost()), format!("{}/image:v1", to.localhost()));
    at.put("etc/hello", "hello");
    tools::stdout(std::process::Command::new("tar").current_dir(at.home()).args([
        "cf",
        "layer.tar",
        "etc",
    ]));
    let tool = |name: &str, arguments: &[&str]| {
        tools::stdout(tools::tool(name, at.home()).current_dir(at.home()).args(arguments))
    };
    tool("crane", &["append", "-f", "layer.tar", "-t", &image]);
    at.put("report.txt", "all is well\n");
    let attach = ["attach", "--plain-http", "--artifact-type", "application/vnd.example.report"];
    tool("oras", &[&attach[..], &[&image, "report.txt:text/plain"]].concat());
    at.run(["copy", &image, &copy]).succeeds();
    assert_eq!(tool("crane", &["digest", &copy]), tool("crane", &["digest", &image]));
    let discover = ["discover", "--plain-http", "--format", "json", &copy];
    let found: Value = serde_json::from_str(&tool("oras", &discover)).unwrap();
    assert_eq!(found["referrers"][0]["artifactType"], "application/vnd.example.report", "{found}");
}

#[test]
fn a_copy_takes_no_tag_and_brings_no_half() {
    let at = release::unsigned();
    push(&at, "oci:one:v1");
    at.run(["push", "oci:two:v1", "--annotation", "org.opencontainers.image.version=2"]).succeeds();
    let copy = ["copy", "oci:one:v1", "oci:two:v1"];
    refused(&at, &copy, 3, &["v1 is already", "--overwrite"]);
    at.run(copy.into_iter().chain(["--overwrite"])).succeeds();
    refused(&at, &["copy", "oci:one:v2", "oci:three:v2"], 5, &["has no tag v2"]);
    refused(&at, &["copy", "oci:one:v1", "oci:three:buildid-00"], 2, &["choose another tag"]);
    // A cleaner that takes what has no tag takes the platforms first.
    let index = at.run(["discover", "oci:one:v1", "--json"]).succeeds().json();
    let child = index["tree"]["manifests"][1]["digest"].as_str().unwrap().replace("sha256:", "");
    std::fs::remove_file(at.path("one/blobs/sha256").join(child)).unwrap();
    refused(
        &at,
        &["copy", "oci:one:v1", "oci:three:v1"],
        5,
        &["the manifest of linux/arm64", "is not there"],
    );
}
