//! What sign, push, verify and pull refuse of a release and its signatures: with which exit code, in which words, and that
//! nothing changed.

use serde_json::{Value, json};

use crate::support::elf::Builder;
use crate::support::release::{self, BY_COSIGN, VERSION, cosign, refused};
use crate::support::server::{Kind, Server};
use crate::support::xpost::{Ran, Xpost, xpost};
use crate::support::{corpus, tools};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const DEBUG: &str = "application/vnd.xpost.debuginfo.v1";

/// A layout `lay` with the release under the tag v1.
fn published(at: Xpost) -> Xpost {
    at.run(["push", "oci:lay:v1"]).succeeds();
    at
}

const VERIFY: [&str; 4] = ["verify", "oci:lay:v1", "--key", "release.pub"];
const PULL: [&str; 6] = ["pull", "oci:lay:v1", "-o", "site", "--key", "release.pub"];

// --- signatures

#[test]
fn another_key_verifies_and_pulls_nothing() {
    let at = published(release::small());
    at.run(["sign", "--generate-key", "other.key"]).succeeds();
    let said = ["the index (sha256:", "has no valid signature", "not signed with this key"];
    refused(&at, &["verify", "oci:lay:v1", "--key", "other.pub"], 4, &said);
    refused(&at, &["pull", "oci:lay:v1", "-o", "site", "--key", "other.pub"], 4, &said);
    // The private half is no public key.
    refused(&at, &["verify", "oci:lay:v1", "--key", "release.key"], 8, &["cannot use the key"]);
    refused(&at, &["verify", "oci:lay:v1", "--key", "no.pub"], 5, &["no.pub"]);
}

#[test]
fn an_unsigned_release_is_not_verified() {
    let at = published(release::unsigned());
    refused(&at, &VERIFY, 4, &["the index (sha256:", "is not signed"]);
    refused(&at, &PULL, 4, &["is not signed"]);
    // Without a key it is a download like any other.
    at.run(["pull", "oci:lay:v1", "-o", "site"]).succeeds();
}

#[test]
fn a_signature_by_another_tool_and_key_is_not_ours() {
    let (at, server) = (release::unsigned(), Server::start(Kind::Cuelabs));
    let reference = format!("{}/app:v1", server.localhost());
    at.run(["push", &reference]).succeeds();
    cosign(&at, &["generate-key-pair"]);
    cosign(&at, &[&["sign", "-r"], &BY_COSIGN[..], &[&reference]].concat());
    refused(&at, &["verify", &reference, "--key", "release.pub"], 4, &["not signed with this key"]);
    // Even of that key it is not a release's signature: nothing in it is named as a manifest.
    refused(&at, &["verify", &reference, "--key", "cosign.pub"], 4, &["oci:index"]);
}

#[test]
fn the_signature_of_one_manifest_does_not_sign_another() {
    let at = published(release::small());
    let (index, amd64, arm64) = manifests(&at);
    // Whoever may push hangs the signature of amd64 on arm64, in place of its own.
    let theirs = referrers(&at, &amd64).into_iter().find(|entry| entry["artifactType"] == BUNDLE);
    let mut moved = document(&at, theirs.unwrap()["digest"].as_str().unwrap());
    let own = referrers(&at, &arm64).into_iter().find(|entry| entry["artifactType"] == BUNDLE);
    moved["subject"] = document(&at, own.unwrap()["digest"].as_str().unwrap())["subject"].clone();
    let mut entry = put(&at, MANIFEST, &moved);
    entry["artifactType"] = json!(BUNDLE);
    list_referrers(&at, &arm64, vec![entry]);
    refused(&at, &VERIFY, 4, &["linux/arm64", "signs \"oci:linux/amd64\"", "not oci:linux/arm64"]);
    let pull =
        ["pull", "oci:lay:v1", "-o", "site", "--platform", "linux/arm64", "--key", "release.pub"];
    refused(&at, &pull, 4, &["linux/arm64"]);
    assert!(index.starts_with("sha256:"));
}

