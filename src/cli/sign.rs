//! `xpost sign`: sign the manifests of the release and every file in it; make keys.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Global;
use super::coherent::{self, Signable};
use super::failure::{self, Exit, Failure};
use super::store;
use super::ui::{self, Ui};
use crate::fs::{self, AtomicFile, Mode};
use crate::oci::{Artifact, ImageOptions};
use crate::release::{self, Form, INDEX_BUNDLE, PlatformRelease, Staged, companion};
use crate::sign::{self, Existing, PublicKey, Signer, SigningKey};

/// Sign the release, or make a key
///
/// Makes one statement for each platform's manifest and one for the index; each names the manifest first and then
/// every file, so one bundle verifies what is in a registry and what was downloaded. Writes NAME.sigstore.json beside each
/// binary and index.sigstore.json: Sigstore bundles that `cosign verify` accepts. A bundle that is valid for this key and
/// these files already is left alone.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  xpost sign --generate-key release.key            # and release.pub
  xpost sign --key release.key
  xpost sign --key release.key --annotation org.opencontainers.image.version=1.2.0
  xpost sign --key release.key --image             # and what push --image publishes")]
pub(super) struct Args {
    /// The private key, ECDSA P-256 as PKCS#8 PEM
    #[arg(long, value_name = "FILE", required_unless_present = "generate_key")]
    key: Option<PathBuf>,
    /// Make a new key in FILE, and its public half beside it with the extension .pub
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key", "annotations"])]
    generate_key: Option<PathBuf>,
    /// An annotation of the index, which the signature then covers
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = annotation)]
    annotations: Vec<(String, String)>,
    /// Also sign the images that `push --image` makes with the same options
    #[arg(long, conflicts_with = "generate_key")]
    image: bool,
    /// Also sign the image that `push --debug-image` makes
    #[arg(long, conflicts_with = "generate_key")]
    debug_image: bool,
    #[command(flatten)]
    contents: ImageContents,
}

/// What images hold besides programs, and start.
#[derive(clap::Args)]
pub(super) struct ImageContents {
    /// Certificate authorities for the image: a PEM file
    #[arg(long, value_name = "FILE", requires = "image")]
    ca_certificates: Option<PathBuf>,
    /// Which program the image starts, where there are several
    #[arg(long, value_name = "NAME", requires = "image")]
    entrypoint: Option<String>,
}

impl ImageContents {
    /// # Errors
    /// A file of something else than certificates: it would be published.
    pub(super) fn options(&self) -> Result<ImageOptions, Failure> {
        const LARGEST: u64 = 16 << 20;
        if let Some(path) = &self.ca_certificates {
            let bytes = fs::read_small(path, LARGEST)?;
            let text = String::from_utf8_lossy(&bytes);
            if !text.contains("-----BEGIN CERTIFICATE-----") || text.contains("PRIVATE KEY-----") {
                let doing = format!("cannot put {} into an image", path.display());
                return Err(Failure::plain(Exit::Usage, doing)
                    .because("it is no PEM file of certificates alone"));
            }
        }
        Ok(ImageOptions {
            certificates: self.ca_certificates.clone(),
            entrypoint: self.entrypoint.clone(),
        })
    }
}

/// `KEY=VALUE`
pub(super) fn annotation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && key.len() <= 256 && value.len() <= 16 << 10 => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => {
            Err("expected KEY=VALUE, for example org.opencontainers.image.version=1.2.0".to_owned())
        }
    }
}

/// What was given, each key once: of two values nobody could say which was meant.
pub(super) fn annotations(given: &[(String, String)]) -> Result<BTreeMap<String, String>, Failure> {
    let mut annotations = BTreeMap::new();
    for (key, value) in given {
        if annotations.insert(key.clone(), value.clone()).is_some() {
            return Err(Failure::plain(Exit::Usage, format!("--annotation {key} is given twice")));
        }
    }
    Ok(annotations)
}

pub(super) fn run(args: &Args, global: &Global, ui: Ui) -> Result<(), Failure> {
    match (&args.generate_key, &args.key) {
        (Some(path), _) => generate(path, ui),
        (None, Some(key)) => sign_release(key, args, &global.release_dir, ui),
        (None, None) => {
            Err(Failure::plain(Exit::Usage, "no key was given").hint("xpost sign --key FILE"))
        }
    }
}

fn generate(path: &Path, ui: Ui) -> Result<(), Failure> {
    let public_path = path.with_extension("pub");
    let doing = || format!("cannot make a key in {}", path.display());
    if public_path == path {
        return Err(Failure::plain(Exit::Usage, doing())
            .because("the name that ends in .pub is the public key's"));
    }
    for taken in [path, &public_path] {
        if fs::exists(taken) {
            return Err(Failure::plain(Exit::Refused, doing())
                .because(format!("{} exists, and keys are never replaced", taken.display()))
                .hint("choose another name"));
        }
    }
    let key =
        SigningKey::generate().map_err(|error| Failure::new(Exit::Failed, doing(), &error))?;
    let create = |path: &Path, mode, text: &str| -> fs::Result<AtomicFile> {
        let mut file = AtomicFile::create(path, mode)?;
        file.write_all(text.as_bytes()).map_err(fs::at("write", path))?;
        Ok(file)
    };
    let private = create(path, Mode::Secret, &key.to_pem())?;
    let public = create(&public_path, Mode::Data, &key.public_key().to_pem())?;
    // From here both halves are on disk without their names.
    private.commit_new()?;
    public.commit_new()?;
    let (private, public) = (path.display().to_string(), public_path.display().to_string());
    let text = format!(
        "{}  private: whoever has it can sign\n{}  public: give it to those who verify\n",
        ui::safe(&private),
        ui::safe(&public)
    );
    ui.result(
        "sign",
        json!({ "privateKey": private, "publicKey": public, "hint": key.public_key().hint() }),
        &text,
    )
}

