//! The layer of `.go.buildinfo`: the modules of a Go build, and its standard library.
//!
//! Go writes down every module that gave a package to the program, but not which module needs which: the list is
//! complete where no C code can have joined (CGO_ENABLED=0), the graph is flat and says so.

use std::collections::{BTreeMap, BTreeSet};

use super::{Completeness, Component, Evidence, Method, purl, unique};
use crate::inspect::go::{BuildInfo, Module};

const METHOD: Method =
    Method { technique: "manifest-analysis", percent: 100, source: ".go.buildinfo" };

/// What of the build settings goes into an SBOM. Others, such as `-ldflags`, may hold paths of the build host.
const SETTINGS: &[(&str, &str)] = &[
    ("CGO_ENABLED", "dev.xpost:go:cgo"),
    ("vcs", "dev.xpost:go:vcs"),
    ("vcs.modified", "dev.xpost:go:vcs-modified"),
    ("vcs.revision", "dev.xpost:go:vcs-revision"),
    ("vcs.time", "dev.xpost:go:vcs-time"),
];

/// The components of a Go binary.
pub(super) fn evidence(info: &BuildInfo) -> Evidence {
    let mut taken = BTreeMap::new();
    let modules = info.dependencies.iter().map(|dependency| module(dependency, &mut taken));
    let components: Vec<Component> =
        std::iter::once(standard_library(info)).chain(modules).collect();
    let mut properties: BTreeMap<_, _> = SETTINGS
        .iter()
        .filter_map(|(key, property)| Some((*property, info.setting(key)?.to_owned())))
        .collect();
    properties.insert("dev.xpost:go:version", info.go_version.clone());
    if let Some(package) = &info.package {
        properties.insert("dev.xpost:go:package", package.clone());
    }
    let all_is_go = info.main.is_some() && info.setting("CGO_ENABLED") == Some("0");
    let main = info.main.as_ref();
    Evidence {
        version: main.and_then(|main| main.version.clone()),
        purl: main.and_then(|main| purl::golang(&main.path, main.version.as_deref())),
        properties,
        needs: components.iter().map(|component| component.reference.clone()).collect(),
        components,
        components_are: if all_is_go { Completeness::Complete } else { Completeness::Incomplete },
        needs_are: Completeness::Unknown,
        method: METHOD,
    }
}

/// The name that scanners know the library and runtime by.
fn standard_library(info: &BuildInfo) -> Component {
    let version = info.release();
    let purl = purl::golang("stdlib", version);
    Component {
        reference: purl.clone().unwrap_or_else(|| "go:stdlib".to_owned()),
        purl,
        name: "stdlib".to_owned(),
        version: version.map(str::to_owned),
        properties: BTreeMap::new(),
        needs: BTreeSet::new(),
        methods: vec![METHOD],
    }
}

/// A module under the path by which the program requires it. `replace` directives are noted, but a
/// directory of the build host is nobody else's business, and no identity.
fn module(module: &Module, taken: &mut BTreeMap<String, usize>) -> Component {
    let version = module.version.as_deref();
    let purl = purl::golang(&module.path, version);
    let reference = purl
        .clone()
        .unwrap_or_else(|| format!("go:{}@{}", module.path, version.unwrap_or_default()));
    let built = module.replacement.as_deref().unwrap_or(module);
    let mut properties = BTreeMap::new();
    if let Some(replacement) = &module.replacement {
        let by = match &replacement.version {
            Some(version) => format!("{}@{version}", replacement.path),
            None => "a local directory".to_owned(),
        };
        properties.insert("dev.xpost:go:replaced-by", by);
    }
    if let Some(sum) = &built.sum {
        properties.insert("dev.xpost:go:sum", sum.clone());
    }
    Component {
        reference: unique(taken, reference),
        purl,
        name: module.path.clone(),
        version: module.version.clone(),
        properties,
        needs: BTreeSet::new(),
        methods: vec![METHOD],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::go::{parse, tests::section};

    fn of(text: &str) -> Evidence {
        evidence(&parse(&section("go1.24.3", text), &|_, _| None).expect("build information"))
    }

    #[test]
    fn a_pure_go_build_is_listed_completely() {
        let evidence = of("path\ta.b/app/cmd\nmod\ta.b/app\tv1.2.3+dirty\th1:m=\n\
            dep\tgithub.com/BurntSushi/toml\tv1.4.0\th1:t=\n\
            build\tCGO_ENABLED=0\nbuild\t-ldflags=-X=/home/me\nbuild\tvcs.revision=abc\n");
        assert_eq!(evidence.purl.as_deref(), Some("pkg:golang/a.b/app@v1.2.3%2Bdirty"));
        assert_eq!(evidence.components_are, Completeness::Complete);
        let [stdlib, toml] = evidence.components.as_slice() else { panic!("two components") };
        assert_eq!(stdlib.reference, "pkg:golang/stdlib@1.24.3");
        assert_eq!(toml.reference, "pkg:golang/github.com/burntsushi/toml@v1.4.0");
        assert_eq!(toml.name, "github.com/BurntSushi/toml");
        assert_eq!(toml.properties.get("dev.xpost:go:sum").map(String::as_str), Some("h1:t="));
        assert_eq!(evidence.needs.len(), 2);
        assert!(!format!("{evidence:?}").contains("/home/me"));
    }

    #[test]
    fn a_replaced_module_keeps_its_own_name() {
        let evidence =
            of("mod\ta.b/app\t(devel)\t\ndep\tc.d/lib\tv1.0.0\n=>\t/home/me/lib\t(devel)\t\n\
            dep\tc.d/fork\tv1.0.0\n=>\te.f/fork\tv2.0.0\th1:f=\n");
        assert_eq!(
            (evidence.version.as_ref(), evidence.purl.as_deref()),
            (None, Some("pkg:golang/a.b/app"))
        );
        let [_, lib, fork] = evidence.components.as_slice() else { panic!("three components") };
        assert_eq!(lib.reference, "pkg:golang/c.d/lib@v1.0.0");
        let by =
            |component: &Component| component.properties.get("dev.xpost:go:replaced-by").cloned();
        assert_eq!(by(lib).as_deref(), Some("a local directory"));
        assert_eq!(by(fork).as_deref(), Some("e.f/fork@v2.0.0"));
        assert!(!format!("{evidence:?}").contains("(devel)"));
    }

    #[test]
    fn a_build_with_c_or_without_modules_claims_no_completeness() {
        let cgo = of("mod\ta.b/app\tv1.0.0\t\nbuild\tCGO_ENABLED=1\n");
        assert_eq!(cgo.components_are, Completeness::Incomplete);
        let vendored = of("path\ta.b/app\nbuild\tCGO_ENABLED=0\n");
        assert_eq!(vendored.components_are, Completeness::Incomplete);
        assert_eq!(vendored.purl, None);
    }

    #[test]
    fn references_are_unique_whatever_the_section_says() {
        let evidence = of("dep\ta/B\tv1\ndep\ta/b\tv1\ndep\ta/b\tv1\n");
        let references: BTreeSet<_> =
            evidence.components.iter().map(|component| &component.reference).collect();
        assert_eq!(references.len(), 4, "{references:?}");
    }
}
