//! `xpost verify --platforms`: are the programs in an image for the platforms that it states?

use std::fmt::Write as _;

use serde_json::json;

use super::failure::{Exit, Failure};
use super::store::{self, Named, Reach};
use super::ui::{self, Ui};
use crate::oci::{self, Access, Audit, Reference, Verdict};

pub(super) fn run(reference: &Reference, reach: &Reach, ui: Ui) -> Result<(), Failure> {
    let explain = |error: oci::Error| store::failure(format!("cannot verify {reference}"), &error);
    let named = Named::find(reference, Access::Read, reach, "verify", ui)?;
    let (by_digest, digest) = (named.by_digest(), named.root.descriptor.digest);
    let audits = oci::audit(named.store.as_ref(), named.root).map_err(explain)?;
    let value = json!({ "reference": by_digest, "digest": digest, "platforms": audits });
    let mut text = format!("{}\n", ui::safe(&by_digest));
    for audit in &audits {
        let _ = writeln!(text, "  {}", line(audit));
    }
    if audits.is_empty() {
        text.push_str("  nothing in it is for a platform\n");
    }
    let is_finding = |audit: &&Audit| matches!(audit.verdict, Verdict::Other | Verdict::Unstated);
    let findings: Vec<&Audit> = audits.iter().filter(is_finding).collect();
    if findings.is_empty() {
        return ui.result("verify", value, &text);
    }
    if !ui.json {
        ui.aside(&text);
    }
    let lies = findings.iter().any(|audit| audit.verdict == Verdict::Other);
    let (what, hint) = match lies {
        true => (
            "is not what it states",
            "build each platform's binary for that platform (GOARCH, --target), then publish again",
        ),
        false => (
            "does not state for which platform it is",
            "runtimes take it for whatever they run on: build it with a platform (docker build --platform, crane mutate --set-platform)",
        ),
    };
    let mut failure = Failure::plain(Exit::Refused, format!("{by_digest} {what}"));
    for audit in findings {
        let stated = platform(audit);
        if audit.verdict == Verdict::Unstated {
            failure = failure.because(format!("{stated} states no platform"));
        }
        if let Some(configured) = &audit.configured {
            failure = failure.because(format!("{stated}: its configuration says {configured}"));
        }
        for program in audit.starts.iter().filter(|program| !program.fits) {
            let (path, machine) = (&program.path, &program.machine);
            failure =
                failure.because(format!("{stated}: {path}, which it starts, is for {machine}"));
        }
        let others =
            audit.programs.iter().filter(|program| Some(*program) != audit.starts.as_ref());
        for program in others.take(5) {
            failure =
                failure.because(format!("{stated}: {} is for {}", program.path, program.machine));
        }
    }
    Err(failure.after(value).hint(hint))
}

fn platform(audit: &Audit) -> String {
    audit.platform.clone().unwrap_or_else(|| audit.digest.to_string())
}

fn line(audit: &Audit) -> String {
    let mut line = format!("{}  ", ui::safe(&platform(audit)));
    match audit.verdict {
        Verdict::AsStated => line.push_str("as stated"),
        Verdict::Other => {
            let first = audit.starts.iter().chain(&audit.programs).find(|program| !program.fits);
            let is = audit.configured.as_ref().or(first.map(|program| &program.machine));
            let _ = write!(line, "is {}", ui::safe(is.map_or("another", String::as_str)));
        }
        Verdict::NoProgram => line.push_str("no program in it"),
        Verdict::Unstated => line.push_str("states no platform"),
        Verdict::NoImage => line.push_str("no image"),
    }
    if let Some(starts) = &audit.starts {
        let _ = write!(line, "  starts {} ({})", ui::safe(&starts.path), ui::safe(&starts.machine));
    }
    if matches!(audit.verdict, Verdict::AsStated | Verdict::Other) {
        let right = ui::count(audit.right, "program");
        let _ = write!(line, "  {right} for it, {} for others", audit.wrong);
    }
    if matches!(audit.verdict, Verdict::Unstated | Verdict::NoImage) {
        for program in audit.programs.iter().take(5) {
            let _ = write!(line, "  {} ({})", ui::safe(&program.path), ui::safe(&program.machine));
        }
    }
    line
}
