//! `xpost discover`: what is there under a reference, and what hangs on it.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;

use super::failure::{Exit, Failure};
use super::store::{self, Named, Reach};
use super::ui::{self, Ui};
use crate::build_id::BuildId;
use crate::digest::Digest;
use crate::oci::manifest::{Descriptor, Document, annotation, media};
use crate::oci::{self, Access, Graph, Reference};

/// Show what a reference names, and everything that refers to it
///
/// A tree of manifests: the platforms of an index, and under each its debug files, SBOMs, signatures and whatever else was
/// attached. --kind and --build-id leave only what is asked for, and what it hangs on.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  xpost discover ghcr.io/org/app:v1
  xpost discover ghcr.io/org/app:v1 --kind signature --json
  xpost discover ghcr.io/org/app:v1 --build-id e88201535b323b96eb5a1e34529f4ed2cd0225d5")]
pub(super) struct Args {
    /// HOST/NAME:TAG, HOST/NAME@DIGEST, oci:DIR[:TAG] or oci-archive:FILE.tar[:TAG]
    #[arg(value_name = "REF")]
    reference: Reference,
    /// Only what is of this kind: debug, sbom, signature, binary, or an artifact type
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only binaries and debug files with this build-id
    #[arg(long, value_name = "ID")]
    build_id: Option<BuildId>,
    #[command(flatten)]
    reach: Reach,
}

/// A manifest in the tree.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Branch {
    kind: String,
    artifact_type: String,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<File>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    manifests: Vec<Branch>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    referrers: Vec<Branch>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_id: Option<String>,
}

pub(super) fn run(args: &Args, ui: Ui) -> Result<(), Failure> {
    let doing = || format!("cannot discover {}", args.reference);
    let explain = |error: oci::Error| store::failure(doing(), &error);
    let named = Named::find(&args.reference, Access::Read, &args.reach, "discover", ui)?;
    let (reference, descriptor) = (named.by_digest(), named.root.descriptor.plain());
    let graph = Graph::read(named.store.as_ref(), named.root).map_err(explain)?;
    let tree = branch(&graph, &descriptor, 0).and_then(|tree| prune(tree, args));
    let Some(tree) = tree else {
        return Err(Failure::plain(Exit::NotFound, doing())
            .because("there is nothing of what was asked for")
            .hint("without --kind and --build-id everything is shown"));
    };
    for missing in &graph.missing {
        ui.warn(&format!("{} ({}) is not there", missing.what, missing.digest));
    }
    let mut text = format!("{}  {}\n", ui::safe(&reference), ui::safe(&tree.kind));
    draw(&mut text, &tree, "");
    let value = json!({
        "reference": reference, "digest": descriptor.digest, "tree": tree, "missing": graph.missing,
    });
    ui.result("discover", value, &text)
}

/// The tree from a manifest on. The graph has no circles that are walked twice, so the depth is bounded here as there.
fn branch(graph: &Graph<'_>, descriptor: &Descriptor, depth: usize) -> Option<Branch> {
    const MAX_DEPTH: usize = 16;
    let node = graph.node(&descriptor.digest).filter(|_| depth < MAX_DEPTH)?;
    let document = node.document().ok()?;
    let mut found = Branch {
        kind: kind(document.kind()).to_owned(),
        artifact_type: document.kind().to_owned(),
        digest: descriptor.digest,
        size: node.descriptor.size,
        platform: descriptor.platform.as_ref().map(ToString::to_string),
        target: descriptor.annotations.get(annotation::TARGET).cloned(),
        files: Vec::new(),
        manifests: Vec::new(),
        referrers: Vec::new(),
    };
    match &document {
        Document::Index(index) => {
            let children =
                index.manifests.iter().filter_map(|child| branch(graph, child, depth + 1));
            found.manifests = children.collect();
        }
        Document::Manifest(manifest) => {
            let own_id = manifest.annotations.get(annotation::BUILD_ID);
            let file = |layer: &Descriptor| File {
                name: layer.annotations.get(annotation::TITLE).cloned(),
                digest: layer.digest,
                size: layer.size,
                build_id: layer.annotations.get(annotation::BUILD_ID).or(own_id).cloned(),
            };
            found.files = manifest.layers.iter().map(file).collect();
        }
    }
    let edges = graph.referrers.iter().filter(|edge| edge.subject == descriptor.digest);
    let referrers = edges.filter_map(|edge| branch(graph, &edge.referrer, depth + 1));
    found.referrers = referrers.collect();
    found.referrers.sort_by(|one, other| {
        (&one.artifact_type, one.digest.hex()).cmp(&(&other.artifact_type, other.digest.hex()))
    });
    Some(found)
}

/// A short word for what we know; for everything else its own type.
fn kind(artifact_type: &str) -> &str {
    match artifact_type {
        media::RELEASE => "release",
        media::BINARY => "binary",
        media::DEBUG => "debug",
        media::CYCLONEDX | media::SPDX => "sbom",
        media::BUNDLE => "signature",
        "" => "index",
        other => other,
    }
}

/// What is asked for, and what it hangs on.
fn prune(mut tree: Branch, args: &Args) -> Option<Branch> {
    tree.manifests = tree.manifests.into_iter().filter_map(|child| prune(child, args)).collect();
    tree.referrers = tree.referrers.into_iter().filter_map(|child| prune(child, args)).collect();
    let of_kind =
        args.kind.as_deref().is_none_or(|kind| kind == tree.kind || kind == tree.artifact_type);
    let has = |id: &BuildId| {
        let id = id.to_string();
        tree.files.iter().any(|file| file.build_id.as_ref() == Some(&id))
    };
    let fits = of_kind && args.build_id.as_ref().is_none_or(has);
    (fits || !tree.manifests.is_empty() || !tree.referrers.is_empty()).then_some(tree)
}

fn draw(text: &mut String, tree: &Branch, indent: &str) {
    let branches: Vec<&Branch> = tree.manifests.iter().chain(&tree.referrers).collect();
    let last = branches.len().saturating_sub(1);
    for (at, branch) in branches.into_iter().enumerate() {
        let (knot, line) = if at == last { ("└ ", "  ") } else { ("├ ", "│ ") };
        let what = branch.platform.as_deref().unwrap_or(&branch.kind);
        let _ = write!(text, "{indent}{knot}{}  {}", ui::safe(what), branch.digest);
        if let Some(target) = &branch.target {
            let _ = write!(text, "  {}", ui::safe(target));
        }
        for file in &branch.files {
            let Some(name) = &file.name else { continue };
            let _ = write!(text, "  {} ({})", ui::safe(name), ui::size(file.size));
        }
        text.push('\n');
        draw(text, branch, &format!("{indent}{line}"));
    }
}
