//! `xpost pull --all`: the release directory again that was published.

use std::collections::BTreeSet;

use super::{Args, commit, look_inside, not_there, report, signatures, uncovered, without_files};
use crate::cli::failure::{self, Exit, Failure};
use crate::cli::store;
use crate::cli::ui::Ui;
use crate::fs;
use crate::oci::gather;
use crate::oci::published::{Published, PublishedPlatform};
use crate::oci::pull::{Item, Plan};
use crate::oci::{self, Access, Connection, Store, Trusted};
use crate::release::{Staged, companion};
use crate::sign::PublicKey;

pub(super) fn run(
    args: &Args,
    store: &dyn Store,
    connection: &Connection,
    published: &Published,
    trusted: Option<(&Trusted, &PublicKey)>,
    ui: Ui,
) -> Result<(), Failure> {
    let doing = || format!("cannot pull {}", args.reference);
    let explain = |error: oci::Error| store::failure(doing(), &error);
    if !published.is_index() {
        return Err(Failure::plain(Exit::Damaged, doing())
            .because("it is no release, of which a release directory could be made")
            .hint("pull it without --all"));
    }
    if !fs::list(&args.output)?.is_empty() {
        return Err(Failure::plain(Exit::Refused, doing())
            .because(format!("{} is not empty", args.output.display()))
            .hint("a release directory is made anew: name another with -o"));
    }
    let kept_in = args.debug_from.as_ref();
    let kept_in =
        kept_in.map(|from| store::open_with(from, Access::Read, connection)).transpose()?;
    let is_bundle = |item: &Item| item.file.title.ends_with(".sigstore.json");
    let root = published.root.descriptor.digest;
    let counts = |platform: Option<&PublishedPlatform>, digest, bundle: &[u8]| {
        trusted.is_none_or(|(_, key)| oci::signs(bundle, key, platform, digest))
    };
    let mut plan =
        gather::of_index(store, &root, &args.output, &|bundle| counts(None, root, bundle))
            .map_err(explain)?;
    let (mut missing, mut lacks) = (Vec::new(), false);
    let mut debug = Plan { items: Vec::new() };
    for platform in &published.platforms {
        let directory = args.output.join(gather::directory(platform).map_err(explain)?);
        let manifest = &platform.descriptor;
        let counts = |bundle: &[u8]| counts(Some(platform), manifest.digest, bundle);
        let mut of = gather::of_platform(store, manifest, &directory, &counts).map_err(explain)?;
        let mut kept = Plan { items: Vec::new() };
        if let (Some(kept_in), Some(from)) = (&kept_in, &args.debug_from) {
            let explain = |error: oci::Error| {
                store::failure(format!("cannot pull debug files from {from}"), &error)
            };
            kept = gather::of_debug_files(kept_in.as_ref(), &of, &directory).map_err(explain)?;
        }
        if let Some((trusted, _)) = trusted {
            let signatures = signatures(args, trusted, platform)?;
            if let Some(item) = kept.items.iter().find(|item| !signatures.cover(&item.file)) {
                return Err(uncovered(args, item));
            }
            of.items.retain(|item| {
                is_bundle(item) || signatures.cover(&item.file) || {
                    ui.warn(&format!("{} is not signed and is left out", item.file.title));
                    false
                }
            });
            let is_planned = |name: &&str| {
                of.items.iter().chain(&kept.items).any(|item| item.file.title == **name)
            };
            let debug_files = signatures.names().filter(|name| companion::is_of_debugger(name));
            let lacking: BTreeSet<_> = debug_files.filter(|name| !is_planned(name)).collect();
            if let (Some(name), Some(_)) = (lacking.first(), &kept_in) {
                return Err(not_there(args, name));
            }
            missing.extend(lacking.into_iter().map(|name| format!("{platform}: {name}")));
        } else {
            let planned: Vec<_> = of.items.iter().chain(&kept.items).collect();
            let lacking = gather::lacking(store, &manifest.digest, &planned).map_err(explain)?;
            lacks |= !(lacking.said.is_empty() && lacking.possible.is_empty());
            missing.extend(lacking.said.iter().map(|name| format!("{platform}: {name}")));
        }
        plan.items.extend(of.items);
        debug.items.extend(kept.items);
    }
    if let (true, true, Some(from)) = (lacks, debug.items.is_empty(), &args.debug_from) {
        return Err(Failure::plain(Exit::NotFound, doing())
            .because(format!("there is no debug file of it in {from}")));
    }
    if let (true, Some(platform)) = (plan.items.iter().all(is_bundle), published.platforms.first())
    {
        return Err(without_files(args, store, platform));
    }
    let observer = store::progress(ui, "pulled");
    let mut brought = vec![plan.bring(store, &look_inside, &observer).map_err(explain)?];
    if let Some(kept_in) = &kept_in {
        brought.push(debug.bring(kept_in.as_ref(), &look_inside, &observer).map_err(explain)?);
    }
    let mut staged = Staged::default();
    staged
        .annotate(&args.output, &published.annotations)
        .map_err(|error| failure::release(error, &args.output))?;
    let fetched = commit(brought).map_err(explain)?;
    staged.commit()?;
    for name in &missing {
        ui.warn(&format!(
            "{name} is signed and not there (--debug-from: where debug files are kept)"
        ));
    }
    let what = Some("all platforms");
    report(store, &root, what, trusted.is_some(), &fetched, &missing, ui)
}