fn sign_release(key: &Path, args: &Args, root: &Path, ui: Ui) -> Result<(), Failure> {
    let annotations = annotations(&args.annotations)?;
    let key = read_key(key)?;
    let explain = |error| failure::release(error, root);
    let mut release = release::read(root).map_err(explain)?;
    coherent::check(&release, true)?;
    coherent::warn_of_twins(&release, ui);
    release.annotations.extend(annotations);
    let mut forms = vec![(Form::Files, Artifact::of(&release))];
    let explain_images = |error| store::failure("cannot sign the images", &error);
    if args.image {
        let images = Artifact::images(&release, &args.contents.options()?);
        forms.push((Form::Image, images.map_err(explain_images)?));
    }
    if args.debug_image {
        let images = Artifact::debug_images(&release).map_err(explain_images)?;
        forms.push((Form::DebugImage, images));
    }
    let mut staged = Staged::default();
    staged.annotate(root, &release.annotations).map_err(explain)?;
    let mut rows = Vec::new();
    let mut text = String::new();
    let signables = forms.iter().flat_map(|(form, artifact)| {
        let signables = coherent::signables(&release, artifact, *form);
        signables.into_iter().map(|signable| (*form, signable))
    });
    for (form, signable) in signables {
        let paths = bundle_paths(root, form, signable.platform);
        let (bytes, outcome) = bundle(&signable, &paths, &key)?;
        for path in &paths {
            if fs::digest(path).ok().map(|(digest, _)| digest)
                != Some(crate::digest::Digest::of(&bytes))
            {
                staged.write(path, Mode::Data, |out| out.write_all(&bytes))?;
            }
        }
        let manifest = signable.statement.manifest();
        let files = signable.statement.files().len();
        let _ = writeln!(
            text,
            "{}{}  {}  {}  {}",
            match form {
                Form::Files => "",
                Form::Image => "image ",
                Form::DebugImage => "debug image ",
            },
            ui::safe(&manifest.name),
            manifest.digest,
            if files == 0 { "the manifest alone".to_owned() } else { ui::count(files, "file") },
            outcome.word()
        );
        let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        rows.push(json!({
            "manifest": manifest.name, "digest": manifest.digest, "files": files,
            "outcome": outcome.word(), "bundles": paths, "form": form.word(),
        }));
    }
    staged.commit()?;
    ui.result("sign", json!({ "signatures": rows, "hint": key.public_key().hint() }), &text)?;
    ui.note("next: xpost push REF");
    Ok(())
}

/// What became of a manifest's bundle.
#[derive(Clone, Copy)]
enum Outcome {
    Signed,
    SignedAnew,
    ReplacedForeign,
    LeftAlone,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::SignedAnew => "signed anew",
            Self::ReplacedForeign => "signed; replaced the signature of another key",
            Self::LeftAlone => "signed already",
        }
    }
}

/// Where the bundle of a manifest lies: beside each binary of the platform, or in the release directory for indexes and
/// images.
fn bundle_paths(root: &Path, form: Form, platform: Option<&PlatformRelease>) -> Vec<PathBuf> {
    let directory = platform.map(|of| of.platform.directory());
    match (form, platform, directory.as_deref()) {
        (Form::Files, Some(platform), Some(directory)) => platform
            .binaries
            .iter()
            .map(|binary| root.join(directory).join(companion::bundle(&binary.file.name)))
            .collect(),
        (Form::Files, ..) => vec![root.join(INDEX_BUNDLE)],
        (form, _, directory) => vec![root.join(form.bundle(directory))],
    }
}

/// The bytes of a manifest's bundle: those that are there, where they are still good, else new ones.
fn bundle(
    signable: &Signable<'_>,
    paths: &[PathBuf],
    key: &SigningKey,
) -> Result<(Vec<u8>, Outcome), Failure> {
    let mut outcome = Outcome::Signed;
    for path in paths.iter().filter(|path| fs::exists(path)) {
        let bytes = fs::read_small(path, sign::MAX_BUNDLE_LENGTH as u64)?;
        match sign::existing(&bytes, key.public_key(), &signable.statement) {
            Existing::Current => return Ok((bytes, Outcome::LeftAlone)),
            Existing::Outdated => outcome = Outcome::SignedAnew,
            Existing::Foreign => outcome = Outcome::ReplacedForeign,
        }
    }
    let bytes = sign::sign(&signable.statement, key)
        .map_err(|error| Failure::new(Exit::Failed, "cannot sign this release", &error))?;
    Ok((bytes, outcome))
}

fn read_key(path: &Path) -> Result<SigningKey, Failure> {
    let bytes = fs::read_small(path, sign::MAX_KEY_LENGTH as u64)?;
    SigningKey::from_pem(&bytes).map_err(|error| {
        Failure::new(Exit::Damaged, format!("cannot use the key {}", path.display()), &error)
    })
}

/// The public key in a file.
pub(super) fn read_public_key(path: &Path) -> Result<PublicKey, Failure> {
    let bytes = fs::read_small(path, sign::MAX_KEY_LENGTH as u64)?;
    PublicKey::from_pem(&bytes).map_err(|error| {
        Failure::new(Exit::Damaged, format!("cannot use the key {}", path.display()), &error)
    })
}
