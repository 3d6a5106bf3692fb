//! What other programs make of what was pushed, and what becomes of it in their hands.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::release::{self, BY_COSIGN, cosign, push};
use crate::support::server::{Kind, Server};
use crate::support::tools;
use crate::support::xpost::Xpost;

/// The type of a signature, as artifact and as layer.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

#[test]
fn others_verify_and_read_what_is_on_distribution_3() {
    others_read_a_registry(Kind::Distribution);
}

#[test]
fn others_verify_and_read_what_is_on_distribution_2() {
    others_read_a_registry(Kind::DockerRegistry);
}

#[test]
fn others_verify_and_read_what_is_on_ociserver() {
    others_read_a_registry(Kind::Cuelabs);
}

#[test]
fn others_verify_and_read_what_is_on_go_containerregistry() {
    others_read_a_registry(Kind::Ggcr);
}

fn others_read_a_registry(kind: Kind) {
    let (at, server) = (release::small(), Server::start(kind));
    let (repository, reference) =
        (format!("{}/org/app", server.localhost()), format!("{}/org/app:v1", server.localhost()));
    let digest = push(&at, &reference);
    let tool = |name: &str, arguments: &[&str]| {
        tools::stdout(tools::tool(name, at.home()).current_dir(at.home()).args(arguments))
    };

    let amd64 = tool("crane", &["digest", "--platform", "linux/amd64", &reference]);
    let arm64 = tool("crane", &["digest", "--platform", "linux/arm64", &reference]);
    let (amd64, arm64) = (amd64.trim(), arm64.trim());
    assert_ne!(amd64, arm64);
    let index: Value = serde_json::from_str(&tool("crane", &["manifest", &reference])).unwrap();
    assert_eq!(
        (&index["manifests"][0]["digest"], &index["manifests"][1]["digest"]),
        (&json!(amd64), &json!(arm64))
    );

    for subject in [&reference, &format!("{repository}@{amd64}"), &format!("{repository}@{arm64}")]
    {
        let verified = tools::output(&mut cosign_verify(&at, subject));
        assert!(verified.status.success(), "{kind:?}: {verified:?}");
    }
    let tree = tools::stdout(regctl(&at, &server).args(["artifact", "tree", &reference]));
    let referrers = |kind: &str| tree.matches(&format!(": {kind}")).count();
    // Of ggcr's listings only the manifests say what they are.
    if kind != Kind::Ggcr {
        assert_eq!(referrers("application/vnd.xpost.debuginfo.v1"), 2, "{tree}");
        assert_eq!(referrers("application/vnd.cyclonedx+json"), 2, "{tree}");
        assert_eq!(referrers(BUNDLE), 3, "{tree}");
    }

    let discover =
        ["discover", "--plain-http", "--format", "json", &format!("{repository}@{amd64}")];
    let found: Value = serde_json::from_str(&tool("oras", &discover)).unwrap();
    let found = found["referrers"].as_array().unwrap().clone();
    assert_eq!(found.len(), 3, "{found:?}");
    if kind != Kind::Ggcr {
        let kinds: BTreeSet<_> =
            found.iter().map(|entry| entry["artifactType"].as_str().unwrap()).collect();
        assert_eq!(
            kinds,
            BTreeSet::from([
                "application/vnd.cyclonedx+json",
                BUNDLE,
                "application/vnd.xpost.debuginfo.v1"
            ])
        );
        let debug = found
            .iter()
            .find(|entry| entry["artifactType"] == "application/vnd.xpost.debuginfo.v1")
            .unwrap();
        assert!(debug["annotations"]["dev.xpost.build-id"].is_string(), "{debug}");
    }

    tool(
        "oras",
        &["pull", "--plain-http", "--platform", "linux/amd64", "-o", "theirs", &reference],
    );
    assert_eq!(at.read("theirs/app"), at.read("xpost-out/linux-amd64/app"));

    let (from, to) = (format!("docker://{reference}"), "oci:mirror:v1");
    tool("skopeo", &["copy", "-q", "-a", "--src-tls-verify=false", &from, to]);
    let mirror: Value = serde_json::from_slice(&at.read("mirror/index.json")).unwrap();
    assert_eq!(mirror["manifests"][0]["digest"], json!(digest));
    // What others copied without the signatures is not verified, and is pulled.
    at.run(["verify", "oci:mirror:v1", "--key", "release.pub"]).exits(4, &["is not signed"]);
    at.run(["pull", "oci:mirror:v1", "-o", "mirrored"]).succeeds();
}

