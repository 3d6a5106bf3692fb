//! [`Sbom`] → CycloneDX 1.5 JSON.
//!
//! The writer decides nothing but where a fact goes. Everything stands in a fixed order, the time is an argument,
//! and the serial number is computed from the document, so the same SBOM gives the same bytes.
//!
//! 1.5 is the latest version that `cyclonedx-bom` writes.

use cyclonedx_bom::models::bom::BomReference;
use cyclonedx_bom::models::component::{
    Classification, Component as BomComponent, ComponentEvidence, ConfidenceScore, Identity,
    IdentityField, Method as BomMethod, Methods,
};
use cyclonedx_bom::models::composition::{AggregateType, Composition, Compositions};
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::hash::{Hash, HashAlgorithm, HashValue, Hashes as BomHashes};
use cyclonedx_bom::models::lifecycle::{Lifecycle, Lifecycles, Phase};
use cyclonedx_bom::models::property::{Properties, Property};
use cyclonedx_bom::models::tool::Tools;
use cyclonedx_bom::prelude::{
    Bom, Components, DateTime, Metadata, NormalizedString, SpecVersion, UrnUuid,
};
use uuid::Uuid;

use super::{Completeness, Component, Error, Hashes, Method, Sbom, Timestamp};
use crate::digest::hex;

impl Sbom {
    /// The document, with a time in it only where one is given.
    pub fn to_cyclonedx(&self, timestamp: Option<Timestamp>) -> Result<Vec<u8>, Error> {
        let mut bom = self.bom(timestamp)?;
        let unnumbered = write(&bom)?;
        // RFC 4122, 4.3: a number made from a name, and the name is the document without a number.
        let uuid = Uuid::new_v5(&Uuid::NAMESPACE_URL, &[b"urn:xpost:sbom:", &*unnumbered].concat());
        bom.serial_number = Some(UrnUuid(uuid.urn().to_string()));
        let mut text = write(&bom)?;
        text.push(b'\n');
        Ok(text)
    }

    fn bom(&self, timestamp: Option<Timestamp>) -> Result<Bom, Error> {
        let timestamp = timestamp
            .map(|timestamp| DateTime::try_from(timestamp.to_string()))
            .transpose()
            .map_err(|error| Error::CycloneDx { source: error.into() })?;
        let metadata = Metadata {
            timestamp,
            lifecycles: Some(Lifecycles(vec![Lifecycle::Phase(Phase::PostBuild)])),
            tools: Some(Tools::Object {
                services: None,
                components: Some(Components(vec![tool()])),
            }),
            component: Some(self.main()),
            ..Metadata::default()
        };
        Ok(Bom {
            // `Bom::default()` has a random number.
            serial_number: None,
            metadata: Some(metadata),
            components: Some(Components(self.components.iter().map(component).collect())),
            dependencies: Some(self.dependencies()),
            compositions: Some(self.compositions()),
            ..Bom::default()
        })
    }

    /// The bom-ref of the binary. A purl would not do: it names a module, which may give several binaries.
    fn reference(&self) -> String {
        format!("binary:{}", self.name)
    }

    fn main(&self) -> BomComponent {
        let mut main =
            bom_component(Classification::Application, &self.name, self.version.as_deref());
        main.bom_ref = Some(self.reference());
        main.purl = self.purl.as_deref().and_then(|purl| purl.parse().ok());
        main.hashes = Some(hashes(&self.hashes));
        main.properties = properties(self.properties.iter());
        main.evidence = evidence(&self.methods, self.purl.is_some());
        main.components = self.debug.as_ref().map(|(name, debug)| {
            let mut file = bom_component(Classification::File, name, None);
            file.bom_ref = Some(format!("file:{name}"));
            file.hashes = Some(hashes(debug));
            let size = debug.size.to_string();
            file.properties = properties([(&"dev.xpost:size", &size)].into_iter());
            Components(vec![file])
        });
        main
    }

    /// An entry for everything, also for what needs nothing: absence would mean that nobody knows.
    fn dependencies(&self) -> Dependencies {
        let main = Dependency {
            dependency_ref: self.reference(),
            dependencies: self.needs.iter().cloned().collect(),
        };
        let others = self.components.iter().map(|component| Dependency {
            dependency_ref: component.reference.clone(),
            dependencies: component.needs.iter().cloned().collect(),
        });
        Dependencies(std::iter::once(main).chain(others).collect())
    }

    fn compositions(&self) -> Compositions {
        let refer = |reference: &String| BomReference::new(reference);
        let main = BomReference::new(self.reference());
        let mut compositions = vec![Composition {
            assemblies: Some(vec![main.clone()]),
            dependencies: Some(vec![main]),
            ..composition(self.components_are)
        }];
        let known = |component: &&Component| !self.needs_unknown.contains(&component.reference);
        let known: Vec<_> =
            self.components.iter().filter(known).map(|known| refer(&known.reference)).collect();
        let unknown: Vec<_> = self.needs_unknown.iter().map(refer).collect();
        for (are, dependencies) in
            [(Completeness::Complete, known), (Completeness::Unknown, unknown)]
        {
            if !dependencies.is_empty() {
                let dependencies = Some(dependencies);
                compositions.push(Composition { dependencies, ..composition(are) });
            }
        }
        Compositions(compositions)
    }
}

fn write(bom: &Bom) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    bom.clone()
        .output_as_json(&mut text, SpecVersion::V1_5)
        .map_err(|error| Error::CycloneDx { source: error.into() })?;
    Ok(text)
}

