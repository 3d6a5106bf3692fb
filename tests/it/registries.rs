//! References, tags, registries that do not answer or let nobody in: what is refused, and what is not.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::faulty::Faulty;
use crate::support::release::{self, refused};
use crate::support::server::{Auth, IDENTITY_TOKEN, Kind, PASSWORD, Server, login};
use crate::support::xpost::{Ran, Xpost, xpost};
use crate::support::{corpus, tools};

#[test]
fn a_tag_that_exists_moves_only_when_told_to() {
    let server = Server::start(Kind::Distribution);
    for place in [server.reference("app"), "oci:lay".to_owned()] {
        let reference = format!("{place}:v1");
        let at = release::unsigned();
        let first = at.run(["push", &reference, "--json"]).succeeds().json()["digest"].clone();
        let push = ["push", &reference, "--annotation", "org.opencontainers.image.version=2"];
        let plan = at.run(push.into_iter().chain(["--dry-run", "--json"])).succeeds().json();
        let (first, second) = (first.as_str().unwrap(), plan["digest"].as_str().unwrap());
        assert_ne!(first, second);
        let said = ["v1 is already ", first, second, "--overwrite"];
        refused(&at, &push, 3, &said);
        let pulled = at.run(["pull", &reference, "-o", "site", "--json"]).succeeds().json();
        assert_eq!(pulled["digest"], first);
        let moved = at.run(push.into_iter().chain(["--overwrite"])).succeeds();
        assert!(moved.stdout.contains(&format!("tag v1 moved from {first}")), "{moved:?}");
        let pulled = at.run(["pull", &reference, "-o", "site", "--json"]).succeeds().json();
        assert_eq!(pulled["digest"], second);
        // The old one is still there by its digest.
        at.run(["pull", &format!("{place}@{first}"), "-o", "site"]).succeeds();
        // With both, the digest decides at a pull, and has to be ours at a push.
        let both = format!("{reference}@{first}");
        let pulled = at.run(["pull", &both, "-o", "site", "--json"]).succeeds().json();
        assert_eq!(pulled["digest"], first);
        refused(&at, &["push", &both], 3, &[first, second]);
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    let (server, at) = (Server::start(Kind::DockerRegistry), release::small());
    for place in [server.reference("app"), "oci:lay".to_owned()] {
        let (there, other) = (format!("{place}:v1"), format!("{place}:v2"));
        at.run(["push", &there]).succeeds();
        refused(&at, &["verify", &other, "--key", "release.pub"], 5, &["has no tag v2"]);
        refused(&at, &["pull", &other, "-o", "site"], 5, &["has no tag v2"]);
        let said = ["nothing for linux/riscv64", "linux/amd64, linux/arm64", "--platform"];
        refused(&at, &["pull", &there, "-o", "site", "--platform", "linux/riscv64"], 5, &said);
        let digest = format!("{place}@sha256:{}", "0".repeat(64));
        refused(&at, &["pull", &digest, "-o", "site"], 5, &["has no sha256:0"]);
    }
    refused(&at, &["pull", &server.reference("nothing:v1")], 5, &["has no tag v1"]);
    refused(&at, &["pull", "oci:nowhere:v1"], 5, &["nowhere"]);
    refused(&at, &["pull", "oci:lay:v1", "--platform", "amd64"], 2, &["linux/arm64"]);
}

#[test]
fn a_registry_that_does_not_answer_is_worth_another_try() {
    let at = release::small();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let reference = format!("127.0.0.1:{port}/app:v1");
    let commands = [
        vec!["push", &reference],
        vec!["verify", &reference, "--key", "release.pub"],
        vec!["pull", &reference, "-o", "site"],
    ];
    // Each waits between its tries; together they wait once.
    std::thread::scope(|scope| {
        for command in &commands {
            let (at, reference) = (&at, &reference);
            scope.spawn(move || at.run(command).exits(7, &["cannot ", reference, "try again"]));
        }
    });
    assert!(!at.path("site").exists());
}

#[test]
fn what_holds_no_file_is_not_pulled() {
    let (server, at) = (Server::start(Kind::Ggcr), release::small());
    let reference = format!("{}/image:v1", server.localhost());
    at.put("a/file", "hello");
    tools::stdout(Command::new("tar").current_dir(at.home()).args(["cf", "layer.tar", "a"]));
    let mut crane = tools::tool("crane", at.home());
    tools::stdout(crane.current_dir(at.home()).args([
        "append",
        "-f",
        "layer.tar",
        "-t",
        &reference,
    ]));
    let said = ["it is an image for container runtimes"];
    refused(&at, &["pull", &reference, "-o", "site"], 8, &said);
    let said = ["the manifest (sha256:", "is not signed"];
    refused(&at, &["verify", &reference, "--key", "release.pub"], 4, &said);
}

#[test]
fn a_tag_of_another_purpose_is_no_releases() {
    let at = release::small();
    for tag in [format!("buildid-{}", "0".repeat(40)), format!("sha256-{}", "0".repeat(64))] {
        let reference = format!("oci:lay:{tag}");
        refused(&at, &["push", &reference, "--overwrite"], 2, &[&tag, "choose another tag"]);
    }
}

#[test]
fn a_blob_that_rots_in_a_registry_is_not_pulled() {
    let (server, at) = (Server::start(Kind::Distribution), release::small());
    let reference = server.reference("app:v1");
    at.run(["push", &reference]).succeeds();
    let hex = xpost::digest::Digest::of(&at.read("xpost-out/linux-amd64/app")).hex();
    let blobs = server.storage().join("docker/registry/v2/blobs/sha256");
    let path = blobs.join(&hex[..2]).join(&hex).join("data");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let pull = ["pull", &reference, "-o", "site", "--key", "release.pub"];
    refused(&at, &pull, 8, &["the digest should be sha256:", &hex]);
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    refused(&at, &pull, 8, &["the size should be "]);
}

#[test]
fn a_reference_that_says_too_little_is_a_usage_error() {
    let (at, server) = (release::small(), Server::start(Kind::Cuelabs));
    let reference = server.reference("app");
    let pushed = at.run(["push", &reference, "--json"]).succeeds().json();
    assert_eq!(pushed["receipt"]["tags"], json!([]));
    let said = ["names neither a tag nor a digest", "add a tag"];
    refused(&at, &["verify", &reference, "--key", "release.pub"], 2, &said);
    refused(&at, &["pull", &reference, "-o", "site"], 2, &said);
    // Without a tag the files of the debugger have theirs, and the release has its digest.
    let by_digest = pushed["reference"].as_str().unwrap();
    at.run(["verify", by_digest, "--key", "release.pub"]).succeeds();
    let ids = pushed["receipt"]["build_id_tags"].as_array().unwrap().len();
    assert_eq!(ids, 2, "{pushed}");

    for (reference, said) in [
        ("app:v1", "docker.io/app:v1"),
        ("org/app:v1", "docker.io/"),
        ("https://ghcr.io/org/app:v1", "https://"),
        ("ghcr.io/Org/app:v1", "lower case"),
        ("ghcr.io/app:v1/x", "not a reference"),
        ("oci:", "no path"),
        ("", "not a reference"),
    ] {
        refused(&at, &["push", reference], 2, &[said]);
    }
}

#[test]
fn two_programs_with_one_build_id_are_noticed_and_told_apart() {
    let at = xpost();
    let mut bytes = std::fs::read(corpus::path("c-musl")).unwrap();
    at.put("app", &bytes);
    at.put("copy", &bytes);
    let string = bytes.windows(7).position(|window| window == b"entries").unwrap();
    bytes[string] = b'E';
    at.put("other", &bytes);
    let said = ["are two programs with one build-id", "--build-id rewrite gives each its own"];
    let ran =
        at.run(["slim", "app", "copy", "other"]).exits(0, &["app and other "]).exits(0, &said);
    assert!(!ran.stderr.contains("copy"), "a copy is the same program: {ran:?}");
    // One tag cannot be both programs', whatever is forced: it stays the first one's.
    let push = at.run(["push", "oci:lay:v1", "--force", "--json"]);
    let push = push.exits(3, &said).exits(3, &["xpost slim --build-id rewrite"]).json();
    let (tags, withheld) = (&push["receipt"]["build_id_tags"], &push["receipt"]["withheld"]);
    assert_eq!(withheld.as_array().unwrap().len(), 1, "{push}");
    let tag = tags[0].as_str().unwrap();
    let layout: Value = serde_json::from_slice(&at.read("lay/index.json")).unwrap();
    let entries = layout["manifests"].as_array().unwrap();
    let is_tag = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == tag;
    let entry = entries.iter().find(is_tag).unwrap();
    assert_ne!(entry["digest"], withheld[0]["ours"], "{layout}");

    let ran = at.run(["slim", "--build-id", "rewrite", "app", "copy", "other"]).succeeds();
    assert!(!ran.stderr.contains("two programs"), "{ran:?}");
    let push = at.run(["push", "oci:lay:v2", "--json"]).succeeds();
    assert!(!push.stderr.contains("two programs"), "{push:?}");
    // The copy is the same program, and has its tag.
    let tags = push.json()["receipt"]["build_id_tags"].clone();
    assert_eq!(tags.as_array().unwrap().len(), 2, "{tags}");
    assert_ne!(tags[0], tags[1]);
}

#[test]
fn two_programs_with_one_build_id_do_not_share_its_tag() {
    let server = Server::start(Kind::Distribution);
    for place in [server.reference("app"), "oci:lay".to_owned()] {
        let make = |bytes: &[u8]| {
            let at = xpost();
            at.put("app", bytes);
            at.run(["slim", "app"]).succeeds();
            at
        };
        let mut bytes = std::fs::read(corpus::path("c-musl")).unwrap();
        let first = make(&bytes);
        let string = bytes.windows(7).position(|window| window == b"entries").unwrap();
        bytes[string] = b'E';
        let second = make(&bytes);
        let tagged = |at: &Xpost, tag: &str| {
            at.run(["pull", &format!("{place}:{tag}"), "-o", "dbg", "--json"]).json()["digest"]
                .clone()
        };
        let v1 = first.run(["push", &format!("{place}:v1"), "--json"]).succeeds().json();
        let id = v1["receipt"]["build_id_tags"][0].as_str().unwrap().to_owned();
        if place == "oci:lay" {
            let from = first.path("lay");
            assert!(
                Command::new("cp")
                    .arg("-r")
                    .arg(from)
                    .arg(second.home())
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let before = tagged(&second, &id);
        let v2 = second.run(["push", &format!("{place}:v2"), "--json"]);
        let v2 = v2
            .exits(3, &["without their buildid- tag", &id, "belongs to another program", "--force"])
            .json();
        assert_eq!((v2["published"].clone(), tagged(&second, &id)), (json!(false), before.clone()));
        // It is there all the same, with its debug file.
        second.run(["pull", &format!("{place}:v2"), "-o", "site", "--debug"]).succeeds();
        assert!(
            second
                .list()
                .iter()
                .any(|name| name.starts_with("site/debug/") && name.ends_with(".debug"))
        );
        second.run(["push", &format!("{place}:v2"), "--force"]).succeeds();
        assert_ne!(tagged(&second, &id), before);
    }
}

#[test]
fn a_password_opens_a_registry_that_wants_one() {
    for kind in [Kind::Distribution, Kind::DockerRegistry] {
        let (server, at) = (Server::start_with(kind, Auth::Basic), release::small());
        let reference = server.reference("app:v1");
        admission(&at, &server.host(), &reference, &["pull", "verify", "push"]);
    }
}

#[test]
fn a_token_opens_a_registry_that_wants_one() {
    for kind in [Kind::Distribution, Kind::DockerRegistry] {
        let (server, at) = (Server::start_with(kind, Auth::Token), release::small());
        let reference = format!("{}/app:v1", server.localhost());
        admission(&at, &server.localhost(), &reference, &["push"]);
        assert!(server.token_log().contains("GET /token?"));
        // Anybody may pull.
        as_user(&at, &["pull", &reference, "-o", "theirs"], "").succeeds();
        let config = json!({"auths": {server.localhost(): {"identitytoken": IDENTITY_TOKEN}}});
        as_user(&at, &["push", &reference], &config.to_string()).succeeds();
    }
}

#[test]
fn a_push_goes_on_when_its_token_ends() {
    for kind in [Kind::Distribution, Kind::DockerRegistry] {
        let (server, at) = (Server::start_with(kind, Auth::TokenFor(2)), release::small());
        let begun = AtomicUsize::new(0);
        // The first uploads begin with a token that is refused when their bytes arrive.
        let slow = Faulty::before(&server.host(), move |_, asked, answer| {
            if asked.starts_with("POST ") && begun.fetch_add(1, Ordering::Relaxed) < 4 {
                std::thread::sleep(Duration::from_secs(4));
            }
            answer
        });
        let reference = slow.reference("app:v1");
        let (host, _) = reference.split_once('/').unwrap();
        as_user(&at, &["push", &reference], &login(host, PASSWORD)).succeeds();
        let is_refused =
            |line: &&str| line.contains("\"PUT /v2/app/blobs/uploads/") && line.contains(" 401 ");
        let refused = server.log().lines().filter(is_refused).count();
        assert!(refused > 0, "{kind:?}: no upload met an old token");
        let tokens = server.token_log().matches("GET /token?").count();
        assert!(
            (2..8).contains(&tokens),
            "{kind:?}: {tokens} tokens, whoever is refused first fetches one"
        );
        as_user(&at, &["verify", &reference, "--key", "release.pub"], "").succeeds();
    }
}

/// Runs with this docker configuration, or without one.
fn as_user(at: &Xpost, arguments: &[&str], config: &str) -> Ran {
    let home = tempfile::tempdir().unwrap();
    if !config.is_empty() {
        std::fs::write(home.path().join("config.json"), config).unwrap();
    }
    let mut command = at.command(arguments);
    command.env("DOCKER_CONFIG", home.path()).env("HOME", home.path());
    Ran::of(&tools::output(command.env_remove("REGISTRY_AUTH_FILE")))
}

/// Without or with a wrong password some things are refused, with the right one nothing is.
fn admission(at: &Xpost, host: &str, reference: &str, closed: &[&str]) {
    let commands = [
        vec!["push", reference],
        vec!["verify", reference, "--key", "release.pub"],
        vec!["pull", reference, "-o", "site"],
    ];
    for config in [String::new(), login(host, "wrong")] {
        for command in commands.iter().filter(|command| closed.contains(&command[0])) {
            let ran = as_user(at, command, &config).exits(6, &[host, "xpost login"]);
            assert!(!ran.stderr.contains("wrong:") && !ran.stderr.contains(PASSWORD), "{ran:?}");
        }
    }
    assert!(!at.path("site").exists());
    let config = login(host, PASSWORD);
    for command in &commands {
        as_user(at, command, &config).succeeds();
    }
}