#[test]
fn a_bundle_verifies_its_files_and_no_other() {
    let at = release::small();
    let verify = |file: &str| {
        let mut cosign = tools::tool("cosign", at.home());
        cosign.current_dir(at.path("xpost-out/linux-amd64")).args(["verify-blob-attestation"]);
        cosign.args([
            "--key",
            "../../release.pub",
            "--insecure-ignore-tlog",
            "--bundle",
            "app.sigstore.json",
        ]);
        cosign.args(["--type", "https://sigstore.dev/cosign/sign/v1", file]);
        cosign
    };
    for file in ["app", "app.debug", "app.cdx.json"] {
        tools::stdout(&mut verify(file));
    }
    tools::failure(&mut verify("../linux-arm64/app"));
    at.put(
        "xpost-out/linux-amd64/changed",
        [at.read("xpost-out/linux-amd64/app"), vec![0]].concat(),
    );
    tools::failure(&mut verify("changed"));
}

#[test]
fn others_verify_and_read_a_layout() {
    let at = release::small();
    let digest = push(&at, "oci:lay:v1");
    let tool = |name: &str, arguments: &[&str]| {
        tools::stdout(tools::tool(name, at.home()).current_dir(at.home()).args(arguments))
    };
    let verify =
        ["verify", "--key", "release.pub", "--insecure-ignore-tlog", "--local-image", "lay"];
    tool("cosign", &verify);
    at.run(["sign", "--generate-key", "other.key"]).succeeds();
    let by_other = verify.map(|word| if word == "release.pub" { "other.pub" } else { word });
    tools::failure(tools::tool("cosign", at.home()).current_dir(at.home()).args(by_other));

    let fetch = ["manifest", "fetch", "--oci-layout", "lay:v1", "--descriptor"];
    let descriptor: Value = serde_json::from_str(&tool("oras", &fetch)).unwrap();
    assert_eq!(descriptor["digest"], json!(digest));
    // By its digest oras finds nothing in a layout that `index.json` does not name itself.
    let discover =
        ["discover", "--oci-layout", "--platform", "linux/amd64", "--format", "json", "lay:v1"];
    let found: Value = serde_json::from_str(&tool("oras", &discover)).unwrap();
    assert_eq!(found["referrers"].as_array().unwrap().len(), 3, "{found}");
    tool("oras", &["pull", "--oci-layout", "--platform", "linux/arm64", "-o", "theirs", "lay:v1"]);
    assert_eq!(at.read("theirs/app"), at.read("xpost-out/linux-arm64/app"));
    let tree = tool("regctl", &["artifact", "tree", "ocidir://lay:v1"]);
    assert_eq!(tree.matches(&format!(": {BUNDLE}")).count(), 3, "{tree}");
    tool("skopeo", &["copy", "-q", "-a", "oci:lay:v1", "oci:mirror:v1"]);
    let mirror: Value = serde_json::from_slice(&at.read("mirror/index.json")).unwrap();
    assert_eq!(mirror["manifests"][0]["digest"], json!(digest));
}

