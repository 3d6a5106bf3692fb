//! Where something is published: `ghcr.io/org/app:v1`, `oci:DIR:v1`, `oci-archive:FILE.tar:v1`.
//!
//! In comes a person's text, out comes a [`Reference`] whose every part obeys the grammar, or a sentence that says
//! what is wrong. Nothing is guessed: a name without a host is not Docker Hub's until it says so.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::host::Host;
use crate::digest::Digest;

/// A place and, in it, a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Which store.
    pub location: Location,
    /// What in it.
    pub target: Target,
}

/// Which store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// `oci:DIR`: an OCI image layout.
    Layout(PathBuf),
    /// `oci-archive:FILE`: a layout in a tar file.
    Archive(PathBuf),
    /// `host/name`: a repository of a registry.
    Registry(Repository),
}

/// What in a store: by tag, by digest, or whatever is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// The tag.
    pub tag: Option<Tag>,
    /// The digest; where both are given it decides.
    pub digest: Option<Digest>,
}

/// A tag: at most 128 letters, digits, `_`, `.` and `-` (OCI distribution-spec, "Pulling manifests").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

/// A repository of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    host: Host,
    name: String,
}

/// A text that is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a reference: {text:?}: {reason}")]
pub struct ParseReferenceError {
    text: String,
    reason: String,
}

impl Tag {
    /// The tag of this text, if it is one.
    pub fn new(text: &str) -> Option<Self> {
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let first = text.as_bytes().first().is_some_and(word);
        let rest = text.bytes().all(|byte| word(&byte) || byte == b'.' || byte == b'-');
        (first && rest && text.len() <= 128).then(|| Self(text.to_owned()))
    }

    /// The tag under which the referrers of a manifest stand where the registry does not list them: `sha256-<hex>`
    /// (OCI distribution-spec, "Referrers Tag Schema").
    pub fn fallback(subject: &Digest) -> Self {
        Self(format!("sha256-{}", subject.hex()))
    }

    /// The tag of a debug file.
    pub fn build_id(id: &crate::build_id::BuildId) -> Self {
        Self(id.tag())
    }

    /// Whether a push sets such tags by itself, for debug files and lists of referrers.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with("buildid-") || self.is_fallback()
    }

    /// Whether it is the tag of a list of referrers.
    pub fn is_fallback(&self) -> bool {
        self.0.strip_prefix("sha256-").is_some_and(|hex| hex.len() == 64)
    }

    /// Whether it belongs to a manifest, as all of these do, and what cosign 2 keeps beside one (`sha256-<hex>.sig`).
    pub fn is_derived(&self) -> bool {
        let beside = self.0.split_once('.').and_then(|(tag, _)| Self::new(tag));
        self.is_reserved() || beside.is_some_and(|tag| tag.is_fallback())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Target {
    /// What is under this tag.
    pub fn tag(tag: Tag) -> Self {
        Self { tag: Some(tag), digest: None }
    }

    /// What has this digest.
    pub fn digest(digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest) }
    }
}

impl Repository {
    /// The host, with its port.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The name in the registry, `library/` included where Docker Hub wants it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.host, self.name)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout(path) => write!(out, "oci:{}", path.display()),
            Self::Archive(path) => write!(out, "oci-archive:{}", path.display()),
            Self::Registry(repository) => repository.fmt(out),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.location.fmt(out)?;
        self.target.tag.iter().try_for_each(|tag| write!(out, ":{tag}"))?;
        self.target.digest.iter().try_for_each(|digest| write!(out, "@{digest}"))
    }
}

impl FromStr for Reference {
    type Err = ParseReferenceError;

    fn from_str(text: &str) -> Result<Self, ParseReferenceError> {
        parse(text).map_err(|reason| ParseReferenceError {
            text: text.chars().take(300).collect(),
            reason,
        })
    }
}

