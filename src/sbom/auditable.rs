//! The layer of `.dep-v0`: the crates of a Rust build, as cargo-auditable wrote them down.
//!
//! The section is JSON in one zlib stream. Its graph is checked before anyone follows it: indices in range,
//! at most one root, no cycle (cargo-auditable, PARSING.md). Three structs read it; the crate `auditable-info`
//! would bring a second inflater and readers for other binary formats, and our limits would come on top of it.

use std::collections::{BTreeMap, BTreeSet};

use libdeflater::{DecompressionError, Decompressor};
use serde::Deserialize;

use super::{Completeness, Component, Evidence, Method, purl, unique};

const METHOD: Method = Method { technique: "manifest-analysis", percent: 100, source: ".dep-v0" };

/// The limit of cargo-auditable itself; a large program has 100 KiB.
const MAX_LENGTH: usize = 8 << 20;

/// Longer names and versions, and more edges, no build has; without a limit a few megabytes of JSON
/// become gigabytes of references.
const MAX_NAME: usize = 256;
const MAX_EDGES: usize = 1 << 17;

/// Why a `.dep-v0` section cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No zlib stream.
    #[error("cannot decompress it: damaged zlib data")]
    Decompress,
    /// A bomb, or something else entirely.
    #[error("it decompresses to more than {MAX_LENGTH:#x} bytes")]
    TooLarge,
    /// Not the JSON it should be.
    #[error("it is not the JSON of cargo-auditable")]
    Json {
        /// What serde said.
        #[source]
        source: serde_json::Error,
    },
    /// No name, or a name or version of absurd length.
    #[error("package {package} has no name, or one (or a version) of more than {MAX_NAME} bytes")]
    Name {
        /// The package, counted from 0.
        package: usize,
    },
    /// A graph of absurd size.
    #[error("its packages have more than {MAX_EDGES} dependencies")]
    TooManyEdges,
    /// An index out of the list.
    #[error("package {package} depends on package {index}, and there are {count}")]
    Index {
        /// The package, counted from 0.
        package: usize,
        /// What it depends on.
        index: usize,
        /// How many packages there are.
        count: usize,
    },
    /// Two programs in one.
    #[error("packages {first} and {second} both claim to be the root")]
    TwoRoots {
        /// The first of them.
        first: usize,
        /// Another.
        second: usize,
    },
    /// A graph that no build has.
    #[error("its packages depend on each other in a circle")]
    Cycle,
}

#[derive(Deserialize)]
struct Wire {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: String,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    dependencies: Vec<usize>,
    #[serde(default)]
    root: bool,
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Build,
    #[default]
    Runtime,
}

/// The components of a binary that cargo-auditable built.
pub(super) fn evidence(section: &[u8]) -> Result<Evidence, Error> {
    let json = decompress(section)?;
    let wire: Wire = serde_json::from_slice(&json).map_err(|source| Error::Json { source })?;
    let packages = wire.packages;
    let root = check(&packages)?;
    // From here every index is one of a package, and following them comes to an end.

    // What ran during the build alone (build scripts, procedural macros) is not in the binary, and the
    // root is the binary.
    let mut taken = BTreeMap::new();
    let references: Vec<Option<String>> = packages
        .iter()
        .map(|package| {
            let in_binary = package.kind == Kind::Runtime && !package.root;
            in_binary.then(|| unique(&mut taken, package.reference()))
        })
        .collect();
    let refer = |indices: &[usize]| -> BTreeSet<String> {
        indices.iter().filter_map(|&index| references.get(index)?.clone()).collect()
    };
    let components = packages
        .iter()
        .zip(&references)
        .filter_map(|(package, reference)| {
            Some(package.component(reference.clone()?, refer(&package.dependencies)))
        })
        .collect();
    let needs = match root {
        Some(root) => refer(&root.dependencies),
        None => {
            let needed: BTreeSet<usize> =
                packages.iter().flat_map(|package| package.dependencies.iter().copied()).collect();
            let tops: Vec<_> =
                (0..packages.len()).filter(|index| !needed.contains(index)).collect();
            refer(&tops)
        }
    };
    let package = root.map(|root| ("dev.xpost:cargo:package", root.name.clone()));
    Ok(Evidence {
        version: root.map(|root| root.version.clone()),
        // Which registry has the program itself, if any, the section does not say for a local package.
        purl: root.and_then(Package::purl),
        properties: package.into_iter().collect(),
        components,
        needs,
        // The standard library and C code in `-sys` crates are not listed.
        components_are: Completeness::Incomplete,
        needs_are: Completeness::Complete,
        method: METHOD,
    })
}

