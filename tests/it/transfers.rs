//! How bytes get to a registry and back: mounted, through a proxy, over TLS with an authority of one's own.

use xpost::oci::credentials::{Credentials, Login};
use xpost::oci::{self, Access, Location, Plain, Reference, Registry};

use crate::support::release::{self, push};
use crate::support::server::{Auth, Kind, PASSWORD, Server, USER, login};

fn open(reference: &str, access: Access) -> Registry {
    let reference: Reference = reference.parse().unwrap();
    let Location::Registry(repository) = reference.location else { panic!("a registry") };
    let (username, password) = (USER.to_owned(), PASSWORD.to_owned());
    let login = Login::of(Credentials::Basic { username, password });
    Registry::open(&repository, access, Plain::Loopback, login, xpost::http::Options::default())
        .unwrap()
}

#[test]
fn a_copy_within_a_registry_sends_no_blob() {
    for (kind, auth) in [(Kind::Distribution, Auth::Token), (Kind::DockerRegistry, Auth::Basic)] {
        let (server, at) = (Server::start_with(kind, auth), release::small());
        let host = server.localhost();
        at.put(".docker/config.json", login(&host, PASSWORD));
        let digest = push(&at, &format!("{host}/from:v1"));
        let from = open(&format!("{host}/from"), Access::Read);
        let to = open(&format!("{host}/org/to"), Access::Write);
        let what: Reference = format!("{host}/from:v1").parse().unwrap();
        let tag = what.target.tag.clone();
        let copied =
            oci::copy(&from, &what.target, &to, tag.as_ref(), &oci::Options::default(), &|_| {});
        let copied = copied.unwrap();
        assert_eq!((copied.digest.to_string(), copied.bytes), (digest, 0), "{copied:?}");
        assert!(copied.mounted > 5, "{copied:?}");
        at.run(["verify", &format!("{host}/org/to:v1"), "--key", "release.pub"]).succeeds();
    }
}