fn tool() -> BomComponent {
    bom_component(Classification::Application, "xpost", Some(env!("CARGO_PKG_VERSION")))
}

fn component(component: &Component) -> BomComponent {
    let version = component.version.as_deref();
    let mut found = bom_component(Classification::Library, &component.name, version);
    found.bom_ref = Some(component.reference.clone());
    found.purl = component.purl.as_deref().and_then(|purl| purl.parse().ok());
    found.properties = properties(component.properties.iter());
    found.evidence = evidence(&component.methods, component.purl.is_some());
    found
}

fn bom_component(kind: Classification, name: &str, version: Option<&str>) -> BomComponent {
    let mut component = BomComponent::new(kind, name, "", None);
    component.version = version.map(NormalizedString::new);
    component
}

fn hashes(hashes: &Hashes) -> BomHashes {
    let hash = |alg, content| Hash { alg, content: HashValue(content) };
    BomHashes(vec![
        hash(HashAlgorithm::SHA_256, hashes.sha256.hex()),
        hash(HashAlgorithm::SHA_512, hex(&hashes.sha512)),
    ])
}

fn properties<'a>(
    properties: impl Iterator<Item = (&'a &'static str, &'a String)>,
) -> Option<Properties> {
    let properties: Vec<_> = properties.map(|(name, value)| Property::new(name, value)).collect();
    (!properties.is_empty()).then_some(Properties(properties))
}

fn evidence(methods: &[Method], by_purl: bool) -> Option<ComponentEvidence> {
    let confidence = |percent: u8| ConfidenceScore::new(f32::from(percent) / 100.0);
    let best = methods.iter().map(|method| method.percent).max()?;
    let methods = methods.iter().map(|method| BomMethod {
        technique: method.technique.to_owned(),
        confidence: confidence(method.percent),
        value: Some(method.source.to_owned()),
    });
    Some(ComponentEvidence {
        licenses: None,
        copyright: None,
        occurrences: None,
        callstack: None,
        identity: Some(Identity {
            field: if by_purl { IdentityField::Purl } else { IdentityField::Name },
            confidence: Some(confidence(best)),
            methods: Some(Methods(methods.collect())),
            tools: None,
        }),
    })
}

fn composition(are: Completeness) -> Composition {
    Composition {
        bom_ref: None,
        aggregate: match are {
            Completeness::Complete => AggregateType::Complete,
            Completeness::Incomplete => AggregateType::Incomplete,
            Completeness::Unknown => AggregateType::Unknown,
        },
        assemblies: None,
        dependencies: None,
        vulnerabilities: None,
        signature: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{platform, subject};
    use super::super::{auditable, sbom, subject_hash};
    use super::*;
    use crate::inspect::go;
    use cyclonedx_bom::prelude::Validate;

    fn document(timestamp: Option<&str>) -> Vec<u8> {
        let platform = platform();
        let section = auditable::tests::section(auditable::tests::JSON.as_bytes());
        let text =
            "mod\ta.b/app\tv1.0.0\th1:m=\ndep\tc.d/lib\tv1.0.0\th1:l=\nbuild\tCGO_ENABLED=0\n";
        let info = go::parse(&go::tests::section("go1.24.3", text), &|_, _| None).expect("info");
        let mut subject = subject(&platform);
        subject.go = Some(&info);
        subject.dep_v0 = Some(&section);
        let timestamp = timestamp.map(|text| text.parse().expect("a time"));
        sbom(&subject).and_then(|sbom| sbom.to_cyclonedx(timestamp)).expect("written")
    }

    #[test]
    fn the_same_binary_gives_the_same_bytes() {
        assert_eq!(document(None), document(None));
        assert_ne!(document(None), document(Some("0")));
    }

    #[test]
    fn the_document_is_valid_and_says_what_was_found() {
        let text = document(Some("1700000000"));
        let bom = Bom::parse_from_json(text.as_slice()).expect("CycloneDX");
        assert!(bom.validate().passed(), "{:?}", bom.validate());
        let value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let at = |pointer: &str| value.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(at("/specVersion"), "1.5");
        assert_eq!(at("/metadata/timestamp"), "2023-11-14T22:13:20Z");
        assert_eq!(at("/metadata/component/version"), "v1.0.0");
        assert_eq!(at("/metadata/component/components/0/name"), "app.debug");
        assert_eq!(at("/metadata/tools/components/0/name"), "xpost");
        let references: Vec<_> =
            (0..5).map(|index| at(&format!("/components/{index}/bom-ref"))).collect();
        let expected = [
            "cargo:fork@0.1.0",
            "cargo:inner@0.1.0",
            "pkg:cargo/serde@1.0.200",
            "pkg:golang/c.d/lib@v1.0.0",
            "pkg:golang/stdlib@1.24.3",
        ];
        assert_eq!(references, expected);
        assert_eq!(at("/dependencies").as_array().map(Vec::len), Some(6));
        assert_eq!(at("/components/2/evidence/identity/confidence"), 1.0);
        assert_eq!(at("/compositions/0/aggregate"), "incomplete");
        assert!(at("/serialNumber").as_str().is_some_and(|serial| serial.starts_with("urn:uuid:")));
        assert_eq!(subject_hash(&text), Some(Hashes::of(b"slim").sha256));
    }

    #[test]
    fn nothing_of_the_build_host_and_no_clock_is_in_it() {
        let text = String::from_utf8(document(None)).expect("text");
        assert!(!text.contains("timestamp") && !text.contains("/home"), "{text}");
    }
}
