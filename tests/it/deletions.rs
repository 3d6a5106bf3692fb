//! `xpost delete`: all that belongs to a release goes, and nothing that another one needs.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::faulty::{self, Faulty};
use serde_json::{Value, json};

use crate::support::release::{self, BY_COSIGN, cosign, push, refused};
use crate::support::server::{ALL, Auth, Kind, PASSWORD, Server, login};
use crate::support::tools;
use crate::support::xpost::Xpost;

fn tool(at: &Xpost, name: &str, arguments: &[&str]) -> String {
    tools::stdout(tools::tool(name, at.home()).current_dir(at.home()).args(arguments))
}

/// The tags of a repository, as its registry lists them.
fn tags(at: &Xpost, repository: &str) -> String {
    let (host, name) = repository.split_once('/').unwrap();
    let mut curl = tools::tool("curl", at.home());
    let listed = tools::stdout(curl.args(["-s", &format!("http://{host}/v2/{name}/tags/list")]));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let tags = listed["tags"].as_array().into_iter().flatten();
    tags.map(|tag| tag.as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

/// The unsigned release as v1, and as v2 with another annotation: two indexes of the same manifests.
fn two_releases(at: &Xpost, repository: &str) -> [String; 2] {
    let [v1, v2] = ["v1", "v2"].map(|tag| format!("{repository}:{tag}"));
    push(at, &v1);
    at.run(["push", &v2, "--annotation", "org.opencontainers.image.version=2"]).succeeds();
    [v1, v2]
}

#[test]
fn a_release_goes_from_any_registry_and_what_another_needs_stays() {
    for kind in ALL {
        let (at, server) = (release::unsigned(), Server::start(kind));
        let repository = format!("{}/org/app", server.localhost());
        let [v1, v2] = two_releases(&at, &repository);
        let tree = at.run(["discover", &v1, "--json"]).succeeds().json();
        let dry = at.run(["delete", &v1, "--dry-run", "--json"]).succeeds().json();
        assert_eq!((&dry["tags"], &dry["digest"]), (&json!(["v1"]), &tree["digest"]));
        at.run(["verify", &v1, "--complete"]).succeeds();

        let deleted = at.run(["delete", &v1, "--json"]).succeeds().json();
        assert_eq!(deleted["manifests"].as_array().unwrap().len(), 1, "{deleted}");
        assert_eq!(deleted["spared"].as_array().unwrap().len(), 2, "{deleted}");
        refused(&at, &["discover", &v1], 5, &["has no tag v1"]);
        at.run(["verify", &v2, "--complete"]).succeeds();
        let id = tree["tree"]["manifests"][0]["files"][0]["buildId"].as_str().unwrap().to_owned();
        at.run(["pull", &repository, "--build-id", &id, "-o", "crash"]).succeeds();

        let deleted = at.run(["delete", &v2, "--json"]).succeeds().json();
        let digests = deleted["manifests"].as_array().unwrap().iter();
        for digest in digests.map(|doomed| doomed["digest"].as_str().unwrap()) {
            let by_digest = format!("{repository}@{digest}");
            tools::failure(tools::tool("crane", at.home()).args(["manifest", &by_digest]));
        }
        refused(&at, &["pull", &repository, "--build-id", &id], 5, &["has no"]);
        // No tag is left, also none that names nothing.
        assert_eq!(tags(&at, &repository), "", "{kind:?}");
        // And it can be published again.
        push(&at, &v1);
        at.run(["verify", &v1, "--complete"]).succeeds();
    }
}

#[test]
fn what_cosign_put_beside_a_release_goes_with_it() {
    for kind in [Kind::Distribution, Kind::Cuelabs] {
        let (at, server) = (release::small(), Server::start(kind));
        let repository = format!("{}/org/app", server.localhost());
        let v1 = format!("{repository}:v1");
        let by_digest = format!("{repository}@{}", push(&at, &v1));
        cosign(&at, &["generate-key-pair"]);
        at.put("claim.json", r#"{"checked":true}"#);
        let run = |first: &[&str], last: &[&str]| {
            cosign(&at, &[first, &BY_COSIGN[..], last, &[by_digest.as_str()]].concat());
        };
        run(&["sign"], &[]);
        run(&["sign"], &["--new-bundle-format=false"]);
        run(&["attest"], &["--predicate", "claim.json", "--type", "custom"]);
        let deleted = at.run(["delete", &v1]).succeeds().stdout;
        assert!(deleted.contains(".sig\n") && !deleted.contains("stays"), "{deleted}");
        assert_eq!(tags(&at, &repository), "");
    }
}

#[test]
fn of_two_tags_one_goes_alone_where_the_registry_can() {
    for kind in ALL {
        let (at, server) = (release::small(), Server::start(kind));
        let repository = format!("{}/org/app", server.localhost());
        let [v1, latest, own] = ["v1", "latest", "own"].map(|tag| format!("{repository}:{tag}"));
        at.run(["push", &v1, "--tag", "latest", "--tag", "own"]).succeeds();
        let digest = push(&at, &v1);
        if kind == Kind::DockerRegistry {
            for arguments in [&["delete", &latest][..], &["delete", &latest, "--tag-only"]] {
                refused(&at, arguments, 3, &["does not delete tags", "name that by its digest"]);
            }
        } else {
            let deleted = at.run(["delete", &latest]).succeeds().stdout;
            assert!(deleted.contains("tag latest") && deleted.contains("stays"), "{deleted}");
            at.run(["delete", &own, "--tag-only"]).succeeds();
            refused(&at, &["discover", &latest], 5, &["has no tag latest"]);
        }
        at.run(["verify", &v1, "--key", "release.pub"]).succeeds();
        // By digest it goes under all its tags.
        at.run(["delete", &format!("{repository}@{digest}")]).succeeds();
        for reference in [&v1, &latest, &own] {
            refused(&at, &["discover", reference], 5, &["has no tag"]);
        }
    }
}

#[test]
fn what_was_attached_goes_alone_and_a_part_of_a_release_does_not() {
    const REPORT: &str = "application/vnd.example.report";
    for kind in ALL {
        let (at, server) = (release::small(), Server::start(kind));
        let repository = format!("{}/org/app", server.localhost());
        let v1 = format!("{repository}:v1");
        push(&at, &v1);
        at.put("report.txt", "all is well\n");
        at.run(["attach", &v1, "report.txt", "--artifact-type", REPORT]).succeeds();
        let find = ["discover", &v1, "--kind", REPORT, "--json"];
        let found = at.run(find).succeeds().json();
        let report = found["tree"]["referrers"][0]["digest"].as_str().unwrap().to_owned();
        let part = found["tree"]["digest"].clone();
        let all = at.run(["discover", &v1, "--json"]).succeeds().json();
        let child = all["tree"]["manifests"][0]["digest"].as_str().unwrap().to_owned();
        let by_digest = |digest: &str| format!("{repository}@{digest}");
        refused(&at, &["delete", &by_digest(&child)], 3, &["v1 needs it"]);
        at.run(["delete", &by_digest(&report)]).succeeds();
        refused(&at, &find, 5, &["nothing of what was asked for"]);
        let discover = ["discover", "--plain-http", "--format", "json", &v1];
        assert!(!tool(&at, "oras", &discover).contains(&report), "{kind:?}");
        at.run(["verify", &v1, "--key", "release.pub"]).succeeds();
        at.run(["verify", &v1, "--complete"]).succeeds();
        assert_eq!(at.run(["discover", &v1, "--json"]).succeeds().json()["digest"], part);
    }
}

/// The tag of the build-id of the first platform's program.
fn build_id_tag(at: &Xpost, reference: &str) -> String {
    let tree = at.run(["discover", reference, "--json"]).succeeds().json();
    format!("buildid-{}", tree["tree"]["manifests"][0]["files"][0]["buildId"].as_str().unwrap())
}

#[test]
fn a_debug_file_that_is_signed_goes_by_its_digest_alone() {
    for kind in [Kind::Distribution, Kind::Cuelabs] {
        let (at, server) = (release::small(), Server::start(kind));
        let repository = format!("{}/org/app", server.localhost());
        let [v1, kept] =
            ["org/app:v1", "org/debug"].map(|name| format!("{}/{name}", server.localhost()));
        push(&at, &v1);
        let tag = build_id_tag(&at, &v1);
        let said = ["it is signed, as a part of sha256:", "xpost delete localhost"];
        let by_tag = format!("{repository}:{tag}");
        let ran = refused(&at, &["delete", &by_tag], 3, &said);
        at.run(["verify", &v1, "--complete"]).succeeds();
        let (_, by_digest) = ran.stderr.split_once("xpost delete ").unwrap();
        let gone = at.run(["delete", by_digest.trim()]).succeeds();
        assert!(gone.stderr.contains("warning: it is signed"), "{gone:?}");
        at.run(["verify", &v1, "--complete"]).exits(3, &["the signed file app.debug is not there"]);
        // In a repository of their own they belong to nothing that is there.
        at.run(["push", &v1, "--overwrite", "--debug-to", &kept]).succeeds();
        at.run(["delete", &format!("{kept}:{tag}")]).succeeds();
    }
}

#[test]
fn the_tag_of_a_build_id_goes_over_to_what_stays() {
    for kind in ALL {
        let (at, server) = (release::unsigned(), Server::start(kind));
        let repository = format!("{}/org/app", server.localhost());
        let [v1, image] = ["v1", "image"].map(|tag| format!("{repository}:{tag}"));
        push(&at, &v1);
        at.run(["push", &image, "--image"]).succeeds();
        let tag = build_id_tag(&at, &v1);
        let id = tag.trim_start_matches("buildid-");
        // The release has the tag, although the image was last.
        let dry = at.run(["delete", &v1, "--dry-run"]).succeeds();
        assert!(dry.stdout.contains(&format!("tag {tag}  now sha256:")), "{dry:?}");
        assert!(dry.stderr.contains("shows only when it is asked"), "{dry:?}");
        at.run(["delete", &v1]).succeeds();
        let pull = ["pull", &repository, "--build-id", id, "-o", "one"];
        let pulled = at.run(pull).succeeds();
        assert!(!pulled.stderr.contains("was found around"), "{pulled:?}");
        at.run(["verify", &image, "--complete"]).succeeds();
        push(&at, &v1);
        at.run(["delete", &image]).succeeds();
        at.run(["verify", &v1, "--complete"]).succeeds();
        // And of a release and an image that stay, the release gets it.
        at.run(["push", &image, "--image"]).succeeds();
        let v2 = format!("{repository}:v2");
        at.run(["push", &v2, "--annotation", "a=b"]).succeeds();
        at.run(["delete", &v2]).succeeds();
        let pulled = at.run(["pull", &repository, "--build-id", id, "-o", "two", "--json"]);
        assert_eq!(pulled.succeeds().json()["files"].as_array().unwrap().len(), 2);
        at.run(["delete", &v1]).succeeds();
        at.run(["delete", &image]).succeeds();
        assert_eq!(tags(&at, &repository), "", "{kind:?}");
    }
    let at = release::unsigned();
    push(&at, "oci:lay:v1");
    at.run(["push", "oci:lay:image", "--image"]).succeeds();
    at.run(["delete", "oci:lay:image"]).succeeds();
    at.run(["verify", "oci:lay:v1", "--complete"]).succeeds();
}

#[test]
fn a_tag_and_a_digest_have_to_mean_the_same_where_something_goes() {
    let at = release::unsigned();
    let [v1, v2] = two_releases(&at, "oci:lay");
    let digest = |reference: &str| {
        let found = at.run(["discover", reference, "--json"]).succeeds().json();
        found["digest"].as_str().unwrap().to_owned()
    };
    let (first, second) = (digest(&v1), digest(&v2));
    let crossed = format!("{v1}@{second}");
    refused(&at, &["delete", &crossed], 3, &[&format!("v1 names {first}"), &second]);
    refused(&at, &["delete", &crossed, "--tag-only"], 3, &[&format!("v1 names {first}"), &second]);
    // Where something is read the digest decides, as with other programs, and the tag is for people.
    assert_eq!(digest(&crossed), second);
    at.put("note.txt", "note");
    let attached = at.run(["attach", &crossed, "note.txt", "--artifact-type", "a/b"]).succeeds();
    let said = format!("v1 names {first}; it is attached to {second}");
    assert!(attached.stderr.contains(&said), "{attached:?}");
    at.run(["discover", &v2, "--kind", "a/b"]).succeeds();
    at.run(["delete", &format!("{v1}@{first}")]).succeeds();
}

#[test]
fn an_archive_that_cannot_be_written_has_everything_still() {
    let at = release::unsigned();
    push(&at, "oci-archive:dir/a.tar:v1");
    // A limit on the size of files stops whoever runs the tests, root as well.
    let program = env!("CARGO_BIN_EXE_xpost");
    push(&at, "oci-archive:dir/a.tar:v2");
    at.run(["push", "oci-archive:dir/a.tar:v3", "--annotation", "a=b"]).succeeds();
    let script =
        format!("trap '' XFSZ; ulimit -f 8; exec {program} delete oci-archive:dir/a.tar:v3 --json");
    let output =
        tools::output(tools::tool("bash", at.home()).current_dir(at.home()).args(["-c", &script]));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["manifests"], &said["tags"]), (&json!([]), &json!([])), "{said}");
    assert!(!said["left"].as_array().unwrap().is_empty(), "{said}");
    at.run(["verify", "oci-archive:dir/a.tar:v3", "--complete"]).succeeds();
}

#[test]
fn a_registry_that_deletes_nothing_says_so_and_has_everything() {
    for kind in [Kind::Distribution, Kind::DockerRegistry] {
        let (at, server) = (release::small(), Server::start_without_deletion(kind));
        let repository = format!("{}/org/app", server.localhost());
        let v1 = format!("{repository}:v1");
        push(&at, &v1);
        at.put("report.txt", "all is well\n");
        let attach = ["attach", &v1, "report.txt", "--artifact-type", "a/b", "--json"];
        let report = at.run(attach).succeeds().json()["digest"].as_str().unwrap().to_owned();
        let said = ["does not delete manifests", "405", "REGISTRY_STORAGE_DELETE_ENABLED"];
        refused(&at, &["delete", &v1], 3, &said);
        refused(&at, &["delete", &format!("{repository}@{report}")], 3, &said);
        refused(&at, &["delete", &v1, "--tag-only"], 3, &["does not delete tags"]);
        for flags in [&["--json"][..], &["--json", "--tag-only"]] {
            let said = at.run([&["delete", &v1], flags].concat()).exits(3, &[]).json();
            assert_eq!((&said["tags"], &said["manifests"]), (&json!([]), &json!([])), "{said}");
        }
        at.run(["verify", &v1, "--complete"]).succeeds();
        assert!(at.run(["discover", &v1]).succeeds().stdout.contains(&report));
    }
}

#[test]
fn a_deletion_that_is_cut_short_leaves_nothing_half_and_can_be_finished() {
    for kind in [Kind::Distribution, Kind::Ggcr] {
        for last in [1, 2, 4, 7, 11] {
            let (at, server) = (release::small(), Server::start(kind));
            let repository = format!("{}/org/app", server.localhost());
            push(&at, &format!("{repository}:v1"));
            let count = AtomicUsize::new(0);
            // It is done, and the answer says something else; then there is no more to be had.
            let broken = Faulty::before(&server.host(), move |_, asked, answer| {
                let deletions = match asked.starts_with("DELETE") {
                    true => count.fetch_add(1, Ordering::SeqCst) + 1,
                    false => 0,
                };
                if deletions < last { answer } else { faulty::answer("403 Forbidden", "", b"") }
            });
            let delete = ["delete", &broken.reference("org/app:v1"), "--json"];
            let ran = at.run(delete).exits(6, &["403"]);
            let left: Value = serde_json::from_str(&ran.stdout).unwrap();
            let v1 = format!("{repository}:v1");
            // All of it, where the registry keeps a tag of what is gone, or nothing.
            let there = at.run(["verify", &v1, "--complete"]);
            assert!([0, 5].contains(&there.exit), "{there:?}");
            for tag in tags(&at, &repository).split(' ').filter(|tag| tag.starts_with("buildid-")) {
                let id = tag.trim_start_matches("buildid-");
                at.run(["pull", &repository, "--build-id", id, "-o", tag]).succeeds();
            }
            let by_digest =
                |doomed: &Value| format!("{repository}@{}", doomed["digest"].as_str().unwrap());
            let left = left["left"].as_array().unwrap().iter().map(by_digest);
            for reference in [v1].into_iter().chain(left) {
                let ran = at.run(["delete", &reference]);
                assert!([0, 5].contains(&ran.exit), "{ran:?}");
            }
            let none = tags(&at, &repository);
            assert!(!none.contains("buildid-") && !none.contains("v1"), "{kind:?} {last}: {none}");
        }
    }
}

#[test]
fn whoever_may_not_delete_is_told_to_log_in() {
    let server = Server::start_with(Kind::Distribution, Auth::Token);
    let at = release::small();
    let v1 = format!("{}/org/app:v1", server.localhost());
    at.put(".docker/config.json", login(&server.localhost(), PASSWORD));
    push(&at, &v1);
    std::fs::rename(at.path(".docker"), at.path("away")).unwrap();
    refused(&at, &["delete", &v1], 6, &["refuses access", "xpost login"]);
    std::fs::rename(at.path("away"), at.path(".docker")).unwrap();
    at.run(["delete", &v1]).succeeds();
    refused(&at, &["discover", &v1], 5, &["has no tag v1"]);
}

#[test]
fn a_layout_without_a_release_is_one_that_never_had_it() {
    let at = release::unsigned();
    two_releases(&at, "oci:lay");
    at.run(["push", "oci:expected:v1", "--annotation", "org.opencontainers.image.version=2"])
        .succeeds();
    let moved = ["copy", "oci:expected:v1", "oci-archive:expected.tar:v2"];
    at.run(moved).succeeds();
    at.run(["copy", "oci:lay:v2", "oci-archive:both.tar:v2"]).succeeds();
    at.run(["copy", "oci:lay:v1", "oci-archive:both.tar:v1"]).succeeds();
    at.run(["delete", "oci-archive:both.tar:v1"]).succeeds();
    assert!(at.read("both.tar") == at.read("expected.tar"), "equal contents, equal bytes");
    at.run(["delete", "oci:lay:v1"]).succeeds();
    at.run(["copy", "oci:lay:v2", "oci-archive:lay.tar:v2"]).succeeds();
    assert!(at.read("lay.tar") == at.read("expected.tar"));
    let files = |root: &str| at.list().into_iter().filter(|name| name.starts_with(root)).count();
    assert_eq!(files("lay/"), files("expected/"));
    tool(&at, "oras", &["pull", "--oci-layout", "--platform", "linux/amd64", "-o", "by", "lay:v2"]);
    at.run(["delete", "oci:lay:v2"]).succeeds();
    let left: Vec<_> = at
        .list()
        .into_iter()
        .filter(|name| name.starts_with("lay/") && !name.ends_with('/'))
        .collect();
    assert_eq!(left, ["lay/index.json", "lay/oci-layout"]);

    let one = format!("oci:expected@{}", push(&at, "oci:expected:v1"));
    refused(&at, &["delete", &one, "--tag-only"], 2, &["--tag-only is about a tag"]);
    refused(&at, &["delete", "oci:expected"], 2, &["neither a tag nor a digest"]);
    refused(&at, &["delete", "oci:expected:v9"], 5, &["has no tag v9"]);
    refused(&at, &["delete", "oci:nowhere:v1"], 5, &["does not exist"]);
    let list = format!("oci:expected:sha256-{}", "0".repeat(64));
    refused(&at, &["delete", &list], 2, &["a list of referrers"]);
    // Without its tag it is still there.
    let digest = push(&at, "oci:expected:v3");
    at.run(["delete", "oci:expected:v3", "--tag-only"]).succeeds();
    at.run(["verify", &format!("oci:expected@{digest}"), "--complete"]).succeeds();
}
