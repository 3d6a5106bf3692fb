//! The whole road: from the compiler's output to gdb on a core, through every kind of store there is, and what other
//! programs make of what lies there.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::release::{self, VERSION, push};
use crate::support::server::{Kind, Server};
use crate::support::xpost::{Xpost, xpost};
use crate::support::{corpus, tools};

/// The type of a signature, as artifact and as layer.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

#[test]
fn the_road_leads_through_distribution_3_to_gdb() {
    through_registry(Kind::Distribution);
}

#[test]
fn the_road_leads_through_distribution_2_to_gdb() {
    through_registry(Kind::DockerRegistry);
}

#[test]
fn the_road_leads_through_ociserver_to_gdb() {
    through_registry(Kind::Cuelabs);
}

#[test]
fn the_road_leads_through_go_containerregistry_to_gdb() {
    through_registry(Kind::Ggcr);
}

#[test]
fn the_road_leads_through_a_directory_to_gdb() {
    let at = release::large();
    through(&at, "oci:lay/out:v1");
    // In a directory with one release nobody has to say which.
    let verified = at.run(["verify", "oci:lay/out", "--key", "release.pub"]).succeeds();
    assert!(verified.stdout.contains(VERSION), "{verified:?}");
}

fn through_registry(kind: Kind) {
    let server = Server::start(kind);
    through(&release::large(), &server.reference("org/app:v1"));
}

/// Push, verify, pull for this machine and another, run, debug.
fn through(at: &Xpost, reference: &str) {
    let pushed = at.run(["push", reference, "--json"]).succeeds().json();
    let digest = pushed["digest"].as_str().unwrap().to_owned();
    let verify = ["verify", reference, "--key", "release.pub", "--require-version", VERSION];
    let verified = at.run(verify).succeeds();
    assert!(verified.stdout.contains(&digest), "{verified:?}");
    assert!(!verified.stdout.contains("not signed"), "{verified:?}");

    let pull = ["pull", reference, "-o", "site", "--debug", "--key", "release.pub", "--json"];
    let pulled = at.run(pull).succeeds().json();
    assert_eq!((&pulled["digest"], &pulled["verified"]), (&json!(digest), &json!(true)));
    for (name, slim) in [("site/app", "linux-amd64/app"), ("site/tool", "linux-amd64/tool")] {
        assert_eq!(at.read(name), at.read(Path::new("xpost-out").join(slim)), "{name}");
        assert_eq!(tools::stdout(&mut Command::new(at.path(name))), "3 entries, 859 cents\n");
    }
    make_core(at, "site/app", "c-glibc-static");
    debug(at, &["site/app", "core"], "main (argc=1");
    // The core alone names its program by build-id.
    std::fs::remove_file(at.path("site/app")).unwrap();
    debug(at, &["-core", "core"], "main (argc=1");

    let arm = ["pull", reference, "-o", "arm", "--platform", "linux/arm64", "--debug"];
    at.run(arm.into_iter().chain(["--key", "release.pub"])).succeeds();
    for (name, binary) in [("arm/app", "c-arm64-static"), ("arm/tool", "go-arm64")] {
        let printed = tools::stdout(&mut corpus::get(binary).command(&at.path(name)));
        assert_eq!(printed, "3 entries, 859 cents\n", "{name}");
    }
    let ids = at.list().into_iter().filter(|name| name.starts_with("arm/debug/.build-id/"));
    assert_eq!(ids.filter(|name| name.ends_with(".debug")).count(), 2, "{:?}", at.list());
}

/// Makes a core of a pulled program.
fn make_core(at: &Xpost, program: &str, binary: &str) {
    let stop = format!("break {}", corpus::get(binary).stop());
    let arguments = ["-ex", &stop, "-ex", "run", "-ex", "generate-core-file core", "-ex", "kill"];
    gdb(at, &[&arguments[..], &[program]].concat());
    assert!(at.path("core").exists());
}

