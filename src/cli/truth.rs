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
    let lies: Vec<&Audit> = audits.iter().filter(|audit| audit.verdict == Verdict::False).collect();
    if lies.is_empty() {
        return ui.result("verify", value, &text);
    }
    if !ui.json {
        ui.aside(&text);
    }
    let mut failure =
        Failure::plain(Exit::Refused, format!("{by_digest} is not what its index says"));
    for audit in lies {
        let stated = platform(audit);
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
    Err(failure.after(value).hint(
        "build each platform's binary for that platform (GOARCH, --target), then publish again",
    ))
}

fn platform(audit: &Audit) -> String {
    audit.platform.clone().unwrap_or_else(|| audit.digest.to_string())
}

fn line(audit: &Audit) -> String {
    let verdict = match audit.verdict {
        Verdict::True => "true",
        Verdict::False => "false",
        Verdict::Undecided => "no program in it",
    };
    let mut line = format!("{}  {verdict}", ui::safe(&platform(audit)));
    if let Some(starts) = &audit.starts {
        let _ = write!(line, "  starts {} ({})", ui::safe(&starts.path), ui::safe(&starts.machine));
    }
    let _ = write!(line, "  {} for it, {} for others", audit.right, audit.wrong);
    line
}
