//! Is what an index says of each platform true? The machine that the programs themselves name, against the platform under
//! which they are published.

use serde::{Deserialize, Serialize};

use super::Error;
use super::layers::Tree;
use super::manifest::{Descriptor, Document, Manifest, Node, PlatformEntry};
use super::published::Published;
use super::store::{self, Store};
use crate::digest::Digest;
use crate::inspect::Machine;

/// The largest configuration that is read.
const MAX_CONFIG: u64 = 4 << 20;

/// So many programs of another machine are named.
const NAMED: usize = 20;

/// So deep may indexes lie in indexes, and so many manifests be in all of them.
const MAX_DEPTH: usize = 3;
const MAX_MANIFESTS: usize = 1024;

/// Where programs are looked for if an image does not say (as containerd and Docker have it).
const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What became of one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// As it is stated.
    pub platform: Option<String>,
    /// The manifest.
    pub digest: Digest,
    /// How it ended.
    pub verdict: Verdict,
    /// What a container would start, where that is a program.
    pub starts: Option<Program>,
    /// Programs for the stated machine.
    pub right: usize,
    /// Programs for other machines.
    pub wrong: usize,
    /// The first of those; where no platform is stated, of all.
    pub programs: Vec<Program>,
    /// What the configuration says it is for, where that is something else.
    pub configured: Option<String>,
}

/// How an audit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// What it starts, or else something in it, is for the platform.
    AsStated,
    /// It is not what it is published as.
    Other,
    /// There is no program in it.
    NoProgram,
    /// It is an image, and neither index nor configuration say for which platform.
    Unstated,
    /// It is none, and nothing says for which platform it is.
    NoImage,
}

/// A program and its machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Program {
    /// Its path, or its name.
    pub path: String,
    /// The machine, in OCI's words.
    pub machine: String,
    /// Whether that is the stated one.
    pub fits: bool,
}

/// The parts of an image's configuration that count (OCI image-spec, "Image Configuration").
#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    architecture: String,
    os: String,
    config: Option<Run>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Run {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
}

/// Audits every platform of what `root` is, whoever published it; an index in an index as well.
///
/// # Errors
/// Those of the store, layers that cannot be read, and indexes in indexes without end.
pub fn audit(store: &dyn Store, root: Node) -> Result<Vec<Audit>, Error> {
    let mut auditor = Auditor { store, left: MAX_MANIFESTS, found: Vec::new() };
    auditor.node(None, &root, 0)?;
    Ok(auditor.found)
}

struct Auditor<'a> {
    store: &'a dyn Store,
    /// So many manifests and indexes are looked at still.
    left: usize,
    found: Vec<Audit>,
}

impl Auditor<'_> {
    fn node(
        &mut self,
        stated: Option<&PlatformEntry>,
        node: &Node,
        depth: usize,
    ) -> Result<(), Error> {
        let malformed = |reason: &str| {
            let what = format!("the index {}", node.descriptor.digest);
            Err(Error::Malformed { what, reason: reason.to_owned() })
        };
        if let Document::Manifest(manifest) = node.document()? {
            let audit = of_manifest(self.store, stated, &node.descriptor, &manifest)?;
            self.found.push(audit);
            return Ok(());
        }
        if depth > MAX_DEPTH {
            return malformed("it lies too deep in others");
        }
        for platform in Published::of(node.clone())?.platforms {
            // What BuildKit puts beside the images it makes is for no platform, and says so.
            let unknown =
                |entry: &PlatformEntry| entry.architecture == "unknown" || entry.os == "unknown";
            if platform.platform.as_ref().is_some_and(unknown) {
                continue;
            }
            let Some(left) = self.left.checked_sub(1) else {
                return malformed("there are too many manifests in it");
            };
            self.left = left;
            let child = store::load(self.store, &platform.descriptor)?;
            self.node(platform.platform.as_ref().or(stated), &child, depth + 1)?;
        }
        Ok(())
    }
}

