//! What a push, a copy or an attachment did: for people, for scripts, and for a file that GitOps tools read.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::ui::{self, Ui};
use crate::fs::{self, Mode};
use crate::oci::reference::Tag;
use crate::oci::{BuildIds, Graph, Occupied, Options, Receipt, Reference, State, TagState};

/// What may happen to tags, and what is left of it.
#[derive(clap::Args, Debug, Clone)]
pub(super) struct Publishing {
    /// A further tag for the same thing
    #[arg(long = "tag", value_name = "TAG", value_parser = tag)]
    tags: Vec<Tag>,
    /// Move tags that point at something else
    #[arg(long)]
    overwrite: bool,
    /// Move buildid- tags that point at another program's debug file
    #[arg(long)]
    force: bool,
    /// Show what would be published; send nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Also write the result, as --json prints it, into this file
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

fn tag(text: &str) -> Result<Tag, String> {
    Tag::new(text).ok_or_else(|| "a tag has 1 to 128 letters, digits, '_', '.' and '-'".to_owned())
}

impl Publishing {
    /// The options of a push to `reference`; refused where a tag is one of those that a push sets by itself.
    pub(super) fn options(&self, reference: &Reference) -> Result<Options, Failure> {
        if self.dry_run && self.receipt.is_some() {
            return Err(Failure::plain(Exit::Usage, "a dry run has no receipt")
                .because("it says what was published, and a dry run publishes nothing and writes no file")
                .hint("--dry-run --json prints what would be published"));
        }
        let mut tags: Vec<Tag> = reference.target.tag.iter().cloned().collect();
        tags.extend(self.tags.iter().cloned());
        let mut once: Vec<Tag> = Vec::new();
        for tag in tags {
            if tag.is_reserved() {
                return Err(Failure::plain(Exit::Usage, format!("cannot publish as {reference}"))
                    .because(format!("{tag} is the tag of a debug file or of a list of referrers"))
                    .hint("choose another tag"));
            }
            if !once.contains(&tag) {
                once.push(tag);
            }
        }
        Ok(Options {
            tags: once,
            digest: reference.target.digest,
            occupied: if self.overwrite { Occupied::Overwrite } else { Occupied::Refuse },
            build_ids: if self.force { BuildIds::Force } else { BuildIds::Withhold },
        })
    }
}

/// Every manifest of a graph, for people: its digest, and the bytes that would be published.
pub(super) fn manifests_text(graph: &Graph<'_>) -> String {
    let mut text = String::new();
    for node in &graph.nodes {
        let bytes = String::from_utf8_lossy(&node.bytes);
        let _ = writeln!(text, "{}\n{}", node.descriptor.digest, ui::safe(&bytes));
    }
    text
}

/// The same as data.
pub(super) fn manifests_value(graph: &Graph<'_>) -> Vec<Value> {
    let rows = graph.nodes.iter().map(|node| {
        json!({
            "digest": node.descriptor.digest,
            "mediaType": node.descriptor.media_type,
            "size": node.descriptor.size,
            "manifest": serde_json::from_slice::<Value>(&node.bytes).unwrap_or_default(),
        })
    });
    rows.collect()
}

/// What else was published.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Beside<'a> {
    /// Debug files in a repository of their own.
    pub(super) debug: Option<&'a Receipt>,
    /// The image of debug files, by its digest.
    pub(super) volume: Option<&'a str>,
}