fn parse(text: &str) -> Result<Reference, String> {
    if let Some(rest) = text.strip_prefix("oci:") {
        let (path, target) = path(rest)?;
        return Ok(Reference { location: Location::Layout(path), target });
    }
    if let Some(rest) = text.strip_prefix("oci-archive:") {
        let (path, target) = path(rest)?;
        return Ok(Reference { location: Location::Archive(path), target });
    }
    if text.contains("://") {
        return Err("it is written without https://, as in ghcr.io/org/app:v1".to_owned());
    }
    let (rest, digest) = cut_digest(text, "@")?;
    let Some((host, rest)) = rest.split_once('/') else {
        let name = rest.split(':').next().unwrap_or_default();
        let is_host = name.contains('.') || name == "localhost";
        return Err(if is_host {
            "there is no name after the host".to_owned()
        } else {
            hint(rest)
        });
    };
    if !(host.contains(['.', ':']) || host == "localhost") {
        return Err(hint(rest_of(text)));
    }
    let (name, tag) = match rest.split_once(':') {
        Some((name, tag)) => {
            let tag =
                Tag::new(tag).ok_or("a tag has 1 to 128 letters, digits, '_', '.' and '-'")?;
            (name, Some(tag))
        }
        None => (rest, None),
    };
    let repository = repository(host, name)?;
    Ok(Reference { location: Location::Registry(repository), target: Target { tag, digest } })
}

fn rest_of(text: &str) -> &str {
    text.split('@').next().unwrap_or(text)
}

fn hint(name: &str) -> String {
    format!(
        "it does not begin with a host: docker.io/{name} for Docker Hub, oci:DIR for a directory"
    )
}

fn path(text: &str) -> Result<(PathBuf, Target), String> {
    let (rest, digest) = cut_digest(text, "@sha256:")?;
    let (path, tag) = match rest.rsplit_once(':').map(|(path, tag)| (path, Tag::new(tag))) {
        Some((path, Some(tag))) => (path, Some(tag)),
        _ => (rest, None),
    };
    if path.is_empty() || path.contains('\0') {
        return Err("there is no path in it".to_owned());
    }
    Ok((PathBuf::from(path), Target { tag, digest }))
}

/// What stands before the last `mark`, and the digest that begins with it.
fn cut_digest<'text>(text: &'text str, mark: &str) -> Result<(&'text str, Option<Digest>), String> {
    let Some(position) = text.rfind(mark) else { return Ok((text, None)) };
    let (rest, digest) = text.split_at(position);
    let digest = digest.trim_start_matches('@').parse::<Digest>();
    Ok((rest, Some(digest.map_err(|error| error.to_string())?)))
}