fn of_manifest(
    store: &dyn Store,
    stated: Option<&PlatformEntry>,
    descriptor: &Descriptor,
    manifest: &Manifest,
) -> Result<Audit, Error> {
    let config = config(store, manifest)?;
    let platform = stated.cloned().or_else(|| config.platform());
    let tree = store::without_mirror(|| {
        let mut tree = Tree::default();
        manifest.layers.iter().try_for_each(|layer| match manifest.is_image() {
            true => tree.add(store, layer),
            false => tree.add_file(store, layer),
        })?;
        Ok(tree)
    })?;
    let mut audit = Audit {
        platform: platform.as_ref().map(ToString::to_string),
        digest: descriptor.digest,
        verdict: if manifest.is_image() { Verdict::Unstated } else { Verdict::NoImage },
        starts: None,
        right: 0,
        wrong: 0,
        programs: Vec::new(),
        configured: None,
    };
    let Some(platform) = platform else {
        let programs = tree.programs.iter().take(NAMED);
        audit.programs = programs.map(|(path, of)| Program::of(path, of, false)).collect();
        return Ok(audit);
    };
    // Programs here are ELF files, which these systems do not start.
    let takes_elf = !["windows", "darwin", "ios"].contains(&platform.os.as_str());
    let is_right = |machine: &Machine| {
        takes_elf && machine.architecture == Some(platform.architecture.as_str())
    };
    for (path, machine) in &tree.programs {
        if is_right(machine) {
            audit.right += 1;
            continue;
        }
        audit.wrong += 1;
        if audit.programs.len() < NAMED {
            audit.programs.push(Program::of(path, machine, false));
        }
    }
    let starts = config.command().and_then(|command| tree.program(&command, config.search()));
    let says = config
        .platform()
        .filter(|says| (&says.os, &says.architecture) != (&platform.os, &platform.architecture));
    audit.configured = says.map(|says| says.to_string());
    // What starts decides; where that is a script, one program for the platform is enough to run it.
    audit.verdict = match &starts {
        _ if audit.configured.is_some() => Verdict::Other,
        Some((_, machine)) if is_right(machine) => Verdict::AsStated,
        Some(_) => Verdict::Other,
        None if audit.right > 0 => Verdict::AsStated,
        None if audit.wrong > 0 => Verdict::Other,
        None => Verdict::NoProgram,
    };
    audit.starts = starts.map(|(path, machine)| Program::of(&path, &machine, is_right(&machine)));
    Ok(audit)
}

impl Program {
    fn of(path: &str, machine: &Machine, fits: bool) -> Self {
        Self { path: path.to_owned(), machine: machine.to_string(), fits }
    }
}

/// The configuration; an empty one where it is none of an image.
fn config(store: &dyn Store, manifest: &Manifest) -> Result<Config, Error> {
    let bytes = store::small_blob(store, &manifest.config, MAX_CONFIG)?;
    Ok(serde_json::from_slice(&bytes).unwrap_or_default())
}

impl Config {
    fn platform(&self) -> Option<PlatformEntry> {
        let (os, architecture) = (self.os.clone(), self.architecture.clone());
        (!architecture.is_empty()).then_some(PlatformEntry { os, architecture, variant: None })
    }

    /// The first word of what a container starts; a path from the directory that it starts in.
    fn command(&self) -> Option<String> {
        let run = self.config.as_ref()?;
        let words =
            [&run.entrypoint, &run.cmd].into_iter().flatten().find(|words| !words.is_empty());
        let command = words?.first()?;
        let directory = run.working_dir.as_deref().unwrap_or_default();
        Some(match command.contains('/') && !command.starts_with('/') {
            true => format!("{directory}/{command}"),
            false => command.clone(),
        })
    }

    fn search(&self) -> &str {
        let run = self.config.as_ref();
        let env = run.and_then(|run| run.env.as_ref()).into_iter().flatten();
        env.filter_map(|line| line.strip_prefix("PATH=")).next().unwrap_or(SEARCH)
    }
}