/// Wants every frame of the core back, with file and line.
fn debug(at: &Xpost, program_and_core: &[&str], outermost: &str) {
    let said = gdb(at, &[&["-ex", "bt"], program_and_core].concat());
    let is_first =
        |line: &&str| line.starts_with("#0  add (") || line.starts_with("#0  main.add (");
    let lines = said.lines().skip_while(|line| !is_first(line));
    let frames: Vec<_> = lines.filter(|line| line.starts_with('#')).collect();
    assert!(frames.len() >= 4, "{program_and_core:?}: {said}");
    for frame in &frames {
        let place = frame.rsplit_once(" at ").map(|(_, place)| place);
        let line = place.and_then(|place| place.rsplit_once(':')).map(|(_, line)| line);
        assert!(line.is_some_and(|line| line.parse::<u32>().is_ok()), "{frame}\n{said}");
    }
    assert!(frames.iter().any(|frame| frame.contains(outermost)), "{said}");
}

fn gdb(at: &Xpost, arguments: &[&str]) -> String {
    let mut gdb = tools::tool("gdb", at.home());
    gdb.current_dir(at.home()).args(["-nx", "-batch", "-iex", "set pagination off"]);
    gdb.args(["-iex", "set debuginfod enabled off"]);
    tools::stdout(gdb.args(["-iex", "set debug-file-directory site/debug"]).args(arguments))
}

#[test]
fn a_core_of_a_go_program_opens_with_every_frame() {
    let at = release::large();
    at.run(["push", "oci:lay:v1"]).succeeds();
    at.run(["pull", "oci:lay:v1", "-o", "site", "--debug"]).succeeds();
    make_core(&at, "site/tool", "go");
    debug(&at, &["site/tool", "core"], "main.main ()");
}

#[test]
fn the_manifests_are_those_of_the_published_format() {
    let at = release::large();
    let digest = push(&at, "oci:lay:v1");
    let empty = json!({
        "mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "data": "e30=",
        "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    });
    let size = |name: &str| at.read(Path::new("xpost-out").join(name)).len();
    let hash = |name: &str| {
        xpost::digest::Digest::of(&at.read(Path::new("xpost-out").join(name))).to_string()
    };

    let index = layout_json(&at, &digest);
    let children = index["manifests"].as_array().unwrap().clone();
    assert_eq!(
        index,
        json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "artifactType": "application/vnd.xpost.release.v1",
            "annotations": {"org.opencontainers.image.version": VERSION},
            "manifests": children,
        })
    );
    assert_eq!(children.len(), 2);
    for (child, (architecture, target)) in
        children.iter().zip([("amd64", "x86_64-unknown-linux"), ("arm64", "aarch64-unknown-linux")])
    {
        assert_eq!(
            *child,
            json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": child["digest"], "size": child["size"],
                "platform": {"os": "linux", "architecture": architecture},
                "annotations": {"dev.xpost.target": target},
            })
        );
        let directory = format!("linux-{architecture}");
        let manifest = layout_json(&at, child["digest"].as_str().unwrap());
        let id = |name: &str| build_id(&at, &format!("{directory}/{name}"));
        let layer = |name: &str| {
            json!({
                "mediaType": "application/vnd.xpost.binary.elf.v1",
                "digest": hash(&format!("{directory}/{name}")), "size": size(&format!("{directory}/{name}")),
                "annotations": {
                    "org.opencontainers.image.title": name, "dev.xpost.build-id": id(name), "dev.xpost.mode": "0755",
                },
            })
        };
        assert_eq!(
            manifest,
            json!({
                "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "artifactType": "application/vnd.xpost.binary.v1", "config": empty,
                "layers": [layer("app"), layer("tool")],
            })
        );

        let subject = json!({
            "mediaType": child["mediaType"], "digest": child["digest"], "size": child["size"],
        });
        let listed = listed(&at, child["digest"].as_str().unwrap());
        let (mut debug, mut sboms, mut bundles) = (0, 0, 0);
        for entry in &listed {
            let referrer = layout_json(&at, entry["digest"].as_str().unwrap());
            assert_eq!((&referrer["subject"], &referrer["config"]), (&subject, &empty));
            assert_eq!(entry["artifactType"], referrer["artifactType"]);
            assert_eq!(entry.get("annotations"), referrer.get("annotations"));
            assert_eq!(referrer["layers"].as_array().unwrap().len(), 1);
            let (kind, layer) =
                (referrer["artifactType"].as_str().unwrap(), &referrer["layers"][0]);
            let title = layer["annotations"]["org.opencontainers.image.title"].as_str();
            match kind {
                "application/vnd.xpost.debuginfo.v1" => {
                    debug += 1;
                    let name = title.unwrap().strip_suffix(".debug").unwrap();
                    assert_eq!(layer["mediaType"], "application/vnd.xpost.debuginfo.elf.v1");
                    assert_eq!(layer["digest"], json!(hash(&format!("{directory}/{name}.debug"))));
                    for at in [layer, &referrer] {
                        assert_eq!(at["annotations"]["dev.xpost.build-id"], json!(id(name)));
                        assert!(
                            at["annotations"]["dev.xpost.load-digest"]
                                .as_str()
                                .unwrap()
                                .starts_with("sha256:")
                        );
                    }
                    assert_eq!(tagged(&at, &format!("buildid-{}", id(name))), entry["digest"]);
                }
                "application/vnd.cyclonedx+json" => {
                    sboms += 1;
                    assert_eq!(layer["mediaType"], kind);
                    assert!(title.unwrap().ends_with(".cdx.json"));
                    assert!(referrer.get("annotations").is_none());
                }
                BUNDLE => {
                    bundles += 1;
                    assert_eq!(layer["mediaType"], kind);
                    assert_eq!(
                        referrer["annotations"]["dev.sigstore.bundle.content"],
                        "dsse-envelope"
                    );
                    assert_eq!(
                        referrer["annotations"]["dev.sigstore.bundle.predicateType"],
                        "https://sigstore.dev/cosign/sign/v1"
                    );
                }
                other => panic!("{other}"),
            }
        }
        assert_eq!((debug, sboms, bundles), (2, 2, 1), "{listed:?}");
    }
    let on_index = listed(&at, &digest);
    assert_eq!(on_index.len(), 1);
    assert_eq!(on_index[0]["artifactType"], BUNDLE);
    let entries: Value = serde_json::from_slice(&at.read("lay/index.json")).unwrap();
    let kinds = entries["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["annotations"]["kind"] == "dev.cosignproject.cosign/image");
    assert_eq!(kinds.map(|entry| entry["digest"].clone()).collect::<Vec<_>>(), [json!(digest)]);
}