/// Reports what was done.
pub(super) fn report(
    command: &str,
    receipt: &Receipt,
    beside: &Beside<'_>,
    publishing: &Publishing,
    ui: Ui,
) -> Result<(), Failure> {
    let Beside { debug, volume } = *beside;
    let reference = match &receipt.digest {
        Some(digest) => format!("{}@{digest}", receipt.place),
        None => receipt.place.clone(),
    };
    let mut text = format!("{}\n", ui::safe(&reference));
    for tagged in &receipt.tags {
        let state = match &tagged.state {
            TagState::Unchanged => "was there already".to_owned(),
            TagState::Moved { from } => format!("moved from {from}"),
            TagState::Created => "created".to_owned(),
        };
        let _ = writeln!(text, "  tag {} {state}", tagged.tag);
    }
    for tag in &receipt.joined {
        let _ = writeln!(text, "  tag {tag} keeps what was there, and has what came");
    }
    let _ = writeln!(text, "  {}", sent(receipt));
    if let Some(debug) = debug {
        let _ = writeln!(text, "{}\n  {}", ui::safe(&debug.place), sent(debug));
    }
    if let Some(volume) = volume {
        let _ = write!(text, "{}\n{}", ui::safe(volume), snippet(volume));
    }
    let withheld: Vec<_> =
        [Some(receipt), debug].into_iter().flatten().flat_map(|of| &of.withheld).collect();
    let value = json!({
        "reference": reference,
        "repository": receipt.place,
        "digest": receipt.digest,
        "tags": receipt.tags.iter().map(|tagged| &tagged.tag).collect::<Vec<_>>(),
        "published": withheld.is_empty(),
        "receipt": receipt,
        "debugReceipt": debug,
        "debugImage": volume,
    });
    if let Some(path) = &publishing.receipt {
        let text = ui.document(command, value.clone());
        fs::write(path, Mode::Data, text.as_bytes()).map_err(|error| {
            let doing = format!("{reference} is published, and its receipt is not written");
            Failure::new(Exit::Failed, doing, &error).after(value.clone())
        })?;
    }
    if withheld.is_empty() {
        return ui.result(command, value, &text);
    }
    if !ui.json {
        ui.result(command, Value::Null, &text)?;
    }
    let of_debug_files = withheld.iter().all(|withheld| withheld.tag.starts_with("buildid-"));
    let mut failure = Failure::plain(
        Exit::Refused,
        if of_debug_files {
            "everything is published, but some debug files without their buildid- tag"
        } else {
            "everything is published, but some of it without its tag"
        },
    );
    for withheld in withheld {
        failure = failure.because(if withheld.tag.starts_with("buildid-") {
            format!("{} belongs to another program ({})", withheld.tag, withheld.there)
        } else {
            format!("{} has something else, which would be lost ({})", withheld.tag, withheld.there)
        });
    }
    Err(failure.after(value).hint(if of_debug_files {
        "two programs share a build-id: give each its own (xpost slim --build-id rewrite), or move the tag of another release with --force"
    } else {
        "look at both (cosign tree); --overwrite puts one in the place of the other"
    }))
}

/// How a pod gets debug files where debuggers look (Kubernetes, "Use an Image Volume With a Pod").
fn snippet(volume: &str) -> String {
    format!(
        "  volumes:\n  - name: debug\n    image: {{ reference: {}, pullPolicy: IfNotPresent }}\n  \
         # in the container:\n  volumeMounts: [{{ name: debug, mountPath: /usr/lib/debug }}]\n",
        ui::safe(volume)
    )
}

fn sent(receipt: &Receipt) -> String {
    let size = ui::size(receipt.uploaded_bytes());
    format!("{size} sent, {}", ui::count(receipt.manifests.len(), "manifest"))
}

/// Reports what would be done.
pub(super) fn report_survey(command: &str, receipt: &Receipt, ui: Ui) -> Result<(), Failure> {
    let missing = |part: &[crate::oci::Upload]| {
        part.iter().filter(|upload| upload.state == State::Uploaded).count()
    };
    let text = format!(
        "{}{}\n  would send {} of {} ({}) and {} of {}\n",
        ui::safe(&receipt.place),
        receipt.digest.map(|digest| format!("@{digest}")).unwrap_or_default(),
        missing(&receipt.blobs),
        ui::count(receipt.blobs.len(), "blob"),
        ui::size(receipt.uploaded_bytes()),
        missing(&receipt.manifests),
        ui::count(receipt.manifests.len(), "manifest"),
    );
    let value = json!({ "dryRun": true, "digest": receipt.digest, "receipt": receipt });
    ui.result(command, value, &text)
}