impl Package {
    /// Only crates.io is what `pkg:cargo` means; a local crate of the same name is another one.
    fn purl(&self) -> Option<String> {
        let public = matches!(
            self.source.as_str(),
            "crates.io" | "registry+https://github.com/rust-lang/crates.io-index"
        );
        public.then(|| purl::purl("cargo", None, &self.name, Some(&self.version))).flatten()
    }

    fn reference(&self) -> String {
        self.purl().unwrap_or_else(|| format!("cargo:{}@{}", self.name, self.version))
    }

    fn component(&self, reference: String, needs: BTreeSet<String>) -> Component {
        let purl = self.purl();
        let mut properties = BTreeMap::new();
        if purl.is_none() {
            // `git`, `local`, `registry`; anything else may be a path of the build host.
            let plain = self.source.chars().all(|character| character.is_ascii_alphanumeric());
            let source = if plain { self.source.as_str() } else { "other" };
            properties.insert("dev.xpost:cargo:source", source.to_owned());
        }
        Component {
            reference,
            purl,
            name: self.name.clone(),
            version: Some(self.version.clone()),
            properties,
            needs,
            methods: vec![METHOD],
        }
    }
}

fn decompress(section: &[u8]) -> Result<Vec<u8>, Error> {
    let mut length = section.len().saturating_mul(4).clamp(1 << 12, MAX_LENGTH);
    loop {
        let mut bytes = vec![0; length];
        match Decompressor::new().zlib_decompress(section, &mut bytes) {
            Ok(written) => {
                bytes.truncate(written);
                return Ok(bytes);
            }
            Err(DecompressionError::BadData) => return Err(Error::Decompress),
            Err(DecompressionError::InsufficientSpace) if length == MAX_LENGTH => {
                return Err(Error::TooLarge);
            }
            Err(DecompressionError::InsufficientSpace) => length = (length * 4).min(MAX_LENGTH),
        }
    }
}