/// The build-id of a file of the release, as readelf reads it.
fn build_id(at: &Xpost, name: &str) -> String {
    let path = at.path("xpost-out").join(name);
    let said = tools::stdout(tools::tool("readelf", at.home()).arg("-n").arg(path));
    said.split_once("Build ID: ").unwrap().1.split_whitespace().next().unwrap().to_owned()
}

/// A document in the layout.
fn layout_json(at: &Xpost, digest: &str) -> Value {
    let bytes =
        at.read(Path::new("lay/blobs/sha256").join(digest.strip_prefix("sha256:").unwrap()));
    serde_json::from_slice(&bytes).unwrap()
}

/// The digest under a tag of the layout.
fn tagged(at: &Xpost, tag: &str) -> Value {
    let index: Value = serde_json::from_slice(&at.read("lay/index.json")).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    let named = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == tag;
    entries.iter().find(named).unwrap_or_else(|| panic!("no tag {tag} in {index}"))["digest"]
        .clone()
}

/// The entries of the fallback index of a manifest in the layout.
fn listed(at: &Xpost, digest: &str) -> Vec<Value> {
    let list = tagged(at, &digest.replace(':', "-"));
    layout_json(at, list.as_str().unwrap())["manifests"].as_array().unwrap().clone()
}

#[test]
fn a_fallback_list_has_the_type_and_annotations_of_every_entry() {
    let (at, server) = (release::small(), Server::start(Kind::Distribution));
    let reference = format!("{}/org/app:v1", server.localhost());
    push(&at, &reference);
    let json = |reference: &str| -> Value {
        serde_json::from_str(&crane(&at, &["manifest", reference])).unwrap()
    };
    let index = json(&reference);
    let amd64 = index["manifests"][0]["digest"].as_str().unwrap();
    let list = json(&format!("{}/org/app:{}", server.localhost(), amd64.replace(':', "-")));
    assert_eq!(list["mediaType"], "application/vnd.oci.image.index.v1+json");
    let entries = list["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 3, "{list}");
    for entry in entries {
        let manifest =
            json(&format!("{}/org/app@{}", server.localhost(), entry["digest"].as_str().unwrap()));
        assert_eq!(entry["artifactType"], manifest["artifactType"]);
        assert_eq!(entry.get("annotations"), manifest.get("annotations"));
    }
    let id = build_id(&at, "linux-amd64/app");
    let debug = crane(&at, &["digest", &format!("{}/org/app:buildid-{id}", server.localhost())]);
    assert!(entries.iter().any(|entry| entry["digest"] == debug.trim()), "{debug} in {list}");
}

#[test]
fn the_same_release_has_the_same_digest_everywhere() {
    let (at, server) = (release::small(), Server::start(Kind::Cuelabs));
    let reference = server.reference("org/app:v1");
    assert_eq!(push(&at, &reference), push(&at, "oci:lay:v1"));
    // Made anew in another directory, at another time, and signed with another key: the same manifests.
    let again = xpost();
    for (name, binary) in [("app", "c-musl"), ("app", "c-arm64-static")] {
        let file = corpus::path(binary);
        again.run(["slim", "-K", "main", "--name", name, file.to_str().unwrap()]).succeeds();
    }
    again.run(["sbom"]).succeeds();
    again.run(["sign", "--generate-key", "k.key"]).succeeds();
    let version = format!("org.opencontainers.image.version={VERSION}");
    again.run(["sign", "--key", "k.key", "--annotation", &version]).succeeds();
    assert_eq!(push(&again, "oci:lay:v1"), push(&at, "oci:lay:v1"));
}

#[test]
fn a_second_push_sends_nothing_and_moves_nothing() {
    let server = Server::start(Kind::DockerRegistry);
    for reference in [server.reference("org/app:v1"), "oci:lay:v1".to_owned()] {
        let at = release::small();
        let first = at.run(["push", &reference, "--json"]).succeeds().json();
        assert_eq!(first["receipt"]["tags"][0]["state"], "created", "{first}");
        let before = (at.list(), server.log().matches("http.request.method=PUT").count());
        let second = at.run(["push", &reference, "--json"]).succeeds().json();
        assert_eq!(second["digest"], first["digest"]);
        assert_eq!(second["receipt"]["tags"][0]["state"], "unchanged", "{second}");
        for part in ["blobs", "manifests"] {
            let parts = second["receipt"][part].as_array().unwrap();
            assert!(
                !parts.is_empty() && parts.iter().all(|part| part["state"] == "present"),
                "{second}"
            );
        }
        assert_eq!(second["receipt"]["fallback_tags"], json!([]));
        assert_eq!(before, (at.list(), server.log().matches("http.request.method=PUT").count()));
    }
}

#[test]
fn a_signature_that_is_good_is_left_alone_and_another_keys_is_replaced() {
    let at = release::small();
    let read = || release::bundles(&at).iter().map(|path| at.read(path)).collect::<Vec<_>>();
    let before = read();
    let again = at.run(["sign", "--key", "release.key"]).succeeds();
    assert_eq!(again.stdout.matches("signed already").count(), 3, "{again:?}");
    assert_eq!(read(), before);
    at.run(["sign", "--generate-key", "other.key"]).succeeds();
    let other = at.run(["sign", "--key", "other.key"]).succeeds();
    assert_eq!(
        other.stdout.matches("replaced the signature of another key").count(),
        3,
        "{other:?}"
    );
    assert!(read().iter().zip(&before).all(|(now, before)| now != before));
    push(&at, "oci:lay:v1");
    at.run(["verify", "oci:lay:v1", "--key", "other.pub"]).succeeds();
    at.run(["verify", "oci:lay:v1", "--key", "release.pub"])
        .exits(4, &["not signed with this key"]);
}

fn crane(at: &Xpost, arguments: &[&str]) -> String {
    tools::stdout(tools::tool("crane", at.home()).args(arguments))
}
