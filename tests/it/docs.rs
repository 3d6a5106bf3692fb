//! The commands of `docs/registries.md` do what the page says.

use std::process::Command;

use crate::support::release;
use crate::support::server::{Kind, Server};
use crate::support::tools;

/// Each block of shell is run in one directory, in the order of the page, against registries of this machine.
#[test]
fn every_command_of_the_page_about_registries_runs() {
    let at = release::small();
    let registries = [
        ("registry.example.com", Server::start(Kind::Distribution)),
        ("mirror.example.com", Server::start(Kind::Cuelabs)),
        ("site.example.com", Server::start(Kind::DockerRegistry)),
    ];
    let page = std::fs::read_to_string(tools::root().join("docs/registries.md")).unwrap();
    let blocks: Vec<&str> =
        page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 6, "{}", blocks.len());
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_xpost")).parent().unwrap();
    let tools_directory = tools::root().join(".tools/bin");
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{}:{path}", program.display(), tools_directory.display());
    at.put("k6.json", "{}");
    let mut script = "set -eux\n".to_owned();
    for block in blocks {
        script.push_str(block);
    }
    for (name, server) in &registries {
        script = script.replace(name, &server.localhost());
    }
    let id = at.run(["push", "oci:here:v1", "--dry-run", "--json"]).succeeds().json();
    let id =
        id["manifests"][0]["manifest"]["layers"][0]["annotations"]["dev.xpost.build-id"].clone();
    script = script.replace("$BUILD_ID", id.as_str().unwrap());
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(&script).current_dir(at.home()).env("PATH", path);
    shell.env("HOME", at.home()).env("DOCKER_CONFIG", at.path(".docker"));
    shell.env_remove("SOURCE_DATE_EPOCH");
    tools::stdout(&mut shell);
}