#[test]
fn an_index_made_of_signed_manifests_is_not_signed() {
    let at = published(release::small());
    let (index, amd64, _) = manifests(&at);
    let mut mixed = document(&at, &index);
    mixed["manifests"].as_array_mut().unwrap().pop();
    tag(&at, "mixed", &put(&at, INDEX, &mixed));
    refused(
        &at,
        &["verify", "oci:lay:mixed", "--key", "release.pub"],
        4,
        &["the index", "is not signed"],
    );
    // Nor does it help to say of no entry for which platform it is.
    mixed["manifests"][0].as_object_mut().unwrap().remove("platform");
    tag(&at, "bare", &put(&at, INDEX, &mixed));
    refused(
        &at,
        &["verify", "oci:lay:bare", "--key", "release.pub"],
        4,
        &["the index", "is not signed"],
    );
    // An index of nothing is signed by nobody.
    mixed["manifests"] = json!([]);
    tag(&at, "empty", &put(&at, INDEX, &mixed));
    refused(
        &at,
        &["verify", "oci:lay:empty", "--key", "release.pub"],
        4,
        &["the index", "is not signed"],
    );
    // One platform's manifest by its digest is signed by itself; it states no version.
    let one = format!("oci:lay@{amd64}");
    at.run(["verify", &one, "--key", "release.pub"]).succeeds();
    let versioned = ["verify", &one, "--key", "release.pub", "--require-version", VERSION];
    refused(&at, &versioned, 4, &["not stated"]);
}

#[test]
fn an_old_release_under_a_new_tag_is_not_the_version_that_is_required() {
    let at = published(release::small());
    let (index, ..) = manifests(&at);
    let size = at.read(format!("lay/blobs/sha256/{}", &index[7..])).len();
    tag(&at, "v2", &json!({"mediaType": INDEX, "digest": index, "size": size}));
    let ran = at.run(["verify", "oci:lay:v2", "--key", "release.pub"]).succeeds();
    assert!(ran.stdout.contains("version  1.2.0"), "{ran:?}");
    let said = ["the signed version is 1.2.0, not 2.0.0"];
    let required = ["--key", "release.pub", "--require-version", "2.0.0"];
    refused(&at, &[&["verify", "oci:lay:v2"], &required[..]].concat(), 4, &said);
    refused(&at, &[&["pull", "oci:lay:v2", "-o", "site"], &required[..]].concat(), 4, &said);
    // Without a key there is nothing to hold it against.
    refused(&at, &["pull", "oci:lay:v2", "--require-version", "2.0.0"], 2, &["--key"]);
}

// --- what hangs on a release

#[test]
fn a_debug_file_that_is_not_signed_is_not_pulled() {
    let at = published(release::small());
    let (_, amd64, _) = manifests(&at);
    // Somebody hangs another debug file beside the signed one: it is left out, and said.
    let listed = referrers(&at, &amd64);
    let theirs = listed.iter().find(|entry| entry["artifactType"] == DEBUG).unwrap().clone();
    let mut other = document(&at, theirs["digest"].as_str().unwrap());
    let blob = put_bytes(&at, &corpus_bytes("c-glibc-static"));
    other["layers"][0]["digest"] = blob["digest"].clone();
    other["layers"][0]["size"] = blob["size"].clone();
    let mut entry = put(&at, MANIFEST, &other);
    entry["artifactType"] = json!(DEBUG);
    list_referrers(&at, &amd64, [listed.clone(), vec![entry.clone()]].concat());
    let verified = at.run(VERIFY).succeeds();
    assert!(verified.stdout.contains("not signed  app.debug"), "{verified:?}");
    let pulled = at.run(PULL.into_iter().chain(["--debug"])).succeeds();
    assert!(pulled.stderr.contains("is not signed and is left out"), "{pulled:?}");
    let id = pulled.stdout.lines().find(|line| line.contains(".debug  ")).unwrap().trim();
    let path = id.split("  ").next().unwrap();
    assert_eq!(at.read(path), at.read("xpost-out/linux-amd64/app.debug"));
    std::fs::remove_dir_all(at.path("site")).unwrap();
    // And where it takes the place of the signed one, nothing is fetched.
    let rest = listed.into_iter().filter(|entry| entry["artifactType"] != DEBUG);
    list_referrers(&at, &amd64, rest.chain([entry]).collect());
    let debug = [&PULL[..], &["--debug"]].concat();
    refused(&at, &debug, 4, &["app.debug is signed and not there"]);
}

