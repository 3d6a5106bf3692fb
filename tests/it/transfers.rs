//! How bytes get to a registry and back: mounted, through a proxy, over TLS with an authority of one's own.

use crate::support::release::{self, push};
use crate::support::server::{Auth, Kind, PASSWORD, Server, login};

#[test]
fn a_copy_within_a_registry_sends_no_blob() {
    for (kind, auth) in [(Kind::Distribution, Auth::Token), (Kind::DockerRegistry, Auth::Basic)] {
        let (server, at) = (Server::start_with(kind, auth), release::small());
        let host = server.localhost();
        at.put(".docker/config.json", login(&host, PASSWORD));
        let digest = push(&at, &format!("{host}/from:v1"));
        let (from, to) = (format!("{host}/from:v1"), format!("{host}/org/to:v1"));
        let copied = at.run(["copy", &from, &to, "--json"]).succeeds().json();
        assert_eq!(copied["digest"], digest, "{copied}");
        let blobs = copied["receipt"]["blobs"].as_array().unwrap();
        assert!(blobs.iter().all(|blob| blob["state"] == "mounted"), "{copied}");
        assert!(blobs.len() > 5, "{copied}");
        at.run(["verify", &to, "--key", "release.pub"]).succeeds();
    }
}
