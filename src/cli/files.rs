//! Files that are published as they are: `FILE[:MEDIATYPE]`, as oras takes them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::failure::{Exit, Failure};
use crate::fs;
use crate::oci::manifest::{Descriptor, annotation};
use crate::oci::{Blob, Source};
use crate::release::title::{self, Paths};

/// A file, and what it is.
#[derive(Debug, Clone)]
pub(super) struct PlainFile {
    path: PathBuf,
    media_type: Option<String>,
}

impl FromStr for PlainFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, media_type) = match text.rsplit_once(':') {
            Some((path, media_type)) if is_media_type(media_type) => {
                (path, Some(media_type.to_owned()))
            }
            _ => (text, None),
        };
        if path.is_empty() {
            return Err("expected FILE or FILE:MEDIATYPE".to_owned());
        }
        Ok(Self { path: PathBuf::from(path), media_type })
    }
}

/// `type/subtype` (RFC 6838, 4.2).
fn is_media_type(text: &str) -> bool {
    let name = |name: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.len() <= 127
            && name.bytes().all(letter)
    };
    text.split_once('/').is_some_and(|(kind, subtype)| name(kind) && name(subtype))
}

/// A media type or an artifact type, checked.
pub(super) fn media_type(text: &str) -> Result<String, String> {
    if is_media_type(text) {
        return Ok(text.to_owned());
    }
    Err("expected TYPE/SUBTYPE, for example application/vnd.example.report.v1+json".to_owned())
}

/// The layers of these files, with their names, and the blobs that go with them. `otherwise` is what a file is of
/// which nobody said what it is; a program has to say so.
pub(super) fn layers(
    files: &[PlainFile],
    otherwise: &str,
) -> Result<(Vec<Descriptor>, Vec<Blob>), Failure> {
    let (mut layers, mut blobs) = (Vec::<Descriptor>::new(), vec![Blob::empty()]);
    let mut paths = Paths::default();
    for PlainFile { path, media_type } in files {
        let doing = || format!("cannot publish {}", path.display());
        if let Some((file, stated)) = path.to_str().and_then(|path| path.rsplit_once(':'))
            && !fs::exists(path)
            && fs::exists(Path::new(file))
        {
            return Err(Failure::plain(Exit::Usage, doing())
                .because(format!("{stated:?} is no media type"))
                .hint(format!("expected TYPE/SUBTYPE: {file}:application/octet-stream")));
        }
        let name =
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(reason) = title::problem(&name) {
            return Err(Failure::plain(Exit::Refused, doing()).because(reason));
        }
        paths.file(&name).map_err(|reason| {
            Failure::plain(Exit::Usage, doing()).because(format!("its name is {name}: {reason}"))
        })?;
        if media_type.is_none() && is_elf(path)? {
            return Err(Failure::plain(Exit::Refused, doing())
                .because("it is a program, and nothing says for which platform it would be published")
                .hint(format!(
                    "xpost slim {0}, then xpost push REF; or say what it is: {0}:application/octet-stream",
                    path.display()
                )));
        }
        let (digest, size) = fs::digest(path)?;
        let mut layer = Descriptor::new(media_type.as_deref().unwrap_or(otherwise), digest, size);
        if !blobs.iter().any(|blob| blob.descriptor.digest == digest) {
            let (descriptor, source) = (layer.clone(), Source::File(path.clone()));
            blobs.push(Blob { name: name.clone(), descriptor, source });
        }
        layer.annotations.insert(annotation::TITLE.to_owned(), name);
        layers.push(layer);
    }
    Ok((layers, blobs))
}

fn is_elf(path: &Path) -> Result<bool, Failure> {
    let mut start = Vec::new();
    let (file, _) = fs::open(path)?;
    file.take(4).read_to_end(&mut start).map_err(fs::at("read", path))?;
    Ok(start == b"\x7fELF")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (String, Option<String>) {
        let file: PlainFile = text.parse().expect(text);
        (file.path.display().to_string(), file.media_type)
    }

    #[test]
    fn what_follows_the_last_colon_is_a_media_type_if_it_can_be_one() {
        assert_eq!(parse("a.json:text/plain"), ("a.json".into(), Some("text/plain".into())));
        assert_eq!(parse("a:b.json"), ("a:b.json".into(), None));
        assert_eq!(parse(r"C:\x"), (r"C:\x".into(), None));
        assert_eq!(parse("C:/x"), ("C:/x".into(), Some("C".into()).filter(|_: &String| false)));
        assert!(":text/plain".parse::<PlainFile>().is_err());
        assert!(
            media_type("a b/c").is_err()
                && media_type("a").is_err()
                && media_type("a/b/c").is_err()
        );
    }
}
