//! Registries that are broken or mean: what they give is refused in clear words, and nothing is left behind.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use xpost::digest::Digest;

use crate::support::faulty::{Faulty, answer, split, with_body};
use crate::support::release::{self, refused};
use crate::support::server::{Kind, Server};
use crate::support::tools;
use crate::support::xpost::{Ran, Xpost, xpost};

/// A release on a real registry, and its directory.
fn published() -> (Server, Xpost) {
    let (server, at) = (Server::start(Kind::Distribution), release::small());
    at.run(["push", &server.reference("app:v1")]).succeeds();
    (server, at)
}

fn is_blob(asked: &str) -> bool {
    asked.starts_with("GET") && asked.contains("/blobs/")
}

fn is_manifest(asked: &str) -> bool {
    asked.starts_with("GET") && asked.contains("/manifests/")
}

/// Does to a body what `twist` does.
fn twisted(answer: &[u8], twist: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = split(answer).1.to_vec();
    twist(&mut body);
    with_body(answer, &body)
}

/// A pull and a verify against a registry with a fault end so, and leave nothing.
#[track_caller]
fn pull_is_refused(
    fault: impl Fn(&str, Vec<u8>) -> Vec<u8> + Send + Sync + 'static,
    exit: i32,
    said: &[&str],
) {
    let (server, at) = published();
    let faulty = Faulty::before(&server.host(), move |_, asked, answer| fault(asked, answer));
    let reference = faulty.reference("app:v1");
    refused(&at, &["pull", &reference, "-o", "site", "--debug"], exit, said);
}

#[test]
fn a_blob_that_is_cut_grown_or_changed_is_refused() {
    let blobs = |twist: fn(&mut Vec<u8>)| {
        move |asked: &str, answer: Vec<u8>| {
            if is_blob(asked) { twisted(&answer, twist) } else { answer }
        }
    };
    let size = ["the size should be"];
    pull_is_refused(blobs(|body| body.truncate(body.len() / 2)), 8, &size);
    pull_is_refused(blobs(|body| body.push(0)), 8, &size);
    pull_is_refused(blobs(|body| body[0] ^= 1), 8, &["the digest should be sha256:"]);
}

#[test]
fn a_manifest_that_is_something_else_is_refused() {
    let manifests = |twist: fn(&[u8]) -> Vec<u8>| {
        move |asked: &str, answer: Vec<u8>| {
            if is_manifest(asked) { twist(&answer) } else { answer }
        }
    };
    let page = |_: &[u8]| answer("200 OK", "Content-Type: text/html\r\n", b"<html>log in</html>");
    pull_is_refused(manifests(page), 8, &["is this a registry?"]);
    let cut = |answer: &[u8]| twisted(answer, |body| body.truncate(body.len() / 2));
    pull_is_refused(manifests(cut), 8, &["the digest should be"]);
    // Nothing states the digest that a tag has; then the document has to be one.
    let typed = "Content-Type: application/vnd.oci.image.index.v1+json\r\n";
    let deep = |_: &[u8]| answer("200 OK", "", "[".repeat(1 << 20).as_bytes());
    pull_is_refused(manifests(deep), 8, &["malformed"]);
    let none = |_: &[u8]| answer("200 OK", "", b"{}");
    pull_is_refused(manifests(none), 8, &[]);
    let many = move |_: &[u8]| {
        let entry = json!({"mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{}", "0".repeat(64)), "size": 1});
        let list = json!({"schemaVersion": 2, "manifests": vec![entry; 20_000]});
        answer("200 OK", typed, list.to_string().as_bytes())
    };
    pull_is_refused(
        move |asked, answer| if is_manifest(asked) { many(&answer) } else { answer },
        8,
        &["manifests in one index"],
    );
}

#[test]
fn a_web_page_in_place_of_anything_is_refused() {
    let page = || answer("200 OK", "Content-Type: text/html\r\n", b"<html>log in</html>");
    pull_is_refused(
        move |asked, answer| if is_blob(asked) { page() } else { answer },
        8,
        &["the size should be"],
    );
    let (server, at) = published();
    for what in ["/blobs/uploads/", "/manifests/"] {
        let faulty = Faulty::before(&server.host(), move |_, asked, answer| {
            // Whatever is asked of it, there is nothing yet.
            match asked.contains(what) {
                true => page(),
                false if asked.starts_with("HEAD") => self::answer("404 Not Found", "", b""),
                false => answer,
            }
        });
        let reference = faulty.reference("other:v1");
        refused(&at, &["push", &reference], 8, &["cannot push"]);
        refused(&at, &["pull", &server.reference("other:v1")], 5, &["has no tag v1"]);
    }
}