fn repository(host: &str, name: &str) -> Result<Repository, String> {
    let host: Host = host.parse()?;
    let in_library = host.is_docker_hub() && !name.contains('/');
    let name = if in_library { format!("library/{name}") } else { name.to_owned() };
    // OCI distribution-spec, "Pulling manifests": the grammar, and 255 for host and name together.
    if !name.split('/').all(is_component) {
        return Err("a repository name has lower case letters and digits, joined by '/', '.', '_', '__' or '-'"
            .to_owned());
    }
    if host.as_str().len() + 1 + name.len() > 255 {
        return Err("host and name are longer than 255 characters".to_owned());
    }
    Ok(Repository { host, name })
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let joins = text.split(|character: char| character.is_ascii() && word(character as u8));
    let joined = joins
        .into_iter()
        .all(|join| matches!(join, "" | "." | "_" | "__") || join.bytes().all(|byte| byte == b'-'));
    let ends = [text.bytes().next(), text.bytes().next_back()];
    joined && ends.iter().all(|end| end.is_some_and(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn reference(text: &str) -> Reference {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn registry(text: &str) -> Repository {
        match reference(text).location {
            Location::Registry(repository) => repository,
            other => panic!("{other}"),
        }
    }

    fn layout(text: &str) -> (String, Option<String>, bool) {
        let reference = reference(text);
        let Location::Layout(path) = reference.location else { panic!("{text}") };
        let tag = reference.target.tag.map(|tag| tag.to_string());
        (path.display().to_string(), tag, reference.target.digest.is_some())
    }

    fn refused(text: &str) -> String {
        text.parse::<Reference>().expect_err(text).reason
    }

    #[test]
    fn a_reference_prints_as_it_parses() {
        let digest = format!("ghcr.io/org/app@sha256:{HEX}");
        let both = format!("localhost:5000/app:v1@sha256:{HEX}");
        for text in [
            "ghcr.io/org/app:v1.2_3-rc",
            "localhost/app",
            "oci:dir:v1",
            "oci-archive:a.tar",
            &digest,
            &both,
        ] {
            assert_eq!(reference(text).to_string(), text);
        }
    }

    #[test]
    fn docker_hub_has_a_library() {
        assert_eq!(registry("docker.io/alpine:3").name(), "library/alpine");
        assert_eq!(registry("docker.io/org/app").name(), "org/app");
        assert_eq!(registry("ghcr.io/app").name(), "app");
    }

    #[test]
    fn a_name_without_a_host_is_not_guessed() {
        for text in ["app", "app:v1", "org/app:v1", "Org/App"] {
            assert!(refused(text).contains(&format!("docker.io/{text}")), "{text}");
        }
    }

    #[test]
    fn what_follows_the_last_colon_of_a_path_is_a_tag_if_it_can_be_one() {
        assert_eq!(layout("oci:dir"), ("dir".into(), None, false));
        assert_eq!(layout("oci:dir:v1"), ("dir".into(), Some("v1".into()), false));
        assert_eq!(layout("oci:a:b/lay"), ("a:b/lay".into(), None, false));
        assert_eq!(layout("oci:a:b/lay:v1"), ("a:b/lay".into(), Some("v1".into()), false));
        assert_eq!(layout(r"oci:C:\dir"), (r"C:\dir".into(), None, false));
        assert_eq!(layout("oci:dir:"), ("dir:".into(), None, false));
        assert_eq!(layout("oci:a@b:v1"), ("a@b".into(), Some("v1".into()), false));
        assert_eq!(
            layout(&format!("oci:dir:v1@sha256:{HEX}")),
            ("dir".into(), Some("v1".into()), true)
        );
        assert_eq!(layout(&format!("oci:dir@sha256:{HEX}")), ("dir".into(), None, true));
    }

    #[test]
    fn mean_texts_are_refused() {
        let long = format!("ghcr.io/{}", "a".repeat(300));
        let tag = format!("ghcr.io/a:{}", "t".repeat(129));
        for text in [
            "",
            "/",
            ":",
            "@",
            "oci:",
            "oci::v1",
            "oci:@sha256:00",
            "oci:dir@sha256:00",
            "oci-archive:",
            "ghcr.io",
            "ghcr.io/",
            "ghcr.io/a:",
            "ghcr.io/a:-v",
            "ghcr.io/a:é",
            "ghcr.io/a:v:w",
            "ghcr.io/a@",
            "ghcr.io/a@sha256:0",
            "ghcr.io/a@sha512:00",
            "ghcr.io/A",
            "ghcr.io/a//b",
            "ghcr.io/a/",
            "ghcr.io/../b",
            "ghcr.io/a..b",
            "ghcr.io/a___b",
            "ghcr.io/a._b",
            "ghcr.io/-a",
            "ghcr.io/a?b",
            "ghcr.io/a b",
            "ghcr.io/é",
            "https://ghcr.io/a",
            "user:word@ghcr.io/a",
            "ghcr.io:/a",
            "ghcr.io:0/a",
            "ghcr.io:65536/a",
            "ghcr.io:+1/a",
            "ghcr.io:x/a",
            "a..b/c",
            "-a.b/c",
            "[::1/a",
            "[::1]x/a",
            "[x:]/a",
            "ghcr.io\n/a",
            &long,
            &tag,
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }
}
