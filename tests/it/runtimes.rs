//! containerd and podman take what `push --image` publishes, and what an archive carries.

use std::process::Command;

use crate::support::containerd::{Containerd, podman};
use crate::support::release;
use crate::support::server::{Kind, Server};
use crate::support::tools;
use crate::support::xpost::Xpost;

const APP: &str = "xpost-out/linux-amd64/app";

fn run(at: &Xpost, command: &mut Command) -> String {
    tools::stdout(command.current_dir(at.home()))
}

/// The image in an archive that holds nothing else, as `docker load` and its like want it.
fn alone(at: &Xpost, archive: &str, to: &str) {
    let [from, to] = [archive, to].map(|file| format!("oci-archive:{file}:v1"));
    run(at, tools::tool("skopeo", at.home()).args(["copy", "-q", "-a", &from, &to]));
}

#[test]
fn containerd_pulls_and_imports_an_image() {
    let (at, server) = (release::small(), Server::start(Kind::Distribution));
    let reference = format!("{}/org/app:v1-image", server.localhost());
    at.run(["sign", "--key", "release.key", "--image"]).succeeds();
    let pushed = at.run(["push", &reference, "--image", "--json"]).succeeds().json();
    let digest = pushed["digest"].as_str().unwrap();
    let containerd = Containerd::start();
    let pull = ["image", "pull", "--plain-http", "--platform", "linux/amd64", &reference];
    run(&at, containerd.ctr().args(pull));
    assert_eq!(containerd.unpacked("app"), [at.read(APP)]);
    let listed = run(&at, containerd.ctr().args(["image", "ls"]));
    assert!(listed.contains(digest), "{listed}");

    // From an archive, at a site that has another containerd.
    at.run(["copy", &reference, "oci-archive:image.tar:v1"]).succeeds();
    let name = ["--base-name", "example.com/org/app"];
    let import = |containerd: &Containerd, more: &[&str], file: &str| {
        run(&at, containerd.ctr().args(["image", "import"]).args(name).args(more).arg(file));
        run(&at, containerd.ctr().args(["image", "ls"]))
    };
    let containerd = Containerd::start();
    // What refers to the image comes along, and is nothing to unpack.
    let listed = import(&containerd, &["--no-unpack"], "image.tar");
    let named = |line: &&str| line.starts_with("example.com/org/app:v1 ") && line.contains(digest);
    assert!(listed.lines().any(|line| named(&line)), "{listed}");
    assert!(containerd.unpacked("app").is_empty());
    alone(&at, "image.tar", "alone.tar");
    let listed = import(&containerd, &[], "alone.tar");
    assert!(listed.lines().any(|line| named(&line)), "{listed}");
    assert_eq!(containerd.unpacked("app"), [at.read(APP)]);
}

#[test]
fn containerd_keeps_the_files_of_a_release_that_an_archive_carries() {
    let at = release::small();
    at.run(["push", "oci-archive:app.tar:v1"]).succeeds();
    let containerd = Containerd::start();
    run(&at, containerd.ctr().args(["image", "import", "--no-unpack", "app.tar"]));
    let here = ["app", "app.debug", "app.cdx.json", "app.sigstore.json"];
    for file in here.map(|name| format!("xpost-out/linux-amd64/{name}")) {
        let digest = run(&at, tools::tool("sha256sum", at.home()).arg(&file));
        let digest = format!("sha256:{}", digest.split(' ').next().unwrap());
        let mut get = containerd.ctr();
        let there = tools::output(get.args(["content", "get", &digest])).stdout;
        assert!(there == at.read(&file), "{file}");
    }
}

#[test]
fn podman_pulls_and_loads_an_image() {
    let (at, server) = (release::small(), Server::start(Kind::Distribution));
    let reference = format!("{}/org/app:v1-image", server.localhost());
    at.run(["push", &reference, "--image"]).succeeds();
    at.run(["copy", &reference, "oci-archive:image.tar:v1"]).succeeds();
    alone(&at, "image.tar", "alone.tar");
    let format =
        ["image", "inspect", "--format", "{{.Config.Entrypoint}} {{.Os}}/{{.Architecture}}"];
    let pull = ["pull", "-q", "--tls-verify=false", &reference];
    for command in
        [&pull[..], &["pull", "-q", "oci-archive:image.tar:v1"], &["load", "-q", "-i", "alone.tar"]]
    {
        run(&at, podman(at.home()).args(command));
        let id = run(&at, podman(at.home()).args(["images", "-q"]));
        assert_eq!(run(&at, podman(at.home()).args(format).arg(id.trim())), "[/app] linux/amd64\n");
        run(&at, podman(at.home()).args(["rmi", id.trim()]));
    }
}