/// What hangs on a release besides ours stays, whichever way the registry lists it, and ours stays beside theirs.
fn foreign_referrers_stay(kind: Kind) {
    let (at, server) = (release::small(), Server::start(kind));
    let reference = format!("{}/org/app:v1", server.localhost());
    let digest = push(&at, &reference);
    at.put("report.txt", "all is well\n");
    let index: Value = serde_json::from_str(&tools::stdout(
        tools::tool("crane", at.home()).args(["manifest", &reference]),
    ))
    .unwrap();
    let amd64 = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
    for subject in [digest.clone(), amd64] {
        let mut oras = tools::tool("oras", at.home());
        oras.current_dir(at.home()).args([
            "attach",
            "--plain-http",
            "--artifact-type",
            "application/vnd.example.report",
        ]);
        tools::stdout(
            oras.args([
                &format!("{}/org/app@{subject}", server.localhost()),
                "report.txt:text/plain",
            ]),
        );
    }
    cosign(&at, &["generate-key-pair"]);
    let by_digest = format!("{}/org/app@{digest}", server.localhost());
    cosign(&at, &[&["sign"], &BY_COSIGN[..], &[&by_digest]].concat());

    let again = at.run(["push", &reference, "--json"]).succeeds().json();
    assert_eq!(again["digest"], json!(digest));
    let verified = at.run(["verify", &reference, "--key", "release.pub"]).succeeds();
    let reports = verified.stdout.matches("not signed  application/vnd.example.report").count();
    assert_eq!(reports, 2, "{verified:?}");
    assert!(verified.stdout.contains(&format!("not signed  {BUNDLE}")), "{verified:?}");
    for key in ["release.pub", "cosign.pub"] {
        let mut cosign = tools::tool("cosign", at.home());
        cosign.current_dir(at.home()).args(["verify", "--key", key, "--insecure-ignore-tlog"]);
        tools::stdout(cosign.args(["--allow-insecure-registry", &reference]));
    }
}

#[test]
fn what_others_attached_stays_without_the_referrers_api() {
    foreign_referrers_stay(Kind::Distribution);
}

#[test]
fn what_others_attached_stays_with_the_referrers_api() {
    foreign_referrers_stay(Kind::Cuelabs);
}

#[test]
fn a_mirror_with_all_referrers_verifies_and_debugs() {
    let at = release::small();
    let (from, to) = (Server::start(Kind::Distribution), Server::start(Kind::Cuelabs));
    let source = format!("{}/org/app:v1", from.localhost());
    let digest = push(&at, &source);
    let oras = |arguments: &[&str]| {
        let mut oras = tools::tool("oras", at.home());
        tools::stdout(
            oras.current_dir(at.home()).args(["cp", "-r", "--from-plain-http"]).args(arguments),
        );
    };
    let (by_oras, by_regctl) =
        (format!("{}/oras/app:v1", to.localhost()), format!("{}/regctl/app:v1", to.localhost()));
    oras(&["--to-oci-layout", &source, "mirror:v1"]);
    oras(&["--to-plain-http", &source, &by_oras]);
    let mut regctl = regctl(&at, &from);
    regctl.args(["--host", &format!("reg={},tls=disabled", to.localhost())]);
    tools::stdout(regctl.args(["image", "copy", "--referrers", &source, &by_regctl]));
    for reference in ["oci:mirror:v1", &by_oras, &by_regctl] {
        let verified = at.run(["verify", reference, "--key", "release.pub"]).succeeds();
        assert!(verified.stdout.contains(&digest), "{verified:?}");
        assert!(!verified.stdout.contains("not signed"), "{verified:?}");
        let pull = ["pull", reference, "-o", "site", "--debug", "--key", "release.pub"];
        let pulled = at.run(pull).succeeds();
        assert!(pulled.stdout.contains(".debug"), "{pulled:?}");
    }
}

