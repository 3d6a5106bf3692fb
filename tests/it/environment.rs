//! The tools, servers and binaries under the other tests are what those believe them to be.

use std::path::Path;

use crate::support::server::{ALL, Auth, IDENTITY_TOKEN, Kind, PASSWORD, Server, USER};
use crate::support::{corpus, tools};

#[test]
fn every_corpus_binary_runs_as_its_source_says() {
    for binary in corpus::ALL.iter().filter(|binary| binary.runs()) {
        let printed = tools::stdout(&mut binary.command(&binary.path()));
        assert_eq!(printed, binary.prints(), "{}", binary.name);
    }
}

#[test]
fn a_debugger_stops_where_every_local_is_set() {
    let home = tempfile::tempdir().unwrap();
    for name in ["c-glibc-static", "c-musl", "c-static-pie", "cxx-static", "go", "rust-gnu-static"]
    {
        let binary = corpus::get(name);
        let mut gdb = tools::tool("gdb", home.path());
        gdb.args(["-nx", "-batch", "-d"])
            .arg(binary.source_directory())
            .arg("-ex")
            .arg(format!("break {}", binary.stop()));
        let said = tools::stdout(
            gdb.args(["-ex", "run", "-ex", "bt", "-ex", "info locals"]).arg(binary.path()),
        );
        assert!(said.contains("next = ") && said.contains("250"), "{name}: {said}");
        assert!(said.contains("\n#3 "), "{name}: {said}");
    }
}

#[test]
fn the_committed_programs_run() {
    for architecture in ["amd64", "arm64"] {
        let name = if architecture == "amd64" { "c-musl" } else { "c-arm64-static" };
        let printed =
            tools::stdout(&mut corpus::get(name).command(&corpus::committed(architecture)));
        assert_eq!(printed, "3 entries, 859 cents\n", "{architecture}");
    }
}

#[test]
#[should_panic(expected = "'nonsense' is not")]
fn the_sbom_validator_complains() {
    let home = tempfile::tempdir().unwrap();
    let (good, bad) = (home.path().join("good.json"), home.path().join("bad.json"));
    let sbom = |kind| {
        format!(
            r#"{{"bomFormat":"CycloneDX","specVersion":"1.5","components":[{{"type":"{kind}","name":"a"}}]}}"#
        )
    };
    std::fs::write(&good, sbom("library")).unwrap();
    std::fs::write(&bad, sbom("nonsense")).unwrap();
    tools::check_cyclonedx(&[&good]);
    tools::check_cyclonedx(&[&good, &bad]);
}

#[test]
fn every_registry_takes_and_gives_an_artifact() {
    let home = tempfile::tempdir().unwrap();
    for kind in ALL {
        let server = Server::start(kind);
        let reference = format!("{}/app:v1", server.localhost());
        push(&reference, home.path());
        let digest = tools::stdout(
            tools::tool("crane", home.path())
                .arg("digest")
                .arg(format!("{}/app:v1", server.localhost())),
        );
        assert!(digest.starts_with("sha256:"), "{kind:?}: {digest}");
    }
}

#[test]
fn basic_auth_lets_in_the_user_and_nobody_else() {
    for kind in [Kind::Distribution, Kind::DockerRegistry] {
        let home = tempfile::tempdir().unwrap();
        let server = Server::start_with(kind, Auth::Basic);
        let reference = format!("{}/app:v1", server.localhost());
        let refused =
            tools::failure(tools::tool("crane", home.path()).arg("digest").arg(&reference));
        assert!(refused.contains("401") || refused.contains("UNAUTHORIZED"), "{kind:?}: {refused}");
        log_in(&server, PASSWORD, home.path());
        push(&reference, home.path());
    }
}

#[test]
fn a_bearer_token_lets_in_who_may() {
    for kind in [Kind::Distribution, Kind::DockerRegistry] {
        let home = tempfile::tempdir().unwrap();
        let server = Server::start_with(kind, Auth::Token);
        let reference = format!("{}/app:v1", server.localhost());
        let refused = tools::failure(&mut push_command(&reference, home.path()));
        assert!(
            refused.to_lowercase().contains("unauthorized") || refused.contains("denied"),
            "{kind:?}: {refused}"
        );
        log_in(&server, PASSWORD, home.path());
        push(&reference, home.path());
        assert!(server.token_log().contains("GET /token?"), "{kind:?}: {}", server.token_log());
        // Anybody may pull.
        let stranger = tempfile::tempdir().unwrap();
        tools::stdout(tools::tool("crane", stranger.path()).arg("digest").arg(&reference));
    }
}

#[test]
fn an_identity_token_stands_for_the_user() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start_with(Kind::DockerRegistry, Auth::Token);
    let config = format!(
        r#"{{"auths":{{"{}":{{"identitytoken":"{IDENTITY_TOKEN}"}}}}}}"#,
        server.localhost()
    );
    std::fs::create_dir(home.path().join(".docker")).unwrap();
    std::fs::write(home.path().join(".docker/config.json"), config).unwrap();
    push(&format!("{}/app:v1", server.localhost()), home.path());
    assert!(server.token_log().contains("POST /token 200"), "{}", server.token_log());
}

#[test]
fn a_token_ends() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start_with(Kind::DockerRegistry, Auth::TokenFor(1));
    log_in(&server, PASSWORD, home.path());
    push(&format!("{}/app:v1", server.localhost()), home.path());
}

fn log_in(server: &Server, password: &str, home: &Path) {
    let mut oras = tools::tool("oras", home);
    tools::stdout(
        oras.args(["login", "--plain-http", "--username", USER, "--password", password])
            .arg(server.localhost()),
    );
}

fn push(reference: &str, home: &Path) {
    tools::stdout(&mut push_command(reference, home));
}

fn push_command(reference: &str, home: &Path) -> std::process::Command {
    std::fs::write(home.join("hello.txt"), "hello\n").unwrap();
    let mut oras = tools::tool("oras", home);
    oras.current_dir(home).args([
        "push",
        "--plain-http",
        "--artifact-type",
        "application/vnd.xpost.test",
    ]);
    oras.args([reference, "hello.txt:text/plain"]);
    oras
}