/// The root, once the graph is known to be one.
fn check(packages: &[Package]) -> Result<Option<&Package>, Error> {
    let count = packages.len();
    if let Some(package) = packages.iter().position(|package| {
        package.name.is_empty() || package.name.len().max(package.version.len()) > MAX_NAME
    }) {
        return Err(Error::Name { package });
    }
    if packages.iter().map(|package| package.dependencies.len()).sum::<usize>() > MAX_EDGES {
        return Err(Error::TooManyEdges);
    }
    let mut waiting = vec![0usize; count];
    for (index, package) in packages.iter().enumerate() {
        for &dependency in &package.dependencies {
            let missing = Error::Index { package: index, index: dependency, count };
            *waiting.get_mut(dependency).ok_or(missing)? += 1;
        }
    }
    // Take away what nothing depends on until nothing is left (Kahn 1962); what stays is a circle.
    let mut free: Vec<usize> = waiting
        .iter()
        .enumerate()
        .filter(|(_, count)| **count == 0)
        .map(|(index, _)| index)
        .collect();
    let mut taken = 0;
    while let Some(package) = free.pop().and_then(|index| packages.get(index)) {
        taken += 1;
        for &dependency in &package.dependencies {
            if let Some(count) = waiting.get_mut(dependency) {
                *count -= 1;
                if *count == 0 {
                    free.push(dependency);
                }
            }
        }
    }
    if taken < count {
        return Err(Error::Cycle);
    }
    let mut roots = packages.iter().enumerate().filter(|(_, package)| package.root);
    match (roots.next(), roots.next()) {
        (Some((first, _)), Some((second, _))) => Err(Error::TwoRoots { first, second }),
        (root, _) => Ok(root.map(|(_, root)| root)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use libdeflater::{CompressionLvl, Compressor};

    pub(crate) const JSON: &str = r#"{"packages":[
        {"name":"app","version":"0.3.0","source":"local","dependencies":[1,2,3,4],"root":true},
        {"name":"cc","version":"1.0.0","source":"crates.io","kind":"build"},
        {"name":"fork","version":"0.1.0","source":"git","dependencies":[4]},
        {"name":"inner","version":"0.1.0","source":"registry+file:///home/me","dependencies":[]},
        {"name":"serde","version":"1.0.200","source":"crates.io","kind":"runtime","new":[]}
        ],"format":1}"#;

    pub(crate) fn section(json: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(CompressionLvl::default());
        let mut bytes = vec![0; compressor.zlib_compress_bound(json.len())];
        let length = compressor.zlib_compress(json, &mut bytes).expect("room enough");
        bytes.truncate(length);
        bytes
    }

    fn of(json: &str) -> Result<Evidence, Error> {
        evidence(&section(json.as_bytes()))
    }

    #[test]
    fn crates_are_listed_with_what_they_need() {
        let evidence = of(JSON).expect("evidence");
        assert_eq!(evidence.version.as_deref(), Some("0.3.0"));
        assert_eq!(evidence.purl, None);
        let found: Vec<_> =
            evidence.components.iter().map(|found| found.reference.as_str()).collect();
        assert_eq!(found, ["cargo:fork@0.1.0", "cargo:inner@0.1.0", "pkg:cargo/serde@1.0.200"]);
        let needs: Vec<_> = evidence.needs.iter().map(String::as_str).collect();
        assert_eq!(needs, found);
        let [fork, inner, serde] = evidence.components.as_slice() else { panic!("three") };
        assert!(fork.needs.contains(&serde.reference) && serde.needs.is_empty());
        assert_eq!(fork.properties.get("dev.xpost:cargo:source").map(String::as_str), Some("git"));
        assert_eq!(
            inner.properties.get("dev.xpost:cargo:source").map(String::as_str),
            Some("other")
        );
    }

    #[test]
    fn without_a_root_the_tops_are_needed() {
        let json = JSON.replace(",\"root\":true", "");
        let evidence = of(&json).expect("evidence");
        assert_eq!(evidence.needs.iter().collect::<Vec<_>>(), ["cargo:app@0.3.0"]);
        assert_eq!(evidence.version, None);
    }

    #[test]
    fn graphs_that_no_build_has_are_refused() {
        let package =
            |rest: &str| format!(r#"{{"name":"a","version":"1","source":"local"{rest}}}"#);
        let packages = |list: &[&str]| {
            let list: Vec<_> = list.iter().map(|rest| package(rest)).collect();
            of(&format!(r#"{{"packages":[{}]}}"#, list.join(",")))
        };
        let dependencies = |index: &str| format!(r#","dependencies":[{index}]"#);
        assert!(packages(&["", "", ""]).is_ok_and(|evidence| evidence.components.len() == 3));
        let result = packages(&[&dependencies("1")]);
        assert!(matches!(result, Err(Error::Index { package: 0, index: 1, count: 1 })));
        assert!(matches!(packages(&[&dependencies("0")]), Err(Error::Cycle)));
        let circle = packages(&["", &dependencies("2"), &dependencies("0, 1")]);
        assert!(matches!(circle, Err(Error::Cycle)));
        let root = r#","root":true"#;
        let result = packages(&[root, "", root]);
        assert!(matches!(result, Err(Error::TwoRoots { first: 0, second: 2 })));
        assert!(matches!(packages(&[&dependencies("-1")]), Err(Error::Json { .. })));
        assert!(packages(&["", &dependencies("0, 0, 0")]).is_ok());
        let edges = vec!["1"; MAX_EDGES + 1].join(",");
        assert!(matches!(packages(&[&dependencies(&edges), ""]), Err(Error::TooManyEdges)));
        let long = JSON.replace("serde", &"s".repeat(MAX_NAME + 1));
        assert!(matches!(of(&long), Err(Error::Name { package: 4 })));
    }

    #[test]
    fn mean_sections_are_refused() {
        assert!(matches!(evidence(b""), Err(Error::Decompress)));
        assert!(matches!(evidence(b"no zlib at all"), Err(Error::Decompress)));
        assert!(matches!(of(""), Err(Error::Json { .. })));
        assert!(matches!(of("{}"), Err(Error::Json { .. })));
        assert!(matches!(of("[1]"), Err(Error::Json { .. })));
        let bomb = section(&vec![b' '; MAX_LENGTH + 1]);
        assert!(bomb.len() < 1 << 16);
        assert!(matches!(evidence(&bomb), Err(Error::TooLarge)));
        let good = section(JSON.as_bytes());
        for length in 0..good.len() {
            assert!(evidence(good.get(..length).expect("shorter")).is_err(), "{length}");
        }
    }
}