#[test]
fn what_cosign_copy_left_under_a_fallback_tag_is_no_list() {
    let (at, server) = (release::small(), Server::start(Kind::Distribution));
    let (from, to) = (
        format!("{}/org/app:v1", server.localhost()),
        format!("{}/copy/app:v1", server.localhost()),
    );
    let digest = push(&at, &from);
    let mut cosign = tools::tool("cosign", at.home());
    cosign.args(["copy", "--allow-insecure-registry", "--allow-http-registry", &from, &to]);
    tools::stdout(&mut cosign);
    // The release itself stands where its list of referrers belongs.
    let fallback = format!("{}/copy/app:{}", server.localhost(), digest.replace(':', "-"));
    let there = tools::stdout(tools::tool("crane", at.home()).args(["digest", &fallback]));
    assert_eq!(there.trim(), digest);
    at.run(["verify", &to, "--key", "release.pub"]).exits(4, &["is not signed"]);
    assert_eq!(push(&at, &to), digest);
    at.run(["verify", &to, "--key", "release.pub"]).succeeds();
    tools::stdout(&mut cosign_verify(&at, &to));
}

#[test]
fn pushes_at_the_same_time_lose_no_signature() {
    let server = Server::start(Kind::Distribution);
    let reference = server.reference("org/app:v1");
    let releases: Vec<_> = (0..3)
        .map(|_| {
            let at = release::small();
            std::fs::remove_file(at.path("release.key")).unwrap();
            std::fs::remove_file(at.path("release.pub")).unwrap();
            at.run(["sign", "--generate-key", "release.key"]).succeeds();
            at.run(["sign", "--key", "release.key"]).succeeds();
            at
        })
        .collect();
    std::thread::scope(|scope| {
        for at in &releases {
            scope.spawn(|| push(at, &reference));
        }
    });
    for at in &releases {
        at.run(["verify", &reference, "--key", "release.pub"]).succeeds();
    }
}

#[test]
fn a_push_that_was_killed_at_any_moment_is_finished_by_the_next() {
    let (at, server) = (release::small(), Server::start(Kind::DockerRegistry));
    let whole = push(&at, &server.reference("org/whole:v1"));
    let mut found_there = 0;
    let registry = |moment| server.reference(&format!("org/app{moment}:v1"));
    let layout = |moment| format!("oci:lay{moment}:v1");
    for (moment, reference) in
        (0..16).flat_map(|moment| [(moment, registry(moment)), (moment, layout(moment))])
    {
        let mut command = at.command(["push", &reference]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // After so many blobs, and then in the middle of something.
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        lines.filter(|line| line.starts_with("pushed")).take(moment % 11).for_each(drop);
        std::thread::sleep(Duration::from_micros(moment as u64 * 7919 % 5000));
        child.kill().unwrap();
        child.wait().unwrap();
        let verified = at.run(["verify", &reference, "--key", "release.pub"]);
        assert!([0, 5].contains(&verified.exit), "half of it is under its tag: {verified:?}");
        let again = at.run(["push", &reference, "--json"]).succeeds();
        found_there += again.stderr.matches("there already: app").count();
        assert_eq!(again.json()["digest"], whole);
        at.run(["verify", &reference, "--key", "release.pub"]).succeeds();
        let pull = ["pull", &reference, "--debug", "-o", "site", "--platform", "linux/amd64"];
        at.run(pull).succeeds();
    }
    assert!(found_there > 0, "what was sent is not sent again");
}

fn cosign_verify(at: &Xpost, reference: &str) -> Command {
    let mut cosign = tools::tool("cosign", at.home());
    cosign.current_dir(at.home()).args([
        "verify",
        "--key",
        "release.pub",
        "--insecure-ignore-tlog",
    ]);
    cosign.args(["--allow-insecure-registry", reference]);
    cosign
}

/// regctl wants to be told which registry speaks http.
fn regctl(at: &Xpost, server: &Server) -> Command {
    let mut regctl = tools::tool("regctl", at.home());
    regctl
        .current_dir(at.home())
        .args(["--host", &format!("reg={},tls=disabled", server.localhost())]);
    regctl
}
