//! Lists of tags, and what registries answer to deletions.

use super::*;

#[test]
fn tags_are_read_page_by_page_and_what_is_none_is_passed_over() {
    let server = Server::start(|count, _| match count {
        1 => answer(
            "200 OK",
            "Link: </v2/app/tags/list?n=2&last=b>; rel=\"next\"\r\n",
            br#"{"name":"app","tags":["a","not a tag"]}"#,
        ),
        2 => answer("200 OK", "", br#"{"name":"app","tags":["b"]}"#),
        3 => answer("200 OK", "", br#"{"name":"app","tags":null}"#),
        4 => answer("404 Not Found", "", b"{}"),
        _ => answer("200 OK", "", b"<html>"),
    });
    let registry = server.registry();
    let tag = |text: &str| Tag::new(text).expect("a tag");
    assert_eq!(registry.tags().expect("two pages"), [tag("a"), tag("b")]);
    assert_eq!(registry.tags().expect("none"), []);
    assert_eq!(registry.tags().expect("never used"), []);
    assert!(matches!(registry.tags(), Err(Error::Malformed { .. })));
}

#[test]
fn a_list_of_tags_without_end_is_left() {
    let server = Server::start(|count, _| {
        let link = format!("Link: </v2/app/tags/list?last={count}>; rel=\"next\"\r\n");
        let tags: Vec<_> = (0..1000).map(|tag| format!("\"t{count}-{tag}\"")).collect();
        answer("200 OK", &link, format!(r#"{{"tags":[{}]}}"#, tags.join(",")).as_bytes())
    });
    assert!(matches!(server.registry().tags(), Err(Error::Many { .. })));
    assert!(server.seen().len() < 20, "{}", server.seen().len());
}

#[test]
fn what_a_registry_says_of_a_deletion_is_told_apart() {
    let node = Index::new(None, Vec::new()).to_node().descriptor;
    let said = |status: &'static str| {
        let server = Server::start(move |_, _| answer(status, "", b"{}"));
        let (registry, tag) = (server.registry(), Tag::new("v1").expect("a tag"));
        (registry.delete_manifest(&node), registry.delete_tag(&tag))
    };
    assert!(matches!(said("202 Accepted"), (Ok(()), Ok(()))));
    // It was gone already, or went with a try whose answer was lost.
    assert!(matches!(said("404 Not Found"), (Ok(()), Ok(()))));
    let (manifest, tag) = said("405 Method Not Allowed");
    assert!(matches!(manifest, Err(Error::NoDeletion { what: "manifests", .. })), "{manifest:?}");
    assert_eq!(manifest.map_err(|error| error.kind()), Err(Kind::Refused));
    assert!(tag.is_err());
    // Google's say so of a manifest that has a tag.
    assert!(matches!(said("409 Conflict").0, Err(Error::Needed { .. })));
    let (manifest, _) = said("403 Forbidden");
    assert_eq!(manifest.map_err(|error| error.kind()), Err(Kind::Authentication));
}
