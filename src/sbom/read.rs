//! The read side: which binary does this SBOM speak of?
//!
//! An SBOM in a release directory may have been written by any tool, or for the binary of last week. What it
//! says of its subject's hash is enough to tell; the rest of it is not read.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::digest::Digest;

/// The largest SBOM that is read.
pub const MAX_LENGTH: usize = 64 << 20;

/// The SHA-256 that an SBOM states of what it describes: CycloneDX JSON of any version, or SPDX 2 JSON.
///
/// `None` where it states none, describes more than one thing, or is no SBOM.
pub fn subject_hash(bytes: &[u8]) -> Option<Digest> {
    let document: Document =
        Some(bytes).filter(|bytes| bytes.len() <= MAX_LENGTH).map(serde_json::from_slice)?.ok()?;
    match document.bom_format.as_deref() {
        Some("CycloneDX") => document.metadata?.component?.hashes.iter().find_map(Hash::sha256),
        Some(_) => None,
        None => spdx(document),
    }
}

/// SPDX 2.3, 7 and 11: what the document describes is named in one of two places.
fn spdx(document: Document) -> Option<Digest> {
    document.spdx_version.filter(|version| version.starts_with("SPDX-2"))?;
    let describes = document
        .relationships
        .into_iter()
        .filter(|relationship| {
            relationship.kind == "DESCRIBES" && relationship.from == "SPDXRef-DOCUMENT"
        })
        .map(|relationship| relationship.to);
    let described: BTreeSet<String> = document.describes.into_iter().chain(describes).collect();
    let mut elements = document
        .packages
        .iter()
        .chain(&document.files)
        .filter(|element| described.contains(&element.id));
    match (elements.next(), elements.next()) {
        (Some(only), None) => only.checksums.iter().find_map(Hash::sha256),
        _ => None,
    }
}

impl Hash {
    fn sha256(&self) -> Option<Digest> {
        let named = matches!(self.algorithm.as_str(), "SHA-256" | "SHA256");
        named.then(|| format!("sha256:{}", self.value.to_ascii_lowercase()).parse().ok()).flatten()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    bom_format: Option<String>,
    metadata: Option<Metadata>,
    spdx_version: Option<String>,
    #[serde(default, rename = "documentDescribes")]
    describes: Vec<String>,
    #[serde(default)]
    relationships: Vec<Relationship>,
    #[serde(default)]
    packages: Vec<Element>,
    #[serde(default)]
    files: Vec<Element>,
}

#[derive(Deserialize)]
struct Metadata {
    component: Option<Component>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(default)]
    hashes: Vec<Hash>,
}

#[derive(Deserialize)]
struct Hash {
    #[serde(alias = "alg")]
    algorithm: String,
    #[serde(alias = "content", alias = "checksumValue")]
    value: String,
}

#[derive(Deserialize)]
struct Relationship {
    #[serde(rename = "spdxElementId")]
    from: String,
    #[serde(rename = "relationshipType")]
    kind: String,
    #[serde(rename = "relatedSpdxElement")]
    to: String,
}

#[derive(Deserialize)]
struct Element {
    #[serde(rename = "SPDXID")]
    id: String,
    #[serde(default)]
    checksums: Vec<Hash>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cyclonedx(hashes: &str) -> String {
        format!(
            r#"{{"bomFormat":"CycloneDX","specVersion":"9","metadata":{{"component":{{"hashes":{hashes}}}}}}}"#
        )
    }

    #[test]
    fn cyclonedx_states_the_hash_of_its_main_component() {
        let digest = Digest::of(b"app");
        let text = cyclonedx(&format!(
            r#"[{{"alg":"MD5","content":"00"}},{{"alg":"SHA-256","content":"{}"}}]"#,
            digest.hex().to_uppercase()
        ));
        assert_eq!(subject_hash(text.as_bytes()), Some(digest));
    }

    #[test]
    fn spdx_states_the_hash_of_what_it_describes() {
        let digest = Digest::of(b"app");
        let element = |id: &str| {
            format!(
                r#"{{"SPDXID":"SPDXRef-{id}","checksums":[{{"algorithm":"SHA256","checksumValue":"{}"}}]}}"#,
                Digest::of(id.as_bytes()).hex()
            )
        };
        let text = format!(
            r#"{{"spdxVersion":"SPDX-2.3","packages":[{},{}],"relationships":[{{"spdxElementId":"SPDXRef-DOCUMENT",
            "relationshipType":"DESCRIBES","relatedSpdxElement":"SPDXRef-app"}}]}}"#,
            element("app"),
            element("lib")
        );
        assert_eq!(subject_hash(text.as_bytes()), Some(digest));
        let both =
            text.replace("\"packages\"", r#""documentDescribes":["SPDXRef-lib"],"packages""#);
        assert_eq!(subject_hash(both.as_bytes()), None);
        let listed = text
            .replace("DESCRIBES", "CONTAINS")
            .replace("\"packages\"", r#""documentDescribes":["SPDXRef-app"],"packages""#);
        assert_eq!(subject_hash(listed.as_bytes()), Some(digest));
    }

    #[test]
    fn what_states_nothing_gives_nothing() {
        let unknown = cyclonedx("[]").replace("CycloneDX", "Other");
        for text in ["", "{}", "[]", "null", &cyclonedx("[]"), &cyclonedx("1"), &unknown] {
            assert_eq!(subject_hash(text.as_bytes()), None, "{text}");
        }
        let short = cyclonedx(r#"[{"alg":"SHA-256","content":"00"}]"#);
        assert_eq!(subject_hash(short.as_bytes()), None);
        assert_eq!(subject_hash(&vec![b'['; 1 << 20]), None);
    }
}
