//! The list of referrers where a store makes none: an index under the tag `sha256-<hex>`
//! (OCI distribution-spec, "Referrers Tag Schema").
//!
//! In come what is there and our entries, out comes what has to be there. Foreign entries stay as they are, byte for
//! byte as far as JSON goes; ours replace older ones of the same digest, which repairs those that
//! cosign 3.0 wrote without type and annotations.

use serde::Deserialize;
use serde_json::Value;

use super::manifest::{self, Descriptor, Index, Node, media};
use crate::digest::Digest;

/// The index with all `entries` in it; `None` where `there` has them already.
///
/// What is no index is replaced, and so is the subject itself: `cosign copy` tags it with the name of its own list.
pub(super) fn merged(
    there: Option<&Node>,
    subject: &Digest,
    entries: &[Descriptor],
) -> Option<Node> {
    let there = there.filter(|node| node.descriptor.digest != *subject);
    // Not parsed in full: an entry that only others understand is no reason to throw the list away.
    let there = there.filter(|node| manifest::stated_type(&node.bytes) == media::INDEX);
    let document = there.and_then(|node| serde_json::from_slice::<Value>(&node.bytes).ok());
    let mut document = document.unwrap_or_default();
    let Some(list) = document.get_mut("manifests").and_then(Value::as_array_mut) else {
        return Some(Index::new(None, entries.to_vec()).to_node());
    };
    let mut changed = false;
    for entry in entries {
        let ours = serde_json::to_value(entry).ok()?;
        let digest = ours.get("digest").cloned();
        let before = list.len();
        if list.contains(&ours) {
            continue;
        }
        list.retain(|other| other.get("digest") != digest.as_ref());
        let position = list.len().min(before);
        list.insert(position, ours);
        changed = true;
    }
    let bytes = serde_json::to_vec(&document).ok()?;
    changed.then(|| Node::of(media::INDEX, bytes))
}

/// What remains of a list without one of its entries.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Remains {
    /// It had no such entry.
    All,
    /// The others.
    Some(Box<Node>),
    /// Nothing.
    Nothing,
}

/// The list without `gone`; the other entries stay as they are.
pub(super) fn without(there: &Node, gone: &Digest) -> Remains {
    let document = serde_json::from_slice::<Value>(&there.bytes).ok();
    let document = document.filter(|_| manifest::stated_type(&there.bytes) == media::INDEX);
    let Some(mut document) = document else { return Remains::All };
    let list = document.get_mut("manifests").and_then(Value::as_array_mut);
    let Some(list) = list else { return Remains::All };
    let (before, gone) = (list.len(), gone.to_string());
    list.retain(|entry| entry.get("digest").and_then(Value::as_str) != Some(&gone));
    match list.len() {
        0 => Remains::Nothing,
        after if after == before => Remains::All,
        _ => match serde_json::to_vec(&document) {
            Ok(bytes) => Remains::Some(Box::new(Node::of(media::INDEX, bytes))),
            Err(_) => Remains::All,
        },
    }
}

/// The entries of an index that are descriptors; those of an index made by others may be anything.
///
/// # Errors
/// Why it is no index.
pub(super) fn entries(index: &[u8]) -> Result<Vec<Descriptor>, String> {
    let document: Value =
        serde_json::from_slice(index).map_err(|error| manifest::json_problem(&error))?;
    let list = match document.get("manifests") {
        Some(Value::Array(list)) => list.as_slice(),
        // What Go makes of a list without entries.
        Some(Value::Null) => &[],
        _ => return Err("it has no list of manifests".to_owned()),
    };
    Ok(list.iter().filter_map(|entry| Descriptor::deserialize(entry).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::manifest::Manifest;

    fn ours(text: &str) -> Descriptor {
        let mut manifest = Manifest::new(media::BUNDLE, Vec::new());
        manifest.annotations.insert("x".to_owned(), text.to_owned());
        manifest.to_node().descriptor
    }

    fn listed(node: &Node) -> Vec<Descriptor> {
        entries(&node.bytes).expect("an index")
    }

    fn subject() -> Digest {
        Digest::of(b"subject")
    }

    #[test]
    fn a_second_time_changes_nothing() {
        let node = merged(None, &subject(), &[ours("1"), ours("2")]).expect("made");
        assert_eq!(listed(&node), [ours("1"), ours("2")]);
        assert_eq!(merged(Some(&node), &subject(), &[ours("2")]), None);
    }

    #[test]
    fn foreign_entries_stay_and_ours_are_repaired() {
        let mut bare = ours("1");
        bare.artifact_type = Some(media::EMPTY.to_owned());
        bare.annotations.clear();
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{{"digest":"sha512:00","x":1}},{}]}}"#,
            media::INDEX,
            serde_json::to_string(&bare).expect("text"),
        );
        let there = Node::of(media::INDEX, text.into_bytes());
        let node = merged(Some(&there), &subject(), &[ours("1")]).expect("changed");
        let text = String::from_utf8(node.bytes.clone()).expect("text");
        assert!(text.contains(r#""digest":"sha512:00""#) && text.contains(r#""x":1"#), "{text}");
        assert_eq!(listed(&node), [ours("1")]);
    }

    #[test]
    fn an_entry_that_goes_takes_no_other_along() {
        let gone = ours("1").digest;
        let node = merged(None, &subject(), &[ours("1"), ours("2")]).expect("made");
        let Remains::Some(rest) = without(&node, &gone) else { panic!("{node:?}") };
        assert_eq!(listed(&rest), [ours("2")]);
        assert_eq!(without(&rest, &gone), Remains::All);
        assert_eq!(without(&rest, &ours("2").digest), Remains::Nothing);
        let image = Manifest::new(media::BINARY, Vec::new()).to_node();
        assert_eq!(without(&image, &gone), Remains::All);
    }

    #[test]
    fn what_is_no_list_is_replaced() {
        let image = Manifest::new(media::BINARY, Vec::new()).to_node();
        let itself = Index::new(Some(media::RELEASE), vec![ours("child")]).to_node();
        let of = itself.descriptor.digest;
        assert!(merged(Some(&image), &subject(), &[ours("1")]).is_some());
        let node = merged(Some(&itself), &of, &[ours("1")]).expect("replaced");
        assert_eq!(listed(&node), [ours("1")]);
    }

    #[test]
    fn what_is_no_index_lists_not_just_nothing() {
        for bad in [&b""[..], b"<html>", b"[]", b"{}", br#"{"manifests":1}"#] {
            assert!(entries(bad).is_err(), "{bad:?}");
        }
        let none = Node::of(
            media::INDEX,
            format!(r#"{{"mediaType":"{}","manifests":null}}"#, media::INDEX).into(),
        );
        assert_eq!(listed(&none), []);
        let one = merged(Some(&none), &subject(), &[ours("1")]).expect("changed");
        assert_eq!(listed(&one), [ours("1")]);
    }
}