#[test]
fn a_manifest_of_very_many_files_is_looked_through_in_time() {
    let at = xpost();
    let mut titles: Vec<String> = (0..20_000).map(|count| format!("f{count}")).collect();
    titles.push("f1".to_owned());
    titled(&at, &titles.iter().map(String::as_str).collect::<Vec<_>>());
    let begun = Instant::now();
    refused(&at, &["pull", "oci:lay:v1", "-o", "site"], 8, &["two files have it"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_manifest_of_a_gigabyte_is_left_at_its_limit() {
    let (server, at) = published();
    let faulty = Faulty::before(&server.host(), |_, asked, answer| match is_manifest(asked) {
        true => {
            let mut body = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n".to_vec();
            body.resize(64 << 20, b' ');
            body
        }
        false => answer,
    });
    let mut limited = Command::new("bash");
    limited.current_dir(at.home()).args(["-c", "ulimit -v 400000; exec \"$0\" \"$@\""]);
    limited.arg(env!("CARGO_BIN_EXE_xpost")).args(["pull", &faulty.reference("app:v1")]);
    Ran::of(&tools::output(&mut limited)).exits(8, &["larger than"]);
}

#[test]
fn what_is_compressed_on_the_way_is_not_what_was_asked_for() {
    let bomb = |asked: &str, answer: Vec<u8>| match is_manifest(asked) || is_blob(asked) {
        true => {
            let head = String::from_utf8_lossy(split(&answer).0).into_owned();
            let head = head.trim_end().to_owned() + "\r\nContent-Encoding: gzip\r\n\r\n";
            // The header of gzip, and what would be a gigabyte of zeros.
            with_body(head.as_bytes(), &[[0x1f, 0x8b, 8, 0].as_slice(), &[0; 1000]].concat())
        }
        false => answer,
    };
    pull_is_refused(bomb, 8, &["the digest should be"]);
}

#[test]
fn a_host_that_a_registry_leads_to_and_that_refuses_is_named() {
    let elsewhere = Faulty::before("127.0.0.1:1", |_, _, _| answer("403 Forbidden", "", b""));
    let there = elsewhere.reference("blob");
    let (server, at) = published();
    let location = format!("Location: http://{there}\r\n");
    let faulty = Faulty::before(&server.host(), move |_, asked, answer| match is_blob(asked) {
        true => self::answer("307 Temporary Redirect", &location, b""),
        false => answer,
    });
    let pull = ["pull", &faulty.reference("app:v1"), "-o", "site"];
    let ran = refused(&at, &pull, 6, &["another host", &there, "logging in does not help"]);
    assert!(!ran.stderr.contains("log in first"), "{ran:?}");
}

#[test]
fn redirects_in_circles_end() {
    let circle = |asked: &str, _: Vec<u8>| {
        let path = asked.split(' ').next_back().unwrap_or_default();
        answer("307 Temporary Redirect", &format!("Location: {path}\r\n"), b"")
    };
    pull_is_refused(circle, 1, &["redirects in circles"]);
}

#[test]
fn a_connection_that_breaks_everywhere_still_brings_the_release() {
    let (server, at) = published();
    // Each answer is cut the first time that something is asked for, at another place each time.
    let seen = std::sync::Mutex::new(std::collections::BTreeSet::new());
    let faulty = Faulty::before(&server.host(), move |count, asked, mut answer| {
        if seen.lock().unwrap().insert(asked.to_owned()) {
            answer.truncate(answer.len() * (count * 7919 % 100) / 100);
        }
        answer
    });
    let reference = faulty.reference("app:v1");
    at.run(["pull", &reference, "--debug", "-o", "site", "--key", "release.pub"]).succeeds();
    assert!(at.path("site/app").exists());
    // And takes it.
    let other = faulty.reference("other:v1");
    let pushed = release::push(&at, &other);
    let there = at.run(["push", &server.reference("other:v1"), "--json"]).succeeds().json();
    assert_eq!(there["digest"], pushed);
    assert_eq!(there["receipt"]["tags"][0]["state"], "unchanged");
    assert!(faulty.asked() > 50);
}

/// A layout that holds an artifact whose layers have these titles, all of one content.
fn titled(at: &Xpost, titles: &[&str]) {
    let blob = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        at.put(&format!("lay/blobs/sha256/{}", digest.hex()), bytes);
        (digest.to_string(), bytes.len())
    };
    let layers: Vec<_> = titles
        .iter()
        .enumerate()
        .map(|(count, title)| {
            let (digest, size) = blob(format!("contents {count}").as_bytes());
            json!({"mediaType": "application/octet-stream", "digest": digest, "size": size,
                "annotations": {"org.opencontainers.image.title": title}})
        })
        .collect();
    let (digest, size) = blob(b"{}");
    let empty = "application/vnd.oci.empty.v1+json";
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": kind, "layers": layers,
        "config": {"mediaType": empty, "digest": digest, "size": size}});
    let (digest, size) = blob(manifest.to_string().as_bytes());
    let name = json!({"org.opencontainers.image.ref.name": "v1"});
    let entry = json!({"mediaType": kind, "digest": digest, "size": size, "annotations": name});
    at.put("lay/index.json", json!({"schemaVersion": 2, "manifests": [entry]}).to_string());
    at.put("lay/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
}

#[test]
fn a_name_leads_nowhere_else() {
    for title in [
        "../x",
        "..",
        ".",
        "",
        "/etc/x",
        "a/../b",
        "a/",
        "a//b",
        "a\\b",
        "C:x",
        "nul",
        "CON.txt",
        "x.",
        "x ",
        "a\nb",
        "\u{1b}[2J",
        "gpj\u{202e}.exe",
        "a\0b",
    ] {
        let at = xpost();
        titled(&at, &[title]);
        let ran = refused(&at, &["pull", "oci:lay:v1", "-o", "site"], 8, &["no file name"]);
        assert!(!ran.stderr.contains(['\u{1b}', '\u{202e}']), "{ran:?}");
    }
    let at = xpost();
    titled(&at, &["same", "same"]);
    refused(&at, &["pull", "oci:lay:v1", "-o", "site"], 8, &["two files have it"]);
}

/// A manifest in a layout; gives its descriptor.
fn put(at: &Xpost, manifest: &serde_json::Value) -> serde_json::Value {
    let bytes = manifest.to_string();
    let digest = Digest::of(bytes.as_bytes());
    at.put(&format!("lay/blobs/sha256/{}", digest.hex()), &bytes);
    json!({"mediaType": manifest["mediaType"], "digest": digest, "size": bytes.len()})
}

fn index(entries: &[serde_json::Value], subject: Option<&serde_json::Value>) -> serde_json::Value {
    let kind = "application/vnd.oci.image.index.v1+json";
    let mut index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": entries});
    if let Some(subject) = subject {
        index["subject"] = subject.clone();
    }
    index
}

fn named(descriptor: &serde_json::Value, name: &str) -> serde_json::Value {
    let mut entry = descriptor.clone();
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    entry
}

/// The tag under which what refers to something is listed.
fn list_tag(of: &serde_json::Value) -> String {
    of["digest"].as_str().unwrap().replace(':', "-")
}

fn copied(at: &Xpost) -> Result<usize, String> {
    let ran = at.run(["copy", "oci:lay:v1", "oci:to:v1", "--json"]);
    match ran.exit {
        0 => Ok(ran.json()["receipt"]["manifests"].as_array().unwrap().len()),
        8 => Err(ran.stderr),
        _ => panic!("{ran:?}"),
    }
}

#[test]
fn a_graph_without_end_is_left() {
    // Indexes in indexes.
    let at = xpost();
    at.put("lay/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let mut inner = put(&at, &index(&[], None));
    for _ in 0..40 {
        inner = put(&at, &index(&[inner], None));
    }
    at.put("lay/index.json", index(&[named(&inner, "v1")], None).to_string());
    assert!(copied(&at).unwrap_err().contains("levels"));

    // What refers to what refers to it, and so on.
    let root = put(&at, &index(&[], None));
    let (mut subject, mut entries) = (root.clone(), vec![named(&root, "v1")]);
    for _ in 0..40 {
        let referrer = put(&at, &index(&[], Some(&subject)));
        let list = put(&at, &index(std::slice::from_ref(&referrer), None));
        entries.push(named(&list, &list_tag(&subject)));
        subject = referrer;
    }
    at.put("lay/index.json", index(&entries, None).to_string());
    assert!(copied(&at).unwrap_err().contains("levels"));

    // A list that names its own subject, and itself as far as it can.
    let list = put(&at, &index(std::slice::from_ref(&root), None));
    let outer = put(&at, &index(&[root.clone(), list.clone()], None));
    let entries = [
        named(&root, "v1"),
        named(&outer, &list_tag(&root)),
        named(&root, &list_tag(&list)),
        named(&list, &list_tag(&outer)),
    ];
    at.put("lay/index.json", index(&entries, None).to_string());
    assert_eq!(copied(&at), Ok(1));
}