#[test]
fn what_others_call_a_debug_file_never_becomes_the_program() {
    let at = published(release::unsigned());
    let (_, amd64, _) = manifests(&at);
    let listed = referrers(&at, &amd64);
    let debug = listed.iter().find(|entry| entry["artifactType"] == DEBUG).unwrap().clone();
    let mut other = document(&at, debug["digest"].as_str().unwrap());
    let blob = put_bytes(&at, &corpus_bytes("c-nobuildid"));
    let layer = &mut other["layers"][0];
    (layer["digest"], layer["size"]) = (blob["digest"].clone(), blob["size"].clone());
    // Without a build-id a debug file goes beside the program; this one is called like it.
    layer["annotations"] = json!({"org.opencontainers.image.title": "app"});
    let hang = |document: &Value| {
        let mut entry = put(&at, MANIFEST, document);
        entry["artifactType"] = json!(DEBUG);
        list_referrers(&at, &amd64, [listed.clone(), vec![entry]].concat());
    };
    hang(&other);
    let pull = ["pull", "oci:lay:v1", "-o", "site", "--debug"];
    refused(&at, &pull, 8, &["\"app\"", "two files have it"]);
    // Another file for the same build-id has another name, and still only one of them can be right.
    let mut double = document(&at, debug["digest"].as_str().unwrap());
    let padded = [at.read("xpost-out/linux-amd64/app.debug"), vec![0]].concat();
    let blob = put_bytes(&at, &padded);
    (double["layers"][0]["digest"], double["layers"][0]["size"]) =
        (blob["digest"].clone(), blob["size"].clone());
    double["layers"][0]["annotations"]["org.opencontainers.image.title"] = json!("x.debug");
    hang(&double);
    refused(&at, &pull, 8, &["x.debug", "app.debug is for the same place"]);
    // Nor does a program come along under another name.
    other["layers"][0]["mediaType"] = json!("application/vnd.xpost.binary.elf.v1");
    other["layers"][0]["annotations"] = json!({"org.opencontainers.image.title": "ls"});
    hang(&other);
    at.run(pull).succeeds();
    assert!(!at.path("site/ls").exists(), "{:?}", at.list());
    assert_eq!(at.read("site/app"), at.read("xpost-out/linux-amd64/app"));
}

#[test]
fn one_missing_debug_file_of_several_stops_a_pull() {
    let at = published(release::large());
    let (_, amd64, _) = manifests(&at);
    let without = referrers(&at, &amd64).into_iter().filter(|entry| {
        entry["artifactType"] != DEBUG
            || document(&at, entry["digest"].as_str().unwrap())["layers"][0]["annotations"]
                ["org.opencontainers.image.title"]
                != "tool.debug"
    });
    list_referrers(&at, &amd64, without.collect());
    refused(&at, &[&PULL[..], &["--debug"]].concat(), 4, &["tool.debug is signed and not there"]);
    let verified = at.run(VERIFY).succeeds();
    assert!(verified.stdout.contains("signed, and not there  tool.debug"), "{verified:?}");
    at.run(PULL).succeeds();
}

#[test]
fn an_sbom_that_was_made_anew_is_signed_beside_the_old_one() {
    let at = published(release::small());
    let mut sbom = at.command(["sbom"]);
    let ran = Ran::of(&tools::output(sbom.env("SOURCE_DATE_EPOCH", "1700000000"))).succeeds();
    assert!(ran.stderr.contains("it does not cover the new SBOM"), "{ran:?}");
    at.run(["sign", "--key", "release.key"]).succeeds();
    let again = at.run(["push", "oci:lay:v1", "--json"]).succeeds().json();
    assert_eq!(again["receipt"]["tags"][0]["state"], "unchanged", "{again}");
    let verified = at.run(VERIFY).succeeds();
    assert_eq!(verified.stdout.matches("    signed      app.cdx.json").count(), 4, "{verified:?}");
    assert!(!verified.stdout.contains("not signed"), "{verified:?}");
}

