//! Sites that no network reaches: what needs none works where there is none, and `--offline` opens no socket.

use std::process::Command;

use crate::support::release::{self, VERSION, push, refused};
use crate::support::server::{Kind, Server};
use crate::support::tools;
use crate::support::xpost::{Ran, Xpost};

/// Runs where there is no network interface, not even one to this machine itself.
fn without_network(at: &Xpost, arguments: &[&str]) -> Ran {
    let mut unshare = Command::new(tools::path("unshare"));
    unshare.args(["--map-root-user", "--net", env!("CARGO_BIN_EXE_xpost")]).args(arguments);
    Ran::of(&tools::output(unshare.current_dir(at.home()).env_remove("SOURCE_DATE_EPOCH")))
}

#[test]
fn a_release_is_made_carried_and_verified_without_a_network() {
    let at = release::small();
    let run = |arguments: &[&str]| without_network(&at, arguments).succeeds();
    run(&["push", "--offline", "oci-archive:release.tar:v1"]);
    run(&["copy", "--offline", "oci-archive:release.tar:v1", "oci:site:v1"]);
    let verify = ["verify", "--offline", "oci:site:v1", "--key", "release.pub"];
    run(&[&verify[..], &["--require-version", VERSION]].concat());
    run(&["verify", "--offline", "oci:site:v1", "--complete"]);
    run(&["verify", "--offline", "oci:site:v1", "--platforms"]);
    run(&["discover", "--offline", "oci:site:v1"]);
    run(&["pull", "--offline", "oci:site:v1", "-o", "out", "--debug", "--key", "release.pub"]);
    at.put("report.json", "{}");
    let attach = ["attach", "--offline", "oci:site:v1", "report.json", "--artifact-type"];
    run(&[&attach[..], &["application/vnd.example.report"]].concat());
    assert_eq!(at.read("out/app"), at.read("xpost-out/linux-amd64/app"));
}

#[test]
fn offline_asks_no_registry_even_where_there_is_one() {
    let (at, server) = (release::small(), Server::start(Kind::Cuelabs));
    let reference = format!("{}/org/app:v1", server.localhost());
    push(&at, &reference);
    push(&at, "oci:lay:v1");
    let before = server.log();
    let said = ["--offline forbids it"];
    for arguments in [
        vec!["push", &reference],
        vec!["pull", &reference, "-o", "site"],
        vec!["verify", &reference, "--key", "release.pub"],
        vec!["discover", &reference],
        vec!["copy", &reference, "oci:other:v1"],
        vec!["copy", "oci:lay:v1", &reference],
        vec!["push", "oci:lay:v2", "--debug-to", "localhost:1/debug"],
    ] {
        refused(&at, &[&arguments[..], &["--offline"]].concat(), 2, &said);
    }
    assert_eq!(server.log(), before);
}
