//! Package URLs, by the rules of the specification: what must be lowercased is, what must be escaped is.

use packageurl::PackageUrl;

/// `pkg:<kind>/<namespace>/<name>@<version>`; `None` where the parts make no valid one.
pub(super) fn purl(
    kind: &'static str,
    namespace: Option<&str>,
    name: &str,
    version: Option<&str>,
) -> Option<String> {
    let mut purl = PackageUrl::new(kind, name).ok()?;
    if let Some(namespace) = namespace {
        purl.with_namespace(namespace).ok()?;
    }
    if let Some(version) = version {
        purl.with_version(version).ok()?;
    }
    purl.validate().ok()?;
    Some(purl.to_string())
}

/// The package URL of a Go module: all but the last part of its path is the namespace.
pub(super) fn golang(path: &str, version: Option<&str>) -> Option<String> {
    match path.rsplit_once('/') {
        Some((namespace, name)) => purl("golang", Some(namespace), name, version),
        None => purl("golang", None, path, version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_urls_follow_the_specification() {
        let toml = golang("github.com/BurntSushi/toml", Some("v1.4.0"));
        assert_eq!(toml.as_deref(), Some("pkg:golang/github.com/burntsushi/toml@v1.4.0"));
        assert_eq!(golang("stdlib", None).as_deref(), Some("pkg:golang/stdlib"));
        let dirty = golang("a/b", Some("v0.0.0-2025+dirty"));
        assert_eq!(dirty.as_deref(), Some("pkg:golang/a/b@v0.0.0-2025%2Bdirty"));
        let serde = purl("cargo", None, "serde", Some("1.0.0"));
        assert_eq!(serde.as_deref(), Some("pkg:cargo/serde@1.0.0"));
    }

    #[test]
    fn parts_that_make_none_give_none() {
        assert_eq!(golang("", None), None);
        assert_eq!(golang("a/", None), None);
        assert_eq!(purl("cargo", None, "", Some("1")), None);
    }
}
