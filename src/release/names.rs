//! The names of files in the release directory.

use super::{SbomFormat, title};

/// The one file that is not a product: what the files cannot say.
pub const STATE: &str = "release.json";
/// The signature of the index.
pub const INDEX_BUNDLE: &str = "index.sigstore.json";

/// What is made of a release and published. Each form has manifests of its own, and signatures of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The files themselves.
    Files,
    /// Runnable images of the programs.
    Image,
    /// Images of the debug files.
    DebugImage,
}

impl Form {
    /// One word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Image => "image",
            Self::DebugImage => "debug-image",
        }
    }

    /// The file with the signature of an image of a platform, by its directory, or of the images' index. It lies beside the
    /// index's, because in a platform's directory a binary may be called `image`.
    pub fn bundle(self, directory: Option<&str>) -> String {
        match directory {
            Some(directory) => format!("{}-{directory}.sigstore.json", self.word()),
            None => format!("{}.sigstore.json", self.word()),
        }
    }

    /// Whether a file beside the index's signature is one of an image of this form.
    pub(super) fn has_bundle(self, name: &str) -> bool {
        let middle =
            name.strip_suffix(".sigstore.json").and_then(|of| of.strip_prefix(self.word()));
        middle.is_some_and(|middle| middle.is_empty() || middle.starts_with('-'))
    }
}

/// Whether a file beside the index's signature is that of an image.
pub(super) fn is_image_bundle(name: &str) -> bool {
    [Form::Image, Form::DebugImage].iter().any(|form| form.has_bundle(name))
}

/// What a file of a platform directory is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Binary,
    Debug,
    Dwp,
    Sbom(SbomFormat),
    Bundle,
    /// A temporary file of a run that was killed, or somebody's.
    Hidden,
}

/// The name of the debug file, its `.dwp`, the SBOM or the bundle of a binary.
pub mod companion {
    use super::SbomFormat;

    /// `<name>.debug`
    pub fn debug(name: &str) -> String {
        format!("{name}.debug")
    }

    /// `<name>.dwp`
    pub fn dwp(name: &str) -> String {
        format!("{name}.dwp")
    }

    /// Whether that is one of these two.
    pub fn is_of_debugger(name: &str) -> bool {
        [".debug", ".dwp"].iter().any(|end| name.ends_with(end))
    }

    /// `<name>.cdx.json`, `<name>.spdx.json`
    pub fn sbom(name: &str, format: SbomFormat) -> String {
        format!("{name}{}", format.extension())
    }

    /// `<name>.sigstore.json`
    pub fn bundle(name: &str) -> String {
        format!("{name}.sigstore.json")
    }
}

/// The kind of a file, and the name of the binary that it belongs to.
pub(super) fn classify(name: &str) -> (Kind, &str) {
    let kinds = [
        (".debug", Kind::Debug),
        (".dwp", Kind::Dwp),
        (SbomFormat::CycloneDx.extension(), Kind::Sbom(SbomFormat::CycloneDx)),
        (SbomFormat::Spdx.extension(), Kind::Sbom(SbomFormat::Spdx)),
        (".sigstore.json", Kind::Bundle),
    ];
    if name.starts_with('.') {
        return (Kind::Hidden, name);
    }
    kinds
        .iter()
        .find_map(|(suffix, kind)| Some((*kind, name.strip_suffix(suffix)?)))
        .unwrap_or((Kind::Binary, name))
}

/// Why a name cannot be that of a binary in a release; `None` where it can.
///
/// The name becomes a file name, the title of a layer and a subject of a signature, on systems of all kinds.
pub fn refuse_name(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > 200 {
        return Some("it is empty or longer than 200 bytes");
    }
    if name.starts_with('.') {
        return Some("it begins with a dot");
    }
    if [".debug", ".json", ".dwp"].iter().any(|suffix| name.ends_with(suffix)) {
        return Some("names that end in .debug, .json or .dwp are those of companion files");
    }
    title::problem(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_companion_belongs_to_its_binary() {
        assert_eq!(classify("app"), (Kind::Binary, "app"));
        assert_eq!(classify("app.debug"), (Kind::Debug, "app"));
        assert_eq!(classify("app.dwp"), (Kind::Dwp, "app"));
        assert_eq!(classify("a.b.cdx.json"), (Kind::Sbom(SbomFormat::CycloneDx), "a.b"));
        assert_eq!(classify("app.sigstore.json"), (Kind::Bundle, "app"));
        assert_eq!(classify(".xpost-1-2.tmp"), (Kind::Hidden, ".xpost-1-2.tmp"));
    }

    #[test]
    fn mean_names_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a\\b",
            "oci:index",
            "a\nb",
            "app.debug",
            "x.json",
            "x.dwp",
            "NUL.txt",
            "a.",
            " a",
            "com1",
            "a\u{202e}b",
        ] {
            assert!(refuse_name(name).is_some(), "{name:?}");
        }
        for name in ["app", "app-v1.2", "libfoo.so.1", "ünïcode"] {
            assert_eq!(refuse_name(name), None, "{name:?}");
        }
    }
}
