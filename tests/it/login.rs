//! Who asks: `xpost login` and `logout`, the files and helpers of docker and podman, and a password for one command.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::release::{self, refused};
use crate::support::server::{self, Auth, Kind, PASSWORD, Server, USER};
use crate::support::tools;
use crate::support::xpost::{Ran, xpost};

#[test]
fn a_login_is_checked_kept_and_forgotten() {
    for auth in [Auth::Basic, Auth::Token] {
        let (server, at) = (Server::start_with(Kind::Distribution, auth), release::small());
        let (host, config) = (server.localhost(), at.path(".docker/config.json"));
        let reference = format!("{host}/app:v1");
        let login = ["login", &host, "--username", USER, "--password-stdin"];
        let wrong = with_input(at.command(login), "mistaken\n").exits(6, &[&host, "as alice"]);
        assert!(!wrong.stderr.contains("mistaken"), "{wrong:?}");
        assert!(!config.exists());
        refused(&at, &["push", &reference], 6, &["xpost login"]);

        let theirs = json!({"auths": {"other.example": {"auth": "YTpi"}}, "psFormat": "x"});
        at.put(".docker/config.json", theirs.to_string());
        let ran = with_input(at.command(login), &format!("{PASSWORD}\n")).succeeds();
        assert!(ran.stdout.contains("logged in as alice") && !ran.stdout.contains(PASSWORD));
        let mode = std::fs::metadata(&config).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        at.run(["push", &reference]).succeeds();
        // Others find it as well.
        let mut crane = tools::tool("crane", at.home());
        assert!(tools::stdout(crane.arg("digest").arg(&reference)).starts_with("sha256:"));

        at.run(["logout", &host]).succeeds();
        let left: Value = serde_json::from_slice(&at.read(".docker/config.json")).unwrap();
        assert_eq!(left, theirs);
        refused(&at, &["push", &format!("{host}/app:v2")], 6, &["without credentials"]);
        refused(&at, &["logout", &host], 5, &["nothing is kept for it"]);
    }
}

#[test]
fn a_password_may_be_for_one_command_alone() {
    let (server, at) = (Server::start_with(Kind::DockerRegistry, Auth::Basic), release::small());
    let reference = server.reference("app:v1");
    for (verb, more) in [("push", vec![]), ("verify", vec!["--key", "release.pub"])] {
        let arguments = || {
            let options = ["--username", USER, "--password-stdin"];
            [verb, &reference].into_iter().chain(options).chain(more.iter().copied())
        };
        with_input(at.command(arguments()), "wrong").exits(6, &["as alice"]);
        with_input(at.command(arguments()), PASSWORD).succeeds();
        refused(&at, &arguments().collect::<Vec<_>>(), 2, &["standard input is empty"]);
    }
    refused(&at, &["push", &reference, "--username", USER], 2, &["--password-stdin"]);
    assert!(!at.path(".docker").exists());
}

#[test]
fn a_helper_keeps_what_the_configuration_gives_to_it() {
    let (server, at) = (Server::start_with(Kind::Distribution, Auth::Basic), release::small());
    let (host, reference) = (server.host(), server.reference("app:v1"));
    // What docker-credential-helpers says it has to do.
    let helper = at.put("bin/docker-credential-drawer", DRAWER);
    std::fs::set_permissions(&helper, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", at.path("bin").display(), std::env::var("PATH").unwrap());
    let run = |arguments: &[&str], input: &str| {
        let mut command = at.command(arguments);
        command.env("PATH", &path).env("DRAWER", at.path("drawer"));
        with_input(command, input)
    };
    for config in
        [json!({"credsStore": "drawer"}), json!({"credHelpers": {host.clone(): "drawer"}})]
    {
        at.put(".docker/config.json", config.to_string());
        run(&["push", &reference], "").exits(6, &["without credentials"]);
        let login = ["login", &host, "--username", USER, "--password-stdin", "--json"];
        let kept = run(&login, PASSWORD).succeeds().json();
        assert_eq!(kept["kept"], "docker-credential-drawer");
        let text = String::from_utf8(at.read(".docker/config.json")).unwrap();
        assert!(text.contains("drawer") && !text.contains("auth\""), "{text}");
        run(&["push", &reference], "").succeeds();
        run(&["logout", &host], "").succeeds();
        assert!(!at.path("drawer").exists());
        run(&["push", &reference], "").exits(6, &["without credentials"]);
    }
    at.put(".docker/config.json", json!({"credsStore": "nowhere"}).to_string());
    let ran =
        run(&["push", &reference], "").exits(6, &["docker-credential-nowhere get: No such file"]);
    assert!(
        !ran.stderr.contains("log in first") && ran.stderr.contains("put that right"),
        "{ran:?}"
    );
    at.put(".docker/config.json", "{\"auths\": {,}}");
    let ran = run(&["push", &reference], "").exits(6, &["config.json: it is no JSON", "column 12"]);
    assert!(!ran.stderr.contains("log in first"), "{ran:?}");
}

const DRAWER: &str = r#"#!/bin/sh
case $1 in
store) cat > "$DRAWER" ;;
erase) rm -f "$DRAWER" ;;
get)
    if [ -e "$DRAWER" ]; then cat "$DRAWER"
    else echo "credentials not found in native keychain"; exit 1; fi ;;
esac
"#;

#[test]
fn podmans_files_are_read_and_the_one_that_is_named_alone() {
    let (server, at) = (Server::start_with(Kind::Distribution, Auth::Basic), release::small());
    let reference = server.reference("app:v1");
    let login = |password: &str| server::login(&format!("{}/app", server.host()), password);
    at.put("run/containers/auth.json", login(PASSWORD));
    let mut command = at.command(["push", &reference]);
    Ran::of(&tools::output(command.env("XDG_RUNTIME_DIR", at.path("run")))).succeeds();
    let mut command = at.command(["push", &reference]);
    Ran::of(&tools::output(command.env("XDG_CONFIG_HOME", at.path("run")))).succeeds();
    at.put("auth.json", login("wrong"));
    let mut command = at.command(["push", &reference]);
    command.env("XDG_RUNTIME_DIR", at.path("run")).env("REGISTRY_AUTH_FILE", at.path("auth.json"));
    let ran = Ran::of(&tools::output(&mut command)).exits(6, &["as alice", "an old one"]);
    assert!(!ran.stderr.contains("log in first"), "{ran:?}");
}

#[test]
fn what_is_no_registry_gets_no_password_kept() {
    let at = xpost();
    let login = |host: &str| at.command(["login", host, "--username", USER, "--password-stdin"]);
    for host in ["https://ghcr.io", "ghcr.io/org", "a b"] {
        with_input(login(host), PASSWORD).exits(2, &["host"]);
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    with_input(login(&format!("127.0.0.1:{port}")), PASSWORD).exits(7, &["cannot log in to"]);
    at.run(["login", "ghcr.io"]).exits(2, &["--password-stdin"]);
    let command = at.command(["login", "ghcr.io", "--username", "a:b", "--password-stdin"]);
    with_input(command, PASSWORD).exits(2, &["cannot use the user name", "':'"]);
    assert!(at.list().is_empty());
}

fn with_input(mut command: Command, input: &str) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that needs none of it closes its end.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Ran::of(&child.wait_with_output().unwrap())
}

#[test]
fn an_open_registry_cannot_say_whether_a_password_is_right() {
    let (server, at) = (Server::start(Kind::Distribution), release::small());
    let host = server.host();
    let command = at.command(["login", &host, "--username", USER, "--password-stdin"]);
    with_input(command, PASSWORD).exits(0, &["lets everybody in"]);
}