#[test]
fn an_sbom_of_others_is_listed_whatever_its_file_is_called() {
    let (at, server) = (release::small(), Server::start(Kind::Distribution));
    let repository = format!("{}/app", server.localhost());
    let index = at.run(["push", &format!("{repository}:v1"), "--json"]).succeeds().json();
    let index = index["digest"].as_str().unwrap();
    let manifest = tools::stdout(
        tools::tool("crane", at.home()).args(["manifest", &format!("{repository}@{index}")]),
    );
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let amd64 = manifest["manifests"][0]["digest"].as_str().unwrap();
    at.put("out/their.json", "{}");
    let absolute = at.path("out/their.json").display().to_string();
    for (subject, file) in
        [(index, absolute.as_str()), (amd64, &absolute), (amd64, "out/their.json")]
    {
        let mut oras = tools::tool("oras", at.home());
        oras.current_dir(at.home()).args(["attach", "--plain-http", "--artifact-type"]);
        oras.args(["application/vnd.cyclonedx+json", &format!("{repository}@{subject}")]);
        oras.arg("--disable-path-validation");
        tools::stdout(oras.arg(format!("{file}:application/vnd.cyclonedx+json")));
    }
    let verified =
        at.run(["verify", &format!("{repository}:v1"), "--key", "release.pub"]).succeeds();
    let listed = verified.stdout.matches("not signed  application/vnd.cyclonedx+json  sha256:");
    assert_eq!(listed.count(), 2, "{verified:?}");
    assert!(verified.stdout.contains("not signed  out/their.json  sha256:"), "{verified:?}");
}

// --- push: what belongs together

#[test]
fn a_release_that_changed_after_signing_is_not_pushed() {
    let change = |name: &str, change: fn(&mut Vec<u8>)| {
        let at = release::small();
        let mut bytes = at.read(name);
        change(&mut bytes);
        at.put(name, bytes);
        at
    };
    let at = change("xpost-out/linux-amd64/app.cdx.json", |bytes| bytes.push(b'\n'));
    let said = ["app.sigstore.json does not cover app.cdx.json sha256:", "hint: ", "xpost sign"];
    let ran = refused(&at, &["push", "oci:lay:v1"], 3, &said);
    assert!(ran.stderr.contains("index.sigstore.json does not cover linux-amd64/app.cdx.json"));

    let at = change("xpost-out/linux-arm64/app.debug", |bytes| bytes.push(0));
    refused(&at, &["push", "oci:lay:v1"], 3, &["app.debug is not the debug file of app", "CRC-32"]);
    // A byte of a string that is printed; the file is still a program.
    let at = change("xpost-out/linux-amd64/app", |bytes| {
        let place = bytes.windows(7).position(|window| window == b"entries").unwrap();
        bytes[place] = b'E';
    });
    refused(&at, &["push", "oci:lay:v1"], 3, &["app.cdx.json describes another app"]);
    std::fs::remove_file(at.path("xpost-out/linux-amd64/app.cdx.json")).unwrap();
    refused(&at, &["push", "oci:lay:v1"], 3, &["app.sigstore.json does not cover app sha256:"]);
    // What is in release.json is signed, too.
    let at = change("xpost-out/release.json", |bytes| {
        *bytes = br#"{"annotations":{"org.opencontainers.image.version":"9"}}"#.to_vec();
    });
    refused(&at, &["push", "oci:lay:v1"], 3, &["index.sigstore.json does not cover oci:index"]);
}

#[test]
fn a_signature_that_is_missing_among_others_stops_a_push() {
    for (missing, said) in [
        ("xpost-out/index.sigstore.json", "oci:index has no signature"),
        ("xpost-out/linux-arm64/app.sigstore.json", "oci:linux/arm64 has no signature"),
    ] {
        let at = release::small();
        std::fs::remove_file(at.path(missing)).unwrap();
        refused(&at, &["push", "oci:lay:v1"], 3, &[said, "though other manifests have one"]);
    }
    let at = release::large();
    std::fs::remove_file(at.path("xpost-out/linux-amd64/tool.sigstore.json")).unwrap();
    refused(&at, &["push", "oci:lay:v1"], 3, &["linux-amd64 are not all there"]);
    // Signing anew puts it right, with what is there.
    let before = at.read("xpost-out/linux-amd64/app.sigstore.json");
    at.run(["sign", "--key", "release.key"]).succeeds();
    assert_eq!(at.read("xpost-out/linux-amd64/tool.sigstore.json"), before);
    at.run(["push", "oci:lay:v1"]).succeeds();
}

