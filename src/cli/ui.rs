//! What a person or a script sees: results on stdout, everything else on stderr.
//!
//! Names come from files and registries, so text is escaped before it is shown: a symbol cannot move the
//! cursor, and cannot give a CI runner a command (`::add-mask::` at the start of a line).
#![expect(clippy::print_stderr, reason = "stderr is this module's work")]

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::failure::{Exit, Failure};

/// How to talk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ui {
    /// Results as JSON.
    pub(super) json: bool,
    /// Nothing but results and failures.
    pub(super) quiet: bool,
}

impl Ui {
    /// Prints the result: `value` with its schema where JSON was asked for, else `text`.
    ///
    /// A closed pipe is no error: whoever reads has what it wanted.
    pub(super) fn result(
        &self,
        command: &str,
        mut value: Value,
        text: &str,
    ) -> Result<(), Failure> {
        let text = if self.json {
            if let Some(map) = value.as_object_mut() {
                map.insert("schema".to_owned(), json!(format!("xpost/{command}/v1")));
                map.insert("ok".to_owned(), json!(true));
            }
            Cow::Owned(pretty(&value))
        } else {
            Cow::Borrowed(text)
        };
        print(&text)
    }

    /// A remark that is not the result.
    pub(super) fn note(&self, text: &str) {
        if !self.quiet {
            eprintln!("{}", safe(text));
        }
    }

    /// Something that the user will want to put right.
    pub(super) fn warn(&self, text: &str) {
        if !self.quiet {
            eprintln!("warning: {}", safe(text));
        }
    }

    /// Says why the command failed, on stderr, and as JSON on stdout where that was asked for.
    pub(super) fn failure(&self, command: &str, failure: &Failure) {
        eprintln!("xpost: {}", safe(&failure.doing));
        for reason in &failure.reasons {
            eprintln!("  {}", safe(reason));
        }
        if let Some(hint) = &failure.hint {
            eprintln!("hint: {}", safe(hint));
        }
        if self.json {
            let message =
                [std::slice::from_ref(&failure.doing), &failure.reasons].concat().join(": ");
            let mut value = failure.receipt.clone().unwrap_or_else(|| json!({}));
            value["schema"] = json!(format!("xpost/{command}/v1"));
            value["ok"] = json!(false);
            value["error"] =
                json!({ "exit": failure.exit as u8, "message": message, "hint": failure.hint });
            // The exit code says that it failed, whether or not anybody reads this.
            let _ = print(&pretty(&value));
        }
    }

    /// A progress bar over so many bytes; shown on a terminal alone.
    pub(super) fn progress(&self, label: &str, bytes: u64) -> ProgressBar {
        if self.quiet || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template(
            "{msg:24!} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::new(bytes).with_style(style).with_message(safe(label).into_owned())
    }
}

fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("values have a JSON form");
    text.push('\n');
    text
}

fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Failed, "cannot write to stdout", &error))
        }
        _ => Ok(()),
    }
}

/// Foreign text, fit to be shown: control characters escaped, and no line that a CI runner obeys.
pub(super) fn safe(text: &str) -> Cow<'_, str> {
    let obeyed = text.trim_start().starts_with("::") || text.trim_start().starts_with("##[");
    if !obeyed && !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    if obeyed {
        shown.push('\\');
    }
    for char in text.chars() {
        if char.is_control() { shown.extend(char.escape_default()) } else { shown.push(char) }
    }
    Cow::Owned(shown)
}

/// A size for people: `512 B`, `1.5 KiB`, `2.63 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ if value < 10.0 => format!("{value:.2} {unit}"),
        _ => format!("{value:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_gives_no_commands() {
        assert_eq!(safe("plain ünïcode"), "plain ünïcode");
        assert_eq!(safe("a\x1b[31mb\nc"), "a\\u{1b}[31mb\\nc");
        assert_eq!(safe(" ::add-mask::x"), "\\ ::add-mask::x");
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(
            [size(0), size(1023), size(1536), size(60 << 20)],
            ["0 B", "1023 B", "1.50 KiB", "60.0 MiB"]
        );
    }
}
