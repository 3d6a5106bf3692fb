//! A release as runnable images: what `docker run` and Kubernetes take, beside the artifact that holds the files themselves.
//!
//! One layer for each platform, made of the release's files alone: sorted, of 1970 and of root, so that equal releases are
//! equal images. Compressed with gzip, because skopeo would do it on the way, under another digest, and because crane
//! takes no other layer for valid. The debug files and SBOMs refer to an image as they do to a
//! binary's manifest. [`Artifact::debug_images`] are the `.build-id` trees, for a volume at `/usr/lib/debug`.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::PathBuf;

use serde_json::json;

use super::Error;
use super::artifact::{Artifact, Blob, Parts, PlatformNode, Source, entry};
use super::manifest::{Descriptor, Index, Manifest, Node, media};
use super::pack::{LayerEntry, LayerReader, with_directories};
use crate::digest::{Digest, Hashing};
use crate::fs;
use crate::inspect::{Libc, Platform};
use crate::release::{Form, PlatformRelease, Release};

/// Whom the program runs as: nobody in particular (the number that distroless images made customary).
const USER: &str = "65532:65532";

/// Where programs look for the authorities that TLS trusts: Go's, OpenSSL's and rustls' first guess.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// What an image holds besides programs, and which of them it starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageOptions {
    /// A PEM file of certificate authorities.
    pub certificates: Option<PathBuf>,
    /// The binary that is started, where there are several.
    pub entrypoint: Option<String>,
}

impl Artifact {
    /// The images of a release: one index, one image for each platform, with the release's debug files and SBOMs, and
    /// the signatures of the images.
    ///
    /// # Errors
    /// [`Error::NotRunnable`] for what needs more than itself to run, and where nothing says what to start.
    pub fn images(release: &Release, options: &ImageOptions) -> Result<Self, Error> {
        let (mut parts, index, platforms) = of_images(release, |parts, of| {
            let entrypoint = entrypoint(of, options)?;
            let mut entries = BTreeSet::new();
            for binary in &of.binaries {
                let file = Some((binary.file.path.clone(), binary.file.size));
                entries.insert(LayerEntry { path: binary.file.name.clone(), mode: 0o755, file });
            }
            if let Some(certificates) = &options.certificates {
                let (_, size) = fs::digest(certificates)?;
                let file = Some((certificates.clone(), size));
                with_directories(&mut entries, CERTIFICATES, file);
            }
            let run = json!({ "Entrypoint": [format!("/{entrypoint}")], "User": USER, "WorkingDir": "/" });
            let platform = parts.image(&of.platform, entries, Some(run))?;
            parts.companions(&platform.node, of);
            Ok(Some(platform))
        })?;
        parts.signatures(Form::Image, release, &index, &platforms);
        Ok(parts.into_artifact(index, platforms))
    }

    /// The debug files of a release as images whose root is a `.build-id` tree, to be mounted at `/usr/lib/debug`.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn debug_images(release: &Release) -> Result<Self, Error> {
        let (mut parts, index, platforms) = of_images(release, |parts, of| {
            let mut entries = BTreeSet::new();
            for binary in &of.binaries {
                let (Some(id), Some(debug)) = (&binary.build_id, &binary.debug) else { continue };
                let path = id.debug_path();
                let path = path.to_string_lossy().replace('\\', "/");
                let file = Some((debug.path.clone(), debug.size));
                with_directories(&mut entries, &path, file);
            }
            if entries.is_empty() {
                return Ok(None);
            }
            parts.image(&of.platform, entries, None).map(Some)
        })?;
        parts.signatures(Form::DebugImage, release, &index, &platforms);
        Ok(parts.into_artifact(index, platforms))
    }
}

/// An image for each platform that `make` makes one of, and their index.
fn of_images(
    release: &Release,
    make: impl Fn(&mut Parts, &PlatformRelease) -> Result<Option<PlatformNode>, Error>,
) -> Result<(Parts, Node, Vec<PlatformNode>), Error> {
    let mut parts = Parts::default();
    let mut platforms = Vec::new();
    for of in &release.platforms {
        platforms.extend(make(&mut parts, of)?);
    }
    let mut index = Index::new(None, platforms.iter().map(entry).collect());
    index.annotations.clone_from(&release.annotations);
    Ok((parts, index.to_node(), platforms))
}

/// What the image of a platform starts.
fn entrypoint<'a>(of: &'a PlatformRelease, options: &ImageOptions) -> Result<&'a str, Error> {
    let refused = |reason: String| Error::NotRunnable { platform: of.platform.to_string(), reason };
    if of.platform.libc != Libc::Static {
        let reason = "it has programs that are not static, and there is nothing else in it";
        return Err(refused(reason.to_owned()));
    }
    let names = || of.binaries.iter().map(|binary| binary.file.name.as_str());
    match &options.entrypoint {
        Some(wanted) => names()
            .find(|name| name == wanted)
            .ok_or_else(|| refused(format!("it has no {wanted}"))),
        None => match of.binaries.as_slice() {
            [only] => Ok(&only.file.name),
            _ => Err(refused(format!(
                "it has several programs: {}",
                names().collect::<Vec<_>>().join(", ")
            ))),
        },
    }
}

impl Parts {
    fn image(
        &mut self,
        platform: &Platform,
        entries: BTreeSet<LayerEntry>,
        run: Option<serde_json::Value>,
    ) -> Result<PlatformNode, Error> {
        let entries: Vec<LayerEntry> = entries.into_iter().collect();
        let (diff_id, _) = digest(LayerReader::new(&entries))?;
        let (digest, size) = digest(LayerReader::compressed(&entries))?;
        let layer = Descriptor::new(media::LAYER, digest, size);
        // OCI image-spec, "Image Configuration".
        let mut config = json!({
            "architecture": platform.architecture,
            "os": platform.os,
            "config": run.unwrap_or_else(|| json!({})),
            "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        });
        if let (Some(variant), Some(config)) = (&platform.variant, config.as_object_mut()) {
            config.insert("variant".to_owned(), json!(variant));
        }
        let bytes = config.to_string().into_bytes();
        let config = Descriptor::new(media::CONFIG, Digest::of(&bytes), bytes.len() as u64);
        self.add(Blob {
            name: format!("the configuration of {platform}"),
            descriptor: config.clone(),
            source: Source::Bytes(bytes),
        });
        self.add(Blob {
            name: format!("the layer of {platform}"),
            descriptor: layer.clone(),
            source: Source::Layer(entries),
        });
        let node = Manifest::image(config, vec![layer]).to_node();
        Ok(PlatformNode { platform: platform.clone(), node })
    }
}

fn digest(bytes: impl Read) -> Result<(Digest, u64), Error> {
    let mut hashing = Hashing::new(bytes);
    let step = || "make the layer of an image".to_owned();
    io::copy(&mut hashing, &mut io::sink()).map_err(|error| Error::of_stream(error, step))?;
    Ok(hashing.finish())
}