#[test]
fn a_signature_of_a_file_that_is_gone_stops_a_push() {
    for (gone, also) in [("app.cdx.json", ""), ("app.debug", ""), ("app.debug", "--no-debug")] {
        let at = release::small();
        std::fs::remove_file(at.path("xpost-out/linux-amd64").join(gone)).unwrap();
        let said = [
            &format!("linux-amd64/app.sigstore.json covers {gone}, which is not there any more"),
            &format!("index.sigstore.json covers linux-amd64/{gone}, which is not"),
            "run xpost sign again",
        ];
        let push = ["push", "oci:lay:v1", also];
        let push: Vec<_> = push.into_iter().filter(|word| !word.is_empty()).collect();
        refused(&at, &push, 3, &said);
        at.run(["sign", "--key", "release.key"]).succeeds();
        at.run(push).succeeds();
        at.run(["verify", "oci:lay:v1", "--key", "release.pub"]).succeeds();
    }
}

#[test]
fn companions_of_another_binary_are_neither_signed_nor_pushed() {
    let at = release::unsigned();
    at.put("xpost-out/linux-amd64/app.debug", at.read("xpost-out/linux-arm64/app.debug"));
    let said = ["app.debug is not the debug file of app", "its build-id is"];
    refused(&at, &["push", "oci:lay:v1"], 3, &said);
    refused(&at, &["sign", "--key", "release.key"], 3, &said);
    let annotated = ["sign", "--key", "release.key", "--annotation", "a=b"];
    refused(&at, &annotated, 3, &said);

    let at = release::unsigned();
    at.put("xpost-out/linux-amd64/app.cdx.json", at.read("xpost-out/linux-arm64/app.cdx.json"));
    refused(&at, &["push", "oci:lay:v1"], 3, &["app.cdx.json describes another app"]);
    refused(&at, &["sign", "--key", "release.key"], 3, &["app.cdx.json describes another app"]);
    at.put("xpost-out/linux-amd64/app.cdx.json", "[]");
    refused(&at, &["push", "oci:lay:v1"], 3, &["does not state the hash of app"]);
}

#[test]
fn a_debug_file_with_nothing_to_show_for_itself_is_not_pushed() {
    // Without a build-id only the link's checksum tells, whatever the two files are called by now.
    let mut builder = Builder::usual();
    builder.sections.retain(|section| section.name != ".note.gnu.build-id");
    builder.segments.retain(|(kind, _)| *kind != object::elf::PT_NOTE);
    let at = xpost();
    at.put("app", builder.build());
    at.run(["slim", "--build-id", "keep", "app"]).succeeds();
    let out = at.path("xpost-out/linux-amd64");
    for (from, to) in [("app", "tool"), ("app.debug", "tool.debug")] {
        std::fs::rename(out.join(from), out.join(to)).unwrap();
    }
    at.run(["push", "oci:lay:v1", "--dry-run"]).succeeds();
    let changed = [at.read("xpost-out/linux-amd64/tool.debug"), vec![0]].concat();
    at.put("xpost-out/linux-amd64/tool.debug", changed);
    refused(&at, &["push", "oci:lay:v1"], 3, &["tool.debug is not the debug file of tool"]);
}

#[test]
fn a_binary_under_a_platform_it_is_not_is_not_pushed() {
    let at = release::unsigned();
    at.put("xpost-out/linux-arm64/wrong", at.read("xpost-out/linux-amd64/app"));
    let said = ["linux-arm64/wrong is a linux/amd64 binary", "belongs into linux-amd64"];
    refused(&at, &["push", "oci:lay:v1"], 3, &said);
    refused(&at, &["sign", "--key", "release.key"], 3, &said);
}

#[test]
fn of_two_libcs_for_one_platform_the_usual_one_is_pulled_unless_the_other_is_named() {
    let at = release::unsigned();
    let file = corpus::path("c-musl-dynamic");
    at.run(["slim", "--name", "app", file.to_str().unwrap()]).succeeds();
    at.run(["sbom"]).succeeds();
    at.run(["sign", "--key", "release.key"]).succeeds();
    at.run(["push", "oci:lay:v1"]).succeeds();
    let pull = ["pull", "oci:lay:v1", "--key", "release.pub", "-o", "site"];
    at.run(pull).succeeds();
    assert_eq!(at.read("site/app"), at.read("xpost-out/linux-amd64/app"));
    at.run(pull.into_iter().chain(["--target", "x86_64-unknown-linux-musl"])).succeeds();
    assert_eq!(at.read("site/app"), at.read("xpost-out/linux-amd64-musl/app"));
    let other = pull.into_iter().chain(["--target", "x86_64-pc-windows"]);
    at.run(other).exits(5, &["x86_64-unknown-linux-musl", "aarch64-unknown-linux"]);
}

#[test]
fn annotations_of_a_signed_release_belong_to_sign() {
    let at = release::small();
    let push = ["push", "oci:lay:v1", "--annotation", "org.opencontainers.image.version=2"];
    refused(
        &at,
        &push,
        3,
        &["cannot annotate this release", "hint: give --annotation to xpost sign"],
    );
    // What it says already is no news.
    let same = format!("org.opencontainers.image.version={VERSION}");
    at.run(["push", "oci:lay:v1", "--annotation", &same]).succeeds();
    // A push that is refused leaves no annotations behind, one that is not keeps them for the next.
    let at = published(release::unsigned());
    refused(&at, &push, 3, &["is already sha256:"]);
    at.run(push.into_iter().chain(["--overwrite"])).succeeds();
    let again = at.run(["push", "oci:lay:v1", "--json"]).succeeds().json();
    assert_eq!(again["receipt"]["tags"][0]["state"], "unchanged");
}

#[test]
fn an_empty_release_directory_is_not_found() {
    let at = xpost();
    for command in [&["push", "oci:lay:v1"][..], &["sbom"], &["sign", "--key", "release.key"]] {
        let at = xpost();
        at.run(["sign", "--generate-key", "release.key"]).succeeds();
        refused(&at, command, 5, &["xpost-out", "hint: make one: xpost slim"]);
        std::fs::create_dir_all(at.path("xpost-out/linux-amd64")).unwrap();
        refused(&at, command, 5, &["there is no release in xpost-out", "xpost slim"]);
    }
    refused(&at, &["sign"], 2, &["--key"]);
}

#[test]
fn keys_are_never_replaced() {
    let at = release::small();
    refused(&at, &["sign", "--generate-key", "release.key"], 3, &["release.key exists"]);
    std::fs::remove_file(at.path("release.key")).unwrap();
    refused(&at, &["sign", "--generate-key", "release.key"], 3, &["release.pub exists"]);
    refused(&at, &["sign", "--generate-key", "new.pub"], 2, &[".pub is the public key's"]);
    refused(&at, &["sign", "--key", "release.pub"], 8, &["cannot use the key release.pub"]);
}

// --- layouts that are damaged

#[test]
fn a_directory_that_is_no_layout_is_left_alone() {
    let at = release::small();
    at.put("home/letter.txt", "dear");
    let said =
        ["home holds other things than an OCI layout", "hint: name one that is empty or new"];
    refused(&at, &["push", "oci:home:v1"], 3, &said);
    refused(&at, &["pull", "oci:home:v1"], 8, &["home is no OCI layout", "oci-layout"]);
    refused(&at, &["verify", "oci:home:v1", "--key", "release.pub"], 8, &["home is no OCI layout"]);
    refused(&at, &["push", "oci:home/letter.txt:v1"], 8, &["it is not a directory"]);
    at.put("old/oci-layout", r#"{"imageLayoutVersion":"9"}"#);
    refused(&at, &["push", "oci:old:v1"], 8, &["states no version 1"]);
    at.put("bad/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    at.put("bad/index.json", "{]");
    refused(&at, &["push", "oci:bad:v1"], 8, &["index.json in oci:bad is malformed"]);
    refused(&at, &["pull", "oci:bad:v1"], 8, &["index.json in oci:bad is malformed"]);
}

#[test]
fn a_blob_that_was_tampered_with_is_not_pulled() {
    for name in ["app", "app.debug"] {
        let at = published(release::small());
        let mut bytes = at.read(format!("xpost-out/linux-amd64/{name}"));
        let digest = xpost::digest::Digest::of(&bytes);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        at.put(&format!("lay/blobs/sha256/{}", digest.hex()), &bytes);
        let said = ["the digest should be ", &digest.to_string()];
        refused(&at, &[&PULL[..], &["--debug"]].concat(), 8, &said);
        bytes.push(0);
        at.put(&format!("lay/blobs/sha256/{}", digest.hex()), &bytes);
        refused(&at, &[&PULL[..], &["--debug"]].concat(), 8, &["the size should be "]);
        // Pulled over an older file, that file stays.
        at.put("site/app", "older");
        refused(&at, &[&PULL[..], &["--debug"]].concat(), 8, &["the size should be "]);
    }
}

#[test]
fn a_manifest_that_was_tampered_with_is_not_read() {
    let at = published(release::small());
    let (index, amd64, _) = manifests(&at);
    for digest in [amd64, index] {
        let name = format!("lay/blobs/sha256/{}", &digest[7..]);
        let mut bytes = at.read(&name);
        let last = bytes.len() - 2;
        bytes.insert(last, b' ');
        at.put(&name, bytes);
        refused(&at, &VERIFY, 8, &[&digest]);
        refused(&at, &PULL, 8, &[&digest]);
    }
}

#[test]
fn a_file_name_from_a_registry_stays_in_its_directory() {
    let at = published(release::unsigned());
    let (index, amd64, _) = manifests(&at);
    for title in ["../app", "/tmp/app", "a/b", "..", "app\u{202e}", "NUL", ""] {
        let mut manifest = document(&at, &amd64);
        manifest["layers"][0]["annotations"]["org.opencontainers.image.title"] = json!(title);
        let entry = put(&at, MANIFEST, &manifest);
        let mut root = document(&at, &index);
        root["manifests"][0]["digest"] = entry["digest"].clone();
        root["manifests"][0]["size"] = entry["size"].clone();
        tag(&at, "mean", &put(&at, INDEX, &root));
        refused(&at, &["pull", "oci:lay:mean", "-o", "site"], 8, &["is no file name to write to"]);
    }
}

// --- layouts by hand, as whoever may push could make them

fn corpus_bytes(name: &str) -> Vec<u8> {
    std::fs::read(corpus::path(name)).unwrap()
}

fn document(at: &Xpost, digest: &str) -> Value {
    serde_json::from_slice(&at.read(format!("lay/blobs/sha256/{}", &digest[7..]))).unwrap()
}

/// The digests of the index under v1 and its two manifests.
fn manifests(at: &Xpost) -> (String, String, String) {
    let entry = entries(at).into_iter().find(|entry| name_of(entry) == Some("v1")).unwrap();
    let index = entry["digest"].as_str().unwrap().to_owned();
    let children = document(at, &index)["manifests"].clone();
    let digest = |place: usize| children[place]["digest"].as_str().unwrap().to_owned();
    (index, digest(0), digest(1))
}

fn entries(at: &Xpost) -> Vec<Value> {
    let index: Value = serde_json::from_slice(&at.read("lay/index.json")).unwrap();
    index["manifests"].as_array().unwrap().clone()
}

fn name_of(entry: &Value) -> Option<&str> {
    entry["annotations"]["org.opencontainers.image.ref.name"].as_str()
}

fn put_bytes(at: &Xpost, bytes: &[u8]) -> Value {
    let digest = xpost::digest::Digest::of(bytes);
    at.put(&format!("lay/blobs/sha256/{}", digest.hex()), bytes);
    json!({"digest": digest.to_string(), "size": bytes.len()})
}

/// Puts a document into the layout; gives its descriptor.
fn put(at: &Xpost, kind: &str, document: &Value) -> Value {
    let mut descriptor = put_bytes(at, document.to_string().as_bytes());
    descriptor["mediaType"] = json!(kind);
    descriptor
}

/// Points a tag at a document.
fn tag(at: &Xpost, name: &str, descriptor: &Value) {
    let mut rest = entries(at);
    rest.retain(|entry| name_of(entry) != Some(name));
    let mut entry = descriptor.clone();
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    rest.push(entry);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": rest});
    at.put("lay/index.json", index.to_string());
}

/// What the fallback list of a manifest holds.
fn referrers(at: &Xpost, subject: &str) -> Vec<Value> {
    let name = subject.replace(':', "-");
    let list = entries(at).into_iter().find(|entry| name_of(entry) == Some(&name)).unwrap();
    document(at, list["digest"].as_str().unwrap())["manifests"].as_array().unwrap().clone()
}

/// Replaces the fallback list of a manifest; what has a tag of its own is in no other list.
fn list_referrers(at: &Xpost, subject: &str, referrers: Vec<Value>) {
    let mut rest = entries(at);
    rest.retain(|entry| !name_of(entry).is_some_and(|name| name.starts_with("buildid-")));
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": rest});
    at.put("lay/index.json", index.to_string());
    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": referrers});
    tag(at, &subject.replace(':', "-"), &put(at, INDEX, &list));
}
